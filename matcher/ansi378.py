"""ANSI INCITS 378-2004 and -2009 minutiae records, reading only.

They share the magic "FMR" with ISO/IEC 19794-2 but have another header, and angles in units of 2 degrees.
Layouts were checked against the standards' annex example, libbiomeval's and fingerprintio's sample files.
"""

from typing import Final

from matcher.record import (
    ByteReader,
    Record,
    Standard,
    View,
    finish,
    read_geometry,
    read_minutiae,
    read_position,
    read_view_quality,
    skip_extended_data,
)

DEGREES_PER_UNIT: Final = 2.0


def decode_2004(data: bytes) -> Record:
    """Version " 20": total length in 2 bytes, or 2 zero bytes and then 4.

    Raises TemplateFormatError where the bytes do not have this layout.
    """
    reader = ByteReader(data, 8)
    declared = reader.u16("length") or reader.u32("length")
    reader.take(4, "product identifier")
    reader.u16("capture equipment")
    geometry = read_geometry(reader)
    count = reader.u8("number of views")
    reader.u8("reserved byte")
    views = []
    for number in range(count):
        position = read_position(reader, reader.u8("finger position"))
        impression = reader.u8("impression type") & 0x0F
        quality = read_view_quality(reader, reader.u8("finger quality"))
        minutiae = reader.u8("number of minutiae")
        template = read_minutiae(
            reader, minutiae, geometry, degrees_per_unit=DEGREES_PER_UNIT, zero_quality_is_unknown=True
        )
        skip_extended_data(reader, last=number == count - 1)
        views.append(View(template, position, impression, quality))
    return finish(reader, declared, len(data), views, Standard.ANSI_2004)


def decode_2009(data: bytes, equipment_bytes: int = 3) -> Record:
    """Versions "030" and "035": total length in 4 bytes, image size and resolution in every view.

    The capture equipment takes 3 bytes (certification, id); the draft of 2007, still met under the same version,
    packs it into 2.

    Raises TemplateFormatError where the bytes do not have this layout.
    """
    reader = ByteReader(data, 8)
    declared = reader.u32("length")
    reader.take(4, "product identifier")
    reader.take(equipment_bytes, "capture equipment")
    count = reader.u8("number of views")
    reader.u8("reserved byte")
    views = []
    for number in range(count):
        position = read_position(reader, reader.u8("finger position"))
        reader.u8("view number")
        impression = reader.u8("impression type")
        quality = read_view_quality(reader, reader.u8("finger quality"))
        reader.take(4, "quality algorithm")
        geometry = read_geometry(reader)
        minutiae = reader.u8("number of minutiae")
        template = read_minutiae(
            reader, minutiae, geometry, degrees_per_unit=DEGREES_PER_UNIT, zero_quality_is_unknown=False
        )
        skip_extended_data(reader, last=number == count - 1)
        views.append(View(template, position, impression, quality))
    return finish(reader, declared, len(data), views, Standard.ANSI_2009)
