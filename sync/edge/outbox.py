"""The queue of sealed packets: what was put in leaves only against head office's receipt.

Each lane is a chain: sequence number, epoch and previous hash are drawn inside the transaction that stores the
packet, so that a crash leaves neither a gap nor a number used twice. States: outbox_row.py. Chains: chains.py.
Receipts: settlement.py. Which lane goes first: fair_share.py. docs/queue.md tells all of it.
"""

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

from sync import cbor
from sync.checkpoint import MAX_BATCH_BYTES
from sync.edge import chains, exports, migrations, settlement
from sync.edge.backoff import has_come
from sync.edge.chains import Chain
from sync.edge.clock import Clock, SystemClock
from sync.edge.database import Database, Transaction
from sync.edge.fair_share import FairShare
from sync.edge.outbox_row import PLACES, ChainPosition, OutboxRow, RowState, from_columns, row_id
from sync.edge.settlement import WANT_THEIR_SUCCESSOR, Settlement
from sync.envelope import EPOCH_BYTES, FIRST_SEQ, NO_HASH, Lane, envelope_digest, read_header
from sync.errors import ChainError, ReceiptError, StorageCorruptError
from sync.receipt import VerifiedReceipt, read_receipt
from sync.records import milliseconds

PURGE_AT_ONCE = 20
"""Rows a purge may take in one transaction: freed pages are overwritten, and that log must fit a full disk."""
PURGE_BYTES_AT_ONCE = 1024 * 1024
"""And so many bytes, but always one row: twenty parts of a scan would be five megabytes of zeros."""
FAR_OFF_MS = 1 << 62
MOST_DUE = 500
"""Packets in one round at most."""
SPOILT_RUN_BYTES = MAX_BATCH_BYTES - 64 * 1024
"""What a batch may hold, less the checkpoint: as far as a run of spoilt packets may go beyond the limit of a round."""
HEADER_WITHIN = 512
"""Bytes: the device header lies within the first of an envelope, behind its type."""
_LANE_NAMED = {lane: cbor.encode(lane.value) + cbor.encode(bytes(EPOCH_BYTES))[:-EPOCH_BYTES] for lane in Lane}
_HASH_FOLLOWS = cbor.encode(NO_HASH)[: -len(NO_HASH)]


_NEXT_PLACE = (
    "SELECT c.id, epoch, r.id, r.digest, r.total, EXISTS (SELECT 1 FROM outbox_rows WHERE packet_id = ?) AS known"
    " FROM outbox_chains c LEFT JOIN outbox_rows r"
    " ON r.id = (SELECT max(id) FROM outbox_rows WHERE id BETWEEN c.id << 40 AND (c.id + 1 << 40) - 1)"
    " WHERE c.id = (SELECT max(id) FROM outbox_chains WHERE lane = ?)"
)
"""One question instead of three: is it here, which chain grows, and what stands at its end."""


_ENVELOPE = (
    "SELECT bytes FROM outbox_rows r JOIN outbox_envelopes e ON e.id = coalesce(r.envelope, r.id) WHERE r.id = ?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """How a lane stands, all its chains together; read, not counted."""

    lane: Lane
    epoch: bytes
    """Of the chain that grows, as the next two."""
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
    former: int = 0
    """Of ``ready``, those sealed under a former enrolment: they wait, and this device cannot deliver them."""
    chains: int = 1
    """How many epochs this lane has had in this file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChain:
    """A chain that ended, and what follows it."""

    lane: Lane
    ended: bytes
    last_seq: int
    still_ready: int
    """Packets of the ended chain that wait: they are sent under their own epoch."""
    begun: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """What became of places that head office asked for again."""

    again: int
    """Wait again."""
    waiting: int
    """Waited already."""
    gone: int
    """Purged after their receipt: only head office's own copy is left."""
    unknown: int
    """No such place was ever used here."""


def _nobody(_row: OutboxRow) -> None:
    """Nobody keeps a record."""


def _names(envelope: bytes, position: ChainPosition) -> bool:
    """Whether the signed header names exactly this place.

    Lane, epoch, number and previous hash stand in it side by side and have one encoding only, so that looking for
    those bytes is enough, and a tenth of the work of reading the envelope that was made a moment ago.
    """
    place = (_LANE_NAMED[position.lane], position.epoch, cbor.encode(position.seq), _HASH_FOLLOWS, position.prev_hash)
    return b"".join(place) in envelope[:HEADER_WITHIN]


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
        self._database, self._on_settled, self._random = database, on_settled, random
        self._clock = SystemClock() if clock is None else clock
        self._share = FairShare()
        self._owner: str | None = None
        database.migrate(migrations.NAME, migrations.STEPS)
        exports.prepare(database)
        database.prepare(self._begin_every_lane)

    def take_up(self, device_id: str) -> tuple[NewChain, ...]:
        """From now on packets are sealed and sent as this device; joins the caller's transaction.

        After an enrolment under another name every lane begins a new chain: its packets name their device under their
        signature, and head office takes each from that device only. What waits under the former name stays READY and
        is not sent as this device. Gives the chains that were begun.
        """

        def follow(tx: Transaction) -> tuple[NewChain, ...]:
            return tuple(
                self._follow(tx, chains.current(tx, lane), device_id)
                for lane in Lane
                if not chains.take_up(tx, lane, device_id)
            )

        begun = self._database.drain(follow)
        self._owner = device_id
        return begun

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
            key = packet_id.bytes
            chain, epoch, last, prev_hash, before, is_known = tx.execute(_NEXT_PLACE, (key, lane.value)).fetchone()
            if is_known:
                known = self._row(tx, packet_id)
                assert known is not None
                return known
            if last is None:
                last, prev_hash, before = row_id(chain, FIRST_SEQ - 1), NO_HASH, 0
            row = last + 1
            position = ChainPosition(lane, epoch, row - row_id(chain, 0), prev_hash)
            envelope = seal(position)
            if not _names(envelope, position):
                read_header(envelope)  # says what else it is, where it is no envelope at all
                raise ChainError("sealed for another place in the chain")
            if self._owner is not None and self._owner.encode() not in envelope[:HEADER_WITHIN]:
                raise ChainError("sealed as another device than the one enrolled now")
            digest, size, now_ms = envelope_digest(envelope), len(envelope), milliseconds(self._clock.utc())
            tx.execute(
                "INSERT INTO outbox_rows (id, packet_id, state, next_at_ms, attempts, digest, prev_hash, size, total,"
                " queued_at_ms) VALUES (?, ?, 'READY', ?, 0, ?, ?, ?, ?, ?)",
                (row, key, now_ms, digest, prev_hash, size, before + size, now_ms),
            )
            tx.execute("INSERT INTO outbox_envelopes (id, bytes) VALUES (?, ?)", (row, envelope))
        # As it stands in the file now; reading it again would say the same.
        return OutboxRow(
            id=row,
            packet_id=packet_id,
            lane=lane,
            epoch=epoch,
            seq=position.seq,
            state=RowState.READY,
            size=size,
            digest=digest,
            prev_hash=prev_hash,
            queued_at_ms=now_ms,
            next_at_ms=now_ms,
        )

    def due(
        self, now: datetime, limit_bytes: int, *, most: int = MOST_DUE, however_early: bool = False
    ) -> list[OutboxRow]:
        """The next packets to send, envelopes included, in order: core before documents.

        Within a chain they are the oldest READY ones without a gap, up to the first whose time has not come: a
        packet never overtakes another, because head office takes a chain in order only. While both lanes wait, an
        eighth of the bytes is for documents (fair_share.py). If any is due at least one comes, however small
        ``limit_bytes``. ``however_early`` takes them although their time has not come.

        Spoilt bytes get their place at head office only together with the authentic packet behind them. So behind a
        packet that was left for such a reason the next one comes as well, whatever the limits say.
        """
        with self._database.transaction() as tx:
            core, documents = (
                self._due_of(tx, lane, now, limit_bytes, most, however_early=however_early)
                for lane in (Lane.CORE, Lane.DOCUMENTS)
            )
            chosen = self._with_successors(tx, self._share.choose(core, documents, limit_bytes, most))
            return [row._replace(envelope=self._bytes(tx, row.id)) for row in chosen]

    def waiting(self, lane: Lane, after_id: int = 0, most: int = MOST_DUE) -> list[OutboxRow]:
        """READY rows of a lane behind ``after_id``, oldest first, without their envelopes."""
        with self._database.transaction() as tx:
            found: list[OutboxRow] = []
            for chain in chains.of_this_device(tx, lane):
                found += self._ready(tx, chain, most - len(found), after_id)
            return found

    def envelope(self, row: int) -> bytes | None:
        """The sealed bytes of a row; None once they are purged."""
        found = self._database.read(_ENVELOPE, (row,))
        return bytes(found[0]["bytes"]) if found else None

    def settle(self, receipt: VerifiedReceipt, export: int | None = None) -> Settlement:
        """Take over what head office has signed for, in one transaction; see settlement.py.

        ``export`` is the running number of the stick the receipt answers, perhaps long ago.
        """

        def take_over(tx: Transaction) -> Settlement:
            settled = settlement.settle(tx, receipt, milliseconds(self._clock.utc()), export)
            for row in (*settled.acked, *settled.dead):
                self._on_settled(row)
            return settled

        return self._database.drain(take_over)

    def postpone(self, rows: Iterable[OutboxRow], until: datetime, error: str) -> None:
        """Note a failed delivery on each row still READY: an attempt more, its cause, and when to try again."""
        noted = [(milliseconds(until), error[:200], row.id) for row in rows]
        self._database.drain(
            lambda tx: tx.executemany(
                "UPDATE outbox_rows SET attempts = attempts + 1, next_at_ms = ?, last_error = ?"
                " WHERE id = ? AND state = 'READY'",
                noted,
            )
        )

    def purge(
        self,
        acked_before: datetime,
        *,
        most: int = PURGE_AT_ONCE,
        received_before: datetime | None = None,
        received_ahead_of: datetime | None = None,
        in_any_case_before: datetime | None = None,
    ) -> int:
        """Drop the bytes of packets in custody since before that time, oldest first; gives their number.

        ``acked_before`` is head office's time, as it stands in the receipts. ``received_before`` is this machine's wall
        clock when they came, and has to be over as well; except for what came ``received_ahead_of`` this clock, which
        was set back since, and was taken ``in_any_case_before`` by head office's time. At most ``most`` and a megabyte
        in one transaction; call again until it gives 0.
        """
        times = (
            milliseconds(acked_before),
            FAR_OFF_MS if received_before is None else milliseconds(received_before),
            FAR_OFF_MS if received_ahead_of is None else milliseconds(received_ahead_of),
            0 if in_any_case_before is None else milliseconds(in_any_case_before),
            most,
        )

        def drop(tx: Transaction) -> int:
            chosen: list[tuple[int]] = []
            room = PURGE_BYTES_AT_ONCE
            for row in tx.execute(
                "SELECT p.id, p.size FROM outbox_rows p JOIN outbox_receipts r ON r.id = p.receipt_id"
                " WHERE state = 'ACKED' AND acked_at_ms < ?"
                " AND (received_at_ms < ? OR (received_at_ms > ? AND acked_at_ms < ?))"
                " ORDER BY acked_at_ms LIMIT ?",
                times,
            ).fetchall():
                if chosen and row["size"] > room:
                    break
                room -= row["size"]
                chosen.append((row["id"],))
            tx.executemany("UPDATE outbox_rows SET state = 'PURGED' WHERE id = ?", chosen)
            return len(chosen)

        return self._database.drain(drop)

    def last_receipt(self) -> datetime | None:
        """Head office's time in the receipt that was taken over last, by line or by stick; None before the first.

        The last and not the latest: a clock that was ahead there for an hour is right again with the next receipt.
        """
        found = self._database.read("SELECT raw FROM outbox_receipts ORDER BY id DESC LIMIT 1")
        try:
            return read_receipt(found[0]["raw"]).server_time if found else None
        except ReceiptError:
            return None  # it rotted on the disk; the next one tells

    def resend(self, lane: Lane, epoch: bytes, first_seq: int, last_seq: int) -> Resent:
        """Let places wait again whose packets head office no longer has, and says so under its signature.

        Only what is still here can be: acknowledged and not purged, or refused. What was said of it before is
        cleared; the receipt that said it stays in the file. So may a stick with a copy of it: what answers an export
        made until now settles none of these places again. Joins the caller's transaction.
        """

        def ask_again(tx: Transaction) -> Resent:
            chain = chains.find(tx, lane, epoch)
            if chain is None:
                return Resent(again=0, waiting=0, gone=0, unknown=last_seq - first_seq + 1)
            places = (row_id(chain.id, first_seq), row_id(chain.id, min(last_seq, PLACES - 1)))
            kept = {
                row["state"]: row["rows"]
                for row in tx.execute(
                    "SELECT state, count(*) AS rows FROM outbox_rows WHERE id BETWEEN ? AND ? GROUP BY state",
                    places,
                )
            }
            tx.execute(
                "UPDATE outbox_rows SET resent_after = ? WHERE id BETWEEN ? AND ?",
                (exports.last_number(tx), *places),
            )
            again = tx.execute(
                "UPDATE outbox_rows SET state = 'READY', resends = resends + 1, attempts = 0, next_at_ms = 0,"
                " last_error = NULL, verdict = NULL, reason = NULL, receipt_no = NULL, stored_at_ms = NULL,"
                " receipt_id = NULL, acked_at_ms = NULL"
                " WHERE id BETWEEN ? AND ? AND state IN ('ACKED', 'DEAD')",
                places,
            ).rowcount
            return Resent(
                again=again,
                waiting=kept.get(RowState.READY, 0),
                gone=kept.get(RowState.PURGED, 0),
                unknown=last_seq - first_seq + 1 - sum(kept.values()),
            )

        return self._database.drain(ask_again)

    def new_epoch(self, lane: Lane, ending: bytes | None = None) -> NewChain | None:
        """End the chain of a lane that grows and begin another; joins the caller's transaction.

        Packets of the ended chain stay as they are: each names its epoch under its signature, is delivered under it,
        and can not be sealed anew, because nobody here can open it. None when ``ending`` is given and is not the
        epoch that grows: the command was carried out before.
        """

        def follow(tx: Transaction) -> NewChain | None:
            ended = chains.current(tx, lane)
            if ending is not None and ended.epoch != ending:
                return None
            return self._follow(tx, ended, ended.device_id)

        return self._database.drain(follow)

    def _follow(self, tx: Transaction, ended: Chain, device_id: str | None) -> NewChain:
        begun = self._random(EPOCH_BYTES)
        chains.begin(tx, ended.lane, begun, device_id)
        return NewChain(
            lane=ended.lane, ended=ended.epoch, last_seq=ended.next_seq - 1, still_ready=ended.ready, begun=begun
        )

    def ended(self, most: int) -> tuple[Chain, ...]:
        """Chains of this device that grow no more and still have packets waiting, oldest first."""
        with self._database.transaction() as tx:
            every = [chain for lane in Lane for chain in chains.of_this_device(tx, lane)[:-1] if chain.ready]
        return tuple(sorted(every, key=lambda chain: chain.id)[:most])

    def counts(self) -> tuple[LaneCounts, ...]:
        """How each lane stands, all of one moment."""
        with self._database.transaction() as tx:
            return tuple(self._lane_counts(tx, lane) for lane in Lane)

    def rows(self, state: RowState | None = None, *, most: int = 100) -> list[OutboxRow]:
        """The newest rows, without envelopes, newest first.

        Within a chain they are in its order, whatever the clock said when each was put.
        """
        condition, values = ("", ()) if state is None else ("AND state = ? ", (state.value,))
        with self._database.transaction() as tx:
            # Along each chain from its end, not over the whole queue.
            kept = [
                tx.execute(
                    f"SELECT * FROM outbox_stubs WHERE id >= ? AND id < ? {condition}"  # noqa: S608 - fixed words
                    "ORDER BY id DESC LIMIT ?",
                    (
                        row_id(chain.id, chain.first_ready if state is RowState.READY else FIRST_SEQ),
                        row_id(chain.id + 1, 0),
                        *values,
                        most,
                    ),
                ).fetchall()
                for lane in Lane
                for chain in chains.of_lane(tx, lane)
            ]
        newest = heapq.merge(*kept, key=lambda row: (row["queued_at_ms"], row["id"]), reverse=True)
        return [from_columns(row) for row in islice(newest, most)]

    def find(self, packet_id: UUID) -> OutboxRow | None:
        """The row of one packet, without its envelope."""
        with self._database.transaction() as tx:
            return self._row(tx, packet_id)

    def check_chain(self, most_bytes: int | None = None) -> int:
        """Walk every chain from its first packet to its head; see :func:`sync.edge.chains.check`."""
        return chains.check(self._database, most_bytes)

    def _begin_every_lane(self) -> None:
        """In a file that is new, or that follows one set aside: head office sees the break by the epochs."""
        with self._database.transaction() as tx:
            for lane in Lane:
                if not chains.of_lane(tx, lane):
                    chains.begin(tx, lane, self._random(EPOCH_BYTES), self._owner)

    def _due_of(
        self, tx: Transaction, lane: Lane, now: datetime, limit_bytes: int, most: int, *, however_early: bool
    ) -> list[OutboxRow]:
        """What may go of a lane, up to the first that no longer fits ``limit_bytes``.

        Oldest chain first; one that has to wait does not hold up the next, head office takes each by itself.
        """
        due: list[OutboxRow] = []
        room = limit_bytes
        for chain in chains.of_this_device(tx, lane):
            for row in self._ready(tx, chain, most - len(due)):
                if room < 0 or not (however_early or has_come(row.next_at, now)):
                    break
                room -= row.size
                due.append(row)
        return due

    def _with_successors(self, tx: Transaction, chosen: list[OutboxRow]) -> list[OutboxRow]:
        """The same packets, and behind those that need it the one that says where they belong."""
        if not any(row.last_error in WANT_THEIR_SUCCESSOR for row in chosen):
            return chosen
        places = {(row.lane, row.epoch, row.seq) for row in chosen}
        room = SPOILT_RUN_BYTES - sum(row.size for row in chosen)
        more: list[OutboxRow] = []
        for row in chosen:
            more.append(row)
            last = row
            while last.last_error in WANT_THEIR_SUCCESSOR and (last.lane, last.epoch, last.seq + 1) not in places:
                found = tx.execute(
                    "SELECT * FROM outbox_stubs WHERE id = ? AND state = 'READY'", (last.id + 1,)
                ).fetchone()
                if found is None or found["size"] > room:
                    break
                last = from_columns(found)
                room -= last.size
                more.append(last)
        return more

    def _ready(self, tx: Transaction, chain: Chain, most: int, after_id: int = 0) -> Iterator[OutboxRow]:
        """One by one: whoever needs few of a long queue reads few."""
        if not chain.ready:
            return
        for row in tx.execute(
            "SELECT * FROM outbox_stubs WHERE id >= ? AND id < ? AND state = 'READY' ORDER BY id LIMIT ?",
            (max(row_id(chain.id, chain.first_ready), after_id + 1), row_id(chain.id + 1, 0), most),
        ):
            yield from_columns(row)

    def _bytes(self, tx: Transaction, row: int) -> bytes:
        found = tx.execute(_ENVELOPE, (row,)).fetchone()
        if found is None:
            # Triggers keep it there: the file is not as this program wrote it.
            raise StorageCorruptError(self._database.path, "read", f"packet {row} waits without its bytes")
        return bytes(found["bytes"])

    def _row(self, tx: Transaction, packet_id: UUID) -> OutboxRow | None:
        found = tx.execute("SELECT * FROM outbox_stubs WHERE packet_id = ?", (packet_id.bytes,)).fetchone()
        return None if found is None else from_columns(found)

    def _lane_counts(self, tx: Transaction, lane: Lane) -> LaneCounts:
        every = chains.of_lane(tx, lane)
        growing = every[-1]
        oldest = [row.queued_at for chain in chains.of_this_device(tx, lane) for row in self._ready(tx, chain, 1)]
        return LaneCounts(
            lane=lane,
            epoch=growing.epoch,
            next_seq=growing.next_seq,
            head_hash=growing.head_hash,
            ready=sum(chain.ready for chain in every),
            former=sum(chain.ready for chain in every if chain.device_id != growing.device_id),
            ready_bytes=sum(chain.total - chain.left_bytes for chain in every),
            acked=sum(chain.acked for chain in every),
            purged=sum(chain.purged for chain in every),
            held=sum(chain.held for chain in every),
            dead=sum(chain.dead for chain in every),
            oldest_ready_at=min(oldest, default=None),
            chains=len(every),
        )
