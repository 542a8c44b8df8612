"""The rows of custody: lanes with their heads, packets as they came, alarms. Used inside one ledger transaction."""

from dataclasses import dataclass
from enum import StrEnum

from head_office.checks import LaneHead
from head_office.ledger.base import Ledger, Row, Transaction
from sync.envelope import FIRST_SEQ, NO_HASH, Header, Lane
from sync.receipt import Verdict

MOST_EPOCHS = 64  # A reinstall a month for five years; more is a device that fills our tables.


class Opening(StrEnum):
    """How far a stored packet has come towards the desk."""

    WAITING = "WAITING"
    """To be decrypted by the opening worker."""
    OPENED = "OPENED"
    """Its claim is on the desk."""
    HELD = "HELD"
    """Quarantined when it came: not opened. There is no command that releases one; see docs/head-office.md."""
    QUARANTINED = "QUARANTINED"
    """The worker could not make a claim of it; the reason stands beside."""


class Alarm(StrEnum):
    """What a person has to look at."""

    FORK = "fork"
    CHAIN_BROKEN = "chain_broken"
    UNREADABLE = "unreadable"
    NEW_EPOCH = "new_epoch"
    ROLLED_BACK = "rolled_back"
    TOO_MANY_EPOCHS = "too_many_epochs"
    PACKET_ID_REUSED = "packet_id_reused"


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


def receipt_name(receipt_no: int) -> str:
    """The number as receipts, desk and command line show it."""
    return f"R-{receipt_no:09d}"


def lane_head(tx: Transaction, key: LaneKey) -> LaneHead | None:
    rows = tx.execute(
        "SELECT next_seq, head_hash, frozen_reason FROM lanes WHERE device_id = ? AND lane = ? AND epoch = ?",
        (key.device_id, key.lane, key.epoch),
    )
    if not rows:
        return None
    return LaneHead(rows[0]["next_seq"], bytes(rows[0]["head_hash"]), rows[0]["frozen_reason"] is not None)


def open_lane(tx: Transaction, key: LaneKey, now_ms: int) -> None:
    """Begin a chain that was announced; an alarm when the lane had another epoch before."""
    earlier = tx.execute("SELECT count(*) AS n FROM lanes WHERE device_id = ? AND lane = ?", (key.device_id, key.lane))
    if earlier[0]["n"] >= MOST_EPOCHS:
        alarm(tx, Alarm.TOO_MANY_EPOCHS, Place(key, FIRST_SEQ), now_ms)
        return
    tx.execute(
        "INSERT INTO lanes (device_id, lane, epoch, next_seq, head_hash, opened_at) VALUES (?, ?, ?, ?, ?, ?)",
        (key.device_id, key.lane, key.epoch, FIRST_SEQ, NO_HASH, now_ms),
    )
    if earlier[0]["n"]:
        alarm(tx, Alarm.NEW_EPOCH, Place(key, FIRST_SEQ), now_ms)


def advance(tx: Transaction, key: LaneKey, head: LaneHead) -> None:
    tx.execute(
        "UPDATE lanes SET next_seq = ?, head_hash = ? WHERE device_id = ? AND lane = ? AND epoch = ?",
        (head.next_seq, head.head_hash, key.device_id, key.lane, key.epoch),
    )


def freeze(tx: Transaction, key: LaneKey, reason: str) -> None:
    """The head stays where it is; whatever follows is set aside. Nothing here ends it: a new epoch, or a new device."""
    tx.execute(
        "UPDATE lanes SET frozen_reason = ? WHERE device_id = ? AND lane = ? AND epoch = ?",
        (reason, key.device_id, key.lane, key.epoch),
    )


def stored(tx: Transaction, place: Place, digest: bytes) -> Stored | None:
    """These very bytes, if they are here already: in the chain or set aside."""
    rows = tx.execute(
        "SELECT receipt_no, stored_at, verdict, reason FROM packets"
        " WHERE device_id = ? AND lane = ? AND epoch = ? AND seq = ? AND digest = ?",
        (place.key.device_id, place.key.lane, place.key.epoch, place.seq, digest),
    )
    if not rows:
        return None
    row = rows[0]
    return Stored(row["receipt_no"], row["stored_at"], row["reason"] if row["verdict"] == Verdict.QUARANTINED else None)


def take(
    tx: Transaction,
    place: Place,
    envelope: bytes,
    digest: bytes,
    *,
    in_chain: bool,
    verdict: Verdict,
    reason: str | None,
    now_ms: int,
    header: Header | None,
    signer_kid: bytes | None,
) -> Stored:
    """Store an envelope exactly as it came. ``header`` is None when it could not be read or was not authentic."""
    created = header.created if header else None
    rows = tx.execute(
        "INSERT INTO packets (device_id, lane, epoch, seq, in_chain, digest, envelope, verdict, reason, stored_at,"
        " signer_kid, created_wall, created_monotonic_ns, created_boot_id, clock_offset_ms, clock_error_ms, opening)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING receipt_no",
        (
            place.key.device_id,
            place.key.lane,
            place.key.epoch,
            place.seq,
            int(in_chain),
            digest,
            envelope,
            verdict,
            reason,
            now_ms,
            signer_kid,
            round(created.wall_utc.timestamp() * 1000) if created else None,
            created.monotonic_ns if created else None,
            created.boot_id if created else None,
            created.clock_offset_ms if created else None,
            created.clock_error_ms if created else None,
            Opening.WAITING if verdict is Verdict.ACCEPTED else Opening.HELD,
        ),
    )
    return Stored(rows[0]["receipt_no"], now_ms, reason if verdict is Verdict.QUARANTINED else None)


def alarm(tx: Transaction, kind: Alarm, place: Place, now_ms: int) -> None:
    """Raise an alarm once for each place."""
    tx.execute(
        "INSERT INTO alarms (at, device_id, kind, lane, epoch, seq) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (now_ms, place.key.device_id, kind, place.key.lane, place.key.epoch, place.seq),
    )


def alarms(ledger: Ledger) -> list[Row]:
    """All alarms, newest first."""
    return ledger.read("SELECT * FROM alarms ORDER BY alarm_no DESC")


def quarantined(ledger: Ledger) -> list[Row]:
    """Every packet that is not on its way to the desk, with the reason; oldest first."""
    return ledger.read(
        "SELECT receipt_no, device_id, lane, epoch, seq, digest, verdict, stored_at, opening,"
        " COALESCE(opening_reason, reason) AS reason, length(envelope) AS bytes FROM packets"
        " WHERE verdict = ? OR opening = ? ORDER BY receipt_no",
        (Verdict.QUARANTINED, Opening.QUARANTINED),
    )
