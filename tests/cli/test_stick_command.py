"""What the field officer reads when a stick is not as it should be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpos_agent.outcomes import Exit
from sync.stick import FileName, Kind
from sync.stick_folder import PASSING, StickFolder
from tests.cli.daemon import Daemon, ask, objects, write_settings


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running daemon without devices; gives its settings file."""
    file = write_settings(tmp_path_factory.mktemp("c"))
    with Daemon(file):
        yield file


def test_spoilt_and_foreign_files_are_named_counted_and_left(config: Path, tmp_path: Path) -> None:
    """Cut off, empty, somebody's photo, half written: each told, none touched, and the command ends well."""
    stick = StickFolder(tmp_path)
    cut, empty = (FileName("D-UJI", number, bytes([number]) * 16, Kind.RECEIPT) for number in (1, 2))
    stick.write(cut, b"receipt")
    path = tmp_path / str(cut)
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / str(empty)).touch()
    (tmp_path / "foto liburan.jpg").write_bytes(b"x")
    (tmp_path / f"{empty}{PASSING}").write_bytes(b"x")
    before = sorted(tmp_path.iterdir())
    done = ask(config, "stick", "import", str(tmp_path), "--json")
    assert done.returncode == Exit.DONE
    (told,) = objects(done.stdout)
    assert told["skipped"] == [{"file": str(name), "because": "truncated"} for name in (cut, empty)]
    assert (told["receipts"], told["foreign"], told["unfinished"]) == (0, 1, 1)
    assert sorted(tmp_path.iterdir()) == before
    shown = ask(config, "stick", "import", str(tmp_path)).stdout
    assert "Dilewati" in shown
    assert "liburan" not in shown


def test_a_machine_that_is_not_enrolled_exports_nothing(config: Path, tmp_path: Path) -> None:
    """Said before anything is on the stick."""
    done = ask(config, "stick", "export", str(tmp_path))
    assert done.returncode == Exit.NOT_ENROLLED
    assert list(tmp_path.iterdir()) == []


def test_without_a_daemon_the_cause_is_named(tmp_path: Path) -> None:
    """The command line never opens the queue itself."""
    done = ask(write_settings(tmp_path), "stick", "export", str(tmp_path))
    assert done.returncode == Exit.NO_DAEMON
