"""The U.are.U picture: its scrambling against a recorded vector, every block flag, and bytes that are no picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.scanner.uru4000_picture import (
    FLAG_KEY_STANDS,
    FLAG_NEW_KEY,
    FLAG_NOT_SENT,
    FLAG_SCRAMBLED,
    HEADER_BYTES,
    HEIGHT,
    LARGEST_BYTES,
    RECORDED_BLOCKS,
    WIDTH,
    Block,
    PictureError,
    forge_picture,
    key_stream,
    read_picture,
    stand_in,
    state_after,
    without_pixels,
)

STATE = 0x544409D6


def slope(height: int = HEIGHT) -> NDArray[np.uint8]:
    """A picture in which every line and column is told from its neighbours."""
    rows, columns = np.mgrid[0:height, 0:WIDTH]
    return np.asarray((rows * 3 + columns // 2) % 200, dtype=np.uint8)


def keys(number: int) -> int:
    """A device's key table."""
    return STATE + 977 * number


def lost(blocks: tuple[Block, ...]) -> NDArray[np.bool_]:
    """Pixels that no host can know: the last of each scrambled block, and lines that were not sent."""
    known = np.ones((sum(block.lines for block in blocks), WIDTH), dtype=bool)
    row = 0
    for block in blocks:
        if not block.sent:
            known[row : row + block.lines] = False
        elif block.scrambled:
            known[row + block.lines - 1, -1] = False
        row += block.lines
    return ~known


def test_the_key_stream_is_the_recorded_one() -> None:
    """Host value, device's answer and the first key bytes stand in a recording of a 4500."""
    assert int.from_bytes(bytes.fromhex("f228ae05"), "little") ^ 0x51EA2124 == STATE
    assert key_stream(STATE, 16).tobytes().hex() == "17a04103d9a0402598605284b8608b14"
    assert state_after(STATE, WIDTH) == 0x0D6B6C3D


def test_the_key_stream_is_that_of_a_register_stepped_bit_by_bit() -> None:
    """Working on whole arrays changes nothing: the slow way gives the same, to the last byte of a picture."""
    state, slow = 0x1234ABCD, bytearray()
    for _ in range(3000):
        slow.append(sum((state >> tap & 1) << place for place, tap in enumerate((4, 8, 11, 14, 18, 21, 24, 29))))
        parity = sum(state >> tap & 1 for tap in (0, 2, 3, 6, 10, 12, 19, 22, 25, 28, 31)) & 1
        state = state >> 1 | parity << 31
    assert key_stream(0x1234ABCD, 3000).tobytes() == bytes(slow)
    assert state_after(0x1234ABCD, 3000) == state
    far = key_stream(state_after(0x1234ABCD, 3000), WIDTH * HEIGHT - 3000)
    assert np.array_equal(key_stream(0x1234ABCD, WIDTH * HEIGHT)[3000:], far)


BLOCKS = {
    "as recorded": RECORDED_BLOCKS,
    "all in one": (Block(FLAG_SCRAMBLED, 255), Block(FLAG_SCRAMBLED, 35)),
    "one line each": tuple(Block(FLAG_SCRAMBLED, 1) for _ in range(15)),
    "plain between": (Block(FLAG_SCRAMBLED, 40), Block(0, 20), Block(FLAG_SCRAMBLED, 40)),
    "not sent, and its steps count": (Block(2, 30), Block(FLAG_NOT_SENT | 2, 2), Block(2, 30)),
    "the key stands still": (Block(2, 30), Block(FLAG_KEY_STANDS, 10), Block(2, 30)),
    "a new key": (Block(2, 30), Block(FLAG_NEW_KEY | 2, 30), Block(0, 3), Block(FLAG_NEW_KEY | 2, 30)),
    "not sent at the end": (Block(2, 30), Block(FLAG_NOT_SENT, 2)),
}


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("number", [0, 7, 255])
def test_every_way_of_cutting_a_picture_is_read_back(blocks: tuple[Block, ...], number: int) -> None:
    """Units differ in their blocks; each gives the picture but for the pixels that were never sent."""
    lines = slope(sum(block.lines for block in blocks))
    asked: list[int] = []

    def key_of(asked_for: int) -> int:
        asked.append(asked_for)
        return keys(asked_for)

    data = forge_picture(lines, keys, blocks=blocks, key_number=number)
    read = read_picture(data, key_of)
    assert read.shape == lines.shape
    assert np.array_equal(read[~lost(blocks)], lines[~lost(blocks)])
    new_keys = sum(bool(block.flags & FLAG_NEW_KEY) for block in blocks)
    assert asked == [(number + more) & 0xFF for more in range(new_keys + 1)]


def test_a_line_that_was_not_sent_repeats_the_one_that_follows() -> None:
    """The picture has no hole: the missing line looks like its neighbour."""
    read = read_picture(forge_picture(slope(), keys), keys)
    assert np.array_equal(read[122], read[123])


def test_a_plain_picture_needs_no_key() -> None:
    """Below the noise of scrambling nothing is asked of the device, and nothing is changed."""
    soft = slope() // 2
    data = forge_picture(soft, keys, blocks=(Block(0, 145), Block(0, 145)))

    def never(number: int) -> int:
        raise AssertionError(f"key {number} was asked for")

    assert np.array_equal(read_picture(data, never), soft)


def test_a_key_that_does_not_fit_gives_no_picture() -> None:
    """Noise is never handed on as a finger."""
    with pytest.raises(PictureError, match="key"):
        read_picture(forge_picture(slope(), keys), lambda number: keys(number) ^ 1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "fewer than a header"),
        (bytes(HEADER_BYTES - 1), "fewer than a header"),
        (forge_picture(slope(), keys)[:-1], "bytes came"),
        (forge_picture(slope(), keys)[: HEADER_BYTES + WIDTH], "bytes came"),
        (forge_picture(slope(), keys) + b"\0", "goes on"),
        (forge_picture(slope(), keys).ljust(LARGEST_BYTES, b"\0"), "goes on"),
        (forge_picture(slope(), keys, blocks=(Block(1, 100),)), "lines"),
    ],
    ids=["nothing", "half a header", "a byte short", "one line", "a byte more", "never-ending", "no line sent"],
)
def test_what_is_no_whole_picture_is_refused_with_the_reason(data: bytes, why: str) -> None:
    """An incomplete picture is asked for again, never padded."""
    with pytest.raises(PictureError, match=why):
        read_picture(data, keys)


@settings(max_examples=100, deadline=None)
@given(head=st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES), lines=st.integers(0, HEIGHT))
def test_any_header_gives_a_picture_of_bounded_size_or_an_error(head: bytes, lines: int) -> None:
    """Whatever a broken or hostile device claims, no more is read than came."""
    data = bytes(head) + bytes(lines * WIDTH)
    try:
        read = read_picture(data, keys)
    except PictureError:
        return
    assert read.shape[0] <= HEIGHT


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_what_a_recorder_keeps_replays_but_has_nothing_of_the_finger(blocks: tuple[Block, ...]) -> None:
    """A slope stands in its place, cut and scrambled like it, so that the same keys are asked for."""
    lines = np.full((sum(block.lines for block in blocks), WIDTH), 222, dtype=np.uint8)
    asked: dict[int, int] = {}

    def key_of(number: int) -> int:
        asked[number] = keys(number)
        return asked[number]

    data = forge_picture(lines, keys, blocks=blocks, key_number=5)
    read_picture(data, key_of)
    kept = stand_in(data[:HEADER_BYTES], asked)
    assert len(kept) == len(data)
    shown = read_picture(kept, lambda number: asked[number])
    untouched = np.mean(shown == lines)
    assert untouched < 0.01
    assert without_pixels(data)[HEADER_BYTES:] == bytes(len(data) - HEADER_BYTES)
    assert without_pixels(data[:10]) == data[:10]
