"""BER-TLV: lengths at every boundary, and any bytes at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.card.tlv import DataObject, TlvError, encode_length, encode_tag, parse, read_length

TAGS = st.sampled_from([0x30, 0x87, 0x97, 0x99, 0x8E, 0x5F2E, 0x7F49, 0x7F8101])


@pytest.mark.parametrize(
    ("length", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (0x7F, "7F"),
        (0x80, "8180"),
        (0xFF, "81FF"),
        (0x100, "820100"),
        (0xFFFF, "82FFFF"),
        (0x10000, "83010000"),
    ],
)
def test_length_takes_the_shortest_form(length: int, encoded: str) -> None:
    """The boundaries of ISO/IEC 8825-1, both ways."""
    assert encode_length(length).hex().upper() == encoded
    assert read_length(bytes.fromhex(encoded), 0) == (length, len(encoded) // 2)


def test_protected_answer_to_a_208_byte_read_parses() -> None:
    """DO 87 of 217 bytes uses the 81 form: 234 bytes in all, the longest answer of an e-KTP."""
    answer = bytes.fromhex("8781D901") + bytes(216) + bytes.fromhex("99029000") + b"\x8e\x08" + bytes(8)
    assert len(answer) == 234
    assert [(item.tag, len(item.value)) for item in parse(answer)] == [(0x87, 217), (0x99, 2), (0x8E, 8)]


@pytest.mark.parametrize("broken", ["87", "8702", "870201", "8780", "8784", "5F", "1F81818101", "878201"])
def test_cut_off_or_indefinite_object_is_refused_with_its_place(broken: str) -> None:
    """A torn answer is never read as a shorter whole one."""
    with pytest.raises(TlvError) as caught:
        list(parse(bytes.fromhex(broken)))
    assert 0 <= caught.value.offset <= len(broken) // 2


@pytest.mark.parametrize("tag", [0x1F, 0x5F, 0x8787, 0x5F8181])
def test_number_that_is_no_tag_cannot_be_encoded(tag: int) -> None:
    """We never send what nobody can read."""
    with pytest.raises(ValueError):  # noqa: PT011 (TlvError where reading stops, ValueError where bytes are left)
        encode_tag(tag)


@given(st.lists(st.builds(DataObject, TAGS, st.binary(max_size=300)), max_size=6))
def test_any_objects_come_back_as_they_were(objects: list[DataObject]) -> None:
    """Encoding and parsing are each other's reverse."""
    assert list(parse(b"".join(item.encode() for item in objects))) == objects


@given(st.binary(max_size=400))
def test_any_bytes_are_objects_or_an_error(data: bytes) -> None:
    """A reader may hand over anything: it parses completely, or says where it stopped."""
    try:
        objects = list(parse(data))
    except TlvError:
        return
    assert sum(len(item.value) + 2 for item in objects) <= len(data)


def test_content_is_not_shown() -> None:
    """A data object in a traceback tells its tag and size only."""
    assert repr(DataObject(0x87, b"\xaa\xbb")) == "<DO 87, 2 bytes>"
