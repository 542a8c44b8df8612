"""Which chains head office has frozen, as its last receipt said: kept, so that people are told after a restart too."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sync.edge.clock import Clock
from sync.edge.database import Database, Schema, Transaction
from sync.envelope import Lane
from sync.receipt import Receipt
from sync.records import from_milliseconds, milliseconds


@dataclass(frozen=True, slots=True)
class FrozenLane:
    """A lane in which head office accepts nothing more until a person has looked."""

    lane: Lane
    reason: str
    since: datetime
    """When this device first heard of it, by its own clock."""


class FrozenLanes:
    """What receipts said of frozen chains."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        database.migrate("frozen_lanes", STEPS)

    def note(self, receipt: Receipt) -> None:
        """Take over what a verified receipt says; writes only when something changed."""
        said = {(head.lane.value, head.epoch): head.frozen for head in receipt.lanes}
        known = {
            (row["lane"], bytes(row["epoch"])): row["reason"]
            for row in self._database.read("SELECT lane, epoch, reason FROM frozen_lanes")
        }
        changed = {chain: reason for chain, reason in said.items() if known.get(chain) != reason}
        if changed:
            self._database.drain(lambda tx: self._take_over(tx, changed))

    def _take_over(self, tx: Transaction, changed: Mapping[tuple[str, bytes], str | None]) -> None:
        for (lane, epoch), reason in changed.items():
            if reason is None:
                tx.execute("DELETE FROM frozen_lanes WHERE lane = ? AND epoch = ?", (lane, epoch))
            else:
                tx.execute(
                    "INSERT INTO frozen_lanes (lane, epoch, reason, since_ms) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (lane, epoch) DO UPDATE SET reason = excluded.reason",
                    (lane, epoch, reason, milliseconds(self._clock.utc())),
                )

    def now(self, written_to: Iterable[tuple[Lane, bytes]]) -> tuple[FrozenLane, ...]:
        """The frozen ones among the chains this device writes to; one that was given up for a new epoch is past."""
        known = {
            (row["lane"], bytes(row["epoch"])): row
            for row in self._database.read("SELECT lane, epoch, reason, since_ms FROM frozen_lanes")
        }
        found = [(lane, known[lane.value, epoch]) for lane, epoch in written_to if (lane.value, epoch) in known]
        return tuple(FrozenLane(lane, row["reason"], from_milliseconds(row["since_ms"])) for lane, row in found)


def _by_chain(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE frozen_lanes ("
        " lane TEXT NOT NULL, epoch BLOB NOT NULL, reason TEXT NOT NULL, since_ms INTEGER NOT NULL,"
        " PRIMARY KEY (lane, epoch)) STRICT"
    )


STEPS: tuple[Callable[[Schema], None], ...] = (_by_chain,)
