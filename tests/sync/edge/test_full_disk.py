"""A start on a disk that is full, or that takes no writing, is told as that and not as a bug or a broken disk."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from sync.edge.database import Database, by_errno
from sync.errors import (
    StorageBrokenError,
    StorageError,
    StorageFullError,
    StorageInUseError,
    StorageReadOnlyError,
)

ROOT = Path(__file__).parents[3]


def may_mount() -> None:
    """Skips where a test may not mount a small disk."""
    try:
        tried = subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare(1) here: a disk of its own cannot be mounted")
    if tried.returncode:
        pytest.skip("this user may not mount a disk of its own")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How starts on a real small disk went."""
    may_mount()
    folder = tmp_path_factory.mktemp("disk")
    program = [sys.executable, "-m", "tests.sync.edge.full_disk_child", str(folder)]
    ran = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "--", *program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(line.split(": ", 1) for line in ran.stdout.splitlines())


@pytest.mark.parametrize("before", ["first", "stopped", "killed"])
def test_a_start_on_a_full_disk_says_full(told: dict[str, str], before: str) -> None:
    """On a new machine, after an orderly stop and after a power cut."""
    assert told[f"{before} full"] == "storage_full"


@pytest.mark.parametrize(("before", "notes"), [("first", 1), ("stopped", 2), ("killed", 2)])
def test_with_room_again_it_starts_and_has_everything(told: dict[str, str], before: str, notes: int) -> None:
    """The failed start damaged nothing, set nothing aside and let go of its lock."""
    assert told[f"{before} freed"] == f"started, {notes} notes, aside None"


@pytest.mark.parametrize("before", ["first", "stopped", "killed"])
def test_a_disk_made_read_only_has_its_own_cause(told: dict[str, str], before: str) -> None:
    """Freeing space would not help: the disk wants to be looked at."""
    assert told[f"{before} read-only"] == "storage_read_only"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EROFS, StorageReadOnlyError),
        (errno.EACCES, StorageReadOnlyError),
        (errno.EIO, StorageBrokenError),
        (errno.ENOENT, StorageError),
    ],
)
def test_what_the_system_says_of_a_file_is_told_by_cause(tmp_path: Path, number: int, kind: type[StorageError]) -> None:
    """Each has its own cure."""
    assert type(by_errno(OSError(number, "said"), tmp_path, "open")) is kind


def test_a_lock_that_cannot_be_written_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second try in the same process is not told that another agent runs: it would be itself."""
    path = tmp_path / "agent.db"

    def full(_handle: int, _content: bytes, _at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", full)
        for _ in range(2):
            with pytest.raises(StorageFullError):
                Database(path)
    with Database(path), pytest.raises(StorageInUseError):
        Database(path)
