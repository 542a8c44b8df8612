"""What travels between a virtual scanner and whoever plays its glass: a fixed header, then raw pixels.

::

    0   4  magic "MPVS"
    4   1  version, 1
    5   1  kind (Kind)
    6   2  width, px         big endian, like all numbers here
    8   2  height, px
    10  4  dpi x 100
    14  …  width x height grey bytes, row by row from the finger tip; IMAGE and FRAME only

The scanner speaks first with HELLO (size and resolution of its glass), or BUSY when it has a user
already. Then one CAPTURE at a time, answered by IMAGE, TOO_SHORT, or, after CANCEL, CANCELLED. An
IMAGE may cross a CANCEL on the way and then takes the place of CANCELLED. One touch gives one IMAGE:
while its finger stays the scanner waits, and answers a CANCEL with NOT_LIFTED.

A scanner that streams begins with HELLO_STREAM instead and answers each LOOK at once with a FRAME of what lies
on its glass now, be it nothing. It takes CAPTURE as well.
"""

import enum
import struct
from dataclasses import dataclass

VERSION = 1
HEADER_BYTES = 14
LARGEST_SIDE = 2048
"""Pixels; a ten-print slab at 500 dpi is 1600 wide. Bounds what a header can make the reader allocate."""
LOWEST_DPI, HIGHEST_DPI = 100.0, 2000.0

_MAGIC = b"MPVS"
_HEADER = struct.Struct(">4sBBHHI")


class Kind(enum.IntEnum):
    """What a frame says."""

    HELLO = 1
    BUSY = 2
    CAPTURE = 3
    CANCEL = 4
    IMAGE = 5
    TOO_SHORT = 6
    CANCELLED = 7
    NOT_LIFTED = 8
    HELLO_STREAM = 9
    LOOK = 10
    FRAME = 11


_WITH_PIXELS = frozenset({Kind.IMAGE, Kind.FRAME})
_WITH_SIZE = _WITH_PIXELS | {Kind.HELLO, Kind.HELLO_STREAM}


class FrameError(ValueError):
    """These bytes are not a frame of ours; the message says what is wrong, never what was in it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a frame; width, height (px) and dpi are 0 where they say nothing."""

    kind: Kind
    width: int = 0
    height: int = 0
    dpi: float = 0.0

    @property
    def payload_bytes(self) -> int:
        """How many bytes follow."""
        return self.width * self.height if self.kind in _WITH_PIXELS else 0


def encode_header(header: Header) -> bytes:
    """The 14 bytes of a header."""
    return _HEADER.pack(_MAGIC, VERSION, header.kind, header.width, header.height, round(header.dpi * 100))


def decode_header(data: bytes | bytearray) -> Header:
    """Read a header of exactly ``HEADER_BYTES`` bytes.

    Raises
    ------
    FrameError
        Foreign magic or version, unknown kind, or a picture of impossible size or resolution.
    """
    if len(data) != HEADER_BYTES:
        raise FrameError(f"a header has {HEADER_BYTES} bytes, not {len(data)}")
    magic, version, number, width, height, centi_dpi = _HEADER.unpack(data)
    if magic != _MAGIC:
        raise FrameError("the answer does not begin like a frame")
    if version != VERSION:
        raise FrameError(f"frame version {version}, expected {VERSION}")
    try:
        kind = Kind(number)
    except ValueError:
        raise FrameError(f"unknown frame kind {number}") from None
    dpi = centi_dpi / 100
    if kind in _WITH_SIZE:
        if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
            raise FrameError(f"a picture of {width}x{height}")
        if not LOWEST_DPI <= dpi <= HIGHEST_DPI:
            raise FrameError(f"a resolution of {dpi:g} dpi")
    return Header(kind, width, height, dpi)
