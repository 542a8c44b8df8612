"""One file on a stick: a batch on its way to head office, or a receipt on its way back; pure.

    offset  bytes
         0      8  ``MPOSTICK``
         8      1  version of this header, 1
         9      1  kind: 1 batch, 2 receipt
        10      2  zero
        12      4  length of the body, big-endian
        16     32  SHA-256 of the body
        48         the body: the very bytes of ``POST /v1/sync`` and of its reply

The body proves itself, by the signatures in it. The header tells a cut-off or spoilt file from a forged one, and
tells it before anything is parsed: sticks fail far more often than people attack.
"""

import enum
import hashlib
import re
import struct
from dataclasses import dataclass

from sync.checkpoint import MAX_BATCH_BYTES, NONCE_BYTES
from sync.errors import Refusal, StickFileError
from sync.receipt import MAX_RECEIPT_BYTES

MAGIC = b"MPOSTICK"
VERSION = 1
HEADER = struct.Struct(">8sBBHI32s")
MAX_NUMBER = 999_999


class Kind(enum.IntEnum):
    """What a file carries."""

    BATCH = 1
    RECEIPT = 2

    @property
    def suffix(self) -> str:
        """How the file's name ends."""
        return f".mpos{self.name.lower()}"

    @property
    def most_bytes(self) -> int:
        """The largest body."""
        return MAX_BATCH_BYTES if self is Kind.BATCH else MAX_RECEIPT_BYTES


@dataclass(frozen=True, slots=True, order=True)
class FileName:
    """What the name of a file says: enough to sort by and to find a file again, nothing to rely on.

    No personal data: the device's name at head office, the running number of its export, and the random nonce
    by which a batch and its receipt belong together.
    """

    device_id: str
    number: int
    nonce: bytes
    kind: Kind

    def __str__(self) -> str:
        return f"mpos-{self.device_id}-{self.number:06d}-{self.nonce.hex()}{self.kind.suffix}"

    @classmethod
    def parse(cls, name: str) -> "FileName | None":
        """None for a file that is not ours. Letter case is not kept by every stick."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        kind = next(kind for kind in Kind if kind.suffix == found["suffix"].lower())
        return cls(found["device_id"], int(found["number"]), bytes.fromhex(found["nonce"]), kind)

    def answered(self) -> "FileName":
        """The name of the receipt for this batch."""
        return FileName(self.device_id, self.number, self.nonce, Kind.RECEIPT)


_NAME = re.compile(
    r"mpos-(?P<device_id>[A-Za-z0-9][A-Za-z0-9._-]{0,63})-(?P<number>\d{6})-"
    rf"(?P<nonce>[0-9a-f]{{{2 * NONCE_BYTES}}})(?P<suffix>{'|'.join(re.escape(kind.suffix) for kind in Kind)})",
    re.ASCII | re.IGNORECASE,
)


def wrap(kind: Kind, body: bytes) -> bytes:
    """The file for a body. Raises StickFileError when it is too large."""
    if len(body) > kind.most_bytes:
        raise StickFileError(Refusal.TOO_LONG, detail=f"at most {kind.most_bytes} bytes")
    return HEADER.pack(MAGIC, VERSION, kind, 0, len(body), hashlib.sha256(body).digest()) + body


def unwrap(data: bytes, kind: Kind) -> bytes:
    """The body of a file that should be of that kind.

    Raises
    ------
    StickFileError
        UNKNOWN_TYPE (not a file of ours, or of the other kind), UNKNOWN_VERSION, TRUNCATED, TRAILING_BYTES,
        TOO_LONG, BAD_VALUE, or CONTRADICTION: the bytes are not those that were written.
    """
    if not data.startswith(MAGIC):
        # A file of no bytes is what a stick pulled out too early leaves.
        raise StickFileError(Refusal.TRUNCATED if MAGIC.startswith(data) else Refusal.UNKNOWN_TYPE, "magic")
    if len(data) > len(MAGIC) and data[len(MAGIC)] != VERSION:
        # Before the rest: a later version may look different from here on.
        raise StickFileError(Refusal.UNKNOWN_VERSION, "version")
    if len(data) < HEADER.size:
        raise StickFileError(Refusal.TRUNCATED, "header")
    _, _, said_kind, zero, length, digest = HEADER.unpack_from(data)
    if zero != 0:
        raise StickFileError(Refusal.BAD_VALUE, "zero")
    if said_kind != kind:
        raise StickFileError(Refusal.UNKNOWN_TYPE, "kind", f"not a {kind.name.lower()}")
    if length > kind.most_bytes:
        raise StickFileError(Refusal.TOO_LONG, "length", f"at most {kind.most_bytes} bytes")
    body = data[HEADER.size :]
    if len(body) != length:
        short = len(body) < length
        raise StickFileError(Refusal.TRUNCATED if short else Refusal.TRAILING_BYTES, detail=f"{len(body)} of {length}")
    if hashlib.sha256(body).digest() != digest:
        raise StickFileError(Refusal.CONTRADICTION, "digest", "the bytes are not those that were written")
    return body
