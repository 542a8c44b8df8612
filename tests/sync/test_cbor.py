"""The one encoding of each value, and nothing else is read."""

from collections.abc import Callable

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor
from sync.errors import CborError, Refusal
from tests.sync.foreign import read_or_refusal

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.binary(max_size=300)
    | st.text(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.integers(-300, 300) | st.text(max_size=8), inner, max_size=6)
    ),
    max_leaves=25,
)


def decoded(data: bytes) -> object:
    return cbor.decode(data, max_bytes=1 << 20)


@given(plain)
def test_what_is_written_is_read_back_the_same(value: object) -> None:
    """A value survives the round trip, and its bytes are the only ones it has."""
    data = cbor.encode(value)
    assert decoded(data) == value
    assert cbor.encode(decoded(data)) == data


@given(plain)
def test_another_implementation_reads_the_same_value(value: object) -> None:
    """cbor2 agrees on what our bytes mean."""
    assert cbor2.loads(cbor.encode(value)) == value


@given(st.binary(max_size=200) | plain.map(cbor2.dumps))
def test_any_bytes_give_a_value_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash the reader, and what it takes encodes to the same bytes."""
    value = read_or_refusal(decoded, data, CborError)
    assert isinstance(value, CborError) or cbor.encode(value) == data


@pytest.mark.parametrize("length", [0, 1, 23, 24, 127, 128, 255, 256, 65535, 65536])
@pytest.mark.parametrize("make", [lambda n: b"x" * n, lambda n: "x" * n, lambda n: [None] * n])
def test_lengths_at_every_edge_of_the_head(make: Callable[[int], object], length: int) -> None:
    """Where the head grows by a byte nothing is off by one, for bytes, text and arrays."""
    value = make(length)
    assert cbor.decode(cbor.encode(value), max_bytes=1 << 20, max_items=1 << 17) == value
    assert cbor.encode(value) == cbor2.dumps(value)


def test_map_keys_stand_in_the_order_of_rfc_8949_not_of_rfc_7049() -> None:
    """256 (three bytes) comes before -1 (one byte): bytewise order, not "shorter first"."""
    assert cbor.encode({-1: 0, 256: 0, "a": 0, 1: 0}).hex() == "a401001901000020006161" + "00"


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        ("", Refusal.TRUNCATED),
        ("1800", Refusal.NOT_DETERMINISTIC),  # 0 in two bytes
        ("1817", Refusal.NOT_DETERMINISTIC),
        ("190018", Refusal.NOT_DETERMINISTIC),
        ("1a0000ffff", Refusal.NOT_DETERMINISTIC),
        ("1b00000000ffffffff", Refusal.NOT_DETERMINISTIC),
        ("5800", Refusal.NOT_DETERMINISTIC),
        ("a20200" + "0100", Refusal.NOT_DETERMINISTIC),  # keys out of order
        ("a20100" + "0100", Refusal.NOT_DETERMINISTIC),  # a key twice
        ("a1f500", Refusal.WRONG_TYPE),  # true as a key
        ("a1" + "4100" + "00", Refusal.WRONG_TYPE),  # bytes as a key
        ("5f41004100ff", Refusal.NOT_CBOR),  # indefinite length
        ("9f00ff", Refusal.NOT_CBOR),
        ("f90000", Refusal.NOT_CBOR),  # a float
        ("f7", Refusal.NOT_CBOR),  # undefined
        ("1c", Refusal.NOT_CBOR),  # reserved head
        ("61ff", Refusal.NOT_CBOR),  # not UTF-8
        ("63eda080", Refusal.NOT_CBOR),  # a surrogate in UTF-8
        ("0000", Refusal.TRAILING_BYTES),
        ("43aabb", Refusal.TRUNCATED),
        ("9affffffff", Refusal.TRUNCATED),  # announces four thousand million items
        ("baffffffff", Refusal.TRUNCATED),
        ("5bffffffffffffffff", Refusal.TRUNCATED),
    ],
)
def test_each_other_encoding_is_refused_by_name(data: str, refusal: Refusal) -> None:
    """Whatever RFC 8949 section 4.2.1 does not allow, and whatever the formats do not use, has its reason."""
    with pytest.raises(CborError) as caught:
        decoded(bytes.fromhex(data))
    assert caught.value.refusal is refusal


def test_limits_hold_before_anything_is_built() -> None:
    """Too long, too many, too deep: each is refused by the limit and not by running out of memory."""
    for arguments in (
        {"data": b"\x40" * 1, "max_bytes": 0},
        {"data": cbor.encode([0] * 50), "max_bytes": 100, "max_items": 50},
        {"data": b"\x81" * 40 + b"\x00", "max_bytes": 100},
        {"data": b"\xc1" * 5000 + b"\x00", "max_bytes": 10_000},
    ):
        with pytest.raises(CborError) as caught:
            cbor.decode(**arguments)  # type: ignore[arg-type]
        assert caught.value.refusal is Refusal.TOO_LONG


@pytest.mark.parametrize("value", [1.5, {b"x": 1}, {True: 1}, object(), 1 << 64, -(1 << 64) - 1, "\ud800"])
def test_what_the_formats_do_not_use_is_not_written(value: object) -> None:
    """A mistake of ours stops at the encoder."""
    with pytest.raises(CborError):
        cbor.encode(value)
