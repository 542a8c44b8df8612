"""What other systems hear after the commit: written in the transaction of the thing itself; relay.py carries it.

An event says that something is so, with ids and codes; who wants more asks for the packet by its receipt number. No
name, NIK or card number is in one.
"""

import json
import uuid

from head_office.custody import receipt_name
from head_office.ledger.base import Transaction

CLAIM_OPENED = "claim.opened"
PACKET_QUARANTINED = "packet.quarantined"
NAMESPACE = uuid.UUID("6d706f73-0000-5000-8000-6576656e7473")  # "mpos", "events": any fixed value


def event_id(kind: str, receipt_no: int, nth: str = "") -> str:
    """The same thing has the same id however often it is told: receivers count an id once."""
    return str(uuid.uuid5(NAMESPACE, f"{kind}/{receipt_no}/{nth}"))


def claim_opened(
    tx: Transaction, device_id: str, receipt_no: int, *, at_ms: int, agenda_no: int, facts: dict[str, object]
) -> None:
    """A packet has become a claim on the desk."""
    _write(tx, CLAIM_OPENED, device_id, receipt_no, at_ms=at_ms, facts={"agenda_no": agenda_no, **facts})


def packet_quarantined(
    tx: Transaction, device_id: str, receipt_no: int, *, at_ms: int, reason: str, nth: str = ""
) -> None:
    """A packet is in custody and on nobody's desk. ``nth`` tells a second time after a release from the first."""
    _write(tx, PACKET_QUARANTINED, device_id, receipt_no, at_ms=at_ms, facts={"reason": reason}, nth=nth)


def _write(
    tx: Transaction, kind: str, device_id: str, receipt_no: int, *, at_ms: int, facts: dict[str, object], nth: str = ""
) -> None:
    body = {"receipt_no": receipt_name(receipt_no), "device_id": device_id, **facts}
    tx.execute(
        "INSERT INTO events (event_id, at, kind, device_id, receipt_no, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (event_id(kind, receipt_no, nth), at_ms, kind, device_id, receipt_no, json.dumps(body, sort_keys=True)),
    )
