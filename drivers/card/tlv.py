"""BER-TLV as ISO/IEC 7816-4 uses it: tag of one to three bytes, definite length, value. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_LENGTH = 0xFFFFFF


class TlvError(ValueError):
    """Bytes that are not BER-TLV. ``offset`` is where reading stopped; the content is not repeated."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at offset {offset}")
        self.reason, self.offset = reason, offset


@dataclass(frozen=True, slots=True)
class DataObject:
    """One tag with its value. The value may be secret, so it is not shown."""

    tag: int
    value: bytes

    def __repr__(self) -> str:
        return f"<DO {self.tag:02X}, {len(self.value)} bytes>"

    def encode(self) -> bytes:
        """Tag, shortest definite length, value."""
        return encode_tag(self.tag) + encode_length(len(self.value)) + self.value


def encode_tag(tag: int) -> bytes:
    """Bytes of a tag number as written in standards (``0x87``, ``0x5F2E``)."""
    encoded = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    if read_tag(encoded, 0) != (tag, len(encoded)):
        raise ValueError(f"{tag:X} is not a BER-TLV tag")
    return encoded


def encode_length(length: int) -> bytes:
    """Shortest definite form: one byte to 127, then 81, 82 or 83 and the number."""
    if not 0 <= length <= MAX_LENGTH:
        raise ValueError(f"length {length} does not fit three bytes")
    if length < 0x80:
        return bytes([length])
    size = (length.bit_length() + 7) // 8
    return bytes([0x80 | size]) + length.to_bytes(size, "big")


def read_tag(data: bytes, offset: int) -> tuple[int, int]:
    """Tag at ``offset`` and the offset behind it."""
    if offset >= len(data):
        raise TlvError("tag missing", offset)
    end = offset + 1
    if data[offset] & 0x1F == 0x1F:
        while True:
            if end >= len(data):
                raise TlvError("tag cut off", offset)
            end += 1
            if not data[end - 1] & 0x80:
                break
            if end - offset == 3:
                raise TlvError("tag longer than three bytes", offset)
    return int.from_bytes(data[offset:end], "big"), end


def read_length(data: bytes, offset: int) -> tuple[int, int]:
    """Length at ``offset`` and the offset behind it. Long forms need not be the shortest."""
    if offset >= len(data):
        raise TlvError("length missing", offset)
    first = data[offset]
    if first < 0x80:
        return first, offset + 1
    size = first & 0x7F
    if not 1 <= size <= 3:
        raise TlvError("indefinite or oversized length", offset)
    end = offset + 1 + size
    if end > len(data):
        raise TlvError("length cut off", offset)
    return int.from_bytes(data[offset + 1 : end], "big"), end


def parse(data: bytes) -> Iterator[DataObject]:
    """The data objects that fill ``data`` exactly, in order.

    Raises
    ------
    TlvError
        As soon as an object does not fit.
    """
    offset = 0
    while offset < len(data):
        tag, offset = read_tag(data, offset)
        length, offset = read_length(data, offset)
        if offset + length > len(data):
            raise TlvError("value cut off", offset)
        yield DataObject(tag, data[offset : offset + length])
        offset += length
