"""One packet in the queue: its states, and its row as a value; pure.

    READY ──receipt──► ACKED ──retention──► PURGED        READY ──"not yours"──► DEAD
      ▲                  │                                                        │
      └───── "send it again", signed by head office ──────────────────────────────┘

READY: waiting, or on the way; there is no "sending" state, because a reply can always be lost and sending
twice does no harm. ACKED: head office holds exactly these bytes, proved by a signed receipt that is kept.
PURGED: the bytes are gone, a stub with digest, place and receipt stays. DEAD: can not be delivered as it is;
kept for a person, never dropped. Head office may have lost what it signed for, or may have judged wrongly: on its
command a packet whose bytes are still here waits again.
"""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sync.envelope import Lane
from sync.receipt import Verdict
from sync.records import from_milliseconds

PLACES = 1 << 40
"""Places of one chain; more than any device ever fills. Statements write it as a shift by 40."""


def row_id(chain: int, seq: int) -> int:
    """The number of a row is its place in the queue: chain and sequence number in one.

    So a chain lies together in the file, oldest first, and no index of places is written with every packet.
    """
    return chain * PLACES + seq


class RowState(enum.StrEnum):
    """See the module's picture."""

    READY = "READY"
    ACKED = "ACKED"
    PURGED = "PURGED"
    DEAD = "DEAD"


class RowEvent(enum.Enum):
    """What moves a row."""

    IN_CUSTODY = enum.auto()
    NOT_DELIVERABLE = enum.auto()
    RETENTION_OVER = enum.auto()
    ASKED_AGAIN = enum.auto()


TRANSITIONS: Mapping[tuple[RowState, RowEvent], RowState] = {
    (RowState.READY, RowEvent.IN_CUSTODY): RowState.ACKED,
    (RowState.READY, RowEvent.NOT_DELIVERABLE): RowState.DEAD,
    (RowState.ACKED, RowEvent.RETENTION_OVER): RowState.PURGED,
    (RowState.ACKED, RowEvent.ASKED_AGAIN): RowState.READY,
    (RowState.DEAD, RowEvent.ASKED_AGAIN): RowState.READY,
}
"""Everything that may happen to a row; a trigger of the table refuses what is not here.

Being asked again is counted on the row with the move, so that no statement brings a row back by the way."""


class ChainPosition(NamedTuple):
    """The place the next packet of a lane takes."""

    lane: Lane
    epoch: bytes
    seq: int
    prev_hash: bytes


class OutboxRow(NamedTuple):
    """One packet in the queue; of the person in it nothing.

    A named tuple of what stands in the file, times in milliseconds: it is made for every packet that is put or sent,
    and a frozen dataclass of twenty fields and two times takes five times as long.
    """

    id: int
    """See :func:`row_id`: in order within a lane, not across lanes."""
    packet_id: UUID
    lane: Lane
    epoch: bytes
    seq: int
    state: RowState
    size: int
    digest: bytes
    prev_hash: bytes
    queued_at_ms: int
    next_at_ms: int
    attempts: int = 0
    last_error: str | None = None
    verdict: Verdict | None = None
    """Head office's, once it gave one that settles the packet."""
    reason: str | None = None
    receipt_no: str | None = None
    stored_at_ms: int | None = None
    acked_at_ms: int | None = None
    resends: int = 0
    """How often head office asked for it again."""
    envelope: bytes = b""
    """Filled in for sending only."""

    @property
    def queued_at(self) -> datetime:
        """When it was put, by this machine's clock."""
        return from_milliseconds(self.queued_at_ms)

    @property
    def next_at(self) -> datetime:
        """Not to be sent again before."""
        return from_milliseconds(self.next_at_ms)

    @property
    def acked_at(self) -> datetime | None:
        """Head office's signed time in the receipt that ended its custody here, whatever this machine's clock said."""
        return None if self.acked_at_ms is None else from_milliseconds(self.acked_at_ms)

    def __repr__(self) -> str:
        """Where it stands; not its bytes."""
        return f"<packet {self.packet_id}: {self.lane} {self.seq} of {self.epoch.hex()}, {self.state}>"


def from_columns(row: Any, envelope: bytes = b"") -> OutboxRow:
    """A row of the view ``outbox_stubs`` as a value."""
    return OutboxRow(
        id=row["id"],
        packet_id=UUID(bytes=row["packet_id"]),
        lane=Lane(row["lane"]),
        epoch=row["epoch"],
        seq=row["seq"],
        state=RowState(row["state"]),
        size=row["size"],
        digest=row["digest"],
        prev_hash=row["prev_hash"],
        queued_at_ms=row["queued_at_ms"],
        next_at_ms=row["next_at_ms"],
        attempts=row["attempts"],
        last_error=row["last_error"],
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        reason=row["reason"],
        receipt_no=row["receipt_no"],
        stored_at_ms=row["stored_at_ms"],
        acked_at_ms=row["acked_at_ms"],
        resends=row["resends"],
        envelope=envelope,
    )
