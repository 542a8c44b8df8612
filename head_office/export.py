"""One stored packet as a file of evidence: the envelope as it came, who signed it, and head office's receipt over it.

CBOR, one map: ``type`` ("mpos-evidence"), ``version``, ``receipt_no``, ``envelope`` (unchanged), ``certificate`` (of
the device's signing key, DER) and ``receipt``: made again from the stored row and signed now, with a nonce of zeros.
The content stays encrypted; who may read it is another question than whether it is genuine.
"""

from dataclasses import dataclass

from head_office.custody import receipt_name
from head_office.errors import HeadOfficeError
from head_office.ledger.base import Ledger
from head_office.moment import from_ms
from sync import cbor, receipt
from sync.checkpoint import NONCE_BYTES
from sync.envelope import MAX_ENVELOPE_BYTES, Lane
from sync.errors import CborError, Refusal, WireError
from sync.keys import Signer
from sync.receipt import MAX_RECEIPT_BYTES, PacketVerdict, Receipt, Verdict

TYPE, VERSION = "mpos-evidence", 1
MAX_CERTIFICATE_BYTES = 8 << 10
MAX_BYTES = MAX_ENVELOPE_BYTES + MAX_RECEIPT_BYTES + MAX_CERTIFICATE_BYTES + 1024
NO_NONCE = bytes(NONCE_BYTES)
"""An export answers no checkpoint."""


class NoSuchPacketError(HeadOfficeError):
    """No packet has that receipt number."""

    code = "no_such_packet"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A parsed export; nothing in it is proved."""

    receipt_no: str
    envelope: bytes
    receipt: bytes
    certificate: bytes | None
    """None when the key that signed is not in the registry."""


def export(ledger: Ledger, signer: Signer, receipt_no: int) -> bytes:
    """The file for one packet. Raises NoSuchPacketError."""
    rows = ledger.read("SELECT * FROM packets WHERE receipt_no = ?", (receipt_no,))
    if not rows:
        raise NoSuchPacketError(f"no packet has the number {receipt_name(receipt_no)}")
    row = rows[0]
    verdict = Verdict(row["verdict"])
    stored_at = from_ms(row["stored_at"])
    said = PacketVerdict(
        lane=Lane(row["lane"]),
        epoch=bytes(row["epoch"]),
        seq=row["seq"],
        digest=bytes(row["digest"]),
        verdict=verdict,
        reason=row["reason"],
        receipt_no=receipt_name(receipt_no),
        stored_at=stored_at,
    )
    statement = Receipt(
        device_id=row["device_id"], nonce=NO_NONCE, server_time=stored_at, verdicts=(said,), next_poll_s=1
    )
    certificates = ledger.read(
        "SELECT certificate FROM certificates WHERE device_id = ? AND kid = ? AND purpose = 'signing'"
        " ORDER BY not_after DESC",
        (row["device_id"], row["signer_kid"]),
    )
    members: dict[str, object] = {
        "type": TYPE,
        "version": VERSION,
        "receipt_no": receipt_name(receipt_no),
        "envelope": bytes(row["envelope"]),
        "receipt": receipt.sign(statement, signer),
    }
    if certificates:
        members["certificate"] = bytes(certificates[0]["certificate"])
    return cbor.encode(members)


def read(data: bytes) -> Evidence:
    """Parse an export. Raises WireError with the named reason."""
    item = cbor.decode(data, max_bytes=MAX_BYTES, max_items=32, max_depth=3)
    match item:
        case {"type": "mpos-evidence", "version": int(version), **members}:
            pass
        case _:
            raise CborError(Refusal.UNKNOWN_TYPE, detail="not an export of head office")
    if version != VERSION:
        raise CborError(Refusal.UNKNOWN_VERSION, "version")
    match members:
        case {"receipt_no": str(name), "envelope": bytes(envelope), "receipt": bytes(signed), **rest}:
            certificate = rest.pop("certificate", None)
            if rest or not isinstance(certificate, bytes | None):
                raise WireError(Refusal.UNKNOWN_KEY)
            return Evidence(name, envelope, signed, certificate)
        case _:
            raise WireError(Refusal.MISSING_KEY)
