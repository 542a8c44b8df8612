"""Finger image records: every length is believed only as far as the one around it."""

import datetime
import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray

from drivers.scanner.sbi import record
from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.mock.records import Layout, Variant, encode
from drivers.scanner.sbi.picture import unpack
from drivers.scanner.sbi.record import Compression, FingerRecord

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
STRIPES = np.tile(np.repeat(np.array([30, 220], dtype=np.uint8), 5), (70, 9))
"""70 x 90 pixels: a record by construction."""


def written(**layout: object) -> bytearray:
    how = Layout(**({"compression": Compression.NONE} | layout))  # type: ignore[arg-type]
    return bytearray(encode(STRIPES, 500, position=2, quality=60, moment=MOMENT, layout=how))


def refused(content: bytes | bytearray) -> Refusal:
    with pytest.raises(WrongAnswerError) as told:
        unpack(record.decode(content))
    return told.value.refusal


def changed(at: int, form: str, value: int, **layout: object) -> bytearray:
    content = written(**layout)
    struct.pack_into(">" + form, content, at, value)
    return content


@pytest.mark.parametrize(
    ("variant", "picture_at", "qualities"),
    [
        (Variant.PLAIN, 62, (60,)),
        (Variant.NO_QUALITY, 57, ()),
        (Variant.CERTIFIED, 69, (60,)),
        (Variant.EXTENDED, 69, (60,)),
    ],
)
def test_fields_lie_where_the_standard_puts_them(variant: Variant, picture_at: int, qualities: tuple[int, ...]) -> None:
    """With one quality block and no certification the picture begins at byte 62, certified at 69."""
    content = written(variant=variant)
    assert bytes(content[picture_at : picture_at + STRIPES.size]) == STRIPES.tobytes()
    found = record.decode(content)
    assert (found.position, found.impression, found.qualities) == (2, 0, qualities)
    assert (found.width, found.height, found.ppi_x, found.ppi_y) == (90, 70, 500, 500)
    assert np.array_equal(unpack(found), STRIPES)


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", Refusal.RECORD),
        (b"FMR\x00" + bytes(60), Refusal.RECORD),
        (written()[:15], Refusal.RECORD),
        (written()[:-1], Refusal.RECORD),
        (written() + b"\0", Refusal.RECORD),
        (changed(12, "H", 0), Refusal.RECORD),
        (changed(12, "H", 2), Refusal.RECORD),
        (changed(14, "B", 2), Refusal.RECORD),
        (changed(15, "B", 3), Refusal.RECORD),
        (changed(16, "I", 40), Refusal.RECORD),
        (changed(16, "I", 41), Refusal.RECORD),
        (changed(16, "I", 0xFFFFFFFF), Refusal.RECORD),
        (changed(34, "B", 255), Refusal.RECORD),
        (changed(41, "B", 2), Refusal.RECORD),
        (changed(58, "I", 0), Refusal.RECORD),
        (changed(58, "I", STRIPES.size + 1), Refusal.RECORD),
        (changed(58, "I", STRIPES.size - 1), Refusal.PICTURE),
        (changed(35, "B", 101), Refusal.QUALITY),
        (changed(42, "B", 0), Refusal.RESOLUTION),
        (changed(42, "B", 3), Refusal.RESOLUTION),
        (changed(47, "H", 501), Refusal.RESOLUTION),
        (changed(49, "H", 489), Refusal.RESOLUTION),
        (changed(51, "B", 1), Refusal.DEPTH),
        (changed(52, "B", 7), Refusal.COMPRESSION),
        (changed(54, "H", 63), Refusal.PICTURE),
        (changed(56, "H", 2049), Refusal.PICTURE),
        (changed(4, "I", 0x30333000), Refusal.RECORD_EDITION),
        (written(edition=record.EDITION_2005), Refusal.RECORD_EDITION),
    ],
)
def test_a_record_that_lies_is_refused_by_name(content: bytes | bytearray, refusal: Refusal) -> None:
    """Lengths, counts, units, depth, packing and edition, each one wrong."""
    assert refused(content) is refusal


def test_the_older_edition_is_refused_by_its_name() -> None:
    """The technician can ask the maker for the newer one."""
    with pytest.raises(WrongAnswerError, match="19794-4:2005"):
        record.decode(written(edition=record.EDITION_2005))


def test_a_record_that_ends_inside_its_header() -> None:
    """Lengths that agree with one another, and no room for the quality blocks that are announced."""
    content = written()[:57]
    struct.pack_into(">I", content, 8, 57)
    struct.pack_into(">I", content, 16, 41)
    for blocks in (3, 4, 255):
        content[34] = blocks
        assert refused(content) is Refusal.RECORD


@pytest.mark.parametrize("shape", [(70, 63), (63, 70), (70, 2049), (2049, 70)])
def test_a_picture_too_small_or_too_large_for_a_finger(shape: tuple[int, int]) -> None:
    """Also when its record is honest about it."""
    plain = Layout(compression=Compression.NONE)
    honest = encode(np.zeros(shape, np.uint8), 500, position=2, quality=60, moment=MOMENT, layout=plain)
    assert refused(honest) is Refusal.PICTURE


def test_a_quality_that_could_not_be_computed_is_no_mistake() -> None:
    """255 says so."""
    assert record.decode(changed(35, "B", 255)).qualities == (255,)


@pytest.mark.parametrize("compression", [Compression.PACKED, Compression.WSQ, Compression.JPEG])
def test_what_cannot_be_unpacked_is_named(compression: Compression) -> None:
    """The technician reads which packing the maker has to turn off."""
    with pytest.raises(WrongAnswerError, match=compression.name):
        unpack(record.decode(written(compression=compression)))


def _with_picture(compression: Compression, picture: bytes) -> FingerRecord:
    whole = bytearray(picture)
    return FingerRecord(2, 0, (), 500, 500, 90, 70, compression, memoryview(whole))


def _png(width: int, height: int, depth: int = 8, colour: int = 0, content: int = 1000) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(content))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "picture", [b"\x89PNG", _png(60000, 60000), _png(90, 71), _png(90, 70, 16), _png(90, 70, 8, 2), _png(90, 70)]
)
def test_a_png_that_is_not_the_picture(picture: bytes) -> None:
    """Of another size (an enormous one is not even unpacked), depth or colour, or with half its rows."""
    with pytest.raises(WrongAnswerError) as told:
        unpack(_with_picture(Compression.PNG, picture))
    assert told.value.refusal is Refusal.PICTURE


def test_a_whole_png_of_fewer_greys_is_refused() -> None:
    """Four bits a pixel would unpack to the right size; it is not what the record says."""
    assert unpack(_with_picture(Compression.PNG, _png(90, 70, content=70 * 91))).shape == (70, 90)
    with pytest.raises(WrongAnswerError, match="8 bits"):
        unpack(_with_picture(Compression.PNG, _png(90, 70, 4, content=70 * 46)))


@pytest.mark.parametrize("wrong", ["png", "jpeg2000"])
def test_sizes_are_compared_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """A picture of 3.6 thousand million pixels costs nothing."""

    def unpacked(*_: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr("drivers.scanner.sbi.picture.cv2.imdecode", unpacked)
    compression = Compression.PNG if wrong == "png" else Compression.JPEG2000_LOSSLESS
    picture = _png(60000, 60000) if wrong == "png" else _jpeg2000({8: 60000, 12: 60000, 24: 60000, 28: 60000})
    with pytest.raises(WrongAnswerError) as told:
        unpack(_with_picture(compression, picture))
    assert told.value.refusal is Refusal.PICTURE


def test_a_library_that_gives_up_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some versions raise where others give nothing."""

    def raising(*_: object) -> None:
        raise cv2.error("broken")

    picture = _jpeg2000()
    monkeypatch.setattr("drivers.scanner.sbi.picture.cv2.imdecode", raising)
    with pytest.raises(WrongAnswerError) as told:
        unpack(_with_picture(Compression.JPEG2000_LOSSLESS, picture))
    assert told.value.refusal is Refusal.PICTURE


def _jpeg2000(lies: Mapping[int, int] = MappingProxyType({}), pixels: NDArray[np.uint8] = STRIPES) -> bytes:
    """A real one, with numbers of its size marker changed."""
    done, content = cv2.imencode(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    assert done
    whole = bytearray(content.tobytes())
    start = whole.find(b"\xff\x4f\xff\x51")
    for at, value in lies.items():
        struct.pack_into(">I", whole, start + at, value)
    return bytes(whole)


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"\xff\x4f\xff\x51",
        _jpeg2000({8: 60000}),
        _jpeg2000({12: 71}),
        _jpeg2000({24: 1, 28: 1}),
        _jpeg2000({24: 0}),
        _jpeg2000(pixels=np.ascontiguousarray(STRIPES[:, :-1])),
        _jpeg2000()[:200],
        b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x08free" * 100,
        b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x00free",
    ],
)
def test_a_jpeg2000_that_is_not_the_picture(picture: bytes) -> None:
    """Of another size, in a million tiles, cut off, or boxes without a picture."""
    with pytest.raises(WrongAnswerError) as told:
        unpack(_with_picture(Compression.JPEG2000_LOSSLESS, picture))
    assert told.value.refusal is Refusal.PICTURE


def test_a_bare_codestream_is_a_picture() -> None:
    """Without boxes around it, as some scanners write it."""
    whole = _jpeg2000()
    bare = whole[whole.find(b"\xff\x4f\xff\x51") :]
    assert np.array_equal(unpack(_with_picture(Compression.JPEG2000_LOSSLESS, bare)), STRIPES)


def test_a_picture_has_memory_of_its_own() -> None:
    """Wiping the record leaves the picture whole."""
    content = written()
    pixels = unpack(record.decode(content))
    content[:] = bytes(len(content))
    assert np.array_equal(pixels, STRIPES)


@given(some.integers(0, 130), some.integers(0, 255), some.sampled_from(Variant))
def test_any_one_wrong_byte_is_refused_or_harmless(at: int, value: int, variant: Variant) -> None:
    """Never another error than a refusal, never a picture of another size."""
    content = written(variant=variant)
    content[at] = value
    try:
        pixels = unpack(record.decode(content))
    except WrongAnswerError:
        return
    assert pixels.size == STRIPES.size


@given(some.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    """Also behind a right beginning."""
    for whole in (content, b"FIR\x00020\x00" + struct.pack(">I", len(content) + 12) + content):
        with pytest.raises(WrongAnswerError):
            record.decode(whole)
