"""The ledger in PostgreSQL: several ingest and opening processes, a standby beside the primary.

Every connection, whenever it is made, is asked what durability rests on: ``synchronous_commit`` as wanted, ``fsync``
and ``full_page_writes`` on, a primary and no standby. After a failover the next connection finds the new primary by
itself, if the address names all nodes, and is asked the same.

COMMIT has three ends. *Committed*; *not committed*, because the server said so; and *nobody knows*: the connection
was lost before the answer, or the server gave up waiting for its standby (it says so in a mere warning, and answers
as if all were well). The last is an error of its own: the device is told to come again, and the digests of its
packets tell then which of the two it was.
"""

import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from head_office.errors import (
    LedgerAwayError,
    LedgerBrokenError,
    LedgerBusyError,
    LedgerError,
    LedgerFullError,
    LedgerSettingsError,
    LedgerUnknownError,
)
from head_office.keys.home import read_private
from head_office.ledger.base import LOCK_DEVICE, Answers, Question, Row, T, Transaction, Value
from head_office.ledger.migrations.apply import VERSION_QUERY, newest, upgrade

log = logging.getLogger(__name__)

CONNECTIONS = 8  # A batch keeps one busy for milliseconds; more than the server has cores only wait there.
CONNECT_S = 5  # A node that does not answer a connection in that time is being failed over.
WAIT_FOR_CONNECTION_S = 30.0  # All busy for half a minute is a fault, not load.
STATEMENT_MS = 30_000  # Milliseconds are usual.
COMMIT_S = 30.0  # How long COMMIT may wait for a standby that is gone: the server's own time-outs leave it out.
LOCK_MS = 10_000  # A device's row is held for one batch; ten seconds is a writer that stands still.
IDLE_IN_TRANSACTION_MS = 60_000  # A process stopped in the middle must not hold its rows for ever.
LEAST_VERSION = 150_000
DURABLE = ("on", "remote_apply")
"""Values of synchronous_commit: flushed here, and by the synchronous standby where there is one."""
NOT_COMMITTED = ("23", "40")
"""Classes of SQLSTATE with which the server refuses a COMMIT: constraint, rollback. Any other leaves it open."""
LOST = (None, "57P01", "57P02", "57P03", "57P05", "25P03")
"""How a connection that lay idle answers when it is gone: not at all, or with the server's last words to it."""
MIGRATION_LOCK = 0x6D706F73  # Any number that is always the same: two processes may start at once.

# A dead server is noticed within 5 + 3 * 2 s on an idle line, 10 s on a busy one; the kernel's own would be hours.
LINE: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "target_session_attrs": "read-write",
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "mpos-head-office",
}
ASKED = (
    "SELECT current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,"
    " current_setting('full_page_writes') AS full_page_writes, current_setting('server_encoding') AS server_encoding,"
    " current_setting('server_version_num')::int AS version, pg_is_in_recovery()::text AS standby"
)
PLACES = re.compile(r"'(?:[^']|'')*'|\?|%")


@lru_cache(maxsize=512)
def with_places(sql: str) -> str:
    """The statement with psycopg's places for ours: ``?`` outside of quotes becomes ``%s``, ``%`` is doubled."""
    return PLACES.sub(lambda found: "%s" if found[0] == "?" else found[0].replace("%", "%%"), sql)


class PostgresRow:
    """A row by column name or position."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: dict[str, int], values: Sequence[Any]) -> None:
        self._names, self._values = names, values

    def __getitem__(self, column: str | int) -> Any:
        return self._values[self._names[column] if isinstance(column, str) else column]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[str]:
        return list(self._names)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], PostgresRow]:
    # By the result itself: a cursor's description costs more than the rest of a short question.
    result = cursor.pgresult
    names = {(result.fname(at) or b"").decode(): at for at in range(result.nfields)} if result else {}
    return lambda values: PostgresRow(names, values)


def _all_of(cursor: psycopg.Cursor[Any]) -> list[Row]:
    return cursor.fetchall() if cursor.pgresult and cursor.pgresult.nfields else []


def _ask(connection: psycopg.Connection[Any], questions: Sequence[Question], *, begin: bool = False) -> Answers:
    """Questions in one go, in order; after the first that fails none is asked, and its error is raised."""
    if begin and not questions:
        connection.execute("BEGIN")
        return []
    with connection.pipeline():
        if begin:
            connection.execute("BEGIN")
        cursors = [connection.execute(with_places(sql), values) for sql, values in questions]
        return [cursor.fetchall() for cursor in cursors]


class PostgresTransaction:
    """The open transaction of one connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._waiting: list[tuple[str, Sequence[Sequence[Value]]]] = []

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        self.send()
        return _all_of(self._connection.execute(with_places(sql), values))

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self.send()
        with self._connection.cursor() as cursor:
            cursor.executemany(with_places(sql), rows)

    def write(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        if rows:
            self._waiting.append((sql, rows))

    def send(self) -> None:
        # In its order and in one go.
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        with self._connection.pipeline(), self._connection.cursor() as cursor:
            for sql, rows in waiting:
                cursor.executemany(with_places(sql), rows)

    def receipt_numbers(self, count: int) -> list[int]:
        rows = self.execute("SELECT nextval('receipt_numbers') AS n FROM generate_series(1, ?)", (count,))
        return [row["n"] for row in rows]

    def lock_device(self, device_id: str) -> Row | None:
        rows = self.execute(LOCK_DEVICE, (device_id,))
        return rows[0] if rows else None


class PostgresLedger:
    """A ledger in one PostgreSQL database. Any thread may call it; each transaction has a connection of its own."""

    many_writers: ClassVar[bool] = True

    def __init__(
        self,
        address: str,
        *,
        password_file: Path | None = None,
        connections: int = CONNECTIONS,
        synchronous_commit: str = "on",
        statement_ms: int = STATEMENT_MS,
        lock_ms: int = LOCK_MS,
        commit_s: float = COMMIT_S,
    ) -> None:
        """Connect, check what durability rests on, bring the schema up to date.

        Parameters
        ----------
        address
            ``postgresql://user@node1,node2/database``: every node, so that a failover is followed. No password.
        password_file
            A file only its owner can read, holding the password alone.
        synchronous_commit
            ``on``, or ``remote_apply``: then readers on the standby see what was acknowledged.

        Raises LedgerSettingsError, LedgerAwayError or HomeError.
        """
        if synchronous_commit not in DURABLE:
            raise LedgerSettingsError("synchronous_commit", " or ".join(DURABLE), synchronous_commit)
        self._address, self._password_file = address, password_file
        self._session = {
            "synchronous_commit": synchronous_commit,
            "statement_timeout": f"{statement_ms}ms",
            "lock_timeout": f"{lock_ms}ms",
            "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_MS}ms",
        }
        self._synchronous_commit = synchronous_commit
        self._idle: queue.LifoQueue[psycopg.Connection[Any]] = queue.LifoQueue()
        self._places = threading.BoundedSemaphore(connections)
        self._commits = _Commits(commit_s)
        self._migrate()

    def __repr__(self) -> str:
        return f"<ledger in PostgreSQL {shown(self._address)}>"

    # Connections

    def _connect(self) -> psycopg.Connection[Any]:
        password = read_private(self._password_file).decode().strip() if self._password_file else None
        where = make_conninfo(self._address, **{**LINE, "password": password})
        try:
            connection = psycopg.connect(where, autocommit=True, row_factory=_rows)
        except psycopg.OperationalError as error:
            raise LedgerAwayError(f"{shown(self._address)}: {_first_line(error)}") from error
        try:
            with _translated(connection):
                self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: psycopg.Connection[Any]) -> None:
        for setting, value in self._session.items():
            connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
        (row,) = connection.execute(ASKED).fetchall()
        wanted = {
            "synchronous_commit": self._synchronous_commit,
            "fsync": "on",
            "full_page_writes": "on",
            "server_encoding": "UTF8",
            "standby": "false",
        }
        for setting, value in wanted.items():
            if row[setting] != value:
                raise LedgerSettingsError(setting, value, str(row[setting]))
        if row["version"] < LEAST_VERSION:
            raise LedgerSettingsError("server_version_num", f"{LEAST_VERSION} or newer", str(row["version"]))

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for one use. One that was lost is not used again, and neither are those made before it."""
        if not self._places.acquire(timeout=WAIT_FOR_CONNECTION_S):
            raise LedgerBusyError(f"no connection free within {WAIT_FOR_CONNECTION_S:g} s")
        try:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self._connect()
            try:
                yield connection
            finally:
                if connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
                    connection.close()
                    self._drop_idle()
                else:
                    self._idle.put(connection)
        finally:
            self._places.release()

    def _drop_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    # Ledger

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._transaction(()) as (transaction, _):
            yield transaction

    @contextmanager
    def _transaction(self, questions: Sequence[Question]) -> Iterator[tuple[Transaction, Answers]]:
        with self._begun(questions) as (connection, answers), _translated(connection):
            try:
                transaction = PostgresTransaction(connection)
                yield transaction, answers
                transaction.send()
                self._commit(connection)
            except BaseException:
                _roll_back(connection)
                raise

    @contextmanager
    def _begun(self, questions: Sequence[Question]) -> Iterator[tuple[psycopg.Connection[Any], Answers]]:
        """A connection with a transaction open, and the answers to its first questions.

        A connection that died while it lay idle is replaced by a new one.
        """
        with self._connection() as connection:
            answers = self._begin(connection, questions)
            if answers is not None:
                yield connection, answers
                return
        with self._connection() as connection:
            with _translated(connection):
                answers = _ask(connection, questions, begin=True)
            yield connection, answers

    def _begin(self, connection: psycopg.Connection[Any], questions: Sequence[Question]) -> Answers | None:
        try:
            with _translated(connection):
                try:
                    return _ask(connection, questions, begin=True)
                except psycopg.OperationalError as error:
                    if connection.closed or error.sqlstate in LOST:
                        connection.close()
                        return None
                    raise
        except LedgerError:
            # The server's own answer to a question: a row somebody holds for too long, a page it cannot read.
            _roll_back(connection)
            raise

    def _commit(self, connection: psycopg.Connection[Any]) -> None:
        warnings: list[str] = []

        def heard(diagnostic: psycopg.errors.Diagnostic) -> None:
            warnings.append(diagnostic.message_primary or "")

        connection.add_notice_handler(heard)
        try:
            with self._commits.under_way(connection):
                done = connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            if (error.sqlstate or "")[:2] in NOT_COMMITTED:
                raise
            raise LedgerUnknownError(f"no answer to COMMIT: {_first_line(error)}") from error
        finally:
            connection.remove_notice_handler(heard)
        if done != "COMMIT":
            raise LedgerBusyError(f"the server answered COMMIT with {done}")
        if warnings:
            # "canceling wait for synchronous replication": committed on the primary alone.
            raise LedgerUnknownError(f"COMMIT with a warning: {warnings[0]}")

    def together_after(self, questions: Sequence[Question], work: Callable[[Transaction, Answers], T]) -> T:
        with self._transaction(questions) as (transaction, answers):
            return work(transaction, answers)

    def together(self, work: Callable[[Transaction], T]) -> T:
        # Flushes are shared by the server: whoever commits while one is under way goes along with the next.
        with self.transaction() as transaction:
            return work(transaction)

    def read(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        return self._read(lambda connection: PostgresTransaction(connection).execute(sql, values))

    def read_all(self, questions: Sequence[Question]) -> Answers:
        return self._read(lambda connection: _ask(connection, questions))

    def _read(self, look: Callable[[psycopg.Connection[Any]], T]) -> T:
        for again in (True, False):
            with self._connection() as connection:
                try:
                    with _translated(connection):
                        return look(connection)
                except LedgerAwayError:
                    if not again:
                        raise
                    connection.close()
        raise AssertionError  # The second round returns or raises.

    def check(self) -> None:
        # Page damage is the server's to find (checksums, standby); what can be asked is asked on each connection.
        with self._connection() as connection, _translated(connection):
            self._set_up(connection)

    def close(self) -> None:
        self._commits.stop()
        self._drop_idle()

    def _migrate(self) -> None:
        with self._connection() as connection, _translated(connection):
            (known,) = connection.execute("SELECT to_regclass('alembic_version') AS t").fetchall()
            if known["t"] is not None and [tuple(row) for row in connection.execute(VERSION_QUERY)] == [(newest(),)]:
                return
            connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            try:
                upgrade("postgresql+psycopg", self._migrating)
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))

    def _migrating(self) -> psycopg.Connection[Any]:
        connection = self._connect()
        connection.autocommit = False
        connection.row_factory = psycopg.rows.tuple_row
        return connection


class _Commits:
    """Ends commits that wait too long, by asking the server to: it then answers with a warning."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since: dict[psycopg.Connection[Any], float] = {}
        self._stopping = threading.Event()
        self._watch: threading.Thread | None = None

    @contextmanager
    def under_way(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        if self._watch is None:
            self._watch = threading.Thread(target=self._end_old_ones, name="commits", daemon=True)
            self._watch.start()
        self._since[connection] = time.monotonic()
        try:
            yield
        finally:
            self._since.pop(connection, None)

    def stop(self) -> None:
        self._stopping.set()

    def _end_old_ones(self) -> None:
        while not self._stopping.wait(self._longest_s / 4):
            for connection, since in list(self._since.items()):
                if time.monotonic() - since > self._longest_s:
                    try:
                        connection.cancel_safe(timeout=CONNECT_S)
                    except psycopg.Error as error:
                        log.warning("a commit that hangs could not be ended: %s", _first_line(error))


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    if not connection.closed and connection.info.transaction_status is not TransactionStatus.IDLE:
        connection.execute("ROLLBACK")


def shown(address: str) -> str:
    """An address for messages and logs: without what stands before the ``@``."""
    return re.sub(r"//[^@/]*@", "//", address).partition("?")[0]


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


@contextmanager
def _translated(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """PostgreSQL's errors by cause."""
    try:
        yield
    except LedgerError:
        raise
    except (pg.LockNotAvailable, pg.QueryCanceled, pg.DeadlockDetected, pg.SerializationFailure) as error:
        raise LedgerBusyError(_first_line(error)) from error
    except (pg.UniqueViolation, pg.TooManyConnections) as error:
        # Two processes wrote the same thing at once: whoever comes again sees the other's row.
        raise LedgerBusyError(_first_line(error)) from error
    except (pg.DiskFull, pg.OutOfMemory) as error:
        raise LedgerFullError(_first_line(error)) from error
    except (pg.IoError, pg.DataCorrupted, pg.IndexCorrupted) as error:
        raise LedgerBrokenError(_first_line(error)) from error
    except pg.ReadOnlySqlTransaction as error:
        # It was the primary when this connection was made.
        connection.close()
        raise LedgerAwayError(_first_line(error)) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise LedgerAwayError(_first_line(error)) from error
