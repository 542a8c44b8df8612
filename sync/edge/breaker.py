"""The one breaker for head office: while it is open nothing is sent in any lane; kept over restarts."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sync.edge.backoff import delay_s, has_come, poll_s
from sync.edge.database import Database, Schema
from sync.records import from_milliseconds, milliseconds

HOPELESS = 30
"""A step on which the pause has reached its longest."""
LONGEST_POLL_S = 7 * 24 * 3600 * 1.1
"""What a receipt may ask for, and its jitter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """How contact with head office stands."""

    failures: int
    """In a row; 0 when the last round went well."""
    not_before: datetime
    last_error: str | None
    next_poll: datetime
    last_receipt_at: datetime | None
    """By this machine's clock."""


class Breaker:
    """Counts failures in a row and says when to try again. ``draw`` gives random numbers in [0, 1)."""

    def __init__(self, database: Database, draw: Callable[[], float]) -> None:
        self._database, self._draw = database, draw
        database.migrate("breaker", STEPS)

    def state(self) -> BreakerState:
        """As it stands now."""
        row = self._database.read("SELECT * FROM breaker")[0]
        last = row["last_receipt_ms"]
        return BreakerState(
            failures=row["failures"],
            not_before=from_milliseconds(row["not_before_ms"]),
            last_error=row["last_error"],
            next_poll=from_milliseconds(row["next_poll_ms"]),
            last_receipt_at=None if last is None else from_milliseconds(last),
        )

    def is_open(self, now: datetime) -> bool:
        """Whether it is too early to try."""
        return not has_come(self.state().not_before, now)

    def poll_is_due(self, now: datetime) -> bool:
        """Whether head office wants to hear of us even with nothing to send."""
        return has_come(self.state().next_poll, now, LONGEST_POLL_S)

    def failed(
        self, now: datetime, error: str, *, retry_after_s: float | None = None, by_decision: bool = False
    ) -> datetime:
        """Note a failed round; gives the time before which none is made.

        ``by_decision``: head office answered and said no. That does not pass by itself, so the pause is at once
        the longest; a lost network climbs step by step.
        """
        failures = self.state().failures + 1
        step = HOPELESS if by_decision else failures
        until = now + timedelta(seconds=delay_s(step, self._draw(), retry_after_s))
        self._database.drain(
            lambda tx: tx.execute(
                "UPDATE breaker SET failures = ?, not_before_ms = ?, last_error = ?",
                (failures, milliseconds(until), error[:200]),
            )
        )
        return until

    def succeeded(self, now: datetime, next_poll_s: int) -> datetime:
        """Note a round that ended with a verified receipt; gives the time of the next poll."""
        poll = now + timedelta(seconds=poll_s(next_poll_s, self._draw()))
        self._database.drain(
            lambda tx: tx.execute(
                "UPDATE breaker SET failures = 0, not_before_ms = 0, last_error = NULL, next_poll_ms = ?,"
                " last_receipt_ms = ?",
                (milliseconds(poll), milliseconds(now)),
            )
        )
        return poll


def _one_row(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE breaker ("
        " one INTEGER PRIMARY KEY CHECK (one = 1), failures INTEGER NOT NULL, not_before_ms INTEGER NOT NULL,"
        " last_error TEXT, next_poll_ms INTEGER NOT NULL, last_receipt_ms INTEGER) STRICT"
    )
    schema.execute("INSERT INTO breaker VALUES (1, 0, 0, NULL, 0, NULL)")


STEPS: tuple[Callable[[Schema], None], ...] = (_one_row,)
