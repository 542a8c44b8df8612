"""The rows of custody: lanes with their heads, packets as they came, alarms. Used inside one ledger transaction."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

from head_office.authenticity import Checked
from head_office.checks import LaneHead, StandIn
from head_office.ledger.base import Ledger, Row, Transaction, Value
from head_office.moment import to_ms
from sync import receipt as reply
from sync.envelope import FIRST_SEQ, NO_HASH, Lane
from sync.receipt import Verdict

MOST_EPOCHS = 64  # Of one lane, announced and never used: more is a device that fills our tables.


class Opening(StrEnum):
    """How far a stored packet has come towards the desk."""

    WAITING = "WAITING"
    """To be decrypted by the opening worker."""
    OPENED = "OPENED"
    """Its claim is on the desk."""
    HELD = "HELD"
    """Quarantined when it came: not opened until two people release it."""
    QUARANTINED = "QUARANTINED"
    """The worker could not make a claim of it; the reason stands beside."""
    DISCARDED = "DISCARDED"
    """Two people took it off the list. It is kept as it came."""


class Alarm(StrEnum):
    """What a person has to look at."""

    FORK = "fork"
    CHAIN_BROKEN = "chain_broken"
    UNREADABLE = "unreadable"
    NEW_EPOCH = "new_epoch"
    ROLLED_BACK = "rolled_back"
    CLOCK_ASTRAY = "clock_astray"
    TOO_MANY_EPOCHS = "too_many_epochs"
    PACKET_ID_REUSED = "packet_id_reused"
    CLAIM_OF_ANOTHER_DEVICE = "claim_of_another_device"
    TWO_MACHINES = "two_machines"
    """A boot of the device that was over is heard of again."""
    OLD_KEYS = "old_keys"
    """Somebody holds a connection with keys the device has replaced."""
    PLACES_MISSING = "places_missing"
    """The device delivered them, and they are not here: head office was restored from an earlier backup."""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """One chain; ``epoch`` has 16 bytes."""

    device_id: str
    lane: Lane
    epoch: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """One position in a chain."""

    key: LaneKey
    seq: int


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored before under a place and digest."""

    receipt_no: int
    stored_at_ms: int
    held_because: str | None
    """Why it was quarantined when it came; None when it was not."""


LANES = "SELECT lane, epoch, next_seq, head_hash, frozen_reason FROM lanes WHERE device_id = ? ORDER BY opened_at"
INSERT = (
    "INSERT INTO packets (receipt_no, device_id, lane, epoch, seq, in_chain, digest, envelope, verdict, reason,"
    " stored_at, signer_kid, created_wall, created_monotonic_ns, created_boot_id, clock_offset_ms, clock_error_ms,"
    " opening) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def receipt_name(receipt_no: int) -> str:
    """The number as receipts, desk and command line show it."""
    return f"R-{receipt_no:09d}"


def receipt_number(name: str) -> int | None:
    """The number behind ``R-000000001``, also without the R and the zeros; None for anything else."""
    found = re.fullmatch(r"(?:R-)?([0-9]{1,18})", name.strip().upper())
    return int(found[1]) if found else None


def heads_of(device_id: str, rows: list[Row]) -> dict[LaneKey, LaneHead]:
    """The result of :data:`LANES`, typed."""
    return {
        LaneKey(device_id, Lane(row["lane"]), bytes(row["epoch"])): LaneHead(
            row["next_seq"], bytes(row["head_hash"]), row["frozen_reason"]
        )
        for row in rows
    }


def told(key: LaneKey, head: LaneHead) -> reply.LaneHead:
    """A chain as a receipt names it."""
    return reply.LaneHead(
        lane=key.lane, epoch=key.epoch, next_seq=head.next_seq, head_hash=head.head_hash, frozen=head.frozen
    )


def open_lane(tx: Transaction, key: LaneKey, now_ms: int, *, earlier: int, empty: int) -> bool:
    """Begin a chain that was announced; False when the lane has too many that never carried anything.

    ``earlier`` counts the lane's epochs so far: any raise an alarm. ``empty`` counts those among them without a packet:
    a chain with packets costs its device something, and an old laptop may have had many.
    """
    if empty >= MOST_EPOCHS:
        alarm(tx, Alarm.TOO_MANY_EPOCHS, Place(key, FIRST_SEQ), now_ms)
        return False
    tx.execute(
        "INSERT INTO lanes (device_id, lane, epoch, next_seq, head_hash, opened_at) VALUES (?, ?, ?, ?, ?, ?)",
        (key.device_id, key.lane, key.epoch, FIRST_SEQ, NO_HASH, now_ms),
    )
    if earlier:
        alarm(tx, Alarm.NEW_EPOCH, Place(key, FIRST_SEQ), now_ms)
    return True


def advance(tx: Transaction, heads: Mapping[LaneKey, LaneHead]) -> None:
    """Write heads that moved or froze. A frozen one stays where it is; a new epoch, or a new device, goes on."""
    tx.write(
        "UPDATE lanes SET next_seq = ?, head_hash = ?, frozen_reason = ?"
        " WHERE device_id = ? AND lane = ? AND epoch = ?",
        [
            (head.next_seq, head.head_hash, head.frozen, key.device_id, key.lane, key.epoch)
            for key, head in heads.items()
        ],
    )


def stored(tx: Transaction, place: Place, digest: bytes) -> Stored | None:
    """These very bytes, if we have them: in the chain, set aside, or in the cluster the device came from."""
    rows = tx.execute(
        "SELECT receipt_no, stored_at, verdict, reason FROM packets"
        " WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ? AND digest = ?",
        (place.key.device_id, place.key.lane, place.key.epoch, place.seq, digest),
    )
    # Seldom asked: only of a packet from below the head that is not here.
    rows = rows or tx.execute(
        "SELECT receipt_no, stored_at, verdict, reason FROM stored_elsewhere"
        " WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ? AND digest = ?",
        (place.key.device_id, place.key.lane, place.key.epoch, place.seq, digest),
    )
    if not rows:
        return None
    row = rows[0]
    return Stored(row["receipt_no"], row["stored_at"], row["reason"] if row["verdict"] == Verdict.QUARANTINED else None)


def in_place(tx: Transaction, place: Place) -> tuple[bytes, Stored] | None:
    """Digest and record of the packet that stands in the chain at a place, here or in the cluster before."""
    spot = (place.key.device_id, place.key.lane, place.key.epoch, place.seq)
    rows = tx.execute(
        "SELECT digest, receipt_no, stored_at, verdict, reason FROM packets"
        " WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ? AND in_chain = 1",
        spot,
    )
    rows = rows or tx.execute(
        "SELECT digest, receipt_no, stored_at, verdict, reason FROM stored_elsewhere"
        " WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ? AND verdict <> 'quarantined'",
        spot,
    )
    if not rows:
        return None
    row = rows[0]
    held_because = row["reason"] if row["verdict"] == Verdict.QUARANTINED else None
    return bytes(row["digest"]), Stored(row["receipt_no"], row["stored_at"], held_because)


def kept_at(tx: Transaction, place: Place) -> int:
    """How many packets are stored under one place."""
    rows = tx.execute(
        "SELECT count(*) AS n FROM packets WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ?",
        (place.key.device_id, place.key.lane, place.key.epoch, place.seq),
    )
    return int(rows[0]["n"])


def stand_in(tx: Transaction, place: Place) -> StandIn | None:
    """Whether spoilt bytes hold a place, and what belongs there."""
    rows = tx.execute(
        "SELECT expected FROM stand_ins WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ?",
        (place.key.device_id, place.key.lane, place.key.epoch, place.seq),
    )
    if not rows:
        return None
    expected = rows[0]["expected"]
    return StandIn(None if expected is None else bytes(expected))


def note_stand_in(tx: Transaction, place: Place, expected: bytes | None) -> None:
    """Spoilt bytes hold this place; ``expected`` is the digest its authentic successor names, where there is one."""
    tx.execute(
        "INSERT INTO stand_ins (device_id, lane, epoch, seq, expected) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (place.key.device_id, place.key.lane, place.key.epoch, place.seq, expected),
    )


def note_gone(tx: Transaction, key: LaneKey, first: int, last: int, expected: bytes | None) -> None:
    """Nothing holds these places, and the chain goes on; ``expected`` is the digest the packet behind the last names.

    Places like those that spoilt bytes hold: should a packet turn up after all, it is known by its digest.
    """
    tx.execute_many(
        "INSERT INTO stand_ins (device_id, lane, epoch, seq, expected) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (key.device_id, key.lane, key.epoch, seq, expected if seq == last else None)
            for seq in range(first, last + 1)
        ],
    )


def replace_stand_in(tx: Transaction, place: Place, prev_hash: bytes) -> None:
    """The true packet has come: the spoilt bytes stay as evidence aside, and what precedes them is known now, too."""
    spot = (place.key.device_id, place.key.lane, place.key.epoch)
    tx.execute(
        "UPDATE packets SET in_chain = 0 WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ? AND in_chain = 1",
        (*spot, place.seq),
    )
    tx.execute(
        "DELETE FROM stand_ins WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ?",
        (*spot, place.seq),
    )
    tx.execute(
        "UPDATE stand_ins SET expected = ? WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ?"
        " AND expected IS NULL",
        (prev_hash, *spot, place.seq - 1),
    )


@dataclass(frozen=True, slots=True)
class PacketRow:
    """One envelope to be stored exactly as it came."""

    receipt_no: int
    place: Place
    packet: Checked
    _: KW_ONLY
    in_chain: bool
    verdict: Verdict
    reason: str | None
    now_ms: int

    def values(self) -> tuple[Value, ...]:
        """In the order of :data:`INSERT`; what a header says that could not be read or proved is left empty."""
        key, packet, header = self.place.key, self.packet, self.packet.header
        created = header.created if header else None
        return (
            self.receipt_no,
            key.device_id,
            key.lane.value,
            key.epoch,
            self.place.seq,
            int(self.in_chain),
            packet.digest,
            packet.envelope,
            self.verdict.value,
            self.reason,
            self.now_ms,
            packet.signer_kid,
            to_ms(created.wall_utc) if created else None,
            created.monotonic_ns if created else None,
            created.boot_id if created else None,
            created.clock_offset_ms if created else None,
            created.clock_error_ms if created else None,
            Opening.WAITING.value if self.verdict is Verdict.ACCEPTED else Opening.HELD.value,
        )


def insert(tx: Transaction, rows: Sequence[PacketRow]) -> None:
    """Store envelopes."""
    if rows:
        tx.write(INSERT, [row.values() for row in rows])


def alarm(tx: Transaction, kind: Alarm, place: Place, now_ms: int, *, last_seq: int | None = None) -> None:
    """Raise an alarm once for each place; ``last_seq`` where it is about several, of which that is the last."""
    tx.execute(
        "INSERT INTO alarms (at, device_id, kind, lane, epoch, seq, last_seq) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (now_ms, place.key.device_id, kind, place.key.lane, place.key.epoch, place.seq, last_seq),
    )


def alarms(ledger: Ledger) -> list[Row]:
    """All alarms, newest first."""
    return ledger.read("SELECT * FROM alarms ORDER BY alarm_no DESC")


def quarantined(ledger: Ledger) -> list[Row]:
    """Every packet in custody that is not on its way to the desk, with the reason; oldest first."""
    return ledger.read(
        "SELECT receipt_no, device_id, lane, epoch, seq, digest, verdict, stored_at, opening,"
        " COALESCE(opening_reason, reason) AS reason, length(envelope) AS bytes FROM packets"
        " WHERE opening IN ('HELD', 'QUARANTINED') ORDER BY receipt_no"
    )
