"""The queue of sealed packets: what was put in leaves only against head office's receipt.

Each lane is a chain: sequence number, epoch and previous hash are drawn inside the transaction that stores the
packet, so that a crash leaves neither a gap nor a number used twice. States: outbox_row.py. Receipts: settlement.py.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sync.edge import migrations, settlement
from sync.edge.backoff import has_come
from sync.edge.clock import Clock, SystemClock
from sync.edge.database import Database, Transaction
from sync.edge.outbox_row import ChainPosition, OutboxRow, RowState, from_columns
from sync.edge.settlement import Settlement
from sync.envelope import EPOCH_BYTES, FIRST_SEQ, NO_HASH, Lane, envelope_digest, read_header
from sync.errors import ChainError
from sync.receipt import VerifiedReceipt
from sync.records import from_milliseconds, milliseconds

PURGE_AT_ONCE = 20
"""Rows a purge may take in one transaction: freed pages are overwritten, and that log must fit a full disk."""
MOST_DUE = 500
"""Packets in one round at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """How a lane stands; read, not counted."""

    lane: Lane
    epoch: bytes
    next_seq: int
    head_hash: bytes
    ready: int
    ready_bytes: int
    acked: int
    purged: int
    held: int
    """Of ``acked`` and ``purged``, those head office keeps in quarantine: stored there, and on nobody's desk."""
    dead: int
    oldest_ready_at: datetime | None


def _nobody(_row: OutboxRow) -> None:
    """Nobody keeps a record."""


class Outbox:
    """The queue on top of the agent's database. Thread-safe as that is."""

    def __init__(
        self,
        database: Database,
        clock: Clock | None = None,
        *,
        on_settled: Callable[[OutboxRow], None] = _nobody,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """``on_settled`` is told of each packet a receipt settles, inside the transaction that settles it."""
        self._database, self._on_settled = database, on_settled
        self._clock = SystemClock() if clock is None else clock
        database.migrate(migrations.NAME, migrations.STEPS)
        with database.transaction() as tx:
            for lane in Lane:
                tx.execute(
                    "INSERT INTO outbox_lanes (lane, epoch, next_seq, head_hash) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (lane) DO NOTHING",
                    (lane.value, random(EPOCH_BYTES), FIRST_SEQ, NO_HASH),
                )

    def put(self, packet_id: UUID, lane: Lane, seal: Callable[[ChainPosition], bytes]) -> OutboxRow:
        """Seal a packet into the next place of its lane and store it; joins the caller's transaction.

        Parameters
        ----------
        packet_id
            The claim's id. Putting one that is there already changes nothing and returns its row.
        seal
            Makes the envelope for exactly the position it is given; it runs inside the transaction.

        Raises
        ------
        ChainError
            The envelope is for another position. Nothing is stored.
        EnvelopeError
            The envelope is none.
        """
        with self._database.transaction() as tx:
            known = self._row(tx, packet_id)
            if known is not None:
                return known
            head = tx.execute("SELECT * FROM outbox_lanes WHERE lane = ?", (lane.value,)).fetchone()
            position = ChainPosition(lane, head["epoch"], head["next_seq"], head["head_hash"])
            envelope = seal(position)
            header = read_header(envelope)
            if ChainPosition(header.lane, header.epoch, header.seq, header.prev_hash) != position:
                raise ChainError("sealed for another place in the chain")
            digest, now_ms = envelope_digest(envelope), milliseconds(self._clock.utc())
            tx.execute(
                "INSERT INTO outbox_rows (packet_id, lane, epoch, seq, state, next_at_ms, attempts, digest,"
                " prev_hash, size, queued_at_ms, envelope) VALUES (?, ?, ?, ?, 'READY', ?, 0, ?, ?, ?, ?, ?)",
                (
                    packet_id.bytes,
                    lane.value,
                    position.epoch,
                    position.seq,
                    now_ms,
                    digest,
                    position.prev_hash,
                    len(envelope),
                    now_ms,
                    envelope,
                ),
            )
            tx.execute(
                "UPDATE outbox_lanes SET next_seq = ?, head_hash = ? WHERE lane = ?",
                (position.seq + 1, digest, lane.value),
            )
            stored = self._row(tx, packet_id)
            assert stored is not None
            return stored

    def due(
        self, now: datetime, limit_bytes: int, *, most: int = MOST_DUE, however_early: bool = False
    ) -> list[OutboxRow]:
        """The next packets to send, envelopes included, in order: core before documents.

        Within a lane they are the oldest READY ones without a gap, up to the first whose time has not come: a
        packet never overtakes another, because head office takes a chain in order only. If any is due at least
        one comes, however small ``limit_bytes``. ``however_early`` takes them although their time has not come.
        """
        chosen: list[OutboxRow] = []
        room = limit_bytes
        for lane in Lane:
            for row in self._oldest_ready(lane, most - len(chosen)):
                if not (however_early or has_come(row.next_at, now)) or (chosen and row.size > room):
                    break
                room -= row.size
                chosen.append(row)
        return [self._with_envelope(row) for row in chosen]

    def settle(self, receipt: VerifiedReceipt) -> Settlement:
        """Take over what head office has signed for, in one transaction; see settlement.py."""
        with self._database.transaction() as tx:
            settled = settlement.settle(tx, receipt, milliseconds(self._clock.utc()))
            for row in (*settled.acked, *settled.dead):
                self._on_settled(row)
            return settled

    def postpone(self, rows: Iterable[OutboxRow], until: datetime, error: str) -> None:
        """Note a failed delivery on each row still READY: an attempt more, its cause, and when to try again."""
        with self._database.transaction() as tx:
            tx.executemany(
                "UPDATE outbox_rows SET attempts = attempts + 1, next_at_ms = ?, last_error = ?"
                " WHERE id = ? AND state = 'READY'",
                [(milliseconds(until), error[:200], row.id) for row in rows],
            )

    def purge(self, acked_before: datetime, *, most: int = PURGE_AT_ONCE) -> int:
        """Drop the bytes of packets in custody since before that time, oldest first; gives their number.

        At most ``most`` in one transaction; call again until it gives 0.
        """
        with self._database.transaction() as tx:
            return tx.execute(
                "UPDATE outbox_rows SET state = 'PURGED', envelope = NULL WHERE id IN ("
                " SELECT id FROM outbox_rows WHERE state = 'ACKED' AND acked_at_ms < ? ORDER BY acked_at_ms LIMIT ?)",
                (milliseconds(acked_before), most),
            ).rowcount

    def counts(self) -> tuple[LaneCounts, ...]:
        """How each lane stands, all of one moment."""
        with self._database.transaction() as tx:
            return tuple(self._lane_counts(tx, lane) for lane in Lane)

    def rows(self, state: RowState | None = None, *, most: int = 100, before_id: int = 1 << 62) -> list[OutboxRow]:
        """Rows without envelopes, newest first; page on with the last one's id as ``before_id``."""
        if state is None:
            found = self._database.read(
                "SELECT * FROM outbox_stubs WHERE id < ? ORDER BY id DESC LIMIT ?", (before_id, most)
            )
            return [from_columns(row) for row in found]
        # One walk down the index per lane, not one over the whole queue.
        per_lane = [
            self._database.read(
                "SELECT * FROM outbox_stubs WHERE lane = ? AND state = ? AND id < ? ORDER BY id DESC LIMIT ?",
                (lane.value, state.value, before_id, most),
            )
            for lane in Lane
        ]
        return sorted((from_columns(row) for rows in per_lane for row in rows), key=lambda row: -row.id)[:most]

    def find(self, packet_id: UUID) -> OutboxRow | None:
        """The row of one packet, without its envelope."""
        with self._database.transaction() as tx:
            return self._row(tx, packet_id)

    def check_chain(self) -> int:
        """Walk every chain from its first packet to its head; gives the number of packets.

        Raises
        ------
        ChainError
            A gap, a broken link, or bytes that no longer have their digest.
        """
        with self._database.transaction() as tx:
            walked = 0
            for head in tx.execute("SELECT * FROM outbox_lanes").fetchall():
                seq, previous = FIRST_SEQ, NO_HASH
                for row in tx.execute(
                    "SELECT seq, digest, prev_hash, envelope FROM outbox_rows"
                    " WHERE lane = ? AND epoch = ? ORDER BY seq",
                    (head["lane"], head["epoch"]),
                ):
                    place = f"{head['lane']} {row['seq']}"
                    if row["seq"] != seq or row["prev_hash"] != previous:
                        raise ChainError(f"the chain is broken at {place}")
                    if row["envelope"] is not None and hashlib.sha256(row["envelope"]).digest() != row["digest"]:
                        raise ChainError(f"the bytes of {place} have changed")
                    seq, previous, walked = seq + 1, row["digest"], walked + 1
                if seq != head["next_seq"] or previous != head["head_hash"]:
                    raise ChainError(f"the head of {head['lane']} is not its last packet")
            return walked

    def _oldest_ready(self, lane: Lane, most: int) -> list[OutboxRow]:
        found = self._database.read(
            "SELECT * FROM outbox_stubs WHERE lane = ? AND state = 'READY' ORDER BY id LIMIT ?",
            (lane.value, most),
        )
        return [from_columns(row) for row in found]

    def _with_envelope(self, row: OutboxRow) -> OutboxRow:
        found = self._database.read("SELECT envelope FROM outbox_rows WHERE id = ?", (row.id,))
        return replace(row, envelope=found[0]["envelope"])

    def _row(self, tx: Transaction, packet_id: UUID) -> OutboxRow | None:
        found = tx.execute("SELECT * FROM outbox_stubs WHERE packet_id = ?", (packet_id.bytes,)).fetchone()
        return None if found is None else from_columns(found)

    def _lane_counts(self, tx: Transaction, lane: Lane) -> LaneCounts:
        head = tx.execute("SELECT * FROM outbox_lanes WHERE lane = ?", (lane.value,)).fetchone()
        kept = {
            row["state"]: row
            for row in tx.execute("SELECT * FROM outbox_counts WHERE lane = ?", (lane.value,)).fetchall()
        }
        packets = {state: kept[state]["packets"] if state in kept else 0 for state in RowState}
        held = tx.execute(
            "SELECT count(*) AS packets FROM outbox_rows WHERE lane = ? AND verdict = 'quarantined'", (lane.value,)
        ).fetchone()
        oldest = tx.execute(
            "SELECT queued_at_ms FROM outbox_rows WHERE lane = ? AND state = 'READY' ORDER BY id LIMIT 1",
            (lane.value,),
        ).fetchone()
        return LaneCounts(
            lane=lane,
            epoch=head["epoch"],
            next_seq=head["next_seq"],
            head_hash=head["head_hash"],
            ready=packets[RowState.READY],
            ready_bytes=kept[RowState.READY]["bytes"] if RowState.READY in kept else 0,
            acked=packets[RowState.ACKED],
            purged=packets[RowState.PURGED],
            held=held["packets"],
            dead=packets[RowState.DEAD],
            oldest_ready_at=None if oldest is None else from_milliseconds(oldest["queued_at_ms"]),
        )
