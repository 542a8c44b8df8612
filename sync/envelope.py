"""The envelope around one packet: signed by the device outside, encrypted to head office inside; pure.

COSE_Sign1 (RFC 9052) over COSE_Encrypt. The device's header (who, which lane, which place in the chain, when)
stands in the signature's protected header and, as external data, also under the encryption, so that nobody can
take the ciphertext out of one envelope, put it into another and sign that. Head office checks signature and
chain without any decryption key; only the process that opens packets holds one. docs/packet-format.md has it
byte by byte.
"""

import enum
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sync import cbor, compression, cose
from sync.errors import CborError, CoseError, EnvelopeError, Refusal, WireError
from sync.keys import KEY_ID_BYTES, PublicKey, Signer
from sync.recipients import SUITE_OF_ALGORITHM, Recipient, RecipientPrivateKey, Suite
from sync.records import Choice, Instant, Text, Whole

VERSION = 1
TYP = "application/vnd.mpos.envelope+cose"
HEADER_LABEL = -70_001
"""Private-use COSE label of the device header; marked critical."""
EK_LABEL = -4
"""COSE label of the encapsulated key (draft-ietf-cose-hpke-23)."""
ZIP_LABEL = -70_002
"""Private-use COSE label, in the inner protected header: how the packet was compressed before it was encrypted."""
ZSTD = "zstd"
"""The one compression: a single frame (RFC 8878) that carries its length."""
A256GCM = 3
"""COSE number of AES-256-GCM, the one content algorithm."""
IV_BYTES, CEK_BYTES, GCM_TAG_BYTES = 12, 32, 16

DIGEST_BYTES, EPOCH_BYTES, BOOT_ID_BYTES = 32, 16, 16
FIRST_SEQ = 1
"""The first packet of a lane and epoch; its previous hash is NO_HASH."""
NO_HASH = bytes(DIGEST_BYTES)
MAX_SEQ = (1 << 63) - 1
"""What a signed 64-bit database column holds."""
DEVICE_ID = Text(64, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_PACKET_BYTES = 384 * 1024
"""A document part of 256 kB with room for its fields."""
MAX_RECIPIENTS = 8
PLAIN_HEADER = cbor.encode({cose.ALG: A256GCM})
ZSTD_HEADER = cbor.encode({cose.ALG: A256GCM, cose.CRIT: [ZIP_LABEL], ZIP_LABEL: ZSTD})
"""The two inner protected headers there are."""
MAX_ENVELOPE_BYTES = MAX_PACKET_BYTES + 16 * 1024


class Lane(enum.StrEnum):
    """Priority class; each has its own sequence and chain."""

    CORE = "core"
    """Claims, about 8 kB each: first."""
    DOCUMENTS = "documents"
    """Scans, as numbered parts of at most 256 kB: after."""


@dataclass(frozen=True, slots=True)
class Created:
    """When a packet was sealed, as four clocks saw it; nothing is ever ordered by the first.

    ``clock_offset_ms`` is head office's time minus this wall clock as last learnt from a receipt, or None when
    none was ever learnt; ``clock_error_ms`` bounds its error, or is None when nothing bounds it (a reboot since).
    """

    wall_utc: datetime
    monotonic_ns: int
    boot_id: bytes
    clock_offset_ms: int | None = None
    clock_error_ms: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "wall_utc", Instant().check(self.wall_utc, EnvelopeError, "created.wall_utc"))
        _whole(self.monotonic_ns, 0, MAX_SEQ, "created.monotonic_ns")
        _exactly(self.boot_id, BOOT_ID_BYTES, "created.boot_id")
        if self.clock_offset_ms is not None:
            _whole(self.clock_offset_ms, -(1 << 62), 1 << 62, "created.clock_offset_ms")
        if self.clock_error_ms is not None:
            _whole(self.clock_error_ms, 0, 1 << 62, "created.clock_error_ms")


@dataclass(frozen=True, slots=True)
class Header:
    """The device header: who made the packet and where it stands in that device's chain."""

    version: int
    device_id: str
    lane: Lane
    epoch: bytes
    """16 random bytes drawn when the queue was created: a reinstalled device starts a new one."""
    seq: int
    """FIRST_SEQ, then one more each, per lane and epoch; gaps are visible."""
    prev_hash: bytes
    """:func:`envelope_digest` of the packet before, or NO_HASH."""
    created: Created

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise EnvelopeError(Refusal.UNKNOWN_VERSION, "header.version")
        DEVICE_ID.check(self.device_id, EnvelopeError, "header.device_id")
        object.__setattr__(self, "lane", Choice(Lane).check(self.lane, EnvelopeError, "header.lane"))
        _exactly(self.epoch, EPOCH_BYTES, "header.epoch")
        _whole(self.seq, FIRST_SEQ, MAX_SEQ, "header.seq")
        _exactly(self.prev_hash, DIGEST_BYTES, "header.prev_hash")
        if (self.seq == FIRST_SEQ) != (self.prev_hash == NO_HASH):
            raise EnvelopeError(Refusal.CONTRADICTION, "header.prev_hash", "only the first packet has none before it")


@dataclass(frozen=True, slots=True)
class Verified:
    """An envelope whose signature was checked. Only :func:`verify` gives one out."""

    header: Header
    payload: bytes = field(repr=False)
    """The COSE_Encrypt inside."""
    digest: bytes
    """SHA-256 of the whole envelope: the next packet's ``prev_hash``."""
    protected: bytes = field(repr=False)
    """The outer protected header as it travelled: external data of the encryption."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An envelope that was read and whose signature nobody has checked yet."""

    header: Header
    kid: bytes
    """The key it says it was signed with."""
    digest: bytes
    """SHA-256 of the whole envelope, as it came."""
    signed: cose.Sign1 = field(repr=False)

    def verified(self, public_key: PublicKey) -> Verified:
        """The same, proved. Raises EnvelopeError."""
        try:
            self.signed.verify(public_key)
        except CoseError as error:
            raise _as_envelope_error(error) from error
        return Verified(self.header, self.signed.payload, self.digest, self.signed.protected)


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """An envelope whose header is of a version this program does not know, as far as all versions are alike.

    Its signature is made as ever, and its header begins as ever; nothing else of it is looked at.
    """

    device_id: str
    lane: Lane
    epoch: bytes
    seq: int
    kid: bytes
    signed: cose.Sign1 = field(repr=False)

    def is_signed_by(self, public_key: PublicKey) -> bool:
        """Whether that key's owner says so."""
        try:
            self.signed.verify(public_key)
        except CoseError:
            return False
        return True


def seal(
    packet: bytes,
    header: Header,
    signer: Signer,
    recipients: Sequence[Recipient],
    *,
    random: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Encrypt ``packet`` to every recipient, sign the result.

    ``random`` gives content key and nonce and is replaced by test vectors only. Raises EnvelopeError when the
    packet is longer than MAX_PACKET_BYTES or there is nobody to encrypt to.
    """
    if len(packet) > MAX_PACKET_BYTES:
        raise EnvelopeError(Refusal.TOO_LONG, "packet", f"at most {MAX_PACKET_BYTES} bytes")
    protected = cose.protect(TYP, signer.algorithm, signer.kid, {HEADER_LABEL: _header_array(header)})
    return cose.sign(protected, encrypt(packet, protected, recipients, random=random), signer)


def verify(envelope: bytes, public_key: PublicKey) -> Verified:
    """Check structure, header and signature. Raises EnvelopeError with the named reason.

    The suites inside are not looked at: what is authentic is taken into custody even when it can not be opened.
    """
    return read_envelope(envelope).verified(public_key)


def read_envelope(envelope: bytes) -> Claimed:
    """What the envelope says of itself, for who must first find the key to check it with. Raises EnvelopeError."""
    signed = _parse(envelope)
    return Claimed(_read_header(signed.headers[HEADER_LABEL]), signed.kid, envelope_digest(envelope), signed)


def read_header(envelope: bytes) -> Header:
    """What the envelope says of itself; nothing here is proved. Raises EnvelopeError."""
    return _read_header(_parse(envelope).headers[HEADER_LABEL])


def read_other_version(envelope: bytes) -> OtherVersion:
    """Whose an envelope of another version is and where it stands; unproved. Raises EnvelopeError.

    In every version the header begins with version, device, lane, epoch and number.
    """
    signed = _parse(envelope)
    match signed.headers[HEADER_LABEL]:
        case [int(version), str(device), str(lane), bytes(epoch), int(seq), *_] if version > VERSION:
            DEVICE_ID.check(device, EnvelopeError, "header.device_id")
            known_lane = Choice(Lane).from_wire(lane, EnvelopeError, "header.lane")
            _exactly(epoch, EPOCH_BYTES, "header.epoch")
            _whole(seq, FIRST_SEQ, MAX_SEQ, "header.seq")
            return OtherVersion(device, known_lane, epoch, seq, signed.kid, signed)
        case _:
            raise EnvelopeError(Refusal.WRONG_TYPE, "header", "not the beginning of a later version's array")


def read_key_id(envelope: bytes) -> bytes:
    """The id of the key the envelope says it was signed with; unproved. Raises EnvelopeError."""
    return _parse(envelope).kid


def envelope_digest(envelope: bytes) -> bytes:
    """SHA-256 over the whole envelope: the link of the chain and the subject of receipts."""
    return hashlib.sha256(envelope).digest()


def open_envelope(verified: Verified, key: RecipientPrivateKey) -> bytes:
    """The packet inside. Raises EnvelopeError: NOT_A_RECIPIENT, UNKNOWN_SUITE, NOT_OPENED, or a malformed body."""
    return decrypt(verified.payload, verified.protected, key)


def encrypt(
    plaintext: bytes,
    external: bytes,
    recipients: Sequence[Recipient],
    *,
    random: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """A tagged COSE_Encrypt of ``plaintext``, bound to the ``external`` bytes, for every recipient.

    It is compressed first where that pays: claims are mostly words, scans are compressed already.
    """
    if not 1 <= len(recipients) <= MAX_RECIPIENTS:
        raise EnvelopeError(Refusal.BAD_VALUE, "recipients", f"from 1 to {MAX_RECIPIENTS}")
    frame = compression.compressed(plaintext)
    content, protected = (plaintext, PLAIN_HEADER) if frame is None else (frame, ZSTD_HEADER)
    content_key, iv = random(CEK_BYTES), random(IV_BYTES)
    ciphertext = AESGCM(content_key).encrypt(iv, content, _enc_structure(protected, external))
    wrapped = [_recipient(recipient, content_key) for recipient in recipients]
    return cbor.encode(cbor.Tag(cose.TAG_ENCRYPT, [protected, {cose.IV: iv}, ciphertext, wrapped]))


def decrypt(message: bytes, external: bytes, key: RecipientPrivateKey) -> bytes:
    """The inverse of :func:`encrypt`. Raises EnvelopeError."""
    body = _read_encrypted(message)
    mine = next((recipient for recipient in body.recipients if recipient.kid == key.kid), None)
    if mine is None:
        raise EnvelopeError(Refusal.NOT_A_RECIPIENT, "recipients")
    if mine.suite is not key.suite:
        raise EnvelopeError(Refusal.WRONG_KEY, "recipients", "named with another suite than the key's")
    content_key = key.unwrap(mine.encapsulated, mine.wrapped, _recipient_structure(mine.protected))
    if len(content_key) != CEK_BYTES:
        raise EnvelopeError(Refusal.NOT_OPENED, "recipients", "the content key has a wrong length")
    try:
        content = AESGCM(content_key).decrypt(body.iv, body.ciphertext, _enc_structure(body.protected, external))
    except InvalidTag as error:
        raise EnvelopeError(Refusal.NOT_OPENED, "ciphertext") from error
    if body.protected == PLAIN_HEADER:
        return content
    return compression.expanded(content, MAX_PACKET_BYTES, EnvelopeError, "body")


def recipients_of(message: bytes) -> tuple[tuple[bytes, Suite], ...]:
    """Key id and suite of everybody a COSE_Encrypt is addressed to. Raises EnvelopeError."""
    return tuple((recipient.kid, recipient.suite) for recipient in _read_encrypted(message).recipients)


@dataclass(frozen=True, slots=True)
class _WrappedKey:
    protected: bytes
    suite: Suite
    kid: bytes
    encapsulated: bytes
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class _Encrypted:
    protected: bytes
    iv: bytes
    ciphertext: bytes
    recipients: tuple[_WrappedKey, ...]


def _recipient(recipient: Recipient, content_key: bytes) -> list[object]:
    protected = cbor.encode({cose.ALG: recipient.suite.cose_algorithm})
    encapsulated, wrapped = recipient.wrap(content_key, _recipient_structure(protected))
    return [protected, {cose.KID: recipient.kid, EK_LABEL: encapsulated}, wrapped]


def _recipient_structure(protected: bytes) -> bytes:
    """HPKE's ``info`` in key-encryption mode: context, next layer's algorithm, header, no extra information."""
    return cbor.encode(["HPKE Recipient", A256GCM, protected, b""])


def _enc_structure(protected: bytes, external: bytes) -> bytes:
    """Enc_structure of RFC 9052 section 5.3: what the content's authentication tag also covers."""
    return cbor.encode(["Encrypt", protected, external])


def _header_array(header: Header) -> list[object]:
    created = header.created
    return [
        header.version,
        header.device_id,
        header.lane.value,
        header.epoch,
        header.seq,
        header.prev_hash,
        [
            Instant().to_wire(created.wall_utc),
            created.monotonic_ns,
            created.boot_id,
            created.clock_offset_ms,
            created.clock_error_ms,
        ],
    ]


def _read_header(value: object) -> Header:
    if not isinstance(value, list) or not value:
        raise EnvelopeError(Refusal.WRONG_TYPE, "header", "not an array")
    # The version stands first, so that a later version may change everything behind the place (read_other_version).
    if value[0] != VERSION or isinstance(value[0], bool):
        raise EnvelopeError(Refusal.UNKNOWN_VERSION, "header.version")
    match value:
        case [int(version), str(device), str(lane), bytes(epoch), int(seq), bytes(prev_hash), [wall, *clocks]]:
            pass
        case _:
            raise EnvelopeError(Refusal.WRONG_TYPE, "header", "not the array of version 1")
    match clocks:
        case [int(monotonic), bytes(boot_id), int() | None as offset, int() | None as error_ms]:
            pass
        case _:
            raise EnvelopeError(Refusal.WRONG_TYPE, "header.created", "not the array of version 1")
    wall_utc = Instant().from_wire(wall, EnvelopeError, "created.wall_utc")
    known_lane = Choice(Lane).from_wire(lane, EnvelopeError, "header.lane")
    created = Created(wall_utc, monotonic, boot_id, offset, error_ms)
    return Header(version, device, known_lane, epoch, seq, prev_hash, created)


def _parse(envelope: bytes) -> cose.Sign1:
    try:
        return cose.parse(envelope, TYP, frozenset({HEADER_LABEL}), max_bytes=MAX_ENVELOPE_BYTES)
    except (CborError, CoseError) as error:
        raise _as_envelope_error(error) from error


def _read_encrypted(message: bytes) -> _Encrypted:
    try:
        item = cbor.decode(message, max_bytes=MAX_ENVELOPE_BYTES, max_items=16 + 10 * MAX_RECIPIENTS, max_depth=5)
        if not isinstance(item, cbor.Tag) or item.number != cose.TAG_ENCRYPT:
            raise EnvelopeError(Refusal.UNKNOWN_TYPE, "body", "not a COSE_Encrypt")
        match item.content:
            case [bytes(protected), {5: bytes(iv), **rest}, bytes(ciphertext), list(recipients)] if not rest:
                pass
            case _:
                raise EnvelopeError(Refusal.WRONG_TYPE, "body", "not [protected, iv, ciphertext, recipients]")
        _refuse_unknown_body(protected)
        if len(iv) != IV_BYTES or len(ciphertext) < GCM_TAG_BYTES:
            raise EnvelopeError(Refusal.BAD_VALUE, "body", "nonce or ciphertext too short")
        if not 1 <= len(recipients) <= MAX_RECIPIENTS:
            raise EnvelopeError(Refusal.BAD_VALUE, "body.recipients", f"from 1 to {MAX_RECIPIENTS}")
        wrapped = tuple(_read_recipient(recipient, at) for at, recipient in enumerate(recipients))
    except (CborError, CoseError) as error:
        raise _as_envelope_error(error) from error
    return _Encrypted(protected, iv, ciphertext, wrapped)


def _refuse_unknown_body(protected: bytes) -> None:
    if protected in (PLAIN_HEADER, ZSTD_HEADER):
        return
    headers = cose.read_protected(protected)
    if headers.get(cose.ALG) != A256GCM:
        raise EnvelopeError(Refusal.UNKNOWN_SUITE, "body.alg", "only AES-256-GCM")
    if ZIP_LABEL in headers and headers[ZIP_LABEL] != ZSTD:
        raise EnvelopeError(Refusal.UNKNOWN_COMPRESSION, "body.zip", "only zstd")
    if any(label not in (cose.ALG, cose.CRIT, ZIP_LABEL) for label in headers):
        raise EnvelopeError(Refusal.UNKNOWN_KEY, "body.protected")
    raise EnvelopeError(Refusal.WRONG_TYPE, "body.protected", "crit must name exactly what is there beside alg")


def _read_recipient(value: object, at: int) -> _WrappedKey:
    path = f"body.recipients[{at}]"
    match value:
        case [bytes(protected), {4: bytes(kid), -4: bytes(encapsulated), **rest}, bytes(wrapped)] if not rest:
            pass
        case _:
            raise EnvelopeError(Refusal.WRONG_TYPE, path, "not [protected, {kid, ek}, wrapped key]")
    headers = cose.read_protected(protected)
    algorithm = headers.get(cose.ALG)
    suite = SUITE_OF_ALGORITHM.get(algorithm) if isinstance(algorithm, int) and len(headers) == 1 else None
    if suite is None:
        raise EnvelopeError(Refusal.UNKNOWN_SUITE, f"{path}.alg")
    _exactly(kid, KEY_ID_BYTES, f"{path}.kid")
    _exactly(encapsulated, suite.encapsulated_bytes, f"{path}.ek")
    _exactly(wrapped, CEK_BYTES + GCM_TAG_BYTES, f"{path}.ciphertext")
    return _WrappedKey(protected, suite, kid, encapsulated, wrapped)


def _as_envelope_error(error: WireError) -> EnvelopeError:
    return EnvelopeError(error.refusal, error.field, error.detail)


def _whole(value: object, least: int, most: int, path: str) -> None:
    Whole(least, most).check(value, EnvelopeError, path)


def _exactly(value: bytes, length: int, path: str) -> None:
    if len(value) != length:
        raise EnvelopeError(Refusal.BAD_VALUE, path, f"{length} bytes")
