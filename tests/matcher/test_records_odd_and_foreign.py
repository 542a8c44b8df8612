"""Records with the oddities of real cards are read and flagged; bytes that are no record are refused by name."""

import contextlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from matcher.errors import CardFormatError, EmptyRecordError, MatcherError, TemplateFormatError
from matcher.iso19794 import HEADER, Record, View, decode, encode
from matcher.template import Template


def template_of(count: int, seed: int = 1) -> Template:
    """Minutiae at whole pixels and whole angle units, so that writing loses nothing."""
    rng = np.random.default_rng(seed)
    return Template.of(
        rng.integers(0, 0x4000, count),
        rng.integers(0, 0x4000, count),
        np.radians(rng.integers(0, 256, count) * 360 / 256),
        rng.integers(0, 3, count),
        rng.integers(1, 101, count),
    )


@pytest.mark.parametrize("count", [0, 1, 40, 60, 127, 128, 254, 255])
def test_what_was_written_is_read_again(count: int) -> None:
    """Any number of minutiae a record can hold comes back unchanged."""
    written = template_of(count)
    record = decode(encode(View(written, 7, 0, 88), width=388, height=374))
    (view,) = record.views
    assert (view.finger_position, view.impression, view.quality) == (7, 0, 88)
    for name in ("x", "y", "kind", "quality"):
        assert np.array_equal(getattr(view.template, name), getattr(written, name))
    assert np.allclose(view.template.angle, written.angle)


def test_more_minutiae_than_fit_keeps_the_best() -> None:
    """A view of 300 minutiae is written with the 255 of highest quality."""
    big = Template.of(np.arange(300), np.zeros(300), np.zeros(300), None, np.arange(300) / 3)
    (view,) = decode(encode(View(big))).views
    assert view.template.x.tolist() == list(range(45, 300))


def test_minutiae_off_the_grid_are_left_out_not_wrapped() -> None:
    """A position the format cannot hold must not come back somewhere else."""
    (view,) = decode(encode(View(Template.of([-3, 10, 20000], [5, 5, 5], [0, 0, 0])))).views
    assert view.template.x.tolist() == [10]


def test_record_as_on_a_card_is_read_and_its_oddities_named() -> None:
    """No image size, quality 254, only endings: what every e-KTP record looks like is no error."""
    chip = Template.of([81, 370], [87, 506], [0, 1], [1, 1], [50, 9])
    record = decode(encode(View(chip, 2)))
    assert record.flags == ("all_types_ending", "image_size_zero", "view_quality_unknown")
    assert record.views[0].quality is None


def test_view_quality_beyond_the_scale_is_unknown_not_huge() -> None:
    """Quality bytes 101 to 253 have no meaning and must not raise anything's weight."""
    data = bytearray(encode(View(template_of(3), quality=50)))
    data[26] = 200
    record = decode(data)
    assert record.views[0].quality is None
    assert "view_quality_out_of_range" in record.flags


def test_two_views_of_one_finger_are_numbered() -> None:
    """The second impression of a finger is view 1 of it, in the high nibble of its second byte."""
    data = encode(View(template_of(0), 2), View(template_of(0), 7), View(template_of(0), 2))
    assert [data[HEADER.size + 6 * i + 1] >> 4 for i in range(3)] == [0, 0, 1]


def test_missing_trailer_and_padding_are_flagged() -> None:
    """Cards cut the two zero bytes at the end, or fill the file up: the minutiae are all there."""
    whole = encode(View(template_of(5)))
    cut, filled = decode(whole[:-2]), decode(whole + b"\xff" * 9)
    assert {"extended_data_cut", "length_field_wrong"} <= set(cut.flags)
    assert {"trailing_bytes", "length_field_wrong"} <= set(filled.flags)
    assert [len(r.views[0].template) for r in (cut, filled)] == [5, 5]


def test_reserved_bits_and_reserved_type_are_flagged_not_taken_for_coordinates() -> None:
    """The two bits above y are not part of it; type 3 is read as other."""
    data = bytearray(encode(View(Template.of([10], [20], [0], [1]))))
    data[28] |= 0xC0
    data[30] |= 0xC0
    record = decode(data)
    assert {"reserved_bits_set", "minutia_type_reserved"} <= set(record.flags)
    assert (record.views[0].template.y[0], record.views[0].template.kind[0]) == (20, 0)


@pytest.mark.parametrize(("per_cm", "factor"), [(394, 0.5), (197, 1.0), (118, 197 / 118)])
def test_other_resolutions_come_out_at_500_dpi(per_cm: int, factor: float) -> None:
    """A record of a 1000 dpi sensor and one of a 300 dpi sensor give positions at 500 dpi."""
    data = bytearray(encode(View(Template.of([100], [200], [0]))))
    data[18:22] = per_cm.to_bytes(2, "big") * 2
    template = decode(data).views[0].template
    assert template.x[0] == pytest.approx(100 * factor)
    assert template.y[0] == pytest.approx(200 * factor)


@pytest.mark.parametrize("per_cm", [0, 1, 89, 801, 0xFFFF])
def test_resolution_no_sensor_has_is_taken_as_500_dpi(per_cm: int) -> None:
    """A header full of zeros must not send the minutiae to infinity."""
    data = bytearray(encode(View(Template.of([100], [200], [0]))))
    data[18:22] = per_cm.to_bytes(2, "big") * 2
    record = decode(data)
    assert record.views[0].template.x[0] == 100
    assert "resolution_assumed_500_dpi" in record.flags


@pytest.mark.parametrize("length", range(24, 46))
def test_record_cut_inside_its_minutiae_is_refused_with_the_place(length: int) -> None:
    """A torn card read never passes as a smaller finger."""
    with pytest.raises(TemplateFormatError) as caught:
        decode(encode(View(template_of(3)))[:length])
    assert caught.value.offset <= length


def test_no_bytes_is_told_apart_from_damaged_bytes() -> None:
    """A finger that was never enrolled is another matter than an unreadable one."""
    with pytest.raises(EmptyRecordError):
        decode(b"")


@pytest.mark.parametrize(
    "data",
    [
        bytes([10, 20, 30] * 40),
        bytes([10, 20, 30, 40, 50] * 41),
        b"\x7f\x2e\x82\x00\x10" + bytes(17),
        b"\x81\x06" + bytes(6),
    ],
)
def test_header_less_card_formats_are_named_as_such(data: bytes) -> None:
    """Whoever mixes up the formats is told which one this is."""
    with pytest.raises(CardFormatError):
        decode(data)


@pytest.mark.parametrize(
    ("data", "word"), [(b"\x89PNG\r\n\x1a\n" + bytes(9), "PNG"), (b"FIR\x00010\0" + bytes(9), "image")]
)
def test_a_picture_in_place_of_a_record_is_named(data: bytes, word: str) -> None:
    """The error says that a picture was given."""
    with pytest.raises(TemplateFormatError, match=word):
        decode(data)


def looks_whole(record: Record) -> None:
    """What every decoded record must keep, whatever bytes it came from."""
    for view in record.views:
        template = view.template
        assert len(template) <= 255
        assert np.isfinite(template.x).all()
        assert np.isfinite(template.y).all()
        assert ((template.angle >= 0) & (template.angle < 2 * np.pi)).all()
        assert view.quality is None or 0 <= view.quality <= 100


HEADS = [b"FMR\0" + version for version in (b" 20\0", b"020\0", b" 30\0", b"030\0", b"035\0")]


@given(st.binary(max_size=400))
def test_any_bytes_give_a_record_or_a_matcher_error(data: bytes) -> None:
    """No bytes crash the reader."""
    with contextlib.suppress(MatcherError):
        looks_whole(decode(data))


@given(st.sampled_from(HEADS), st.binary(max_size=400))
def test_any_bytes_behind_a_true_beginning_give_a_record_or_a_matcher_error(head: bytes, body: bytes) -> None:
    """Also when the magic and version are right."""
    with contextlib.suppress(MatcherError):
        looks_whole(decode(head + body))


@given(st.integers(0, 60), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8))
def test_damaged_records_give_a_record_or_a_matcher_error(count: int, damage: list[tuple[int, int]]) -> None:
    """A few wrong bytes in a good record."""
    data = bytearray(encode(View(template_of(count)), View(template_of(3))))
    for place, value in damage:
        data[place % len(data)] = value
    with contextlib.suppress(MatcherError):
        looks_whole(decode(data))
