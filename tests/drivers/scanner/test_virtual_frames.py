"""The header between a virtual scanner and its glass: what is written is read, anything else is refused by name."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scanner.virtual_frames import (
    HEADER_BYTES,
    LARGEST_SIDE,
    FrameError,
    Header,
    Kind,
    decode_header,
    encode_header,
)


def test_a_worked_example_stays_readable() -> None:
    """The layout is a promise: these bytes mean a picture of 388x374 at 500 dpi."""
    written = encode_header(Header(Kind.IMAGE, 388, 374, 500.0))
    assert written.hex() == "4d5056530105018401760000c350"
    assert decode_header(written) == Header(Kind.IMAGE, 388, 374, 500.0)
    assert decode_header(written).payload_bytes == 388 * 374


@given(
    kind=st.sampled_from(Kind),
    width=st.integers(1, LARGEST_SIDE),
    height=st.integers(1, LARGEST_SIDE),
    centi_dpi=st.integers(100_00, 2000_00),
)
def test_every_header_survives_the_way(kind: Kind, width: int, height: int, centi_dpi: int) -> None:
    """Whatever can be said arrives as it was said."""
    header = Header(kind, width, height, centi_dpi / 100)
    assert decode_header(encode_header(header)) == header


@given(st.binary(max_size=32))
def test_any_bytes_are_a_bounded_header_or_refused(data: bytes) -> None:
    """No bytes make the reader allocate more than the largest picture, and none crash it."""
    try:
        header = decode_header(data)
    except FrameError:
        return
    assert header.payload_bytes <= LARGEST_SIDE**2


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ((b"HTTP", 1, 5, 388, 374, 50000), "does not begin"),
        ((b"MPVS", 2, 5, 388, 374, 50000), "version 2"),
        ((b"MPVS", 1, 99, 388, 374, 50000), "kind 99"),
        ((b"MPVS", 1, 5, 0, 374, 50000), "0x374"),
        ((b"MPVS", 1, 5, 65535, 65535, 50000), "65535x65535"),
        ((b"MPVS", 1, 5, 388, 374, 0), "0 dpi"),
        ((b"MPVS", 1, 1, 388, 374, 4294967295), "dpi"),
    ],
)
def test_a_wrong_header_is_refused_with_what_is_wrong(fields: tuple[bytes, int, int, int, int, int], said: str) -> None:
    """The reason names the field, so that a version mix-up is not taken for a broken cable."""
    with pytest.raises(FrameError, match=said):
        decode_header(struct.pack(">4sBBHHI", *fields))


def test_half_a_header_is_refused() -> None:
    """A cut-off header is not read as one with zeros."""
    with pytest.raises(FrameError, match=str(HEADER_BYTES)):
        decode_header(encode_header(Header(Kind.HELLO, 1, 1, 500.0))[:-1])
