"""Messages of enrolment, and of every refusal that is not a receipt; pure.

A technician's one-time token turns two certificate requests into two certificates: one for TLS, one for
packets, so that TLS may end at a proxy while custody stays end to end.
"""

import enum
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from sync import cbor
from sync.envelope import DEVICE_ID, MAX_RECIPIENTS
from sync.errors import CborError, EnrolmentMessageError, KeyFormatError, Refusal, WireError
from sync.keys import KEY_ID_BYTES, MAX_SPKI_BYTES, key_id, load_spki
from sync.recipients import Recipient
from sync.records import Blob, Choice, Many, Nested, Record, Text, Whole

VERSION = 1
CONTENT_TYPE = "application/cbor"
"""Of every request and reply body on this wire."""
MAX_MESSAGE_BYTES = 64 * 1024
TOKEN = Text(128, least=16, pattern=r"[A-Za-z0-9_-]+")
DEVICE_SERIAL = Text(64, pattern=r"[A-Za-z0-9][A-Za-z0-9 ._-]*")
OFFICE_CODE = Text(16, pattern=r"[0-9A-Za-z._-]+")
"""Branch, regional office and partner codes are head office's data."""


class SiteType(enum.StrEnum):
    """Where a device stands."""

    BRANCH = "BRANCH"
    PARTNER_SPO = "PARTNER_SPO"
    FIELD = "FIELD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Record):
    """The place a device was enrolled for; it goes into every packet."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    branch_code: Annotated[str, OFFICE_CODE]
    kanwil_code: Annotated[str, OFFICE_CODE]
    partner_code: Annotated[str | None, OFFICE_CODE] = None
    """None at the institution's own branches."""
    site_type: Annotated[SiteType, Choice(SiteType)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptKey(Record):
    """A public key head office signs receipts with."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    kid: Annotated[bytes, Blob(KEY_ID_BYTES)]
    spki: Annotated[bytes, Blob(MAX_SPKI_BYTES, least=1)]

    def check_together(self) -> None:
        """The key can be read, and the id is its own."""
        try:
            key = load_spki(self.spki)
        except KeyFormatError as error:
            raise EnrolmentMessageError(error.refusal, "spki", error.detail) from error
        if key_id(key) != self.kid:
            raise EnrolmentMessageError(Refusal.CONTRADICTION, "kid", "belongs to another key")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest(Record):
    """POST /v1/enrol."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    token: Annotated[str, TOKEN] = field(repr=False)
    """Shown once by head office; only its hash is stored there."""
    device_serial: Annotated[str, DEVICE_SERIAL]
    tls_csr: Annotated[bytes, Blob(4096, least=1)]
    """PKCS#10, DER."""
    signing_csr: Annotated[bytes, Blob(4096, least=1)]
    """PKCS#10, DER, of the key that signs packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolReply(Record):
    """What an enrolled device knows of itself and trusts from then on. Certificates are DER."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    device_id: Annotated[str, DEVICE_ID]
    tls_certificate: Annotated[bytes, Blob(8192, least=1)]
    signing_certificate: Annotated[bytes, Blob(8192, least=1)]
    ca_certificate: Annotated[bytes, Blob(8192, least=1)]
    """The one that issued both, and head office's TLS certificate."""
    receipt_keys: Annotated[tuple[ReceiptKey, ...], Many(Nested(ReceiptKey), 8)]
    recipients: Annotated[tuple[Recipient, ...], Many(Nested(Recipient), MAX_RECIPIENTS)]
    site: Annotated[Site, Nested(Site)]
    trust_serial: Annotated[int | None, Whole(1, 2**31)] = None
    """Of receipt keys and recipients: later announcements have higher ones. Absent means 1."""

    def check_together(self) -> None:
        """A device with nobody to trust or to encrypt to can not work."""
        if not self.receipt_keys:
            raise EnrolmentMessageError(Refusal.CONTRADICTION, "receipt_keys", "none")
        if not self.recipients:
            raise EnrolmentMessageError(Refusal.CONTRADICTION, "recipients", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReply(Record):
    """The body of every 4xx and 5xx head office itself gives. Not signed: a hint, never proof of anything."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    error: Annotated[str, Text(64, pattern=r"[a-z][a-z0-9_]*")]
    """Stable code: ``token_refused``, ``device_blocked``, ..."""
    hint: Annotated[str, Text(300, least=0)] = ""
    """For a person, in English; the operator's own words are the agent's."""


def encode(message: EnrolRequest | EnrolReply | ErrorReply) -> bytes:
    """The body of a request or reply."""
    return cbor.encode(message.to_map())


def decode_request(data: bytes) -> EnrolRequest:
    """Raises EnrolmentMessageError with the named reason."""
    return EnrolRequest.from_map(_map(data, versioned=True))


def decode_reply(data: bytes) -> EnrolReply:
    """Raises EnrolmentMessageError (KeyFormatError for a recipient's key) with the named reason."""
    return EnrolReply.from_map(_map(data, versioned=True))


def decode_error(data: bytes) -> ErrorReply:
    """Raises EnrolmentMessageError with the named reason."""
    return ErrorReply.from_map(_map(data, versioned=False))


def _map(data: bytes, *, versioned: bool) -> object:
    try:
        value = cbor.decode(data, max_bytes=MAX_MESSAGE_BYTES, max_items=256, max_depth=5)
    except CborError as error:
        raise EnrolmentMessageError(error.refusal, error.field, error.detail) from error
    if versioned and isinstance(value, dict) and "version" in value and value["version"] != VERSION:
        # Before unknown keys: a later version should be called that, not a malformed first one.
        raise EnrolmentMessageError(Refusal.UNKNOWN_VERSION, "version")
    return value
