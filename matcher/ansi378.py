"""ANSI INCITS 378-2004 and -2009 minutiae records, reading only.

They share the magic "FMR" with ISO/IEC 19794-2 but have another header, and angles in units of 2 degrees.
Layouts were checked against the standards' annex example, libbiomeval's and fingerprintio's sample files.
"""

from typing import Final

from matcher.record import (
    ByteReader,
    Record,
    Standard,
    ViewHead,
    finish,
    read_geometry,
    read_position,
    read_view_quality,
    read_views,
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

    def head() -> ViewHead:
        return ViewHead(
            position=read_position(reader, reader.u8("finger position")),
            impression=reader.u8("impression type") & 0x0F,
            quality=read_view_quality(reader, reader.u8("finger quality")),
            geometry=geometry,
            count=reader.u8("number of minutiae"),
        )

    views = read_views(reader, head, degrees_per_unit=DEGREES_PER_UNIT, zero_quality_is_unknown=True)
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

    def head() -> ViewHead:
        position = read_position(reader, reader.u8("finger position"))
        reader.u8("view number")
        impression = reader.u8("impression type")
        quality = read_view_quality(reader, reader.u8("finger quality"))
        reader.take(4, "quality algorithm")
        geometry = read_geometry(reader)
        count = reader.u8("number of minutiae")
        return ViewHead(position=position, impression=impression, quality=quality, geometry=geometry, count=count)

    views = read_views(reader, head, degrees_per_unit=DEGREES_PER_UNIT, zero_quality_is_unknown=False)
    return finish(reader, declared, len(data), views, Standard.ANSI_2009)
