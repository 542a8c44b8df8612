"""Damaged bytes: flipped, cut, repeated; and where they are CBOR, damaged in what they mean; pure.

A byte flipped at random in a signed message seldom gets past the first check. So CBOR is taken apart, one item in it
is made strange (another type, an extreme number, a length that lies, a thousand levels), and put together again,
through byte strings that hold CBOR themselves.
"""

from random import Random
from typing import Any

from sync import cbor
from sync.errors import CborError

EXTREMES = (0, 1, -1, 23, 24, 255, 256, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), -(2**64))
LENGTHS = (0, 23, 24, 255, 256, 65535, 65536, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
ODD = (
    b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xf7",
    b"\x5f\x41\x00\xff",
    b"\x18\x01",
    b"\xf8\x20",
    b"\x9f\xff",
    b"\xbf\xff",
    b"\xc2\x49\x01" + bytes(8),
)
"""A float, undefined, indefinite lengths, a number not in its shortest form, a bignum."""
DEEP = 3000
"""Levels: more than Python's own recursion bears."""
LARGEST_COPY = 256 * 1024
MOST_BYTES = 4 * 1024 * 1024


class Raw(bytes):
    """Bytes to be put into the encoding as they are."""


def mutated(seed: bytes, random: Random) -> bytes:
    """One damaged version of ``seed``."""
    if random.random() < 0.6:
        item = _taken_apart(seed)
        if item is not None:
            for _ in range(random.choice((1, 1, 1, 2, 4))):
                item = _strange(item, random, 0)
            return _together(item)
    data = bytearray(seed)
    for _ in range(random.choice((1, 1, 2, 5))):
        _scratch(data, random)
    return bytes(data)


def _scratch(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    match random.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x5F, 0x9F, 0xBF, 0xFB, 0x3B, 0x1B))
        case 2:
            del data[at:]
        case 3:
            del data[at : at + random.randrange(1, 40)]
        case 4:
            data[at:at] = random.randbytes(random.randrange(1, 20))
        case 5:
            data[at:at] = data[at : at + random.randrange(1, 200)]
        case _:
            data[at:at] = random.choice((b"\x81", b"\xa1\x00", b"\xc1")) * random.choice((5, 40, DEEP))


def _taken_apart(data: bytes) -> Any:
    """The CBOR item in these bytes, or None. A byte string that is CBOR itself stays one until it is looked into."""
    try:
        return cbor.decode(data, max_bytes=MOST_BYTES, max_items=100_000, max_depth=60)
    except CborError:
        return None


def _strange(item: Any, random: Random, depth: int) -> Any:
    """The item with one thing in it made strange."""
    inner = _children(item)
    if inner and random.random() < 0.85:
        key = random.choice(inner)
        return _with(item, key, random, depth)
    if isinstance(item, bytes) and not isinstance(item, Raw) and len(item) > 4 and random.random() < 0.8:
        within = _taken_apart(item)
        if isinstance(within, list | dict | cbor.Tag):
            return _together(_strange(within, random, depth + 1))
    return _instead(item, random)


def _children(item: Any) -> list[Any]:
    if isinstance(item, cbor.Tag):
        return ["tagged"]
    if isinstance(item, list):
        return list(range(len(item)))
    return list(item) if isinstance(item, dict) else []


def _with(item: Any, key: Any, random: Random, depth: int) -> Any:
    if isinstance(item, cbor.Tag):
        return cbor.Tag(item.number, _strange(item.content, random, depth))
    copy = item.copy()
    match random.randrange(12):
        case 0:
            del copy[key]
        case 1 if isinstance(copy, list):
            copy.insert(key, copy[key])
        case 1:
            copy[random.choice((0, "", "x" * 300, "version", -70001))] = copy[key]
        case 2:
            other = random.choice(_children(item))
            copy[key], copy[other] = copy[other], copy[key]
        case _:
            copy[key] = _strange(copy[key], random, depth)
    return copy


def _instead(item: Any, random: Random) -> Any:
    match random.randrange(12):
        case 0:
            return random.choice(EXTREMES)
        case 1:
            return random.choice((None, True, False, b"", "", [], {}))
        case 2 if isinstance(item, bytes):
            data = bytearray(item)
            _scratch(data, random)
            return bytes(data)
        case 2 if isinstance(item, str):
            return item[: random.randrange(len(item) + 1)] + random.choice(("\x00", "\ud7ff", "😀", "A" * 500, "\n"))
        case 2 | 3 if isinstance(item, int) and not isinstance(item, bool):
            return item + random.choice((-1, 1, 1 << 32, -(1 << 40)))
        case 3:
            return random.randbytes(random.choice((1, 15, 16, 17, 31, 32, 33, 5000)))
        case 4:
            return [item] * _room_for(item, random.choice((2, 70, 600)))
        case 5:
            return {str(number): item for number in range(_room_for(item, random.choice((1, 30))))}
        case 6:
            return cbor.Tag(random.choice((0, 2, 18, 24, 96, 2**63)), item)
        case 7:
            return Raw(random.choice((b"\x81", b"\xa1\x00", b"\xd8\x18\x81")) * random.choice((10, DEEP)) + b"\x00")
        case 8:
            major = random.choice((2, 3, 4, 5)) << 5
            return Raw(bytes((major | 27,)) + random.choice(LENGTHS).to_bytes(8, "big") + b"\x00" * 8)
        case 9:
            return Raw(random.choice(ODD))
        case _:
            return Raw(random.randbytes(random.randrange(0, 12)))


def _room_for(item: Any, copies: int) -> int:
    """As many copies as stay a message: copies of copies of copies would be gigabytes of our own making."""
    return min(copies, LARGEST_COPY // (len(_together(item)) + 1))


def _together(item: Any) -> bytes:
    """Encode, lies and all."""
    if isinstance(item, Raw):
        return bytes(item)
    if isinstance(item, cbor.Tag):
        return _head(6, item.number) + _together(item.content)
    if isinstance(item, list):
        return _head(4, len(item)) + b"".join(map(_together, item))
    if isinstance(item, dict):
        members = sorted(((_together(key), value) for key, value in item.items()), key=lambda pair: pair[0])
        return _head(5, len(members)) + b"".join(key + _together(value) for key, value in members)
    if isinstance(item, str):
        text = item.encode("utf-8", "surrogatepass")
        return _head(3, len(text)) + text
    if isinstance(item, bytes):
        return _head(2, len(item)) + item
    if isinstance(item, int) and not isinstance(item, bool):
        number = item if item >= 0 else -1 - item
        return _head(0 if item >= 0 else 1, number) if number < 2**64 else b"\x00"
    return cbor.encode(item)


def _head(major: int, argument: int) -> bytes:
    for extra, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 24:
            return bytes(((major << 5) | argument,))
        if argument < 1 << (8 * size):
            return bytes(((major << 5) | extra,)) + argument.to_bytes(size, "big")
    return b"\x00"
