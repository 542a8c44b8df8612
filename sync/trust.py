"""What head office tells its devices to trust: the keys of its receipts, and the keys packets are encrypted to; pure.

It travels inside a receipt, so a key is only ever learnt from a receipt that was signed with a key trusted before.
The announcement is the whole set, not a change to it, and ``serial`` grows with each: an older one is not gone back
to. A device says in each checkpoint which serial it has (``versions["trust"]``), and head office signs with a key
of that one; so a device that was away for a year understands the receipt that brings it up to date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from sync import cbor
from sync.enrolment import ReceiptKey
from sync.envelope import MAX_RECIPIENTS
from sync.errors import CborError, Refusal, TrustError, WireError
from sync.receipt import MAX_TRUST_BYTES
from sync.recipients import Recipient
from sync.records import Many, Nested, Record, Whole

VERSION = 1
FIRST_SERIAL = 1
"""What a device has that was never told another one."""
MAX_SERIAL = 2**31
MAX_RECEIPT_KEYS = 8
VERSIONS_KEY = "trust"
"""The name under which a checkpoint's versions say the serial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted(Record):
    """Everything a device is to trust from now on."""

    refuse: ClassVar[type[WireError]] = TrustError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    serial: Annotated[int, Whole(FIRST_SERIAL, MAX_SERIAL)]
    receipt_keys: Annotated[tuple[ReceiptKey, ...], Many(Nested(ReceiptKey), MAX_RECEIPT_KEYS)]
    recipients: Annotated[tuple[Recipient, ...], Many(Nested(Recipient), MAX_RECIPIENTS)]

    def check_together(self) -> None:
        """A device with nobody to trust or to encrypt to can not work, and could never be told better."""
        if not self.receipt_keys:
            raise TrustError(Refusal.CONTRADICTION, "receipt_keys", "none")
        if not self.recipients:
            raise TrustError(Refusal.CONTRADICTION, "recipients", "none")


def encode(trusted: Trusted) -> bytes:
    """For a receipt's ``trust``."""
    return cbor.encode(trusted.to_map())


def decode(data: bytes) -> Trusted:
    """Raises TrustError (EnrolmentMessageError, KeyFormatError for a key) with the named reason."""
    try:
        value = cbor.decode(data, max_bytes=MAX_TRUST_BYTES, max_items=256, max_depth=5)
    except CborError as error:
        raise TrustError(error.refusal, error.field, error.detail) from error
    if isinstance(value, dict) and "version" in value and value["version"] != VERSION:
        raise TrustError(Refusal.UNKNOWN_VERSION, "version")
    return Trusted.from_map(value)


def serial_of(versions: Mapping[str, str]) -> int:
    """The serial a checkpoint's versions name; the first where they name none or rubbish."""
    said = versions.get(VERSIONS_KEY, "")
    if said.isascii() and said.isdecimal() and len(said) <= 10:
        return min(max(int(said), FIRST_SERIAL), MAX_SERIAL)
    return FIRST_SERIAL
