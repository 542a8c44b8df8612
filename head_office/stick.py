"""Batches that come on a stick, and the receipts that go back on one.

A file is taken exactly as a request is, by its own signatures; who carried it does not matter, nor how often. The
receipt is kept here as well, because the stick that goes back may be another one.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from head_office import audit
from head_office.checks import Placement
from head_office.errors import RefusedError
from head_office.ledger.base import Ledger
from head_office.moment import Clock, to_ms
from sync.errors import StickError, StickFileError
from sync.receipt import Receipt, Verdict, read_receipt
from sync.stick import FileName, Kind
from sync.stick_folder import StickFolder

log = logging.getLogger(__name__)

GAP = Placement.GAP.value
KEPT_MS = 365 * 24 * 3_600_000
"""A receipt not fetched in a year is for a stick that is lost. It can be made again from the same batch at any time."""


@dataclass
class Taken:
    """What an import came to."""

    batches: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """File and reason: a stable word."""
    foreign: int = 0
    unfinished: int = 0
    more: bool = False


@dataclass
class Given:
    """What went back onto a stick."""

    written: int = 0
    there: int = 0
    not_imported: list[str] = field(default_factory=list)
    """Batches on this stick that nobody imported yet."""


def take(folder: StickFolder, receive: Callable[[bytes], bytes], ledger: Ledger, clock: Clock, *, by: str) -> Taken:
    """Take every batch on the stick; nothing on it is changed.

    ``receive`` is what a request goes through: it returns once everything is durable. Raises StickError when the
    stick fails and LedgerError when nothing can be stored; what was taken before that stays taken.
    """
    listing = folder.look()
    told = Taken(foreign=listing.foreign, unfinished=listing.unfinished, more=listing.more)
    waiting = list(listing.of(Kind.BATCH))
    answers: dict[str, Counter[Verdict]] = {}
    moved = True
    while waiting and moved:
        # A file whose packets stand behind a gap is tried again once another file has filled it: names only suggest
        # an order, and files come from several exports.
        behind, moved = [], False
        for name, spelling in waiting:
            receipt = _take_one(folder, spelling, receive, told)
            if receipt is None:
                continue
            content = read_receipt(receipt)
            _keep(ledger, content, name.number, receipt, to_ms(clock()))
            answers[spelling] = Counter(verdict.verdict for verdict in content.verdicts)
            moved |= answers[spelling][Verdict.ACCEPTED] > 0
            if any(verdict.reason == GAP for verdict in content.verdicts):
                behind.append((name, spelling))
        waiting = behind
    told.batches = len(answers)
    told.verdicts = sum(answers.values(), Counter())
    with ledger.transaction() as tx:
        tx.execute("DELETE FROM carried_receipts WHERE made_at < ?", (to_ms(clock()) - KEPT_MS,))
        audit.record(tx, at_ms=to_ms(clock()), who=by, act="stick_imported", batches=told.batches)
    return told


def _take_one(folder: StickFolder, spelling: str, receive: Callable[[bytes], bytes], told: Taken) -> bytes | None:
    try:
        return receive(folder.read(spelling, Kind.BATCH))
    except StickFileError as error:
        reason = error.refusal.value
    except RefusedError as error:
        reason = error.code
    except StickError:
        folder.look()  # raises when the stick is gone; otherwise only this file cannot be read
        reason = "unreadable"
    log.warning("a file on the stick was left out: %s", reason)
    told.skipped.append((spelling, reason))
    return None


def _keep(ledger: Ledger, content: Receipt, number: int, receipt: bytes, now_ms: int) -> None:
    with ledger.transaction() as tx:
        tx.execute(
            "INSERT INTO carried_receipts (device_id, nonce, number, receipt, made_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (device_id, nonce) DO UPDATE SET receipt = excluded.receipt, made_at = excluded.made_at",
            (content.device_id, content.nonce, number, receipt, now_ms),
        )


def give(folder: StickFolder, ledger: Ledger, devices: Sequence[str]) -> Given:
    """Write the receipt of every batch that lies on the stick, and every receipt kept for ``devices``.

    Raises StickError, by cause; what was written before is whole.
    """
    folder.sweep()
    listing = folder.look()
    there = dict(listing.of(Kind.RECEIPT))
    told = Given()
    for name, spelling in listing.of(Kind.BATCH):
        rows = ledger.read(
            "SELECT receipt FROM carried_receipts WHERE device_id = ? AND nonce = ?", (name.device_id, name.nonce)
        )
        if rows:
            _give_one(folder, name.answered(), there, bytes(rows[0]["receipt"]), told)
        else:
            told.not_imported.append(spelling)
    for device_id in devices:
        # Names first, then one receipt at a time: a year of a device's receipts need not fit into memory.
        for row in ledger.read("SELECT nonce, number FROM carried_receipts WHERE device_id = ?", (device_id,)):
            name = FileName(device_id, row["number"], bytes(row["nonce"]), Kind.RECEIPT)
            if name in there:
                continue
            kept = ledger.read(
                "SELECT receipt FROM carried_receipts WHERE device_id = ? AND nonce = ?", (device_id, name.nonce)
            )
            _give_one(folder, name, there, bytes(kept[0]["receipt"]), told)
    return told


def _give_one(folder: StickFolder, name: FileName, there: dict[FileName, str], receipt: bytes, told: Given) -> None:
    """Put one receipt on the stick; an older answer to the same batch makes room for this one."""
    spelling = there.get(name)
    if spelling is not None:
        try:
            if folder.read(spelling, Kind.RECEIPT) == receipt:
                told.there += 1
                return
        except StickFileError:
            log.warning("a spoilt receipt on the stick is written again")
        folder.remove([spelling])
    folder.write(name, receipt)
    there[name] = str(name)
    told.written += 1
