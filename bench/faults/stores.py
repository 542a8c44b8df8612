"""What the two programs hold in the end, read from their open stores for the judge."""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from functools import lru_cache
from typing import Any

from bench.faults.history import Held, History, Place, Settled
from bench.faults.marks import Told
from bench.faults.rig import Device, Office
from head_office.authenticity import UNKNOWN_KEY
from head_office.custody import Opening
from sync.envelope import envelope_digest
from sync.errors import ReceiptError, Refusal
from sync.keys import key_id, load_spki, spki
from sync.receipt import Verdict, read_receipt, verify_receipt

WAITS = ("READY", "DEAD")
SPOILT = frozenset((*Refusal, UNKNOWN_KEY))
"""Why head office keeps bytes that are nobody's packet."""


def queue_of(device: Device) -> tuple[list[Held], list[Settled]]:
    """What a device's file holds: waiting with bytes; and settled, with or without bytes and proof."""
    held: list[Held] = []
    settled: list[Settled] = []
    keys = tuple(map(spki, device.identity.receipt_keys.values()))
    for row in device.database.read(
        "SELECT r.id, c.device_id, lane, epoch, seq, state, digest, raw"
        " FROM outbox_rows r JOIN outbox_chains c ON c.id = r.chain"
        " LEFT JOIN outbox_receipts p ON p.id = r.receipt_id ORDER BY r.id"
    ):
        signed_as = row["device_id"] or device.identity.device_id
        place = Place(signed_as, row["lane"], bytes(row["epoch"]), row["seq"])
        envelope = device.outbox.envelope(row["id"])
        if envelope is not None and row["state"] in WAITS:
            held.append(Held(place, envelope_digest(envelope)))
        else:
            proved = row["raw"] is not None and _proves(bytes(row["raw"]), keys, signed_as, bytes(row["digest"]))
            settled.append(Settled(place, bytes(row["digest"]), proved, kept=envelope is not None))
    return held, settled


def ledger_of(ledger: Any, name: str = "") -> list[Held]:
    """What head office's ledger holds."""
    return [
        Held(
            Place(row["device_id"], row["lane"], bytes(row["epoch"]), row["seq"]),
            envelope_digest(bytes(row["envelope"])),
            row["receipt_no"],
            in_chain=bool(row["in_chain"]),
            spoilt=row["verdict"] == Verdict.QUARANTINED and row["reason"] in SPOILT and row["opening"] == Opening.HELD,
            ledger=name,
        )
        for row in ledger.read(
            "SELECT device_id, lane, epoch, seq, envelope, receipt_no, in_chain, verdict, reason, opening"
            " FROM packets ORDER BY receipt_no"
        )
    ]


def history_of(
    told: Told,
    devices: Sequence[Device],
    offices: Mapping[str, Office],
    *,
    drained: bool = True,
    undone: Set[bytes] = frozenset(),
) -> History:
    """Everything the judge needs, read from the open stores."""
    waiting: list[Held] = []
    settled: list[Settled] = []
    for device in devices:
        held, done = queue_of(device)
        waiting += held
        settled += done
    return History(
        captured=told.captured,
        promised=frozenset(told.promised),
        acknowledged=frozenset(told.acknowledged),
        waiting=waiting,
        stored=[row for name, office in offices.items() for row in ledger_of(office.ledger, name)],
        settled=settled,
        drained=drained,
        undone=frozenset(undone),
        named_gone=frozenset(place for office in offices.values() for place in gone_of(office.ledger)),
        named_missing=frozenset(place for office in offices.values() for place in missing_of(office.ledger)),
    )


def missing_of(ledger: Any) -> list[Place]:
    """Places that head office lists as missing, whatever became of them."""
    return _places(ledger.read("SELECT * FROM missing_places"))


def gone_of(ledger: Any) -> list[Place]:
    """Those of them that two people put on record as gone."""
    return _places(ledger.read("SELECT * FROM missing_places WHERE confirmed_at IS NOT NULL"))


def _places(rows: Sequence[Any]) -> list[Place]:
    return [
        Place(row["device_id"], row["lane"], bytes(row["epoch"]), seq)
        for row in rows
        for seq in range(row["first_seq"], row["last_seq"] + 1)
    ]


@lru_cache(maxsize=4096)
def _proves(raw: bytes, keys: tuple[bytes, ...], device_id: str, digest: bytes) -> bool:
    trusted = {key_id(key): key for key in map(load_spki, keys)}
    with suppress(ReceiptError):
        verified = verify_receipt(raw, trusted, device_id, read_receipt(raw).nonce)
        return any(one.digest == digest and one.verdict.in_custody for one in verified.content.verdicts)
    return False
