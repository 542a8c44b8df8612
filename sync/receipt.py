"""Head office's signed answer to a sync round: what it has stored, and where it stands in each chain; pure.

An HTTP 200 proves nothing (a captive portal gives one too). A receipt proves that head office stored exactly
the bytes whose digest it names, because it signs only after its own commit was flushed. The device deletes
nothing and tells nobody "delivered" on anything else.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar

from sync import cbor, cose
from sync.checkpoint import COMMAND_ID_BYTES, COMMAND_NAME, MAX_PACKETS, NONCE_BYTES
from sync.envelope import DEVICE_ID, DIGEST_BYTES, EPOCH_BYTES, FIRST_SEQ, MAX_SEQ, Lane
from sync.errors import CborError, CoseError, ReceiptError, Refusal, WireError
from sync.keys import PublicKey, Signer
from sync.records import Blob, Choice, Instant, Many, Nested, Record, Text, Whole

VERSION = 1
TYP = "application/vnd.mpos.receipt+cose"
MAX_RECEIPT_BYTES = 512 * 1024
"""MAX_PACKETS verdicts of about 250 bytes, and commands."""
MAX_COMMANDS = 32
MAX_COMMAND_BYTES = 32 * 1024
"""A set of tables, compressed, twice over."""
MAX_TRUST_BYTES = 16 * 1024
"""Eight receipt keys and as many recipients, twice over."""
MAX_COMMANDS_BYTES = 64 * 1024
"""Of all bodies in one receipt: eight seconds of a 64 kbit/s line. What is more waits for the next receipt."""


class Verdict(enum.StrEnum):
    """What head office did with one packet."""

    ACCEPTED = "accepted"
    """Stored durably, next in its chain."""
    DUPLICATE = "duplicate"
    """These very bytes were stored before, and accepted; what was quarantined is told to be so again."""
    QUARANTINED = "quarantined"
    """Stored durably and set apart, with a reason; the chain goes on behind it. It is on nobody's desk."""
    RETRY_LATER = "retry_later"
    """Not stored, and to be sent again: a gap before it, bytes that are not authentic as they came, or head office
    could not just now; the reason says which."""
    NOT_YOURS = "not_yours"
    """Not stored: the envelope names another device than the one that sent it."""

    @property
    def in_custody(self) -> bool:
        """Whether head office now holds the packet, so that the device need not."""
        return self in (Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED)


TWO_HISTORIES = frozenset({"fork", "chain_broken", "lane_frozen"})
"""Reasons of quarantine that mean: two histories were signed with one device's key. It was restored or cloned, and
which of the machines reads this nobody can tell from here, so each of them has to be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneHead(Record):
    """One chain as head office has it: cumulative, so that a lost receipt is made good by the next."""

    refuse: ClassVar[type[WireError]] = ReceiptError

    lane: Annotated[Lane, Choice(Lane)]
    epoch: Annotated[bytes, Blob(EPOCH_BYTES)]
    next_seq: Annotated[int, Whole(FIRST_SEQ, MAX_SEQ)]
    """The sequence number head office waits for: everything below is stored."""
    head_hash: Annotated[bytes, Blob(DIGEST_BYTES)]
    """Digest of the last packet stored; NO_HASH when there is none."""
    frozen: Annotated[str | None, Text(64, pattern=r"[a-z][a-z0-9_]*")] = None
    """Why head office accepts nothing more in this chain (``fork``, ``chain_broken``); absent while it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketVerdict(Record):
    """The verdict on one packet of the batch."""

    refuse: ClassVar[type[WireError]] = ReceiptError

    lane: Annotated[Lane, Choice(Lane)]
    epoch: Annotated[bytes, Blob(EPOCH_BYTES)]
    seq: Annotated[int, Whole(FIRST_SEQ, MAX_SEQ)]
    digest: Annotated[bytes, Blob(DIGEST_BYTES)]
    """SHA-256 over the envelope as head office stored it (or, where it did not, as it came)."""
    verdict: Annotated[Verdict, Choice(Verdict)]
    reason: Annotated[str | None, Text(64, pattern=r"[a-z][a-z0-9_]*")] = None
    """Machine-readable; there for every verdict but accepted and duplicate."""
    receipt_no: Annotated[str | None, Text(32, pattern=r"[A-Za-z0-9-]+")] = None
    stored_at: Annotated[datetime | None, Instant()] = None

    def check_together(self) -> None:
        """Custody has a number and a time; everything unusual has a reason."""
        if self.verdict.in_custody and (self.receipt_no is None or self.stored_at is None):
            raise ReceiptError(Refusal.CONTRADICTION, "receipt_no", "custody without number and time")
        if self.verdict not in (Verdict.ACCEPTED, Verdict.DUPLICATE) and self.reason is None:
            raise ReceiptError(Refusal.CONTRADICTION, "reason", "refusal without a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Record):
    """Something head office asks of the device: repeated in every receipt until a checkpoint says done or refused.

    Bodies are bytes here and read one by one (commands.py), so that one a device can not read, of a name it may not
    know, costs that command and not the receipt.
    """

    refuse: ClassVar[type[WireError]] = ReceiptError

    id: Annotated[bytes, Blob(COMMAND_ID_BYTES)]
    """Random; the same command is carried out once, however often it comes."""
    name: Annotated[str, COMMAND_NAME]
    body: Annotated[bytes, Blob(MAX_COMMAND_BYTES, least=0)] = b""
    """Deterministic CBOR whose shape belongs to the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(Record):
    """What head office signs. Holding one proves nothing: only :func:`verify_receipt` gives out proof."""

    refuse: ClassVar[type[WireError]] = ReceiptError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    device_id: Annotated[str, DEVICE_ID]
    nonce: Annotated[bytes, Blob(NONCE_BYTES)]
    """The nonce of the checkpoint this answers."""
    server_time: Annotated[datetime, Instant()]
    lanes: Annotated[tuple[LaneHead, ...], Many(Nested(LaneHead), 64)] = ()
    """Every chain the checkpoint named and head office knows."""
    verdicts: Annotated[tuple[PacketVerdict, ...], Many(Nested(PacketVerdict), MAX_PACKETS)] = ()
    next_poll_s: Annotated[int, Whole(1, 7 * 24 * 3600)]
    commands: Annotated[tuple[Command, ...], Many(Nested(Command), MAX_COMMANDS)] = ()
    trust: Annotated[bytes | None, Blob(MAX_TRUST_BYTES, least=1)] = None
    """Head office's keys from now on (``sync.trust``), for a device whose checkpoint named an older list."""

    def check_together(self) -> None:
        """The commands leave room for the verdicts, and none is there twice."""
        if sum(len(command.body) for command in self.commands) > MAX_COMMANDS_BYTES:
            raise ReceiptError(Refusal.FIELD_TOO_LONG, "commands", f"at most {MAX_COMMANDS_BYTES} bytes together")
        if len({command.id for command in self.commands}) != len(self.commands):
            raise ReceiptError(Refusal.CONTRADICTION, "commands", "a command twice")


_PROOF = object()


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A receipt whose signature, device and nonce were checked. Only :func:`verify_receipt` makes one."""

    content: Receipt
    raw: bytes = field(repr=False)
    """The signed bytes: what is kept as evidence."""
    kid: bytes
    """Which receipt key signed it."""
    proof: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.proof is not _PROOF:
            raise TypeError("a verified receipt comes from verify_receipt and nowhere else")


def sign(receipt: Receipt, signer: Signer) -> bytes:
    """The reply body: COSE_Sign1 over the receipt. Call it only after the commit was flushed."""
    protected = cose.protect(TYP, signer.algorithm, signer.kid, {})
    return cose.sign(protected, cbor.encode(receipt.to_map()), signer)


def read_receipt(data: bytes) -> Receipt:
    """What a receipt says; nothing here is proved. Raises ReceiptError."""
    return _read(_parse(data).payload)


def verify_receipt(
    data: bytes,
    public_keys: Mapping[bytes, PublicKey],
    expected_device: str,
    expected_nonce: bytes,
) -> VerifiedReceipt:
    """Check a reply against what was pinned at enrolment and asked in this round.

    Parameters
    ----------
    data
        The reply body.
    public_keys
        Head office's receipt keys by key id, pinned at enrolment.
    expected_device, expected_nonce
        Of the checkpoint this reply must answer.

    Raises
    ------
    ReceiptError
        WRONG_KEY, BAD_SIGNATURE, WRONG_DEVICE, WRONG_NONCE, or the named fault of its form.
    """
    signed = _parse(data)
    key = public_keys.get(signed.kid)
    if key is None:
        raise ReceiptError(Refusal.WRONG_KEY, "kid", "not a receipt key pinned at enrolment")
    try:
        signed.verify(key)
    except CoseError as error:
        raise ReceiptError(error.refusal, error.field, error.detail) from error
    receipt = _read(signed.payload)
    if receipt.device_id != expected_device:
        raise ReceiptError(Refusal.WRONG_DEVICE, "device_id")
    if receipt.nonce != expected_nonce:
        raise ReceiptError(Refusal.WRONG_NONCE, "nonce")
    return VerifiedReceipt(receipt, data, signed.kid, _PROOF)


def _parse(data: bytes) -> cose.Sign1:
    try:
        return cose.parse(data, TYP, frozenset(), max_bytes=MAX_RECEIPT_BYTES)
    except (CborError, CoseError) as error:
        raise ReceiptError(error.refusal, error.field, error.detail) from error


def _read(payload: bytes) -> Receipt:
    try:
        value = cbor.decode(payload, max_bytes=MAX_RECEIPT_BYTES, max_items=20 * MAX_PACKETS, max_depth=5)
    except CborError as error:
        raise ReceiptError(error.refusal, error.field, error.detail) from error
    if isinstance(value, dict) and "version" in value and value["version"] != VERSION:
        # Before unknown keys: a later version should be called that, not a malformed first one.
        raise ReceiptError(Refusal.UNKNOWN_VERSION, "version")
    return Receipt.from_map(value)
