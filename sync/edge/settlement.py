"""What a verified receipt changes in the queue: the one place where a packet may leave the device's custody."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sync.edge.database import Row, Transaction
from sync.edge.outbox_row import OutboxRow, RowState, from_columns
from sync.envelope import FIRST_SEQ, NO_HASH, Lane
from sync.receipt import LaneHead, PacketVerdict, Receipt, Verdict, VerifiedReceipt
from sync.records import milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a receipt changed."""

    acked: tuple[OutboxRow, ...]
    """In custody now, the quarantined ones included (see ``verdict``)."""
    dead: tuple[OutboxRow, ...]
    left: tuple[OutboxRow, ...]
    """Named in the receipt and still READY: to be sent again later."""
    forked: tuple[Lane, ...]
    """Lanes where head office's chain is not ours; nothing in them was touched."""


def settle(tx: Transaction, receipt: VerifiedReceipt, now_ms: int) -> Settlement:
    """Take over, inside the caller's transaction, what head office has signed for.

    A row becomes ACKED when head office's chain includes it: the head hash it signed is the digest of our packet
    at that place, and each packet carries the digest of the one before. What is stored here must still have that
    digest, and a verdict must name the very same bytes. A chain that is not ours changes nothing.
    """
    acked: list[OutboxRow] = []
    dead: list[OutboxRow] = []
    forked: list[Lane] = []
    evidence = _Evidence(tx, receipt, now_ms)
    for lane in Lane:
        ours = tx.execute("SELECT * FROM outbox_lanes WHERE lane = ?", (lane.value,)).fetchone()
        theirs = _head_of(receipt.content, lane, ours["epoch"])
        verdicts = {v.seq: v for v in receipt.content.verdicts if v.lane is lane and v.epoch == ours["epoch"]}
        if _is_fork(tx, ours, theirs, verdicts):
            forked.append(lane)
            continue
        for row in _in_their_chain(tx, lane, ours["epoch"], theirs):
            _acknowledge(tx, row, verdicts.get(row["seq"]), evidence.row_id(), now_ms)
            acked.append(_again(tx, row))
        for row in _refused_for_good(tx, lane, ours["epoch"], verdicts):
            reason = verdicts[row["seq"]].reason
            tx.execute(
                "UPDATE outbox_rows SET state = 'DEAD', verdict = ?, reason = ? WHERE id = ?",
                (Verdict.NOT_YOURS.value, reason, row["id"]),
            )
            dead.append(_again(tx, row))
    return Settlement(
        acked=tuple(acked), dead=tuple(dead), left=_named_and_ready(tx, receipt.content), forked=tuple(forked)
    )


class _Evidence:
    """The receipt itself, kept once if it acknowledges anything, not at all if it does not."""

    def __init__(self, tx: Transaction, receipt: VerifiedReceipt, now_ms: int) -> None:
        self._tx, self._receipt, self._now_ms = tx, receipt, now_ms
        self._row_id: int | None = None

    def row_id(self) -> int:
        if self._row_id is None:
            self._row_id = self._tx.execute(
                "INSERT INTO outbox_receipts (received_at_ms, kid, raw) VALUES (?, ?, ?)",
                (self._now_ms, self._receipt.kid, self._receipt.raw),
            ).lastrowid
        assert self._row_id is not None
        return self._row_id


def _head_of(receipt: Receipt, lane: Lane, epoch: bytes) -> LaneHead | None:
    return next((head for head in receipt.lanes if head.lane is lane and head.epoch == epoch), None)


def _is_fork(tx: Transaction, ours: Row, theirs: LaneHead | None, verdicts: Mapping[int, PacketVerdict]) -> bool:
    """Whether head office's chain of this lane can not be a beginning of ours.

    Then this device was restored from a copy, or cloned: acknowledging by number would lose packets.
    """
    if theirs is None:
        # Custody without saying where its chain stands proves nothing; custody of nothing is no fork.
        return any(verdict.verdict.in_custody for verdict in verdicts.values())
    if theirs.next_seq > ours["next_seq"]:
        return True
    if _digest_at(tx, ours, theirs.next_seq - 1) != theirs.head_hash:
        return True
    for seq, verdict in verdicts.items():
        if verdict.verdict.in_custody and (seq >= theirs.next_seq or verdict.digest != _digest_at(tx, ours, seq)):
            return True
    return False


def _digest_at(tx: Transaction, ours: Row, seq: int) -> bytes | None:
    if seq < FIRST_SEQ:
        return NO_HASH
    row = tx.execute(
        "SELECT digest FROM outbox_rows WHERE lane = ? AND epoch = ? AND seq = ?", (ours["lane"], ours["epoch"], seq)
    ).fetchone()
    return None if row is None else bytes(row["digest"])


def _in_their_chain(tx: Transaction, lane: Lane, epoch: bytes, theirs: LaneHead | None) -> list[Row]:
    """READY rows head office's chain includes, whose stored bytes still are the ones that were sealed."""
    if theirs is None:
        return []
    rows = tx.execute(
        "SELECT id, seq, digest, envelope FROM outbox_rows"
        " WHERE lane = ? AND state = 'READY' AND epoch = ? AND seq < ? ORDER BY id",
        (lane.value, epoch, theirs.next_seq),
    )
    return [row for row in rows if hashlib.sha256(row["envelope"]).digest() == row["digest"]]


def _acknowledge(tx: Transaction, row: Row, verdict: PacketVerdict | None, receipt_id: int, now_ms: int) -> None:
    stored_at = None if verdict is None or verdict.stored_at is None else milliseconds(verdict.stored_at)
    tx.execute(
        "UPDATE outbox_rows SET state = 'ACKED', receipt_id = ?, acked_at_ms = ?, last_error = NULL,"
        " verdict = ?, reason = ?, receipt_no = ?, stored_at_ms = ? WHERE id = ? AND state = 'READY'",
        (
            receipt_id,
            now_ms,
            None if verdict is None else verdict.verdict.value,
            None if verdict is None else verdict.reason,
            None if verdict is None else verdict.receipt_no,
            stored_at,
            row["id"],
        ),
    )


def _refused_for_good(tx: Transaction, lane: Lane, epoch: bytes, verdicts: Mapping[int, PacketVerdict]) -> list[Row]:
    refused = [seq for seq, verdict in verdicts.items() if verdict.verdict is Verdict.NOT_YOURS]
    found: list[Row] = []
    for seq in sorted(refused):
        row = tx.execute(
            "SELECT id, seq, digest FROM outbox_rows WHERE lane = ? AND epoch = ? AND seq = ? AND state = 'READY'",
            (lane.value, epoch, seq),
        ).fetchone()
        # The verdict must speak of these bytes, not of whatever else bore the number.
        if row is not None and row["digest"] == verdicts[seq].digest:
            found.append(row)
    return found


def _named_and_ready(tx: Transaction, receipt: Receipt) -> tuple[OutboxRow, ...]:
    left: list[OutboxRow] = []
    for verdict in receipt.verdicts:
        row = tx.execute(
            "SELECT * FROM outbox_stubs WHERE lane = ? AND epoch = ? AND seq = ? AND state = ?",
            (verdict.lane.value, verdict.epoch, verdict.seq, RowState.READY.value),
        ).fetchone()
        if row is not None:
            left.append(from_columns(row))
    return tuple(left)


def _again(tx: Transaction, row: Row) -> OutboxRow:
    found = tx.execute("SELECT * FROM outbox_stubs WHERE id = ?", (row["id"],)).fetchone()
    return from_columns(found)
