"""Run in a mount namespace of its own, on a disk of 1 MiB: tells how a start on it goes, one line per case."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sync.edge.database import Database, Schema
from sync.errors import SyncError

SIZE = 1024 * 1024


def notes(schema: Schema) -> None:
    """A table to write into."""
    schema.execute("CREATE TABLE notes (text TEXT NOT NULL) STRICT")


def fill(folder: Path) -> Path:
    """Take every byte that is left."""
    ballast = folder / "ballast"
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
    for size in (4096, 1):
        try:
            while True:
                os.write(handle, bytes(size))
        except OSError:
            continue
    os.close(handle)
    return ballast


def start(path: Path) -> str:
    """Open the file as the agent does; the cause when that fails."""
    try:
        with Database(path) as database:
            database.migrate("notes", [notes])
            with database.transaction() as tx:
                tx.execute("INSERT INTO notes (text) VALUES ('started')")
            return f"started, {len(database.read('SELECT text FROM notes'))} notes, aside {database.set_aside}"
    except SyncError as error:
        return error.code
    except Exception as error:  # the very thing that must not happen
        return f"untranslated {type(error).__name__}"


def killed(path: Path) -> None:
    """An agent that wrote and was killed: its log is still there."""
    child = os.fork()
    if child == 0:
        database = Database(path)
        database.migrate("notes", [notes])
        with database.transaction() as tx:
            tx.execute("INSERT INTO notes (text) VALUES ('before')")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def case(name: str, folder: Path, prepare: Callable[[Path], object]) -> None:
    """A fresh disk, prepared, then full, then free again, then read-only."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    path = folder / "agent.db"
    prepare(path)
    ballast = fill(folder)
    print(name, "full:", start(path), flush=True)
    ballast.unlink()
    print(name, "freed:", start(path), flush=True)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    print(name, "read-only:", start(path), flush=True)
    subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    case("first", place, lambda path: None)
    case("stopped", place, start)
    case("killed", place, killed)
