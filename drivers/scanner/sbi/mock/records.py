"""Finger image records as scanners write them, in every variant a client has to understand or refuse."""

import datetime
import enum
import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.sbi.record import EDITION_2005, EDITION_2011, MAGIC, Compression

LIVE_PLAIN = 0
_VENDOR = 0x0FFF


class Variant(enum.Enum):
    """Layouts all of which are allowed."""

    PLAIN = "plain"
    """One quality block."""
    NO_QUALITY = "no_quality"
    CERTIFIED = "certified"
    """With two certification blocks."""
    EXTENDED = "extended"
    """With certification blocks and 60 bytes of extended data behind the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a record is written. The fields named ``said_…`` lie when they are given."""

    compression: Compression = Compression.JPEG2000_LOSSLESS
    variant: Variant = Variant.PLAIN
    edition: bytes = EDITION_2011
    per_cm: bool = False
    said_size: tuple[int, int] | None = None
    said_dpi: int | None = None
    said_depth: int = 8
    said_surplus: int = 0
    """Added to the record's own length."""


def encode(
    pixels: NDArray[np.uint8],
    dpi: float,
    *,
    position: int,
    quality: int,
    moment: datetime.datetime,
    layout: Layout | None = None,
) -> bytes:
    """A record of one picture, ISO/IEC 19794-4:2011 (or :2005 when the layout says so)."""
    layout = layout or Layout()
    height, width = layout.said_size or pixels.shape
    image = packed(pixels, layout.compression)
    rate = round((layout.said_dpi or dpi) / (2.54 if layout.per_cm else 1))
    if layout.edition == EDITION_2005:
        return _edition_2005(image, (width, height), rate, position, quality)
    certified = layout.variant in (Variant.CERTIFIED, Variant.EXTENDED)
    body = struct.pack(">HBBBBBH", moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, 0)
    body += struct.pack(">BHH", 0, _VENDOR, 1)
    if layout.variant is Variant.NO_QUALITY:
        body += b"\x00"
    else:
        body += struct.pack(">BBHH", 1, quality, 0x000F, 1)
    if certified:
        body += b"\x02" + struct.pack(">HB", _VENDOR, 1) * 2
    body += struct.pack(">BBB", position, 0, 2 if layout.per_cm else 1) + struct.pack(">HHHH", *[rate] * 4)
    body += struct.pack(">BBBHHI", layout.said_depth, layout.compression, LIVE_PLAIN, width, height, len(image))
    body += image + (bytes(60) if layout.variant is Variant.EXTENDED else b"")
    representation = struct.pack(">I", len(body) + 4) + body
    total = 16 + len(representation) + layout.said_surplus
    return MAGIC + EDITION_2011 + struct.pack(">IHBB", total, 1, certified, 1) + representation


def packed(pixels: NDArray[np.uint8], compression: Compression) -> bytes:
    """The picture alone. Packings this cannot make are pretended: a client has to refuse them before looking."""
    match compression:
        case Compression.JPEG2000_LOSSLESS:
            return _by_library(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
        case Compression.JPEG2000_LOSSY:
            return _by_library(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 200])
        case Compression.PNG:
            return _by_library(".png", pixels, [])
        case Compression.JPEG:
            return _by_library(".jpg", pixels, [])
        case _:
            return pixels.tobytes()


def _by_library(suffix: str, pixels: NDArray[np.uint8], how: list[int]) -> bytes:
    done, content = cv2.imencode(suffix, pixels, how)
    assert done
    return content.tobytes()


def _edition_2005(image: bytes, size: tuple[int, int], rate: int, position: int, quality: int) -> bytes:
    view = struct.pack(">IBBBBBHHB", 14 + len(image), position, 1, 1, quality, LIVE_PLAIN, *size, 0) + image
    head = (32 + len(view)).to_bytes(6, "big") + struct.pack(">HHBB", _VENDOR, 31, 1, 1)
    head += struct.pack(">HHHHBBH", rate, rate, rate, rate, 8, 0, 0)
    return MAGIC + EDITION_2005 + head + view
