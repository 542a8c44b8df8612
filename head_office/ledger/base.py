"""What custody, registry and desk ask of a storage engine: one interface, two engines.

Statements are written once, for both. They use ``?`` for values and SQLite's and PostgreSQL's common SQL; the
engine puts in its own places, and drops ``FOR UPDATE`` where one writer excludes every other anyway.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, TypeVar

Value = str | int | float | bytes | None
T = TypeVar("T")


Question = tuple[str, Sequence[Value]]
"""A statement with a result, and its values."""

LOCK_DEVICE = "SELECT * FROM devices WHERE device_id = ? FOR UPDATE"


class Row(Protocol):
    """One row of a result: by column name, by position, or as a sequence of its values."""

    def __getitem__(self, column: str | int, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...

    def keys(self) -> Sequence[str]: ...


Answers = Sequence[list[Row]]


class Transaction(Protocol):
    """Statements that become durable together, or not at all."""

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one statement with ``?`` places and return its rows."""

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row of values; no result."""

    def write(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Like :meth:`execute_many`, at the latest before the next statement with a result, or before COMMIT.

        So that what a batch writes at its end is one question to a server and not five. What is wrong with it is
        raised then.
        """

    def send(self) -> None:
        """Have done now what :meth:`write` was given."""

    def receipt_numbers(self, count: int) -> list[int]:
        """New receipt numbers, growing; those of a transaction that is rolled back may stay unused."""

    def lock_device(self, device_id: str) -> Row | None:
        """The device's row, held against every other writer until the transaction ends."""


class Ledger(Protocol):
    """A place where what is committed stays. Any thread may call it."""

    many_writers: ClassVar[bool]
    """Whether transactions run side by side. Where they do not, nobody should compute while holding one."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commit, flushed to disk, when the block is left in order; roll back when it raises.

        Raises LedgerUnknownError when the connection was lost during COMMIT: the outcome is for the next look.
        """

    def together(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` and return once it is durable, sharing the flush with others that wait at the same moment.

        What ``work`` raises undoes its own statements alone and is raised here. It may touch one device's rows and
        must not wait for another thread.
        """

    def together_after(self, questions: Sequence[Question], work: Callable[[Transaction, Answers], T]) -> T:
        """Like :meth:`together`, with the answers to the transaction's first questions, asked as it begins, in order.

        A server on another machine is asked them in one go; the first may take a lock.
        """

    def read(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        """Run one query on what is committed."""

    def read_all(self, questions: Sequence[Question]) -> Answers:
        """Run several queries on what is committed, in one go where there is a server to ask."""

    def check(self) -> None:
        """Look for damage and lost settings, as at each start. Raises LedgerError."""

    def close(self) -> None:
        """Let go of files and connections; once only."""
