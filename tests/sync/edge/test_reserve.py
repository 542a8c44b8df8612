"""Real blocks, kept back while there is room, and gone the moment they are needed."""

import os
from pathlib import Path

import pytest

from sync.edge.database import Database, Schema
from sync.edge.reserve import Reserve
from sync.errors import StorageFullError

SIZE = 1024 * 1024


def notes(schema: Schema) -> None:
    schema.execute("CREATE TABLE notes (text TEXT NOT NULL) STRICT")


def test_the_reserve_is_real_blocks_of_the_owner_alone(tmp_path: Path) -> None:
    """A file with a hole in it would keep nothing back."""
    reserve = Reserve(tmp_path / "reserve", SIZE)
    assert reserve.make()
    facts = reserve.path.stat()
    assert facts.st_blocks * 512 >= SIZE
    assert facts.st_mode & 0o077 == 0


def test_a_file_of_the_right_length_without_blocks_is_no_reserve(tmp_path: Path) -> None:
    """Left behind by a restore from a backup that knows holes: it is made anew."""
    reserve = Reserve(tmp_path / "reserve", SIZE)
    reserve.path.touch()
    os.truncate(reserve.path, SIZE)
    assert not reserve.there
    assert reserve.make()
    assert reserve.there


def test_it_is_not_made_again_where_it_would_take_the_last_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would come and go, and what it is for would find no room."""
    reserve = Reserve(tmp_path / "reserve", SIZE)
    monkeypatch.setattr(reserve, "free_bytes", lambda: 2 * SIZE - 1)
    assert not reserve.make()
    assert not reserve.path.exists()


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be had whole is not kept."""

    def full(_handle: int, _at: int, _length: int) -> None:
        raise OSError(28, "No space left on device")

    reserve = Reserve(tmp_path / "reserve", SIZE)
    monkeypatch.setattr("os.posix_fallocate", full)
    assert not reserve.make()
    assert list(tmp_path.iterdir()) == []


def test_where_empty_blocks_take_no_room_noise_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that compresses would otherwise keep nothing back, and the device would never take a claim."""
    monkeypatch.setattr("os.posix_fallocate", lambda handle, _at, length: os.truncate(handle, length))
    reserve = Reserve(tmp_path / "reserve", SIZE)
    assert reserve.make()
    assert reserve.there


def test_only_what_shortens_the_queue_may_take_the_reserve(tmp_path: Path) -> None:
    """A new packet on a full disk is refused and the reserve stays; an acknowledgement takes it and gets through."""
    reserve = Reserve(tmp_path / "reserve", SIZE)
    with Database(tmp_path / "agent.db", reserve=reserve) as database:
        database.migrate("notes", [notes])
        assert reserve.there
        pages = database.read("PRAGMA page_count")[0][0]

        def write() -> None:
            with database.transaction() as tx:
                tx.execute("INSERT INTO notes (text) VALUES (?)", ("x" * 100_000,))

        database.read(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageFullError):
            write()
        assert reserve.there
        tries: list[int] = []

        def acknowledge() -> None:
            def work(tx: object) -> None:
                tries.append(1)
                if len(tries) == 2:
                    # What the freed blocks do on a real disk; test_full_disk_drains.py has one.
                    database.read(f"PRAGMA max_page_count = {pages + 1000}")
                write()

            database.drain(work)

        acknowledge()
        assert (len(tries), reserve.there) == (2, False)
        assert len(database.read("SELECT 1 FROM notes")) == 1


def test_a_drain_inside_a_plain_transaction_fails_with_it(tmp_path: Path) -> None:
    """Half of a transaction cannot be run again: whoever opened it has to."""
    reserve = Reserve(tmp_path / "reserve", SIZE)
    with Database(tmp_path / "agent.db", reserve=reserve) as database:
        database.migrate("notes", [notes])
        pages = database.read("PRAGMA page_count")[0][0]
        database.read(f"PRAGMA max_page_count = {pages + 2}")

        def both() -> None:
            with database.transaction():
                database.drain(lambda tx: tx.execute("INSERT INTO notes (text) VALUES (?)", ("x" * 100_000,)))

        with pytest.raises(StorageFullError):
            both()
        assert reserve.there
