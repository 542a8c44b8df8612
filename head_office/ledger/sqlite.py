"""The ledger in one SQLite file: for one machine, up to a few hundred branches.

Durability rests on four things, all set and read back each time the file is opened: write-ahead log,
``synchronous=FULL`` (the log is flushed before COMMIT returns), no automatic checkpoints, foreign keys on.

SQLite before 3.51.3 can corrupt a database when two connections write or checkpoint at the same moment. The
admin commands and the opening worker are processes of their own, so every write and every checkpoint, in every
process, happens while holding one lock file; all other connections are opened read-only.

A flush takes longer than a batch. So batches that wait at the same moment share one: whoever gets the writer's
place first does the work of all that wait, each in a savepoint of its own, and flushes once.
"""

import contextlib
import copy
import fcntl
import os
import re
import sqlite3
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from head_office.errors import (
    LedgerBrokenError,
    LedgerBusyError,
    LedgerError,
    LedgerFullError,
    LedgerSettingsError,
)
from head_office.ledger.base import LOCK_DEVICE, Answers, Question, Row, T, Transaction, Value
from head_office.ledger.migrations.apply import VERSION_QUERY, newest, upgrade

WRITE_WAIT_S = (
    30.0  # A batch holds the lock for milliseconds, a large checkpoint for seconds; half a minute is a fault.
)
LOCK_POLL_S = 0.002  # flock has no time-out of its own; 2 ms is below one batch.
CHECKPOINT_AT_BYTES = 4 << 20  # SQLite's own default is 1,000 pages of 4 KiB.

# Read back as SQLite prints them: FULL is 2.
SETTINGS = (("journal_mode", "wal"), ("synchronous", "2"), ("wal_autocheckpoint", "0"), ("foreign_keys", "1"))


FOR_UPDATE = re.compile(r" FOR UPDATE(?: OF \w+)?(?: SKIP LOCKED)?$")
MOST_TOGETHER = 64  # Batches in one flush: a second of work at most, so that nobody waits long behind a crowd.


class SqliteTransaction:
    """The open transaction of the one writing connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        # BEGIN IMMEDIATE already excludes every other writer.
        return self._connection.execute(FOR_UPDATE.sub("", sql), values).fetchall()

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    def write(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._connection.executemany(sql, rows)

    def send(self) -> None:
        # Writes are done at once: there is no server to save questions to.
        pass

    def receipt_numbers(self, count: int) -> list[int]:
        last = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'packets'")
        first = last[0]["seq"] + 1 if last else 1
        return list(range(first, first + count))

    def lock_device(self, device_id: str) -> Row | None:
        rows = self.execute(LOCK_DEVICE, (device_id,))
        return rows[0] if rows else None


class SqliteLedger:
    """A ledger in one SQLite file. Any thread may call it; writes go one after the other."""

    many_writers: ClassVar[bool] = False

    def __init__(self, path: Path, *, write_wait_s: float = WRITE_WAIT_S) -> None:
        """Open, set and read back the settings, bring the schema up to date.

        Raises LedgerSettingsError when SQLite does not take a setting, LedgerError when the file cannot be opened.
        """
        self.path = path
        self._write_wait_s = write_wait_s
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._broken = False
        self._turns: deque[_Turn] = deque()
        self._lock_file = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        mode = _mode_for(path.parent)
        if os.fstat(self._lock_file).st_uid == os.getuid():
            os.fchmod(self._lock_file, mode)
        try:
            with self._alone(), _translated():
                new = not path.exists()
                self._writer = _connect(str(path))
                if new:
                    # SQLite gives its log and index files the mode of this one.
                    path.chmod(mode)
                try:
                    self._set_up()
                    self._migrate(path)
                    self._reader = _connect(f"{path.absolute().as_uri()}?mode=ro")
                    self._writer.row_factory = self._reader.row_factory = sqlite3.Row
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

    def _migrate(self, path: Path) -> None:
        known = self._writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        if not known or self._writer.execute(VERSION_QUERY).fetchone() != (newest(),):
            upgrade("sqlite", lambda: sqlite3.connect(path, isolation_level=None))

    def check(self) -> None:
        """Read the whole file for damage (about 1 s for 1.4 GB). Raises LedgerBrokenError naming the first fault."""
        with _translated():
            found = str(self._reader.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if found != "ok":
            raise LedgerBrokenError(f"{self.path}: {found}")

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._alone():
            self._refuse_if_broken()
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

    def together_after(self, questions: Sequence[Question], work: Callable[[Transaction, Answers], T]) -> T:
        # Nothing is far away here: they are asked when the turn comes.
        return self.together(lambda tx: work(tx, [tx.execute(*question) for question in questions]))

    def together(self, work: Callable[[Transaction], T]) -> T:
        turn = _Turn(work)
        self._turns.append(turn)
        try:
            with self._writers_place():
                # Whoever was here before may have done it along with its own; behind a crowd it takes several goes.
                while not turn.done:
                    with self._file_locked():
                        self._take_turns()
        except BaseException:
            with contextlib.suppress(ValueError):
                self._turns.remove(turn)
            raise
        if turn.error is not None:
            raise turn.error
        result: T = turn.result
        return result

    def _take_turns(self) -> None:
        turns = [self._turns.popleft() for _ in range(min(len(self._turns), MOST_TOGETHER))]
        try:
            self._refuse_if_broken()
            with _translated():
                self._writer.execute("BEGIN IMMEDIATE")
                transaction = SqliteTransaction(self._writer)
                for turn in turns:
                    self._take(turn, transaction)
                self._commit()
                self._checkpoint_if_long()
        except BaseException as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            self._broken = self._broken or isinstance(error, LedgerBrokenError)
            for turn in turns:
                ours = isinstance(error, LedgerError)
                turn.error = copy.copy(error) if ours else LedgerBusyError(f"{self.path}: the writer was interrupted")
            if not isinstance(error, LedgerError):
                raise
        finally:
            for turn in turns:
                turn.done = True

    def _take(self, turn: "_Turn", transaction: SqliteTransaction) -> None:
        self._writer.execute("SAVEPOINT turn")
        try:
            turn.result = turn.work(transaction)
        except sqlite3.IntegrityError as error:
            # This work's own: a row that is there already. What it did is undone, its neighbours' stays.
            self._writer.execute("ROLLBACK TO turn")
            turn.error = LedgerBusyError(f"{self.path}: {error}")
        except (sqlite3.Error, LedgerError):
            raise  # The file's fault: nobody's work of this round stays.
        except Exception as error:  # noqa: BLE001 - raised again in the thread whose work it was
            self._writer.execute("ROLLBACK TO turn")
            turn.error = error
        self._writer.execute("RELEASE turn")

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise LedgerBrokenError(f"{self.path}: a flush failed earlier")

    def _commit(self) -> None:
        self._writer.execute("COMMIT")

    def read(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        with self._reading, _translated():
            return self._reader.execute(sql, values).fetchall()

    def read_all(self, questions: Sequence[Question]) -> Answers:
        with self._reading, _translated():
            return [self._reader.execute(*question).fetchall() for question in questions]

    def close(self) -> None:
        """Move the log into the file and let go of both; safe to call once only."""
        with self._reading:
            self._reader.close()
        with self._alone():
            if not self._broken:
                # What does not fit into the file, on a full disk, stays in the log, and the next open finds it there.
                with contextlib.suppress(sqlite3.OperationalError):
                    self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()
        os.close(self._lock_file)

    def _checkpoint_if_long(self) -> None:
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists() and log.stat().st_size >= CHECKPOINT_AT_BYTES:
            try:
                # PASSIVE never waits for readers; what it leaves is moved the next time.
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.OperationalError as error:
                # The commit before it stands, in the log: whoever brought it gets its receipt.
                if (error.sqlite_errorcode or 0) & 0xFF != sqlite3.SQLITE_FULL:
                    raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only thread of the only process that writes."""
        with self._writers_place(), self._file_locked():
            yield

    @contextmanager
    def _writers_place(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=self._write_wait_s):
            raise LedgerBusyError(f"{self.path}: not free within {self._write_wait_s:g} s")
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _file_locked(self) -> Iterator[None]:
        deadline = time.monotonic() + self._write_wait_s
        while not self._take_file_lock():
            if time.monotonic() > deadline:
                raise LedgerBusyError(f"{self.path}: another process holds it for {self._write_wait_s:g} s")
            time.sleep(LOCK_POLL_S)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _take_file_lock(self) -> bool:
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _mode_for(folder: Path) -> int:
    """For the owner alone; or for a group as well, where a folder says so by its set-group-id bit.

    So that opening can be a service of its own user: both are of one group, and of nothing else in common.
    """
    shared = stat.S_ISGID | stat.S_IWGRP
    return 0o660 if folder.stat().st_mode & shared == shared else 0o600


def _connect(name: str) -> sqlite3.Connection:
    # Several threads use it, one at a time: the locks above see to that.
    return sqlite3.connect(name, uri=name.startswith("file:"), isolation_level=None, check_same_thread=False)


class _Turn:
    """Work that waits for the writer, and what came of it."""

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False


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
