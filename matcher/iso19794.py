"""Minutiae records <-> templates: ISO/IEC 19794-2:2005 (read and written), 2011 and ANSI 378 (read).

All of them begin with "FMR"; the version alone does not tell them apart, so every layout the version allows is
tried and the one that uses up exactly the bytes there are wins. Oddities are flagged, not refused: records on
cards in the field have no image size, quality 254, every type "ending", and length fields that are off by one.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from matcher.ansi378 import decode_2004, decode_2009
from matcher.errors import CardFormatError, EmptyRecordError, TemplateFormatError
from matcher.record import (
    PX_PER_CM,
    ByteReader,
    FingerPosition,
    Flag,
    Record,
    Standard,
    View,
    ViewHead,
    checked_geometry,
    finish,
    read_geometry,
    read_minutiae,
    read_position,
    read_view_quality,
    read_views,
    skip_extended_data,
)

__all__ = ["FingerPosition", "Flag", "Record", "Standard", "View", "decode", "encode"]

MAGIC: Final = b"FMR\0"
MAX_BYTES: Final = 1 << 20
"""Longer than any record of 255 views on this path needs; bounds the work on foreign bytes."""
MAX_MINUTIAE: Final = 255
DEGREES_PER_UNIT: Final = 360 / 256

HEADER = struct.Struct(">4s4sIHHHHHBB")
VIEW_HEADER = struct.Struct(">BBBB")


def decode(data: bytes | bytearray | memoryview) -> Record:
    """Read a minutiae record.

    Raises
    ------
    EmptyRecordError
        No bytes.
    CardFormatError
        It looks like one of the header-less card formats.
    TemplateFormatError
        Anything else that is not a record, with the byte where reading stopped.
    """
    data = bytes(data)
    if not data:
        raise EmptyRecordError("there are no bytes")
    if len(data) > MAX_BYTES:
        raise TemplateFormatError(f"{len(data)} bytes are more than any record has")
    if data[:4] != MAGIC:
        raise _not_a_record(data)
    layouts = _LAYOUTS.get(data[4:8])
    if layouts is None:
        raise TemplateFormatError("its version is none that we know", 4)
    readings: list[Record] = []
    errors: list[TemplateFormatError] = []
    for layout in layouts:
        try:
            readings.append(layout(data))
        except TemplateFormatError as error:
            errors.append(error)
    if not readings:
        raise max(errors, key=lambda error: error.offset)
    return min(readings, key=_misfit)


def encode(*views: View, width: int = 0, height: int = 0) -> bytes:
    """Write an ISO/IEC 19794-2:2005 record of 500 dpi (197 pixels per cm).

    Positions are rounded to pixels, angles to 360/256 degrees, unknown qualities written as 0 (not reported) for
    minutiae and 254 for views. A view of more than 255 minutiae keeps the 255 of highest quality. Positions
    beyond the 14 bits of the format (negative, or past 16383) are left out: they are on no sensor.
    """
    if len(views) > 255:
        raise TemplateFormatError(f"{len(views)} views do not fit into one record")
    body = b"".join(_encode_view(view, number) for view, number in zip(views, _view_numbers(views), strict=True))
    header = HEADER.pack(
        MAGIC, b" 20\0", HEADER.size + len(body), 0, width, height, PX_PER_CM, PX_PER_CM, len(views), 0
    )
    return header + body


def _encode_view(view: View, number: int) -> bytes:
    template = view.template
    x, y = np.rint(template.x).astype(np.int64), np.rint(template.y).astype(np.int64)
    template = template.subset((x >= 0) & (x <= 0x3FFF) & (y >= 0) & (y <= 0x3FFF)).best(MAX_MINUTIAE)
    count = len(template)
    raw = np.zeros((count, 6), np.uint8)
    x, y = np.rint(template.x).astype(np.int64), np.rint(template.y).astype(np.int64)
    first = template.kind.astype(np.int64) << 14 | x
    raw[:, 0], raw[:, 1], raw[:, 2], raw[:, 3] = first >> 8, first & 0xFF, y >> 8, y & 0xFF
    raw[:, 4] = np.rint(np.degrees(template.angle) / DEGREES_PER_UNIT).astype(np.int64) & 0xFF
    raw[:, 5] = np.rint(np.nan_to_num(template.quality, nan=0.0)).astype(np.uint8)
    quality = 254 if view.quality is None else view.quality
    head = VIEW_HEADER.pack(view.finger_position, number << 4 | view.impression, quality, count)
    return head + raw.tobytes() + b"\0\0"


def _view_numbers(views: Sequence[View]) -> list[int]:
    """Views of the same finger count up from 0."""
    seen: dict[int, int] = {}
    numbers = []
    for view in views:
        numbers.append(min(seen.get(view.finger_position, 0), 15))
        seen[view.finger_position] = numbers[-1] + 1
    return numbers


def decode_2005(data: bytes) -> Record:
    """The layout of an e-KTP: 24-byte header, then per view 4 bytes, the minutiae, the extended data."""
    reader = ByteReader(data, 8)
    declared = reader.u32("length")
    reader.u16("capture equipment")
    geometry = read_geometry(reader)

    def head() -> ViewHead:
        return ViewHead(
            position=read_position(reader, reader.u8("finger position")),
            impression=reader.u8("view number and impression type") & 0x0F,
            quality=read_view_quality(reader, reader.u8("finger quality")),
            geometry=geometry,
            count=reader.u8("number of minutiae"),
        )

    views = read_views(reader, head, degrees_per_unit=DEGREES_PER_UNIT, zero_quality_is_unknown=True)
    return finish(reader, declared, len(data), views, Standard.ISO_2005)


def decode_2011(data: bytes) -> Record:
    """15-byte header, then representations that each carry their length, capture time, device and geometry."""
    reader = ByteReader(data, 8)
    declared = reader.u32("length")
    count = reader.u16("number of representations")
    certified = reader.u8("certification flag")
    if certified > 1:
        raise TemplateFormatError("its certification flag is neither 0 nor 1", reader.offset - 1)
    views = []
    for number in range(count):
        start = reader.offset
        length = reader.u32("representation length")
        reader.take(9 + 1 + 2 + 2, "capture time and device")
        quality = None
        for block in range(reader.u8("number of quality blocks")):
            value = read_view_quality(reader, reader.u8("quality"))
            quality = value if block == 0 else quality
            reader.take(4, "quality algorithm")
        if certified:
            reader.take(3 * reader.u8("number of certificates"), "certificates")
        position = read_position(reader, reader.u8("finger position"))
        reader.u8("representation number")
        x_per_cm, y_per_cm = reader.u16("resolution"), reader.u16("resolution")
        impression = reader.u8("impression type")
        width, height = reader.u16("width"), reader.u16("height")
        geometry = checked_geometry(reader, width, height, x_per_cm, y_per_cm)
        field_length = reader.u8("minutia field length") >> 4
        if field_length not in (5, 6):
            raise TemplateFormatError("its minutiae take neither 5 nor 6 bytes", reader.offset - 1)
        minutiae = reader.u8("number of minutiae")
        template = read_minutiae(
            reader,
            minutiae,
            geometry,
            degrees_per_unit=DEGREES_PER_UNIT,
            zero_quality_is_unknown=False,
            with_quality=field_length == 6,
        )
        skip_extended_data(reader, last=number == count - 1)
        if reader.offset - start != length:
            reader.flags.add(Flag.LENGTH_FIELD_WRONG)
        views.append(View(template, position, impression, quality))
    return finish(reader, declared, len(data), views, Standard.ISO_2011)


def _decode_2007_draft(data: bytes) -> Record:
    return decode_2009(data, equipment_bytes=2)


def _misfit(record: Record) -> tuple[bool, bool, bool]:
    """How badly a layout fits: bytes left over weigh most, then cut data, then a wrong length."""
    return (
        Flag.TRAILING_BYTES in record.flags or Flag.NO_VIEWS in record.flags,
        Flag.EXTENDED_DATA_CUT in record.flags,
        Flag.LENGTH_FIELD_WRONG in record.flags,
    )


_VERSION_20 = (decode_2005, decode_2004)
_VERSION_30 = (decode_2011, decode_2009, _decode_2007_draft)
_LAYOUTS: Final[dict[bytes, tuple[Callable[[bytes], Record], ...]]] = {
    b" 20\0": _VERSION_20,
    b"020\0": _VERSION_20,
    b" 30\0": _VERSION_30,
    b"030\0": _VERSION_30,
    b" 35\0": _VERSION_30[1:],
    b"035\0": _VERSION_30[1:],
}


def _not_a_record(data: bytes) -> TemplateFormatError:
    """Say what it seems to be instead, so that the person knows what to ask the vendor for."""
    known = {
        b"FIR\0": "a fingerprint image record (ISO 19794-4)",
        b"\x89PNG": "a PNG picture",
        b"\xff\xd8\xff\xe0": "a JPEG picture",
        b"\xff\xa0\xff\xa4": "a WSQ picture",
    }
    for magic, what in known.items():
        if data.startswith(magic):
            return TemplateFormatError(f"it is {what}")
    if data[:2] in (b"\x7f\x2e", b"\x5f\x2e") or data[0] in (0x81, 0x82, 0x90, 0x91):
        return CardFormatError("it is a card format inside a biometric data object")
    if len(data) <= 3 * MAX_MINUTIAE and len(data) % 3 == 0 and data[:3] != b"FMR":
        return CardFormatError("no header; the length fits 3-byte card minutiae")
    if len(data) <= 5 * MAX_MINUTIAE and len(data) % 5 == 0 and data[:3] != b"FMR":
        return CardFormatError("no header; the length fits 5-byte card minutiae")
    return TemplateFormatError("it does not begin with FMR")
