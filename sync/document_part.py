"""Document part, version 1: one numbered piece of a scanned document, on its way in the documents lane; pure.

A document is cut in one way only: every part but the last holds ``part_bytes``, the last one the rest, and each
part repeats what is said of the whole. So parts may come in any order, before their claim or twice, and head office
can tell which are missing. The claim's own packet names size and SHA-256 of each of its documents
(``sync/packet.py``): a document that is complete here and differs there was altered.
"""

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID, uuid5

from sync import cbor
from sync.envelope import DEVICE_ID, MAX_PACKET_BYTES
from sync.errors import CborError, DocumentPartError, Refusal, WireError
from sync.packet import CODE, MAX_DOCUMENTS, PERSON_ID, SHA256
from sync.records import Blob, Choice, Flag, Identifier, Moment, Record, Whole

TYPE = "document_part"
SCHEMA_VERSION = 1
MAX_PART_BYTES = 256 * 1024
"""A packet has room for this much and its fields."""
MIN_PART_BYTES = 16 * 1024
"""Of every part but the last: smaller ones would cost more in envelopes than they save on a bad line."""
PART_BYTES = 128 * 1024
"""What a device cuts: 19 s of a 64 kbit/s line with its 56 kbit/s of goodput, and a round aims at 20 s."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
FIRST_SUPPLEMENT = MAX_DOCUMENTS
"""Indexes below are places in the claim's ``documents``; from here on they are documents added after it was sent."""
MAX_SUPPLEMENTS = 192
MAX_HEAD_BYTES = 1024
"""What stands around the content; its fields come to about 400 bytes."""


class MediaType(enum.StrEnum):
    """What a document may be. Told from its content, never from a file's name."""

    PDF = "application/pdf"
    JPEG = "image/jpeg"
    PNG = "image/png"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentPart(Record):
    """One part, and what is true of its whole document. Making one checks it."""

    refuse: ClassVar[type[WireError]] = DocumentPartError

    claim_id: Annotated[UUID, Identifier()]
    """The claim's ``packet_id``."""
    device_id: Annotated[str, DEVICE_ID]
    """The envelope's, once more under the encryption."""
    index: Annotated[int, Whole(0, FIRST_SUPPLEMENT + MAX_SUPPLEMENTS - 1)]
    """Place in the claim's ``documents``, from 0; FIRST_SUPPLEMENT and up where the claim does not list it."""
    type_code: Annotated[str, CODE]
    media_type: Annotated[MediaType, Choice(MediaType)]
    pages: Annotated[int, Whole(1, 500)]
    legible: Annotated[bool, Flag()]
    """The operator's judgement."""
    operator_id: Annotated[str, PERSON_ID]
    """Who attached it."""
    attached_at: Annotated[datetime, Moment()]
    """By the device's clock."""
    size_bytes: Annotated[int, Whole(1, MAX_DOCUMENT_BYTES)]
    """Of the whole document."""
    sha256: Annotated[bytes, SHA256]
    """Of the whole document."""
    part_bytes: Annotated[int, Whole(MIN_PART_BYTES, MAX_PART_BYTES)]
    """Of every part but the last."""
    part: Annotated[int, Whole(1, MAX_DOCUMENT_BYTES // MIN_PART_BYTES)]
    """From 1."""
    content: Annotated[bytes, Blob(MAX_PART_BYTES, least=1)] = field(repr=False)

    @property
    def parts(self) -> int:
        """How many parts the document has."""
        return part_count(self.size_bytes, self.part_bytes)

    def check_together(self) -> None:
        """The part exists, and is as long as it must be."""
        if self.part > self.parts:
            raise DocumentPartError(Refusal.CONTRADICTION, "part", "beyond the end of the document")
        rest = self.size_bytes - (self.parts - 1) * self.part_bytes
        if len(self.content) != (rest if self.part == self.parts else self.part_bytes):
            raise DocumentPartError(Refusal.CONTRADICTION, "content", "not as long as this part must be")

    def encode(self) -> bytes:
        """The part's canonical bytes: what is signed and encrypted."""
        return cbor.encode({"type": TYPE, "schema_version": SCHEMA_VERSION, **self.to_map()})


def decode(data: bytes) -> DocumentPart:
    """Read a part. Raises DocumentPartError; ``decode(x).encode() == x`` for whatever it takes."""
    try:
        value = cbor.decode(data, max_bytes=MAX_PART_BYTES + MAX_HEAD_BYTES, max_items=4096, max_depth=5)
    except CborError as error:
        raise DocumentPartError(error.refusal, error.field, error.detail) from error
    if not isinstance(value, dict):
        raise DocumentPartError(Refusal.WRONG_TYPE, detail="not a map")
    # Type and version first: another kind of packet, or a later version, should be called that.
    for key, known, refusal in (
        ("type", TYPE, Refusal.UNKNOWN_TYPE),
        ("schema_version", SCHEMA_VERSION, Refusal.UNKNOWN_VERSION),
    ):
        if key not in value:
            raise DocumentPartError(Refusal.MISSING_KEY, key)
        found = value.pop(key)
        if type(found) is not type(known) or found != known:
            raise DocumentPartError(refusal, key)
    return DocumentPart.from_map(value)


def is_part(packet: bytes) -> bool:
    """Whether an opened packet calls itself a document part; whether it is one, :func:`decode` says."""
    try:
        value = cbor.decode(packet, max_bytes=MAX_PACKET_BYTES, max_items=4096, max_depth=5)
    except CborError:
        return False
    return isinstance(value, dict) and value.get("type") == TYPE


def part_count(size_bytes: int, part_bytes: int = PART_BYTES) -> int:
    """How many parts a document of that size is cut into."""
    return -(-size_bytes // part_bytes)


def packet_id(claim_id: UUID, index: int, part: int) -> UUID:
    """The id of a part in the queue: the same part always has the same, so that queueing it twice is queueing once."""
    return uuid5(claim_id, f"document {index} part {part}")
