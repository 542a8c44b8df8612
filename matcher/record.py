"""What all minutiae record formats share: the value read, its flags, and bounded reading of bytes."""

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from matcher.errors import TemplateFormatError
from matcher.template import Template

PX_PER_CM: Final = 197
"""Pixels per cm that the formats write for 500 dpi (196.85 rounded)."""
PLAUSIBLE_PX_PER_CM: Final = range(90, 801)
"""230 to 2030 dpi. A header with anything else is taken as 500 dpi and flagged."""
QUALITY_UNKNOWN: Final = (254, 255)
"""Not reported, and failed to compute."""


class Standard(enum.Enum):
    """Which layout the bytes had."""

    ISO_2005 = "ISO/IEC 19794-2:2005"
    ISO_2011 = "ISO/IEC 19794-2:2011"
    ANSI_2004 = "ANSI INCITS 378-2004"
    ANSI_2009 = "ANSI INCITS 378-2009"


class FingerPosition(enum.IntEnum):
    """Finger codes of ISO/IEC 19794-2 table 2."""

    UNKNOWN = 0
    RIGHT_THUMB = 1
    RIGHT_INDEX = 2
    RIGHT_MIDDLE = 3
    RIGHT_RING = 4
    RIGHT_LITTLE = 5
    LEFT_THUMB = 6
    LEFT_INDEX = 7
    LEFT_MIDDLE = 8
    LEFT_RING = 9
    LEFT_LITTLE = 10


class Flag:
    """Oddities that real records have and that are told, not refused."""

    IMAGE_SIZE_ZERO: Final = "image_size_zero"
    QUALITY_UNKNOWN: Final = "view_quality_unknown"
    QUALITY_OUT_OF_RANGE: Final = "view_quality_out_of_range"
    MINUTIA_QUALITY_UNKNOWN: Final = "minutia_quality_unknown"
    MINUTIA_TYPE_RESERVED: Final = "minutia_type_reserved"
    ALL_ENDINGS: Final = "all_types_ending"
    NO_VIEWS: Final = "no_views"
    NO_MINUTIAE: Final = "no_minutiae"
    LENGTH_FIELD_WRONG: Final = "length_field_wrong"
    TRAILING_BYTES: Final = "trailing_bytes"
    RESERVED_BITS_SET: Final = "reserved_bits_set"
    EXTENDED_DATA: Final = "extended_data"
    EXTENDED_DATA_CUT: Final = "extended_data_cut"
    RESOLUTION_ASSUMED: Final = "resolution_assumed_500_dpi"
    ANGLE_OUT_OF_RANGE: Final = "angle_out_of_range"
    OUTSIDE_IMAGE: Final = "minutiae_outside_image"
    FINGER_POSITION_UNKNOWN: Final = "finger_position_not_in_table"


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One impression of one finger. ``quality`` is 0 to 100, None where the record does not say."""

    template: Template
    finger_position: int = FingerPosition.UNKNOWN
    impression: int = 0
    quality: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A decoded minutiae record: its views in order, and what was odd about it (sorted, each once)."""

    views: tuple[View, ...]
    flags: tuple[str, ...]
    standard: Standard = Standard.ISO_2005

    def wipe(self) -> None:
        """Wipe the templates of all views."""
        for view in self.views:
            view.template.wipe()


class ByteReader:
    """Reads big-endian numbers in order; never beyond the end. Collects flags on the way."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self._data = data
        self.offset = offset
        self.flags: set[str] = set()

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.offset

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes, or TemplateFormatError saying what is cut off."""
        if count > self.left:
            raise TemplateFormatError(f"ends inside its {what}", self.offset)
        part = self._data[self.offset : self.offset + count]
        self.offset += count
        return part

    def u8(self, what: str) -> int:
        return self.take(1, what)[0]

    def u16(self, what: str) -> int:
        return int.from_bytes(self.take(2, what), "big")

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What a header says of the image: size in pixels (0 where it does not say) and pixels per cm."""

    width: int
    height: int
    x_per_cm: int
    y_per_cm: int


def read_geometry(reader: ByteReader) -> Geometry:
    """Width, height and resolution in the order of ISO 2005 and of both ANSI editions."""
    width, height, x_per_cm, y_per_cm = struct.unpack(">4H", reader.take(8, "image size and resolution"))
    return checked_geometry(reader, width, height, x_per_cm, y_per_cm)


def checked_geometry(reader: ByteReader, width: int, height: int, x_per_cm: int, y_per_cm: int) -> Geometry:
    """Flags a size of zero and replaces a resolution no sensor has by 500 dpi."""
    if width == 0 or height == 0:
        reader.flags.add(Flag.IMAGE_SIZE_ZERO)
    if x_per_cm not in PLAUSIBLE_PX_PER_CM or y_per_cm not in PLAUSIBLE_PX_PER_CM:
        reader.flags.add(Flag.RESOLUTION_ASSUMED)
        x_per_cm = y_per_cm = PX_PER_CM
    return Geometry(width=width, height=height, x_per_cm=x_per_cm, y_per_cm=y_per_cm)


def read_view_quality(reader: ByteReader, value: int) -> int | None:
    """0 to 100, or None with a flag."""
    if value in QUALITY_UNKNOWN:
        reader.flags.add(Flag.QUALITY_UNKNOWN)
        return None
    if value > 100:
        reader.flags.add(Flag.QUALITY_OUT_OF_RANGE)
        return None
    return value


def read_position(reader: ByteReader, value: int) -> int:
    """The finger code as written; flagged where the table has no such finger."""
    if value > FingerPosition.LEFT_LITTLE:
        reader.flags.add(Flag.FINGER_POSITION_UNKNOWN)
    return value


def read_minutiae(
    reader: ByteReader,
    count: int,
    geometry: Geometry,
    *,
    degrees_per_unit: float,
    zero_quality_is_unknown: bool,
    with_quality: bool = True,
) -> Template:
    """``count`` minutiae of 6 bytes (5 without quality) as a template at 500 dpi.

    Layout: type (2 bits) + x (14), reserved (2) + y (14), angle, quality.
    """
    size = 6 if with_quality else 5
    raw = np.frombuffer(reader.take(count * size, "minutiae"), np.uint8).reshape(count, size).astype(np.int64)
    first, second = raw[:, 0] << 8 | raw[:, 1], raw[:, 2] << 8 | raw[:, 3]
    kind, x, y = first >> 14, first & 0x3FFF, second & 0x3FFF
    if (second >> 14).any():
        reader.flags.add(Flag.RESERVED_BITS_SET)
    if (kind == 3).any():
        reader.flags.add(Flag.MINUTIA_TYPE_RESERVED)
        kind = np.where(kind == 3, 0, kind)
    if count == 0:
        reader.flags.add(Flag.NO_MINUTIAE)
    elif (kind == 1).all():
        reader.flags.add(Flag.ALL_ENDINGS)
    if (geometry.width and (x >= geometry.width).any()) or (geometry.height and (y >= geometry.height).any()):
        reader.flags.add(Flag.OUTSIDE_IMAGE)
    angle = raw[:, 4] * degrees_per_unit
    if (angle >= 360).any():
        reader.flags.add(Flag.ANGLE_OUT_OF_RANGE)
    quality = raw[:, 5].astype(np.float64) if with_quality else np.full(count, np.nan)
    unknown = quality > 100
    if zero_quality_is_unknown:
        unknown |= quality == 0
    quality[unknown] = np.nan
    if np.isnan(quality).any():
        reader.flags.add(Flag.MINUTIA_QUALITY_UNKNOWN)
    return Template.of(
        x * (PX_PER_CM / geometry.x_per_cm), y * (PX_PER_CM / geometry.y_per_cm), np.radians(angle), kind, quality
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewHead:
    """What stands before a view's minutiae; ``count`` of them follow."""

    position: int
    impression: int
    quality: int | None
    geometry: Geometry
    count: int


def read_views(
    reader: ByteReader,
    read_head: Callable[[], ViewHead],
    *,
    degrees_per_unit: float,
    zero_quality_is_unknown: bool,
) -> list[View]:
    """The views of ISO 2005 and of both ANSI editions: their number, a reserved byte, then head, minutiae and
    extended data of each.
    """
    count = reader.u8("number of views")
    reader.u8("reserved byte")
    views = []
    for number in range(count):
        head = read_head()
        template = read_minutiae(
            reader,
            head.count,
            head.geometry,
            degrees_per_unit=degrees_per_unit,
            zero_quality_is_unknown=zero_quality_is_unknown,
        )
        skip_extended_data(reader, last=number == count - 1)
        views.append(View(template, head.position, head.impression, head.quality))
    return views


def skip_extended_data(reader: ByteReader, *, last: bool) -> None:
    """The extended data block of a view: length (2 bytes), then blocks we do not use.

    In the last view a cut block is flagged: the minutiae before it are whole, and the annex example of ISO 2005
    itself loses its last byte to whoever believes its length field.
    """
    if last and reader.left < 2:
        reader.flags.add(Flag.EXTENDED_DATA_CUT)
        reader.take(reader.left, "extended data")
        return
    length = reader.u16("extended data length")
    if length == 0:
        return
    reader.flags.add(Flag.EXTENDED_DATA)
    if last and length > reader.left:
        reader.flags.add(Flag.EXTENDED_DATA_CUT)
        length = reader.left
    reader.take(length, "extended data")


def finish(reader: ByteReader, declared: int, total: int, views: list[View], standard: Standard) -> Record:
    """Compare what was read with what the header promised."""
    if not views:
        reader.flags.add(Flag.NO_VIEWS)
    if declared != total:
        reader.flags.add(Flag.LENGTH_FIELD_WRONG)
    if reader.left:
        reader.flags.add(Flag.TRAILING_BYTES)
    return Record(tuple(views), tuple(sorted(reader.flags)), standard)
