"""Where head office keeps what it was given: one interface, and SQLite as its first engine.

Durability rests on four things, all set and read back each time the file is opened: write-ahead log,
``synchronous=FULL`` (the log is flushed before COMMIT returns), no automatic checkpoints, foreign keys on.

SQLite before 3.51.3 can corrupt a database when two connections write or checkpoint at the same moment. The
admin commands and the opening worker are processes of their own, so every write and every checkpoint, in every
process, happens while holding one lock file; all other connections are opened read-only.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import sqlite_utils
from sqlite_utils.migrations import Migrations

from head_office.errors import (
    LedgerBrokenError,
    LedgerBusyError,
    LedgerFullError,
    LedgerSettingsError,
)
from head_office.migrations import STEPS

Value = str | int | float | bytes | None
Row = sqlite3.Row

WRITE_WAIT_S = (
    30.0  # A batch holds the lock for milliseconds, a large checkpoint for seconds; half a minute is a fault.
)
LOCK_POLL_S = 0.002  # flock has no time-out of its own; 2 ms is below one batch.
CHECKPOINT_AT_BYTES = 4 << 20  # SQLite's own default is 1,000 pages of 4 KiB.

# Read back as SQLite prints them: FULL is 2.
SETTINGS = (("journal_mode", "wal"), ("synchronous", "2"), ("wal_autocheckpoint", "0"), ("foreign_keys", "1"))


class Transaction(Protocol):
    """Statements that become durable together, or not at all."""

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement with ``?`` places and return its rows."""

    def lock_device(self, device_id: str) -> Row | None:
        """The device's row, held against every other writer until the transaction ends."""


class Ledger(Protocol):
    """What custody, registry and desk ask of a storage engine."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit, flushed to disk, when the block is left in order; roll back when it raises."""

    def read(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one query on what is committed."""


class SqliteTransaction:
    """The open transaction of the one writing connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._connection.execute(sql, values).fetchall()

    def lock_device(self, device_id: str) -> Row | None:
        # BEGIN IMMEDIATE already excludes every other writer.
        rows = self.execute("SELECT * FROM devices WHERE device_id = ?", (device_id,))
        return rows[0] if rows else None


class SqliteLedger:
    """A ledger in one SQLite file. Any thread may call it; writes go one after the other."""

    def __init__(self, path: Path, *, write_wait_s: float = WRITE_WAIT_S) -> None:
        """Open, set and read back the settings, bring the schema up to date.

        Raises LedgerSettingsError when SQLite does not take a setting, LedgerError when the file cannot be opened.
        """
        self.path = path
        self._write_wait_s = write_wait_s
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._broken = False
        self._lock_file = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self._alone(), _translated():
                new = not path.exists()
                self._writer = _connect(str(path))
                if new:
                    path.chmod(0o600)
                try:
                    self._set_up()
                    self._migrate()
                    self._reader = _connect(f"{path.absolute().as_uri()}?mode=ro")
                except BaseException:
                    self._writer.close()
                    raise
        except BaseException:
            os.close(self._lock_file)
            raise

    def _set_up(self) -> None:
        for pragma, wanted in SETTINGS:
            self._writer.execute(f"PRAGMA {pragma} = {wanted}")
            got = str(self._writer.execute(f"PRAGMA {pragma}").fetchone()[0])
            if got != wanted:
                raise LedgerSettingsError(pragma, wanted, got)

    def _migrate(self) -> None:
        migrations = Migrations("head_office")
        for name, sql in STEPS:
            migrations(name=name)(_step(sql))
        migrations.apply(sqlite_utils.Database(self._writer, execute_plugins=False))

    def check(self) -> None:
        """Read the whole file for damage (about 1 s for 1.4 GB). Raises LedgerBrokenError naming the first fault."""
        with _translated():
            found = str(self._reader.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if found != "ok":
            raise LedgerBrokenError(f"{self.path}: {found}")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._alone():
            if self._broken:
                raise LedgerBrokenError(f"{self.path}: a flush failed earlier")
            try:
                with _translated():
                    self._writer.execute("BEGIN IMMEDIATE")
                    yield SqliteTransaction(self._writer)
                    self._commit()
                    self._checkpoint_if_long()
            except BaseException as error:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._broken = self._broken or isinstance(error, LedgerBrokenError)
                raise

    def _commit(self) -> None:
        self._writer.execute("COMMIT")

    def read(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        with self._reading, _translated():
            return self._reader.execute(sql, values).fetchall()

    def close(self) -> None:
        """Move the log into the file and let go of both; safe to call once only."""
        with self._reading:
            self._reader.close()
        with self._alone():
            if not self._broken:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()
        os.close(self._lock_file)

    def _checkpoint_if_long(self) -> None:
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists() and log.stat().st_size >= CHECKPOINT_AT_BYTES:
            # PASSIVE never waits for readers; what it leaves is moved the next time.
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only thread of the only process that writes."""
        deadline = time.monotonic() + self._write_wait_s
        if not self._writing.acquire(timeout=self._write_wait_s):
            raise LedgerBusyError(f"{self.path}: not free within {self._write_wait_s:g} s")
        try:
            while not self._take_file_lock():
                if time.monotonic() > deadline:
                    raise LedgerBusyError(f"{self.path}: another process holds it for {self._write_wait_s:g} s")
                time.sleep(LOCK_POLL_S)
            try:
                yield
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)
        finally:
            self._writing.release()

    def _take_file_lock(self) -> bool:
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _connect(name: str) -> sqlite3.Connection:
    # Several threads use it, one at a time: the locks above see to that.
    connection = sqlite3.connect(name, uri=name.startswith("file:"), isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


class _MigrationStep(Protocol):
    __name__: str

    def __call__(self, db: sqlite_utils.Database, /) -> None: ...


def _step(sql: str) -> _MigrationStep:
    def run(db: sqlite_utils.Database, /) -> None:
        # Statement by statement: executescript() would commit the transaction the step runs in.
        for statement in filter(str.strip, sql.split(";")):
            db.conn.execute(statement)

    return run


@contextmanager
def _translated() -> Iterator[None]:
    """SQLite's errors by cause."""
    try:
        yield
    except sqlite3.OperationalError as error:
        kind = (error.sqlite_errorcode or 0) & 0xFF
        if kind == sqlite3.SQLITE_FULL:
            raise LedgerFullError(str(error)) from error
        if kind == sqlite3.SQLITE_BUSY:
            raise LedgerBusyError(str(error)) from error
        if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            raise LedgerBrokenError(str(error)) from error
        raise
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise LedgerBrokenError(str(error)) from error
        raise
