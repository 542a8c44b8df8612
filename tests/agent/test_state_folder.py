"""The state folder is made at the first start, or the reason why it cannot be is told by its cause."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpos_agent.errors import FolderError
from mpos_agent.wiring import make_folder
from sync.errors import StorageFullError, StorageReadOnlyError


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, StorageFullError), (errno.EACCES, FolderError), (errno.ENOTDIR, FolderError)]
)
def test_a_folder_that_cannot_be_made_is_told_by_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """A full disk is not a wrong owner."""

    def fails(_path: Path, **_how: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", fails)
    with pytest.raises(kind):
        make_folder(tmp_path / "state", 0o700)


def test_a_disk_the_kernel_made_read_only_is_not_taken_for_wrong_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder's rights look as they should."""
    monkeypatch.setattr("os.statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(StorageReadOnlyError):
        make_folder(tmp_path, 0o700)
