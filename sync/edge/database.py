"""The agent's one SQLite file: one process, one connection, every commit flushed before it returns.

Durability rests on settings, so each is set and read back on every open. SQLite 3.7.0 to 3.51.2 can corrupt a
write-ahead log when two connections write or checkpoint at the same moment; here there is one connection, owned
by this class, and both an operating-system lock and SQLite's own exclusive mode keep everybody else out.

A file that is damaged is set aside, never repaired or recreated in place: it may still hold packets nobody else
has. The queue that starts behind it draws new epochs, so that head office sees the break. After a failed read, write
or flush nothing more is done with the file until it was closed, read from the disk again and checked (:meth:`reopen`).
"""

import errno
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlite_utils

from sync.edge.files import flush_folder
from sync.edge.reserve import Reserve
from sync.errors import (
    StorageBrokenError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageInUseError,
    StorageReadOnlyError,
    StorageSettingError,
)

Schema = sqlite_utils.Database
"""What a migration step is given."""
Row = sqlite3.Row
Parameters = Sequence[object] | Mapping[str, object]
Made = TypeVar("Made")

OLDEST_ENGINE = (3, 37, 0)
"""STRICT tables."""
APPLICATION_ID = 0x4D504F53
"""Marks the file as ours ("MPOS"), for file(1) and for us."""
SERIALIZED = 3
"""DB-API: threads may share a connection; ours take turns, and the engine holds it too."""
BUSY_TIMEOUT_MS = 5_000
"""Only a stray program that holds the file for a moment is waited for: we have no second connection."""
FULL, INCREMENTAL = 2, 2
WHOLE_CHECK_BYTES = 512 * 1024 * 1024
"""A file up to here is checked whole at every open: 0.4 s from the page cache, some five from a hard disk."""
BULKY = frozenset({"outbox_envelopes"})
"""In a larger file this table is left out of that check, or the start would take minutes: what it holds is checked
against digests that stand elsewhere, when the queue starts and before anything is acknowledged."""
REOPENED_AT_MOST, WITHIN_S = 3, 3600.0
"""A disk that fails more often than that is not to be trusted with one more claim."""
SET_ASIDE = ".corrupt-"
"""In the name of a damaged file, before the moment it was set aside."""
ROOM_TO_START = 128 * 1024
"""Bytes: the index of the log (32 KiB), a first page of log and database, and what the file system itself takes."""


class Transaction:
    """What a ``with database.transaction()`` block may do. Good only inside its block."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement; rows come as :data:`Row`."""
        return self._connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Sequence[Parameters]) -> sqlite3.Cursor:
        """Run one statement once for each set of parameters."""
        return self._connection.executemany(sql, parameters)


class Database:
    """The open file. Every thread may use it; they take turns. Close it, or use ``with``.

    Raises
    ------
    StorageInUseError
        Another process has it open.
    StorageSettingError
        The engine is too old, does not take a setting, or the file belongs to another program.
    StorageFullError, StorageReadOnlyError, StorageBrokenError
        The disk is full, takes no writing, or failed.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reserve: Reserve | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``reserve`` is let go when the disk is full, so that :meth:`drain` still gets through."""
        self.path = path
        self.reserve = reserve
        self.engine_version = sqlite3.sqlite_version
        self.set_aside: Path | None = None
        """Where a damaged file was moved to at this start; people must be told."""
        self.set_aside_because = ""
        self._turn = threading.RLock()
        self._block = _Block(self)
        self._depth = 0
        self._broken = ""
        self._now, self._monotonic = now, monotonic
        self._reopened: list[float] = []
        self._migrations: dict[str, Sequence[Callable[[Schema], None]]] = {}
        self._prepared: list[Callable[[], None]] = []
        self._refuse_a_wrong_engine()
        self._lock_file = self._take_lock()
        try:
            self._connection = self._open_in_any_room()
        except BaseException:
            os.close(self._lock_file)
            raise
        if reserve is not None:
            reserve.make()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        with self._turn:
            if self._lock_file < 0:
                return
            self._connection.close()
            os.close(self._lock_file)
            self._lock_file = -1

    def transaction(self) -> "_Block":
        """One transaction: all of the block is on disk when it ends, or none of it ever was.

        A block inside a block of the same thread joins it; if only the inner one fails, only its own writes
        are undone. Keep blocks short: every other thread waits.
        """
        return self._block

    def drain(self, work: Callable[[Transaction], Made]) -> Made:
        """One transaction for what shortens the queue, or belongs to a round with head office: it gets through.

        On a full disk the reserve is let go and ``work`` runs once more, from the beginning; so it does nothing
        outside the database. Inside a transaction it joins that one, which then has to be a draining one itself.
        """
        with self._turn:
            try:
                with self.transaction() as tx:
                    return work(tx)
            except StorageFullError:
                if self._depth or not self._let_reserve_go():
                    raise
            with self.transaction() as tx:
                return work(tx)

    def read(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """The rows of one SELECT; inside a transaction of the same thread it sees what that wrote."""
        with self._turn, self._translated("read"):
            self._refuse_when_unusable()
            return self._connection.execute(sql, parameters).fetchall()

    def migrate(self, name: str, steps: Sequence[Callable[[Schema], None]]) -> None:
        """Bring the tables called ``name`` up to date: each step of the list runs once in the file's life.

        Steps are known by their function's name, run in order, each together with the record that it ran.
        """
        migrations = sqlite_utils.Migrations(name)
        for step in steps:
            migrations()(step)
        self.drain(lambda _: migrations.apply(sqlite_utils.Database(self._connection)))
        self._migrations[name] = steps

    def prepare(self, begin: Callable[[], None]) -> None:
        """Run ``begin`` now, and whenever the file was opened again: it fills what a new file has to hold."""
        begin()
        self._prepared.append(begin)

    def reopen(self) -> None:
        """After a failure: close, forget what the kernel remembers, open, check; go on, or set aside and begin anew.

        Whoever waited for its turn goes on with the file as it is then; :attr:`set_aside` says whether it is another.

        Raises
        ------
        StorageBrokenError
            The disk failed again, or more than REOPENED_AT_MOST times WITHIN_S seconds: nothing is written any more.
        StorageError
            What else keeps it from opening.
        """
        with self._turn:
            assert not self._depth, "not inside a transaction"
            if self._lock_file < 0:
                raise StorageError(self.path, "reopen", "closed")
            since = self._monotonic() - WITHIN_S
            self._reopened = [at for at in self._reopened if at > since]
            if len(self._reopened) >= REOPENED_AT_MOST:
                raise StorageBrokenError(self.path, "reopen", f"failed {REOPENED_AT_MOST + 1} times in an hour")
            self._reopened.append(self._monotonic())
            self._broken = self._broken or "closed to be opened again"
            self._forget_cached()
            with suppress(sqlite3.Error):  # what is wrong with it is why we are here
                self._connection.close()
            self._forget_cached()
            self._connection = self._open_in_any_room()
            for name, steps in self._migrations.items():
                self.migrate(name, steps)
            for begin in self._prepared:
                begin()

    @property
    def trouble(self) -> str:
        """Why the file is not used until :meth:`reopen`; empty while all is well."""
        with self._turn:
            return self._broken

    def give_back_space(self, pages: int) -> None:
        """Return up to ``pages`` free pages to the file system; call it after a purge, outside a transaction."""
        with self._turn:
            assert not self._depth, "not inside a transaction"
            try:
                self._vacuum(pages)
            except StorageFullError:
                if not self._let_reserve_go():
                    raise
                self._vacuum(pages)

    def size_bytes(self) -> int:
        """Of the file and its log, on the disk."""
        sizes = []
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                sizes.append(self.path.with_name(self.path.name + suffix).stat().st_size)
        return sum(sizes)

    def damaged_files(self) -> tuple[Path, ...]:
        """Files set aside beside this one, at whatever start, oldest first; gone when somebody has moved them."""
        found = self.path.parent.glob(f"{self.path.name}{SET_ASIDE}*")
        return tuple(sorted(file for file in found if not file.name.endswith(("-wal", "-shm"))))

    def _vacuum(self, pages: int) -> None:
        with self._translated("vacuum"):
            self._refuse_when_unusable()
            # Not execute(): the statement gives a row of no columns for each page, at the first of which Python's
            # cursor takes it for finished, and one page is all that is given back.
            self._connection.executescript(f"PRAGMA incremental_vacuum({int(pages)})")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _let_reserve_go(self) -> bool:
        if self.reserve is None or not self.reserve.let_go():
            return False
        # The log is at its longest now; written into the database it begins anew, and all of the room is there.
        with suppress(StorageFullError), self._translated("checkpoint"):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return True

    def _refuse_a_wrong_engine(self) -> None:
        """What durability rests on is the engine this file names, not whichever was found first."""
        if sqlite3.sqlite_version_info < OLDEST_ENGINE:
            raise StorageSettingError(self.path, "open", f"SQLite {self.engine_version} is older than 3.37")
        used = vars(sqlite_utils.db)["sqlite3"]
        if used is not sqlite3:
            # sqlite-utils takes pysqlite3 in its place, without a word, where that is installed.
            raise StorageSettingError(self.path, "open", f"sqlite-utils uses {used.__name__}")
        if sqlite3.threadsafety != SERIALIZED:
            raise StorageSettingError(self.path, "open", "SQLite was built for one thread")

    def _forget_cached(self) -> None:
        """Have the kernel read the files from the disk again.

        After a failed flush it may hold pages as written that never were; a check of those would find nothing.
        """
        for suffix in ("", "-wal"):
            with suppress(OSError):
                handle = os.open(self.path.with_name(self.path.name + suffix), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(handle)

    def _open_in_any_room(self) -> sqlite3.Connection:
        """The log alone needs room: on a full disk the reserve is for this, too."""
        try:
            return self._open_or_set_aside()
        except StorageFullError:
            if self.reserve is None or not self.reserve.let_go():
                raise
        return self._open_or_set_aside()

    def _take_lock(self) -> int:
        lock_path = self.path.with_name(self.path.name + ".lock")
        try:
            lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise by_errno(error, lock_path, "open") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise StorageInUseError(self.path, "open", f"held by process {holder or 'unknown'}") from error
        except OSError as error:
            os.close(lock)
            raise by_errno(error, lock_path, "lock") from error
        return lock

    def _open_or_set_aside(self) -> sqlite3.Connection:
        try:
            return self._open()
        except StorageCorruptError as error:
            self.set_aside_because = error.detail
        # To the second is fine enough: each start sets aside at most one, and a name in use is not taken again.
        stamp = f"{self._now():%Y%m%dT%H%M%SZ}"
        attempt = 0
        while (
            target := self.path.with_name(f"{self.path.name}{SET_ASIDE}{stamp}{f'-{attempt}' * bool(attempt)}")
        ).exists():
            attempt += 1
        for suffix in ("-wal", "-shm", ""):
            # The log goes with its database, and before it: it may hold packets the main file does not have yet,
            # and left alone after a crash in between it would be replayed into the file that starts anew.
            part = self.path.with_name(self.path.name + suffix)
            try:
                if part.exists():
                    part.rename(target.with_name(target.name + suffix))
                    flush_folder(self.path.parent)
            except OSError as error:
                raise by_errno(error, part, "set aside") from error
        self.set_aside = target
        return self._open()

    def _open(self) -> sqlite3.Connection:
        with self._translated("open"):
            try:
                # Created by us, so that nobody else can ever read it; SQLite gives its log the same mode.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                flush_folder(self.path.parent)
            except OSError as error:
                raise by_errno(error, self.path, "open") from error
            connection = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000
            )
            try:
                connection.row_factory = sqlite3.Row
                self._set_up(connection)
            except BaseException:
                # Its own failure must not hide the first.
                with suppress(sqlite3.Error):
                    connection.close()
                raise
            self._broken = ""  # whatever an attempt before this one met
            return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        def pragma(name: str) -> Any:
            found = connection.execute(f"PRAGMA {name}").fetchone()
            return None if found is None else found[0]

        def settle(name: str, value: int | str, expected: int | str) -> None:
            connection.execute(f"PRAGMA {name} = {value}").fetchall()
            if (found := pragma(name)) != expected:
                raise StorageSettingError(self.path, f"set {name}", f"wanted {expected}, have {found}")

        owner = pragma("application_id")
        if owner not in (0, APPLICATION_ID) or (owner == 0 and pragma("schema_version") != 0):
            raise StorageSettingError(self.path, "open", "the file belongs to another program")
        if owner == 0:
            settle("auto_vacuum", INCREMENTAL, INCREMENTAL)  # before the first table, or never
        settle("locking_mode", "EXCLUSIVE", "exclusive")
        settle("journal_mode", "WAL", "wal")
        settle("synchronous", "FULL", FULL)
        settle("secure_delete", "ON", 1)
        settle("foreign_keys", "ON", 1)
        settle("temp_store", "MEMORY", 2)
        if owner == 0:
            settle("application_id", APPLICATION_ID, APPLICATION_ID)
        # What failed before is looked at in full, however long it takes.
        whole = bool(self._reopened) or pragma("page_count") * pragma("page_size") <= WHOLE_CHECK_BYTES
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for checked in ["5"] if whole else [f"'{name}'" for name in tables if name not in BULKY]:
            problems = [row[0] for row in connection.execute(f"PRAGMA integrity_check({checked})")]
            if problems != ["ok"]:
                raise StorageCorruptError(self.path, "integrity check", f"{len(problems)} problems")

    def _refuse_when_unusable(self) -> None:
        if self._lock_file < 0:
            raise StorageError(self.path, "use", "closed")
        if self._broken:
            # After a failed flush the kernel may have dropped the pages and report success the next time.
            raise StorageBrokenError(self.path, "use", f"failed before ({self._broken}); close and open it again")

    def _begin(self) -> Transaction:
        self._turn.acquire()
        try:
            if self._broken or self._lock_file < 0:
                self._refuse_when_unusable()
            self._connection.execute(f"SAVEPOINT level_{self._depth}" if self._depth else "BEGIN IMMEDIATE")
        except BaseException as error:
            self._turn.release()
            self._raise_by_cause(error, "write")
            raise
        self._depth += 1
        return Transaction(self._connection)

    def _end(self, failed: BaseException | None) -> None:
        name = f"level_{self._depth - 1}" if self._depth > 1 else None
        try:
            if failed is None:
                try:
                    self._connection.execute(f"RELEASE {name}" if name else "COMMIT")
                except BaseException as error:
                    self._undo(name)
                    self._raise_by_cause(error, "write")
                    raise
            else:
                self._undo(name)
                self._raise_by_cause(failed, "write")
        finally:
            self._depth -= 1
            self._turn.release()

    def _undo(self, savepoint: str | None) -> None:
        if not self._connection.in_transaction:
            return  # SQLite has rolled back by itself, as it does on a full disk
        try:
            if savepoint is None:
                self._connection.execute("ROLLBACK")
            else:
                self._connection.execute(f"ROLLBACK TO {savepoint}")
                self._connection.execute(f"RELEASE {savepoint}")
        except sqlite3.DatabaseError as error:
            # What is in memory can no longer be trusted; the file can, after it was opened again.
            self._broken = str(error)

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            self._raise_by_cause(error, doing)
            raise

    def _raise_by_cause(self, error: BaseException, doing: str) -> None:
        """SQLite's disk and file errors by cause; what is left is our own mistake, or nothing of SQLite's."""
        if not isinstance(error, sqlite3.DatabaseError):
            return
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            raise StorageFullError(self.path, doing, str(error)) from error
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            self._broken = str(error)
            raise StorageCorruptError(self.path, doing, str(error)) from error
        if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            self._broken = str(error)
            beside = doing == "open" or code == sqlite3.SQLITE_IOERR_SHMSIZE
            if beside and _no_room(self.path.parent):
                # Making the files beside the database, and its index of the log longer, fails with "disk I/O error"
                # where writing into it says "full". Of the file itself a failed write must be believed to be just that.
                raise StorageFullError(self.path, doing, str(error)) from error
            raise StorageBrokenError(self.path, doing, str(error)) from error
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StorageInUseError(self.path, doing, str(error)) from error


class _Block:
    """A ``with database.transaction()`` block, one for all of them: what it stands for is kept by the database.

    A class of its own: a generator would cost what two statements do.
    """

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Transaction:
        return self._database._begin()  # noqa: SLF001 - the other half of one thing

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        self._database._end(error)  # noqa: SLF001


def by_errno(error: OSError, path: Path, doing: str) -> StorageError:
    """What the operating system said of a file, by cause."""
    kinds: Mapping[int | None, type[StorageError]] = {
        errno.ENOSPC: StorageFullError,
        errno.EDQUOT: StorageFullError,
        errno.EROFS: StorageReadOnlyError,
        errno.EACCES: StorageReadOnlyError,
        errno.EPERM: StorageReadOnlyError,
        errno.EIO: StorageBrokenError,
    }
    return kinds.get(error.errno, StorageError)(path, doing, error.strerror or "")


def _no_room(folder: Path) -> bool:
    try:
        facts = os.statvfs(folder)
    except OSError:
        return False  # the disk does not even tell: what it failed at before is the cause
    return facts.f_bavail * facts.f_frsize < ROOM_TO_START or (facts.f_files > 0 and facts.f_favail == 0)
