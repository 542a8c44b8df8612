"""ISO/IEC 19794-4:2011 finger image records with one picture, big-endian. Pure, and bounded by the record itself.

The 2005 edition has another layout and is refused by its name. Extended data behind the picture is left alone.
"""

import enum
import struct
from dataclasses import dataclass

from drivers.scanner.sbi.errors import Refusal, WrongAnswerError

MAGIC = b"FIR\x00"
EDITION_2011 = b"020\x00"
EDITION_2005 = b"010\x00"
GENERAL_HEADER_BYTES = 16
LEAST_REPRESENTATION_BYTES = 41
LARGEST_SIDE = 2048
SMALLEST_SIDE = 64
"""A finger tip of 10 mm is 200 pixels at 500 to the inch; what is a third of it shows nothing to compare."""
LOWEST_PPI, HIGHEST_PPI = 490.0, 1010.0
"""What validators of such records allow."""
CM_PER_INCH = 2.54
QUALITY_FAILED = 255


class Compression(enum.IntEnum):
    """How the picture is packed."""

    NONE = 0
    PACKED = 1
    WSQ = 2
    JPEG = 3
    JPEG2000_LOSSY = 4
    JPEG2000_LOSSLESS = 5
    PNG = 6


@dataclass(frozen=True, slots=True, repr=False)
class FingerRecord:
    """The one representation of a record. ``image`` is a window on the record's own bytes."""

    position: int
    """0 unknown, 1-5 right thumb to little finger, 6-10 left."""
    impression: int
    qualities: tuple[int, ...]
    """0-100, or 255 where it could not be computed."""
    ppi_x: float
    ppi_y: float
    width: int
    height: int
    compression: Compression
    image: memoryview


class _Reader:
    """Fields one after another; none beyond the end."""

    def __init__(self, content: memoryview) -> None:
        self._content, self.at = content, 0

    def take(self, form: str) -> tuple[int, ...]:
        size = struct.calcsize(">" + form)
        if self.at + size > len(self._content):
            raise WrongAnswerError(Refusal.RECORD, f"ends at byte {len(self._content)}, inside its header")
        values = struct.unpack_from(">" + form, self._content, self.at)
        self.at += size
        return values

    def window(self, size: int, end: int) -> memoryview:
        if not 0 < size <= end - self.at:
            raise WrongAnswerError(Refusal.RECORD, f"a picture of {size} bytes where {end - self.at} are left")
        found = self._content[self.at : self.at + size]
        self.at += size
        return found


def decode(content: bytes | bytearray) -> FingerRecord:
    """Read a record; raises WrongAnswerError with what is wrong."""
    whole = memoryview(content)
    _check_general_header(whole)
    reader = _Reader(whole)
    reader.at = 14
    (certified, positions) = reader.take("BB")
    if certified > 1 or positions != 1:
        raise WrongAnswerError(Refusal.RECORD, "more than one finger position")
    (length,) = reader.take("I")
    if not LEAST_REPRESENTATION_BYTES <= length <= len(whole) - GENERAL_HEADER_BYTES:
        raise WrongAnswerError(Refusal.RECORD, f"a representation of {length} bytes in {len(whole)}")
    reader.take("9s")  # capture time: the signed timestamp is the one that counts
    reader.take("BHH")  # technology, vendor and type of the device: the digital id says it signed
    (blocks,) = reader.take("B")
    qualities = tuple(reader.take("BHH")[0] for _ in range(blocks))
    if certified:
        (blocks,) = reader.take("B")
        for _ in range(blocks):
            reader.take("3s")
    (position, number, unit) = reader.take("BBB")
    capture_x, capture_y, image_x, image_y = reader.take("HHHH")
    depth, compression, impression, width, height, size = reader.take("BBBHHI")
    image = reader.window(size, GENERAL_HEADER_BYTES + length)
    if number > 1:  # services count from 0 or from 1
        raise WrongAnswerError(Refusal.RECORD, f"representation number {number}")
    if depth != 8:
        raise WrongAnswerError(Refusal.DEPTH, f"{depth} bits")
    if any(quality > 100 and quality != QUALITY_FAILED for quality in qualities):
        raise WrongAnswerError(Refusal.QUALITY, "in the record")
    if not (SMALLEST_SIDE <= width <= LARGEST_SIDE and SMALLEST_SIDE <= height <= LARGEST_SIDE):
        raise WrongAnswerError(Refusal.PICTURE, f"{width} x {height} pixels")
    ppi_x, ppi_y = _resolution(unit, (capture_x, capture_y), (image_x, image_y))
    return FingerRecord(
        position=position,
        impression=impression,
        qualities=qualities,
        ppi_x=ppi_x,
        ppi_y=ppi_y,
        width=width,
        height=height,
        compression=_compression(compression),
        image=image,
    )


def _check_general_header(whole: memoryview) -> None:
    if len(whole) < GENERAL_HEADER_BYTES or bytes(whole[:4]) != MAGIC:
        raise WrongAnswerError(Refusal.RECORD, "not a finger image record")
    edition = bytes(whole[4:8])
    if edition == EDITION_2005:
        raise WrongAnswerError(Refusal.RECORD_EDITION, "ISO/IEC 19794-4:2005")
    if edition != EDITION_2011:
        raise WrongAnswerError(Refusal.RECORD_EDITION, "unknown")
    total, representations = struct.unpack_from(">IH", whole, 8)
    if total != len(whole):
        raise WrongAnswerError(Refusal.RECORD, f"says {total} bytes, has {len(whole)}")
    if representations != 1:
        raise WrongAnswerError(Refusal.RECORD, f"{representations} representations")


def _resolution(unit: int, capture: tuple[int, int], image: tuple[int, int]) -> tuple[float, float]:
    factor = {1: 1.0, 2: CM_PER_INCH}.get(unit)
    if factor is None:
        raise WrongAnswerError(Refusal.RESOLUTION, "an unknown unit")
    if image[0] > capture[0] or image[1] > capture[1]:
        raise WrongAnswerError(Refusal.RESOLUTION, "finer than it was captured")
    ppi = image[0] * factor, image[1] * factor
    if not all(LOWEST_PPI <= one <= HIGHEST_PPI for one in ppi):
        raise WrongAnswerError(Refusal.RESOLUTION, f"{ppi[0]:g} x {ppi[1]:g} ppi")
    return ppi


def _compression(number: int) -> Compression:
    try:
        return Compression(number)
    except ValueError as error:
        raise WrongAnswerError(Refusal.COMPRESSION, f"unknown number {number}") from error
