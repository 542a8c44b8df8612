"""Check files without a network, a ledger or a key: an envelope, a receipt, a batch, a stick's file, an export.

Everything is checked against what was pinned beforehand: certificates of devices (or the authority that signed them)
and the public keys of receipts. What is not pinned cannot be proved, and that is told apart from what is wrong.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from head_office import export
from sync import stick
from sync.checkpoint import MAX_BATCH_BYTES, Batch, read_batch
from sync.envelope import MAX_ENVELOPE_BYTES, Claimed, envelope_digest, read_envelope
from sync.errors import ReceiptError, WireError
from sync.keys import PublicKey, key_id
from sync.receipt import Receipt, read_receipt, verify_receipt

MOST_BYTES = max(export.MAX_BYTES, MAX_BATCH_BYTES + stick.HEADER.size, MAX_ENVELOPE_BYTES)


class Proof(enum.StrEnum):
    """How much of a file is proved."""

    PROVED = "proved"
    NOT_PINNED = "not_pinned"
    """Nothing is wrong with it, and the key it was signed with is not among those that were given."""
    WRONG = "wrong"


@dataclass
class Finding:
    """One signed thing and what came of looking at it."""

    what: str
    proof: Proof
    facts: dict[str, object] = field(default_factory=dict)
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Pins:
    """What is trusted beforehand, by key id; ``authority`` also vouches for certificates found inside an export."""

    devices: Mapping[bytes, tuple[str, PublicKey]]
    """Device and key, of each pinned certificate."""
    receipts: Mapping[bytes, PublicKey]
    authority: x509.Certificate | None = None
    certificates: frozenset[bytes] = frozenset()
    """The pinned certificates themselves, DER."""

    @classmethod
    def of(cls, certificates: Sequence[bytes], receipt_keys: Sequence[bytes], authority: bytes | None = None) -> "Pins":
        """Read PEM. Raises ValueError for what is none, or of another kind of key."""
        devices: dict[bytes, tuple[str, PublicKey]] = {}
        whole = set()
        for pem in certificates:
            for certificate in x509.load_pem_x509_certificates(pem):
                device, key = _holder(certificate)
                devices[key_id(key)] = (device, key)
                whole.add(certificate.public_bytes(serialization.Encoding.DER))
        receipts = {}
        for pem in receipt_keys:
            for block in pem.split(b"-----END PUBLIC KEY-----"):
                if block.strip():
                    key = _ours(serialization.load_pem_public_key(block.strip() + b"\n-----END PUBLIC KEY-----\n"))
                    receipts[key_id(key)] = key
        vouching = x509.load_pem_x509_certificate(authority) if authority else None
        return cls(devices, receipts, vouching, frozenset(whole))


def verify_file(data: bytes, pins: Pins) -> list[Finding]:
    """Everything signed in a file, outermost first. Never raises for what the bytes are."""
    if data.startswith(stick.MAGIC):
        return _stick(data, pins)
    readers = (_evidence, _batch, _one_receipt, _one_envelope)
    refusals = []
    for reader in readers:
        try:
            return reader(data, pins)
        except WireError as error:
            refusals.append(f"{reader.__name__.strip('_')}: {error.refusal.value}")
    return [Finding("file", Proof.WRONG, why="; ".join(refusals))]


def worst(findings: Sequence[Finding]) -> Proof:
    """The whole file's proof."""
    proofs = {finding.proof for finding in findings}
    return next(proof for proof in (Proof.WRONG, Proof.NOT_PINNED, Proof.PROVED) if proof in proofs)


def _stick(data: bytes, pins: Pins) -> list[Finding]:
    kind = stick.Kind.RECEIPT if data[9:10] == bytes([stick.Kind.RECEIPT]) else stick.Kind.BATCH
    try:
        body = stick.unwrap(data, kind)
        found = _batch(body, pins) if kind is stick.Kind.BATCH else _one_receipt(body, pins)
    except WireError as error:
        return [Finding("stick file", Proof.WRONG, why=error.refusal.value)]
    return [Finding("stick file", Proof.PROVED, {"kind": kind.name.lower(), "bytes": len(body)}), *found]


def _evidence(data: bytes, pins: Pins) -> list[Finding]:
    parts = export.read(data)
    devices = dict(pins.devices)
    found = []
    if parts.certificate is not None:
        finding, holder = _certificate(parts.certificate, pins)
        found.append(finding)
        if holder is not None:
            devices[key_id(holder[1])] = holder
    envelope = _envelope(parts.envelope, devices)
    receipt = _receipt(parts.receipt, pins, over=parts.envelope)
    if receipt.proof is Proof.PROVED and parts.receipt_no != read_receipt(parts.receipt).verdicts[0].receipt_no:
        receipt = Finding("receipt", Proof.WRONG, receipt.facts, "of another number")
    return [*found, envelope, receipt]


def _batch(data: bytes, pins: Pins) -> list[Finding]:
    batch = read_batch(data)
    found = [_checkpoint(batch, pins)]
    before: Claimed | None = None
    for packet in batch.packets:
        finding = _envelope(packet, pins.devices)
        try:
            claimed = read_envelope(packet)
        except WireError:
            before = None
        else:
            header = claimed.header
            if before is not None and (before.header.lane, before.header.epoch, before.header.seq + 1) == (
                header.lane, header.epoch, header.seq,
            ):  # fmt: skip
                finding.facts["follows_the_one_before"] = header.prev_hash == before.digest
                if header.prev_hash != before.digest:
                    finding.proof, finding.why = Proof.WRONG, "chain_broken"
            before = claimed
        found.append(finding)
    return found


def _checkpoint(batch: Batch, pins: Pins) -> Finding:
    claimed = batch.claimed
    facts: dict[str, object] = {
        "device": claimed.device_id,
        "wall_utc": claimed.wall_utc.isoformat(),
        "packets": len(batch.packets),
    }
    pinned = pins.devices.get(batch.signed.kid)
    if pinned is None:
        return Finding("checkpoint", Proof.NOT_PINNED, facts, f"signed with key {batch.signed.kid.hex()}")
    try:
        batch.verified(pinned[1])
    except WireError as error:
        return Finding("checkpoint", Proof.WRONG, facts, error.refusal.value)
    if pinned[0] != claimed.device_id:
        return Finding("checkpoint", Proof.WRONG, facts, f"signed by {pinned[0]}")
    return Finding("checkpoint", Proof.PROVED, facts)


def _one_envelope(data: bytes, pins: Pins) -> list[Finding]:
    read_envelope(data)
    return [_envelope(data, pins.devices)]


def _envelope(data: bytes, devices: Mapping[bytes, tuple[str, PublicKey]]) -> Finding:
    try:
        claimed = read_envelope(data)
    except WireError as error:
        return Finding("envelope", Proof.WRONG, {"digest": envelope_digest(data).hex()}, error.refusal.value)
    header = claimed.header
    facts: dict[str, object] = {
        "device": header.device_id,
        "lane": header.lane.value,
        "epoch": header.epoch.hex(),
        "seq": header.seq,
        "prev_hash": header.prev_hash.hex(),
        "digest": claimed.digest.hex(),
        "sealed_at": header.created.wall_utc.isoformat(),
        "key": claimed.kid.hex(),
    }
    pinned = devices.get(claimed.kid)
    if pinned is None:
        return Finding("envelope", Proof.NOT_PINNED, facts, f"signed with key {claimed.kid.hex()}")
    try:
        claimed.verified(pinned[1])
    except WireError as error:
        return Finding("envelope", Proof.WRONG, facts, error.refusal.value)
    if pinned[0] != header.device_id:
        return Finding("envelope", Proof.WRONG, facts, f"signed by {pinned[0]}")
    return Finding("envelope", Proof.PROVED, facts)


def _one_receipt(data: bytes, pins: Pins) -> list[Finding]:
    read_receipt(data)
    return [_receipt(data, pins, over=None)]


def _receipt(data: bytes, pins: Pins, *, over: bytes | None) -> Finding:
    """A receipt's signature; with ``over``, also that it speaks of those bytes and says they are in custody."""
    try:
        said = read_receipt(data)
    except WireError as error:
        return Finding("receipt", Proof.WRONG, why=error.refusal.value)
    facts = _facts(said)
    try:
        # Which checkpoint it answers is for the device to know; here it is asked about itself.
        verify_receipt(data, pins.receipts, said.device_id, said.nonce)
    except ReceiptError as error:
        unknown = error.field == "kid"
        return Finding("receipt", Proof.NOT_PINNED if unknown else Proof.WRONG, facts, error.refusal.value)
    if over is not None:
        digest = envelope_digest(over)
        about = [verdict for verdict in said.verdicts if verdict.digest == digest]
        if not about or not about[0].verdict.in_custody:
            return Finding("receipt", Proof.WRONG, facts, "not over this packet")
    return Finding("receipt", Proof.PROVED, facts)


def _facts(said: Receipt) -> dict[str, object]:
    return {
        "device": said.device_id,
        "server_time": said.server_time.isoformat(),
        "verdicts": [
            {
                "lane": verdict.lane.value,
                "seq": verdict.seq,
                "digest": verdict.digest.hex(),
                "verdict": verdict.verdict.value,
                "reason": verdict.reason,
                "receipt_no": verdict.receipt_no,
            }
            for verdict in said.verdicts
        ],
    }


def _certificate(der: bytes, pins: Pins) -> tuple[Finding, tuple[str, PublicKey] | None]:
    """A certificate that came along, and its holder if the pinned authority signed it."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        holder = _holder(certificate)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return Finding("certificate", Proof.WRONG, why="not a certificate of a device"), None
    facts: dict[str, object] = {"device": holder[0], "key": key_id(holder[1]).hex()}
    if der in pins.certificates:
        return Finding("certificate", Proof.PROVED, facts), None
    if pins.authority is None:
        return Finding("certificate", Proof.NOT_PINNED, facts, "no authority is pinned"), None
    try:
        certificate.verify_directly_issued_by(pins.authority)
    except (InvalidSignature, ValueError, TypeError):
        return Finding("certificate", Proof.WRONG, facts, "not signed by the pinned authority"), None
    # Out of date is no fault: what was sealed while it was in date stays sealed.
    return Finding("certificate", Proof.PROVED, facts), holder


def _holder(certificate: x509.Certificate) -> tuple[str, PublicKey]:
    """Device and key of a certificate. Raises ValueError."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if not names:
        raise ValueError("a certificate without a name")
    return str(names[0].value), _ours(certificate.public_key())


def _ours(key: object) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        return key
    raise ValueError("neither an Ed25519 nor a P-256 key")
