"""Deterministic CBOR (RFC 8949 section 4.2.1), the small part of it our formats use; pure.

Integers of 64 bits, byte and text strings, arrays, maps with integer or text keys, tags, true, false and
null, all of definite length. No floats and no bignums. The decoder refuses every encoding but the shortest,
keys out of order and keys twice, so that equal values have equal bytes and a digest over bytes is a digest
over the value. It follows no tag, so that foreign bytes can not make it build anything but plain values, and
it checks each announced length against the bytes that are there before it makes room for them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from sync.errors import CborError, Refusal


class Tag(NamedTuple):
    """A tagged item; what the tag means is the caller's business."""

    number: int
    content: object


UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
_MAX_64 = (1 << 64) - 1


def encode(value: object) -> bytes:
    """The one deterministic encoding of ``value``. Raises CborError for a type the formats do not use."""
    out = bytearray()
    _encode(value, out)
    return bytes(out)


_KEYS = frozenset((int, str))
_SHORT = [bytes((first,)) for first in range(256)]


def _head(major: int, argument: int) -> bytes:
    first = major << 5
    if argument < 24:
        return _SHORT[first | argument]
    if argument < 1 << 8:
        return bytes((first | 24, argument))
    if argument < 1 << 16:
        return bytes((first | 25,)) + argument.to_bytes(2, "big")
    if argument < 1 << 32:
        return bytes((first | 26,)) + argument.to_bytes(4, "big")
    return bytes((first | 27,)) + argument.to_bytes(8, "big")


def _encode(value: object, out: bytearray) -> None:
    # The commonest first, by their exact types: a receipt holds four thousand values.
    if type(value) is bytes:
        out += _head(BYTES, len(value))
        out += value
    elif type(value) is str:
        _encode_text(value, out)
    elif type(value) is int:
        _encode_integer(value, out)
    elif type(value) is dict:
        _encode_map(value, out)
    elif type(value) is list:
        out += _head(ARRAY, len(value))
        for item in value:
            _encode(item, out)
    else:
        _encode_other(value, out)


def _encode_other(value: object, out: bytearray) -> None:
    """Constants, tags, and what is a plain type by inheritance, such as an enumeration's member."""
    if value is None:
        out.append(0xF6)
    elif value is True:
        out.append(0xF5)
    elif value is False:
        out.append(0xF4)
    elif isinstance(value, int):
        _encode_integer(value, out)
    elif isinstance(value, bytes):
        _encode(bytes(value), out)
    elif isinstance(value, str):
        _encode_text(value, out)
    elif isinstance(value, Tag):  # before tuples: a Tag is one
        out += _head(TAG, value.number)
        _encode(value.content, out)
    elif isinstance(value, Mapping):
        _encode_map(value, out)
    elif isinstance(value, Sequence):
        _encode(list(value), out)
    else:
        raise CborError(Refusal.WRONG_TYPE, detail=f"{type(value).__name__} has no encoding")


def _encode_integer(value: int, out: bytearray) -> None:
    magnitude = value if value >= 0 else -1 - value
    if magnitude > _MAX_64:
        raise CborError(Refusal.BAD_VALUE, detail="integer beyond 64 bits")
    out += _head(UNSIGNED if value >= 0 else NEGATIVE, magnitude)


def _encode_text(value: str, out: bytearray) -> None:
    try:
        utf8 = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CborError(Refusal.BAD_VALUE, detail="text is not valid Unicode") from error
    out += _head(TEXT, len(utf8))
    out += utf8


def _encode_map(value: Mapping[object, object], out: bytearray) -> None:
    if not _KEYS.issuperset(map(type, value)):  # asked here, because 1, True and 1.0 are one to the cache
        _refuse_other_keys(value)
    out += _head(MAP, len(value))
    for key, encoded_key in _in_order(tuple(value)):
        out += encoded_key
        _encode(value[key], out)


def _refuse_other_keys(value: Mapping[object, object]) -> None:
    for key in value:
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise CborError(Refusal.WRONG_TYPE, detail="map keys are integers or text")


@lru_cache(maxsize=1024)  # Sets of field names: a receipt repeats the same eight up to 512 times.
def _in_order(keys: tuple[object, ...]) -> tuple[tuple[object, bytes], ...]:
    """Bytewise order of the encoded keys, which is not RFC 7049's "shorter first"."""
    return tuple(sorted(((key, encode(key)) for key in keys), key=lambda pair: pair[1]))


def decode(data: bytes, *, max_bytes: int, max_items: int = 4096, max_depth: int = 12) -> object:
    """Read exactly one deterministic item.

    Parameters
    ----------
    data
        The whole message.
    max_bytes, max_items, max_depth
        Limits on the message, on its items at all levels together, and on how deep they nest.

    Returns
    -------
    int, bytes, str, list, dict, Tag, bool or None
    """
    if len(data) > max_bytes:
        raise CborError(Refusal.TOO_LONG, detail=f"{len(data)} bytes, at most {max_bytes}")
    reader = _Reader(bytes(data), max_items, max_depth)
    value = reader.item(0)
    if reader.at != len(data):
        raise CborError(Refusal.TRAILING_BYTES, detail=f"{len(data) - reader.at} bytes after the item")
    return value


class _Reader:
    __slots__ = ("at", "data", "items_left", "max_depth")

    def __init__(self, data: bytes, max_items: int, max_depth: int) -> None:
        self.data, self.items_left, self.max_depth = data, max_items, max_depth
        self.at = 0

    def head(self) -> tuple[int, int, int]:
        """Major type, argument, and the low five bits that say how the argument was written."""
        data, at = self.data, self.at
        if at >= len(data):
            raise CborError(Refusal.TRUNCATED)
        major, low = data[at] >> 5, data[at] & 0x1F
        at += 1
        if low < 24:
            self.at = at
            return major, low, low
        if low > 27:
            raise CborError(Refusal.NOT_CBOR, detail="indefinite length or reserved head")
        size = 1 << (low - 24)
        if at + size > len(data):
            raise CborError(Refusal.TRUNCATED)
        argument = int.from_bytes(data[at : at + size], "big")
        self.at = at + size
        shortest = (24, 1 << 8, 1 << 16, 1 << 32)[low - 24]
        if major != SIMPLE and argument < shortest:
            raise CborError(Refusal.NOT_DETERMINISTIC, detail="argument not in its shortest form")
        return major, argument, low

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.data):
            raise CborError(Refusal.TRUNCATED)
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def item(self, depth: int) -> object:
        self.items_left -= 1
        if self.items_left < 0 or depth > self.max_depth:
            raise CborError(Refusal.TOO_LONG, detail="too many items or levels")
        major, argument, low = self.head()
        if major == UNSIGNED:
            return argument
        if major == NEGATIVE:
            return -1 - argument
        if major == BYTES:
            return self.take(argument)
        if major == TEXT:
            try:
                return self.take(argument).decode("utf-8")
            except UnicodeDecodeError as error:
                raise CborError(Refusal.NOT_CBOR, detail="text is not UTF-8") from error
        if major == ARRAY:
            self.room_for(argument)
            return [self.item(depth + 1) for _ in range(argument)]
        if major == MAP:
            self.room_for(2 * argument)
            return self.map_items(argument, depth + 1)
        if major == TAG:
            return Tag(argument, self.item(depth + 1))
        if low == 20:
            return False
        if low == 21:
            return True
        if low == 22:
            return None
        raise CborError(Refusal.NOT_CBOR, detail="floats and other simple values are not used")

    def room_for(self, count: int) -> None:
        # Each item takes at least one byte, so that a short message can not announce a long array.
        if count > len(self.data) - self.at:
            raise CborError(Refusal.TRUNCATED)
        if count > self.items_left:
            raise CborError(Refusal.TOO_LONG, detail="too many items")

    def map_items(self, count: int, depth: int) -> dict[int | str, object]:
        members: dict[int | str, object] = {}
        previous = b""
        for _ in range(count):
            start = self.at
            key = self.item(depth)
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise CborError(Refusal.WRONG_TYPE, detail="map keys are integers or text")
            encoded_key = self.data[start : self.at]
            if encoded_key <= previous:
                raise CborError(Refusal.NOT_DETERMINISTIC, detail="map keys out of order or twice")
            previous = encoded_key
            members[key] = self.item(depth)
        return members
