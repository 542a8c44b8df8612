"""What a verified receipt changes in the queue: the one place where a packet may leave the device's custody.

A packet is acknowledged by its own verdict and by nothing else: signed, in custody, and over the very bytes that
are stored here; or, where these have rotted, over the bytes that were sealed, whose digest was written down with them.
Head office's chain heads are cumulative and could acknowledge whole runs at once; they are used
to find out that a device was restored or cloned, and not for that. Head office may have bridged a place whose
bytes were spoilt on the way (behind a proxy TLS does not protect them), and then its head speaks well of a chain
in which our packet is missing. After a lost reply the packets are sent again, and each gets its verdict.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sync.edge import chains
from sync.edge.chains import Chain
from sync.edge.database import Row, Transaction
from sync.edge.outbox_row import OutboxRow, from_columns, row_id
from sync.envelope import FIRST_SEQ, NO_HASH, Lane
from sync.errors import Refusal
from sync.receipt import TWO_HISTORIES, PacketVerdict, Receipt, Verdict, VerifiedReceipt
from sync.records import milliseconds

OTHER_BYTES = "other_bytes"
"""A verdict on this place, and not on what is stored in it."""
OLDER_RECEIPT = "older_receipt"
"""Head office asked for the packet again after it had signed this."""
NOT_IN_RECEIPT = "not_in_receipt"
"""Sent, and no verdict named it: nothing could be read of it."""
SUCCESSOR_FIRST = "successor_first"
"""Head office's word where spoilt bytes hold this place and the next one."""
_READY_AT = (
    "SELECT r.id, chain, digest, resent_after, bytes FROM outbox_chains c"
    " JOIN outbox_rows r ON r.id = (c.id << 40) + ?"
    " JOIN outbox_envelopes e ON e.id = coalesce(r.envelope, r.id)"
    " WHERE lane = ? AND epoch = ? AND chain = c.id AND state = 'READY'"
)
WANT_THEIR_SUCCESSOR = frozenset((*Refusal, NOT_IN_RECEIPT, SUCCESSOR_FIRST)) - {Refusal.UNKNOWN_VERSION}
"""Why a packet was left that head office can place only together with the one behind it. Where it knows a later
version by the device's signature it knows the place, too, and no other packet helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a receipt changed."""

    acked: tuple[OutboxRow, ...]
    """In custody now, the quarantined ones included (see ``verdict``)."""
    dead: tuple[OutboxRow, ...]
    left: Mapping[int, str]
    """Row id → reason of every packet head office named and did not take: to be sent again later."""
    forked: tuple[Lane, ...]
    """Lanes where head office's chain is not a beginning of ours, or is frozen over two histories: this device, or
    another with its key, was restored or cloned."""


def settle(tx: Transaction, receipt: VerifiedReceipt, now_ms: int, export: int | None = None) -> Settlement:
    """Take over, inside the caller's transaction, what head office has signed for.

    ``export`` is the running number of the stick it answers: what head office asked for again since then it has lost
    since then, whatever it signed before.
    """
    acked: list[OutboxRow] = []
    dead: list[OutboxRow] = []
    left: dict[int, str] = {}
    moved: set[int] = set()
    evidence = _Evidence(tx, receipt, now_ms)
    for verdict in receipt.content.verdicts:
        row = tx.execute(_READY_AT, (verdict.seq, verdict.lane.value, verdict.epoch)).fetchone()
        if row is None:
            continue  # settled by an earlier receipt, or never ours
        if export is not None and row["resent_after"] is not None and export <= row["resent_after"]:
            left[row["id"]] = OLDER_RECEIPT
        elif not _is_over_ours(row, verdict):
            left[row["id"]] = OTHER_BYTES
        elif verdict.verdict.in_custody:
            _acknowledge(tx, row["id"], verdict, evidence.row_id(), milliseconds(receipt.content.server_time))
            acked.append(_again(tx, row["id"]))
            left.pop(row["id"], None)
            moved.add(row["chain"])
        elif verdict.verdict is Verdict.NOT_YOURS:
            tx.execute(
                "UPDATE outbox_rows SET state = 'DEAD', verdict = ?, reason = ? WHERE id = ?",
                (verdict.verdict.value, verdict.reason, row["id"]),
            )
            dead.append(_again(tx, row["id"]))
            moved.add(row["chain"])
        else:
            left[row["id"]] = verdict.reason or verdict.verdict.value
    for chain in moved:
        chains.advance(tx, chain)
    forked = tuple(lane for lane in Lane if _is_fork(tx, lane, receipt.content) or _is_frozen(tx, lane))
    return Settlement(acked=tuple(acked), dead=tuple(dead), left=left, forked=forked)


def _is_over_ours(row: Row, verdict: PacketVerdict) -> bool:
    """Whether a verdict is over the bytes in this row, or has those in custody that were sealed into it.

    The second is for bytes that rotted here after head office had stored them and its reply was lost.
    """
    here, sealed = hashlib.sha256(row["bytes"]).digest(), bytes(row["digest"])
    return verdict.digest == here or (verdict.digest == sealed and here != sealed and verdict.verdict.in_custody)


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


def _acknowledge(tx: Transaction, row_id: int, verdict: PacketVerdict, receipt_id: int, signed_ms: int) -> None:
    """``signed_ms`` is head office's own time in the receipt: retention runs from it, whatever this machine's clock."""
    assert verdict.stored_at is not None  # a verdict of custody has its time, or it could not have been read
    tx.execute(
        "UPDATE outbox_rows SET state = 'ACKED', receipt_id = ?, acked_at_ms = ?, last_error = NULL,"
        " verdict = ?, reason = ?, receipt_no = ?, stored_at_ms = ? WHERE id = ?",
        (
            receipt_id,
            signed_ms,
            verdict.verdict.value,
            verdict.reason,
            verdict.receipt_no,
            milliseconds(verdict.stored_at),
            row_id,
        ),
    )


def _is_fork(tx: Transaction, lane: Lane, receipt: Receipt) -> bool:
    """Whether head office's chain of this lane, under whatever epoch, can not be a beginning of ours."""
    for theirs in receipt.lanes:
        ours = chains.find(tx, lane, theirs.epoch) if theirs.lane is lane else None
        if ours is None:
            continue  # another lane, or a chain of a file that was set aside
        if theirs.next_seq > ours.next_seq or _digest_at(tx, ours, theirs.next_seq - 1) != theirs.head_hash:
            return True
    return False


def _is_frozen(tx: Transaction, lane: Lane) -> bool:
    """Whether head office set our last packet of this lane aside over two histories.

    Its head alone does not tell the machine that was there first: that one's chain is the one head office knows. It
    stays so from round to round until head office accepts one again, or another chain was begun.
    """
    last = tx.execute(
        "SELECT verdict, reason FROM outbox_rows WHERE chain = ? AND verdict IS NOT NULL ORDER BY id DESC LIMIT 1",
        (chains.current(tx, lane).id,),
    ).fetchone()
    return last is not None and last["verdict"] == Verdict.QUARANTINED and last["reason"] in TWO_HISTORIES


def _digest_at(tx: Transaction, ours: Chain, seq: int) -> bytes | None:
    if seq < FIRST_SEQ:
        return NO_HASH
    row = tx.execute("SELECT digest FROM outbox_rows WHERE id = ?", (row_id(ours.id, seq),)).fetchone()
    return None if row is None else bytes(row["digest"])


def _again(tx: Transaction, row_id: int) -> OutboxRow:
    return from_columns(tx.execute("SELECT * FROM outbox_stubs WHERE id = ?", (row_id,)).fetchone())
