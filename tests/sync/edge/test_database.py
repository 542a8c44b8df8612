"""The agent's file: what is committed is on disk, nobody else writes, and damage is set aside."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlite_utils

from sync.edge.database import Database, Schema
from sync.errors import (
    StorageBrokenError,
    StorageCorruptError,
    StorageFullError,
    StorageInUseError,
    StorageSettingError,
)


def notes(schema: Schema) -> None:
    schema.execute("CREATE TABLE notes (text TEXT NOT NULL) STRICT")


def colours(schema: Schema) -> None:
    schema.execute("ALTER TABLE notes ADD COLUMN colour TEXT")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with Database(path) as opened:
        opened.migrate("notes", [notes])
        yield opened


def texts(database: Database) -> list[str]:
    return [row["text"] for row in database.read("SELECT text FROM notes ORDER BY rowid")]


def write_and_fail(database: Database, text: str, *, inner: str = "") -> None:
    """Write a note, another one in a block inside if asked for, and then fail."""
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        if inner:
            write(database, inner)
        raise ZeroDivisionError


def write(database: Database, text: str) -> None:
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def test_every_setting_that_durability_rests_on_is_in_force_after_every_open(path: Path) -> None:
    """Write-ahead log, a flush at each commit, one connection, overwritten deletes: read back, twice."""
    for _ in range(2):
        with Database(path) as database:
            found = {
                name: database.read(f"PRAGMA {name}")[0][0]
                for name in (
                    "journal_mode",
                    "synchronous",
                    "locking_mode",
                    "secure_delete",
                    "foreign_keys",
                    "auto_vacuum",
                )
            }
        assert found == {
            "journal_mode": "wal",
            "synchronous": 2,
            "locking_mode": "exclusive",
            "secure_delete": 1,
            "foreign_keys": 1,
            "auto_vacuum": 2,
        }


def test_nobody_but_the_owner_may_read_the_file(database: Database) -> None:
    """Mode 0600 for the database, its log and its lock, whatever the umask."""
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES ('a')")
    for file in database.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


def test_two_agents_on_one_folder_are_refused_with_the_other_ones_number(database: Database) -> None:
    """The second is told who holds the file; the first goes on working."""
    with pytest.raises(StorageInUseError, match=str(os.getpid())):
        Database(database.path)
    code = "import sys; from pathlib import Path; from sync.edge.database import Database; Database(Path(sys.argv[1]))"
    second = subprocess.run(
        [sys.executable, "-c", code, database.path], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"held by process {os.getpid()}" in second.stderr
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES ('still here')")
    assert texts(database) == ["still here"]


def test_a_stray_program_can_not_open_the_file_beside_us(database: Database) -> None:
    """Somebody with the sqlite3 tool does not become the second writer that corrupts the log."""
    other = sqlite3.connect(database.path, timeout=0.05)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM notes")
    other.close()


def test_the_lock_ends_with_its_holder(path: Path) -> None:
    """After an orderly close, and after a kill, the next start finds the file free."""
    Database(path).close()
    code = (
        "import sys, os, signal; from pathlib import Path; from sync.edge.database import Database;"
        " d = Database(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False, timeout=60)
    Database(path).close()


def test_a_block_that_fails_leaves_nothing_behind(database: Database) -> None:
    """All of a transaction or none of it."""
    with pytest.raises(ZeroDivisionError):
        write_and_fail(database, "lost")
    assert texts(database) == []


def test_an_inner_block_joins_the_outer_one(database: Database) -> None:
    """Packet, draft and audit row are one commit: when the outer block fails, the inner ones are gone too."""
    with pytest.raises(ZeroDivisionError):
        write_and_fail(database, "outer", inner="inner")
    assert texts(database) == []


def test_only_the_inner_block_is_undone_when_its_failure_is_caught(database: Database) -> None:
    """The outer block may go on without it."""
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES ('outer')")
        with pytest.raises(ZeroDivisionError):
            write_and_fail(database, "inner")
    assert texts(database) == ["outer"]


def test_threads_take_turns(database: Database) -> None:
    """A read-then-write of eight threads at once loses no step."""
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES ('0')")

    def count_up() -> None:
        for _ in range(25):
            with database.transaction() as tx:
                value = int(tx.execute("SELECT text FROM notes").fetchone()["text"])
                tx.execute("UPDATE notes SET text = ?", (str(value + 1),))

    threads = [threading.Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts(database) == ["200"]


def test_each_migration_step_runs_once_in_the_files_life(path: Path) -> None:
    """A later start with one step more runs that one only."""
    with Database(path) as database:
        database.migrate("notes", [notes])
        with database.transaction() as tx:
            tx.execute("INSERT INTO notes (text) VALUES ('old')")
    with Database(path) as database:
        database.migrate("notes", [notes, colours])
        database.migrate("notes", [notes, colours])
        assert [tuple(row) for row in database.read("SELECT text, colour FROM notes")] == [("old", None)]


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    """Steps and their records are one transaction."""

    def broken(schema: Schema) -> None:
        schema.execute("CREATE TABLE half (x)")
        raise ZeroDivisionError

    with Database(path) as database:
        with pytest.raises(ZeroDivisionError):
            database.migrate("notes", [notes, broken])
        assert database.read("SELECT name FROM sqlite_master WHERE name IN ('notes', 'half')") == []
        database.migrate("notes", [notes])


@pytest.mark.parametrize("damage", ["header", "page"])
def test_a_damaged_file_is_set_aside_whole_and_people_are_told(path: Path, damage: str) -> None:
    """Nothing is repaired or deleted; the new file is empty and says where the old one went."""
    with Database(path) as database:
        database.migrate("notes", [notes])
        with database.transaction() as tx:
            tx.executemany("INSERT INTO notes (text) VALUES (?)", [("x" * 3000,) for _ in range(200)])
        database.give_back_space(0)
    content = bytearray(path.read_bytes())
    at = 0 if damage == "header" else 4096 * 20
    content[at : at + 300] = b"\xa5" * 300
    path.write_bytes(content)
    with Database(path, now=lambda: datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)) as database:
        aside = path.with_name("agent.db.corrupt-20261120T030405Z")
        assert (database.set_aside, bool(database.set_aside_because)) == (aside, True)
        assert aside.read_bytes() == content
        assert database.read("SELECT name FROM sqlite_master") == []


def test_damage_twice_in_a_second_overwrites_nothing(path: Path) -> None:
    """Two files set aside at the same moment both stay."""
    for content in (b"first" * 400, b"second" * 400):
        path.write_bytes(content)
        Database(path, now=lambda: datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)).close()
    kept = sorted(each.read_bytes()[:6] for each in path.parent.glob("*.corrupt-*"))
    assert kept == [b"firstf", b"second"]


def test_a_file_of_another_program_is_left_alone(path: Path) -> None:
    """A wrong path in the settings does not turn somebody's database into ours."""
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageSettingError, match="another program"):
        Database(path)
    assert path.read_bytes() == before


def test_a_full_disk_refuses_the_write_and_keeps_what_was_there(database: Database) -> None:
    """The failed transaction leaves nothing, earlier ones stay, and the file can be used on."""
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES ('before')")
    pages = database.read("PRAGMA page_count")[0][0]
    database.read(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageFullError), database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES (?)", ("x" * 100_000,))
    assert texts(database) == ["before"]
    database.read("PRAGMA max_page_count = 1000000")
    with database.transaction() as tx:
        tx.execute("INSERT INTO notes (text) VALUES ('after')")
    assert texts(database) == ["before", "after"]


def test_after_damage_is_met_nothing_more_is_written(database: Database) -> None:
    """Corruption found while running closes the file for use: the next start sets it aside."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with pytest.raises(StorageCorruptError), database.transaction():
        raise error
    with pytest.raises(Exception, match="close and open it again"):
        database.read("SELECT 1")


def test_space_goes_back_to_the_disk_by_as_many_pages_as_were_asked_for(database: Database) -> None:
    """A purge that frees a thousand pages returns them in steps, not one by one."""
    with database.transaction() as tx:
        tx.executemany("INSERT INTO notes (text) VALUES (?)", [("x" * 4000,) for _ in range(300)])
    with database.transaction() as tx:
        tx.execute("DELETE FROM notes")
    free = database.read("PRAGMA freelist_count")[0][0]
    database.give_back_space(100)
    assert database.read("PRAGMA freelist_count")[0][0] == free - 100
    before = database.size_bytes()
    database.give_back_space(1000)
    assert database.size_bytes() < before / 4


def test_another_engine_than_the_one_this_file_names_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sqlite-utils takes pysqlite3 where it finds one; an old engine, or one built for one thread, is no better."""
    changes: list[tuple[object, str, object, str]] = [
        (sqlite_utils.db, "sqlite3", sqlite_utils, "sqlite_utils"),
        (sqlite3, "sqlite_version_info", (3, 36, 0), "older"),
        (sqlite3, "threadsafety", 1, "one thread"),
    ]
    for where, name, other, said in changes:
        with monkeypatch.context() as patched:
            patched.setattr(where, name, other)
            with pytest.raises(StorageSettingError, match=said):
                Database(path)
    assert not path.exists()


def break_it(database: Database) -> None:
    """What a failed flush does."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(StorageBrokenError), database.transaction():
        raise error


def test_after_a_failed_flush_the_file_is_closed_read_from_the_disk_again_and_goes_on(database: Database) -> None:
    """Nothing is written in between; what was committed is there, and every setting is in force again."""
    write(database, "before")
    break_it(database)
    with pytest.raises(StorageBrokenError):
        write(database, "in between")
    assert database.trouble
    database.reopen()
    assert not database.trouble
    write(database, "after")
    assert texts(database) == ["before", "after"]
    assert database.set_aside is None
    assert [database.read(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")] == ["wal", 2]
    with pytest.raises(StorageInUseError):
        Database(database.path)


def test_a_disk_that_keeps_failing_is_given_up(path: Path) -> None:
    """Three times within an hour; after an hour without trouble it counts anew."""
    now = [0.0]
    with Database(path, monotonic=lambda: now[0]) as database:
        for _ in range(3):
            break_it(database)
            database.reopen()
        break_it(database)
        with pytest.raises(StorageBrokenError, match="4 times"):
            database.reopen()
        with pytest.raises(StorageBrokenError):
            database.read("SELECT 1")
        now[0] = 3601.0
        database.reopen()
        assert database.read("SELECT 1")


def test_damage_met_while_running_is_set_aside_whole_and_a_new_file_begins(path: Path) -> None:
    """As at a start: nothing deleted, the tables of everybody are there again, and what a new file needs is in it."""
    begun: list[int] = []
    with Database(path, now=lambda: datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)) as database:
        database.migrate("notes", [notes])
        database.prepare(lambda: begun.append(1))
        with database.transaction() as tx:
            tx.executemany("INSERT INTO notes (text) VALUES (?)", [("x" * 3000,) for _ in range(2000)])
        database.give_back_space(0)
        with path.open("r+b") as file:
            file.seek(4096 * 700)
            file.write(b"\xa5" * 4096 * 50)
        with pytest.raises(StorageCorruptError):
            texts(database)
        with pytest.raises(StorageBrokenError):
            write(database, "in between")
        database.reopen()
        assert database.set_aside == path.with_name("agent.db.corrupt-20261120T030405Z")
        assert database.set_aside.stat().st_size > 4096 * 700
        assert (texts(database), begun) == ([], [1, 1])
        write(database, "after")
        assert database.damaged_files() == (database.set_aside,)


def test_a_long_file_is_checked_at_every_start_but_for_the_sealed_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those have digests of their own; whoever opens a file again after trouble checks all of it."""
    with Database(path) as database:
        database.migrate("notes", [notes])
        with database.transaction() as tx:
            tx.execute("CREATE TABLE outbox_envelopes (id INTEGER PRIMARY KEY, bytes BLOB)")
            for number in range(600):
                tx.execute("INSERT INTO notes (text) VALUES (?)", ("n" * 1000,))
                tx.execute("INSERT INTO outbox_envelopes VALUES (?, zeroblob(3000))", (number,))
        database.give_back_space(0)
        roots = {row["name"]: row["rootpage"] for row in database.read("SELECT name, rootpage FROM sqlite_master")}
    monkeypatch.setattr("sync.edge.database.WHOLE_CHECK_BYTES", 0)
    whole = path.read_bytes()

    def with_a_broken_root(table: str) -> Database:
        for left in path.parent.glob("agent.db*"):
            left.unlink()
        at = 4096 * (roots[table] - 1)
        path.write_bytes(whole[:at] + b"\xa5" * 16 + whole[at + 16 :])
        return Database(path)

    with with_a_broken_root("notes") as database:
        assert database.set_aside is not None
    with with_a_broken_root("outbox_envelopes") as database:
        assert database.set_aside is None
        database.reopen()
        assert database.set_aside is not None
