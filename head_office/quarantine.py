"""What came and is on nobody's desk: listed with its reason, released or discarded by two people.

Three kinds, in one list:

*kept by the device*   not taken, still there: a gap before it, a key not known here, bytes that cannot be read
*held*                 in custody as it came, not opened: forks, broken chains, spoilt bytes
*set aside*            opened in vain: another recipient, a later version, a packet id used twice

Nothing here changes a stored packet. A release sends it to the opening worker once more; a discard takes it off the
list and keeps it.
"""

from dataclasses import dataclass
from enum import StrEnum

from head_office import audit
from head_office.custody import Opening, receipt_name
from head_office.errors import HeadOfficeError
from head_office.ledger.base import Ledger, Row, Transaction
from head_office.moment import Clock, to_ms
from sync.receipt import Verdict

MOST_REFUSALS = 256  # Kept for each device: more is one fault, seen many times.

LISTED = (
    "SELECT p.receipt_no, p.device_id, p.lane, p.epoch, p.seq, p.digest, p.stored_at AS at, p.opening,"
    " COALESCE(p.opening_reason, p.reason) AS reason, length(p.envelope) AS bytes, r.act AS asked, r.asked_by"
    " FROM packets p LEFT JOIN releases r ON r.receipt_no = p.receipt_no AND r.confirmed_at IS NULL"
    " WHERE p.opening IN ('HELD', 'QUARANTINED') ORDER BY p.receipt_no"
)
NOT_TAKEN = (
    "SELECT r.* FROM refusals r WHERE NOT EXISTS (SELECT 1 FROM packets p WHERE p.device_id = r.device_id"
    " AND p.lane = r.lane AND p.epoch = r.epoch AND p.seq = r.seq AND p.digest = r.digest) ORDER BY r.first_at"
)


class Act(StrEnum):
    """What two people can agree on."""

    RELEASE = "release"
    DISCARD = "discard"


class NotInQuarantineError(HeadOfficeError):
    """No packet of that number is in quarantine."""

    code = "not_in_quarantine"

    def __init__(self, receipt: str) -> None:
        super().__init__(f"{receipt} is not in quarantine; `mpos-head-office quarantine list` shows what is")


class SecondPersonError(HeadOfficeError):
    """Whoever asked cannot confirm."""

    code = "second_person"

    def __init__(self, asked_by: str) -> None:
        super().__init__(f"{asked_by} asked for it; somebody else has to confirm")


class NothingAskedError(HeadOfficeError):
    """There is nothing to confirm, or something was asked already."""

    code = "nothing_asked"


@dataclass(frozen=True, slots=True)
class Entry:
    """One packet that is on nobody's desk; ``receipt`` is None when the device still has it."""

    receipt: str | None
    device_id: str
    lane: str | None
    epoch: bytes | None
    seq: int | None
    reason: str
    state: str
    size: int
    digest: bytes
    at_ms: int
    times: int
    asked: str | None
    """``release by NAME`` while it waits for a second person."""


def note_refusal(
    tx: Transaction,
    device_id: str,
    digest: bytes,
    *,
    reason: str,
    place: tuple[str, bytes, int] | None,
    size: int,
    now_ms: int,
) -> None:
    """Remember a packet that was not taken; ``place`` is lane, epoch and seq where they could be read."""
    lane, epoch, seq = place or (None, None, None)
    tx.execute(
        "INSERT INTO refusals (device_id, digest, reason, lane, epoch, seq, bytes, first_at, last_at, times)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (device_id, digest) DO UPDATE SET"
        " reason = excluded.reason, last_at = excluded.last_at, times = refusals.times + 1",
        (device_id, digest, reason, lane, epoch, seq, size, now_ms, now_ms),
    )


def trim_refusals(tx: Transaction, device_id: str) -> None:
    """Keep the newest: a device that sends rubbish must not fill the ledger with what is said of it."""
    tx.execute(
        "DELETE FROM refusals WHERE device_id = ? AND digest NOT IN (SELECT digest FROM refusals WHERE device_id = ?"
        " ORDER BY last_at DESC, times DESC LIMIT ?)",
        (device_id, device_id, MOST_REFUSALS),
    )


def entries(ledger: Ledger) -> list[Entry]:
    """Everything that is on nobody's desk and should be, oldest first; what is in custody before the rest."""
    held = [
        Entry(
            receipt_name(row["receipt_no"]), row["device_id"], row["lane"], bytes(row["epoch"]), row["seq"],
            row["reason"], "held" if row["opening"] == Opening.HELD else "set_aside", row["bytes"],
            bytes(row["digest"]), row["at"], 1, f"{row['asked']} by {row['asked_by']}" if row["asked"] else None,
        )
        for row in ledger.read(LISTED)
    ]  # fmt: skip
    kept = [
        Entry(
            None, row["device_id"], row["lane"], bytes(row["epoch"]) if row["epoch"] else None, row["seq"],
            row["reason"], "kept_by_device", row["bytes"], bytes(row["digest"]), row["last_at"], row["times"], None,
        )
        for row in ledger.read(NOT_TAKEN)
    ]  # fmt: skip
    return held + kept


class Quarantine:
    """What two people do about one packet; each step is an act on record."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock

    def packet(self, receipt_no: int) -> Row:
        """The packet's row, envelope and all, and what was asked and confirmed. Raises NotInQuarantineError."""
        rows = self._ledger.read("SELECT * FROM packets WHERE receipt_no = ?", (receipt_no,))
        if not rows or (rows[0]["verdict"] != Verdict.QUARANTINED and rows[0]["opening"] != Opening.QUARANTINED):
            raise NotInQuarantineError(receipt_name(receipt_no))
        return rows[0]

    def history(self, receipt_no: int) -> list[Row]:
        """What was asked for a packet and who confirmed it, oldest first."""
        return self._ledger.read("SELECT * FROM releases WHERE receipt_no = ? ORDER BY release_no", (receipt_no,))

    def ask(self, receipt_no: int, act: Act, reason: str, *, by: str) -> None:
        """One person wants it released or discarded. Raises NotInQuarantineError or NothingAskedError."""
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            row = _locked(tx, receipt_no)
            if _asked(tx, receipt_no):
                raise NothingAskedError(f"something is asked for {receipt_name(receipt_no)} already; withdraw it first")
            tx.execute(
                "INSERT INTO releases (receipt_no, device_id, act, reason, asked_by, asked_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (receipt_no, row["device_id"], act.value, reason, by, now_ms),
            )
            audit.record(tx, at_ms=now_ms, who=by, act=f"quarantine_{act.value}_asked", receipt=receipt_no)

    def confirm(self, receipt_no: int, *, by: str) -> Act:
        """A second person agrees, and it is done. Raises SecondPersonError, NothingAskedError, NotInQuarantineError."""
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            row = _locked(tx, receipt_no)
            asked = _asked(tx, receipt_no)
            if not asked:
                raise NothingAskedError(f"nobody has asked anything for {receipt_name(receipt_no)}")
            if asked[0]["asked_by"] == by:
                raise SecondPersonError(by)
            act = Act(asked[0]["act"])
            tx.execute(
                "UPDATE releases SET confirmed_by = ?, confirmed_at = ? WHERE release_no = ?",
                (by, now_ms, asked[0]["release_no"]),
            )
            state = Opening.WAITING if act is Act.RELEASE else Opening.DISCARDED
            tx.execute(
                "UPDATE packets SET opening = ?, opening_reason = NULL WHERE receipt_no = ? AND device_id = ?",
                (state.value, receipt_no, row["device_id"]),
            )
            audit.record(tx, at_ms=now_ms, who=by, act=f"quarantine_{act.value}_confirmed", receipt=receipt_no)
        return act

    def withdraw(self, receipt_no: int, *, by: str) -> None:
        """Take back what was asked. Raises NothingAskedError."""
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            asked = _asked(tx, receipt_no)
            if not asked:
                raise NothingAskedError(f"nobody has asked anything for {receipt_name(receipt_no)}")
            tx.execute("DELETE FROM releases WHERE release_no = ?", (asked[0]["release_no"],))
            audit.record(tx, at_ms=now_ms, who=by, act="quarantine_withdrawn", receipt=receipt_no)


def _locked(tx: Transaction, receipt_no: int) -> Row:
    rows = tx.execute(
        "SELECT device_id, opening FROM packets WHERE receipt_no = ? AND opening IN ('HELD', 'QUARANTINED') FOR UPDATE",
        (receipt_no,),
    )
    if not rows:
        raise NotInQuarantineError(receipt_name(receipt_no))
    return rows[0]


def _asked(tx: Transaction, receipt_no: int) -> list[Row]:
    return tx.execute("SELECT * FROM releases WHERE receipt_no = ? AND confirmed_at IS NULL FOR UPDATE", (receipt_no,))
