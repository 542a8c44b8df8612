"""What other systems hear after the commit: written in the transaction of the thing itself; relay.py carries it.

An event says that something is so, with ids and codes; who wants more asks for the packet by its receipt number. No
name, NIK or card number is in one.
"""

import json
import uuid
from dataclasses import dataclass

from head_office.custody import receipt_name
from head_office.ledger.base import Ledger, Transaction

CLAIM_OPENED = "claim.opened"
PACKET_QUARANTINED = "packet.quarantined"
KEPT_MS = 30 * 24 * 3_600_000  # For who wants to know what was told; the claims themselves stay.
PURGED_AT_ONCE = 500
NAMESPACE = uuid.UUID("6d706f73-0000-5000-8000-6576656e7473")  # "mpos", "events": any fixed value


def event_id(kind: str, about: "About", nth: str) -> str:
    """The same thing has the same id however often it is told: receivers count an id once.

    Of the packet's digest with its numbers: after a restore from a backup other packets are given the same numbers, and
    the same packet may be given others.
    """
    return str(uuid.uuid5(NAMESPACE, f"{kind}/{about.digest.hex()}/{about.receipt_no}/{nth}"))


@dataclass(frozen=True, slots=True)
class About:
    """The packet an event is about."""

    device_id: str
    receipt_no: int
    digest: bytes


def claim_opened(tx: Transaction, about: About, *, at_ms: int, agenda_no: int, facts: dict[str, object]) -> None:
    """A packet has become a claim on the desk."""
    _write(tx, CLAIM_OPENED, about, at_ms=at_ms, facts={"agenda_no": agenda_no, **facts}, nth=str(agenda_no))


def packet_quarantined(tx: Transaction, about: About, *, at_ms: int, reason: str, nth: str) -> None:
    """A packet is in custody and on nobody's desk.

    ``nth`` tells a second time from the first: after a release, or in another place.
    """
    _write(tx, PACKET_QUARANTINED, about, at_ms=at_ms, facts={"digest": about.digest.hex(), "reason": reason}, nth=nth)


def _write(tx: Transaction, kind: str, about: About, *, at_ms: int, facts: dict[str, object], nth: str) -> None:
    body = {"receipt_no": receipt_name(about.receipt_no), "device_id": about.device_id, **facts}
    said = json.dumps(body, sort_keys=True)
    tx.execute(
        "INSERT INTO events (event_id, at, kind, device_id, receipt_no, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (event_id(kind, about, nth), at_ms, kind, about.device_id, about.receipt_no, said),
    )


def clear_without_relay(ledger: Ledger, now_ms: int) -> int:
    """Where there is no relay, take away what is older than it is kept after being told; gives how many, in one step.

    A relay that begins in the same moment still finds everything younger.
    """
    # By number, which follows time: looking for old ones by their time would read all that are young.
    oldest = ledger.read("SELECT event_no, at FROM events ORDER BY event_no LIMIT ?", (PURGED_AT_ONCE,))
    rows = [(row["event_no"],) for row in oldest if row["at"] < now_ms - KEPT_MS]
    if not rows or ledger.read("SELECT 1 FROM relays"):
        return 0
    ledger.together(
        lambda tx: tx.execute_many("DELETE FROM events WHERE event_no = ? AND NOT EXISTS (SELECT 1 FROM relays)", rows)
    )
    return len(rows)
