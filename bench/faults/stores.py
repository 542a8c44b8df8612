"""What the two programs hold in the end, read from their open stores for the judge."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bench.faults.history import Held, History, Place, Purged
from bench.faults.marks import Told
from bench.faults.rig import Device, Office
from sync.envelope import envelope_digest
from sync.errors import ReceiptError
from sync.keys import PublicKey
from sync.receipt import read_receipt, verify_receipt


def queue_of(device: Device) -> tuple[list[Held], list[Purged]]:
    """What a device's file holds: waiting with bytes, and what has none any more, with or without proof."""
    held, purged = [], []
    database, device_id, keys = device.database, device.identity.device_id, device.identity.receipt_keys
    for row in database.read(
        "SELECT r.id, lane, epoch, seq, state, digest, raw FROM outbox_rows r JOIN outbox_chains c ON c.id = r.chain"
        " LEFT JOIN outbox_receipts p ON p.id = r.receipt_id ORDER BY r.id"
    ):
        place = Place(device_id, row["lane"], bytes(row["epoch"]), row["seq"])
        envelope = device.outbox.envelope(row["id"])
        if envelope is None:
            proved = row["raw"] is not None and _proves(bytes(row["raw"]), keys, device_id, bytes(row["digest"]))
            purged.append(Purged(place, bytes(row["digest"]), proved))
        elif row["state"] in ("READY", "DEAD"):
            held.append(Held(place, envelope_digest(envelope)))
    return held, purged


def ledger_of(ledger: Any) -> list[Held]:
    """What head office's ledger holds."""
    return [
        Held(
            Place(row["device_id"], row["lane"], bytes(row["epoch"]), row["seq"]),
            envelope_digest(bytes(row["envelope"])),
            row["receipt_no"],
            bool(row["in_chain"]),
        )
        for row in ledger.read(
            "SELECT device_id, lane, epoch, seq, envelope, receipt_no, in_chain FROM packets ORDER BY receipt_no"
        )
    ]


def history_of(told: Told, devices: Sequence[Device], office: Office, *, drained: bool = True) -> History:
    """Everything the judge needs, read from the open stores."""
    waiting: list[Held] = []
    purged: list[Purged] = []
    for device in devices:
        held, gone = queue_of(device)
        waiting += held
        purged += gone
    return History(
        captured=told.captured,
        promised=frozenset(told.promised),
        acknowledged=frozenset(told.acknowledged),
        waiting=waiting,
        stored=ledger_of(office.ledger),
        purged=purged,
        drained=drained,
    )


def _proves(raw: bytes, keys: dict[bytes, PublicKey], device_id: str, digest: bytes) -> bool:
    with suppress(ReceiptError):
        verified = verify_receipt(raw, keys, device_id, read_receipt(raw).nonce)
        return any(one.digest == digest and one.verdict.in_custody for one in verified.content.verdicts)
    return False
