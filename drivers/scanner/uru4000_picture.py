"""The picture of a U.are.U 4000-class reader: its header, its scrambling, and the way back.

A picture is a header of 64 bytes and lines of 384 pixels. The header tells of blocks of lines: sent or left out,
scrambled or plain. Scrambling is XOR with a key stream from a 32-bit shift register that moves right; the new top
bit is the parity of eleven bits of the state. As a bit stream, bit ``t`` of the state after ``n`` steps is
``s[n + t]``, one linear sequence; each of its bits is the parity of some bits of the start state. Which ones does
not depend on the key: they are worked out once (:func:`_origins`), and a key stream is then a few operations on
whole arrays.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 384, 290
HEADER_BYTES = 64
LARGEST_BYTES = HEADER_BYTES + WIDTH * HEIGHT
SCRAMBLED_FROM = 5000
"""Mean squared deviation of the sums of the first two lines. Scrambled units had 10,849 and 11,240."""
NOISE_FROM = 78.0
"""Mean difference of neighbouring pixels: noise has 85.3 (a third of 256), ridges of pure black and white below 60."""
_FEEDBACK = (0, 2, 3, 6, 10, 12, 19, 22, 25, 28, 31)
"""Bits of the state whose parity comes in at the top."""
_KEY_BITS = (4, 8, 11, 14, 18, 21, 24, 29)
"""Bits of the state that make the key byte, lowest first."""

FLAG_NOT_SENT, FLAG_SCRAMBLED, FLAG_KEY_STANDS, FLAG_NEW_KEY = 0x01, 0x02, 0x04, 0x80

KeySource = Callable[[int], int]
"""Asks the device: key number to start state."""


class PictureError(Exception):
    """These bytes are no whole picture; says why. Another capture may give one."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are treated alike."""

    flags: int
    lines: int

    @property
    def sent(self) -> bool:
        """Its lines are among the data."""
        return not self.flags & FLAG_NOT_SENT

    @property
    def scrambled(self) -> bool:
        """Its pixels are XORed with the key stream."""
        return self.flags & (FLAG_SCRAMBLED | FLAG_KEY_STANDS) == FLAG_SCRAMBLED

    @property
    def steps(self) -> int:
        """How far it moves the key stream: a step for each pixel, scrambled or not."""
        return 0 if self.flags & FLAG_KEY_STANDS else self.lines * WIDTH


RECORDED_BLOCKS = tuple(
    Block(flags, lines) for flags, lines in ((2, 72), (0, 1), (2, 49), (1, 1), (0, 1), (2, 49), (0, 1), (2, 116))
)
"""How a 4500 cut its picture; other units cut otherwise."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the 64 bytes before the lines say."""

    lines: int
    key_number: int
    blocks: tuple[Block, ...]

    @classmethod
    def parse(cls, data: bytes | bytearray) -> "Header":
        """Read it from the front of a picture.

        Raises
        ------
        PictureError
        """
        if len(data) < HEADER_BYTES:
            raise PictureError(f"{len(data)} bytes came, fewer than a header")
        blocks = []
        for at in range(16, 16 + 2 * 15, 2):
            if data[at + 1] == 0:
                break
            blocks.append(Block(data[at], data[at + 1]))
        lines = int.from_bytes(data[4:6], "little")
        if len(data) > HEADER_BYTES + lines * WIDTH:
            raise PictureError(f"it goes on after its {lines} lines")
        header = cls(lines, data[6], tuple(blocks) or (Block(0, min(lines, HEIGHT)),))
        sent = sum(block.lines for block in header.blocks if block.sent)
        if sum(block.lines for block in header.blocks) > HEIGHT or sent > lines or sent == 0:
            raise PictureError(f"its header tells of {sent} lines in {len(blocks)} blocks and of {lines} lines in all")
        if len(data) < HEADER_BYTES + sent * WIDTH:
            raise PictureError(f"{len(data)} of {HEADER_BYTES + sent * WIDTH} bytes came")
        return header


def key_stream(state: int, count: int) -> NDArray[np.uint8]:
    """The first ``count`` key bytes from a start state."""
    bits = _sequence(state, count + 32)
    keys = np.zeros(count, dtype=np.uint8)
    for weight, tap in enumerate(_KEY_BITS):
        keys |= bits[tap : tap + count] << np.uint8(weight)
    return keys


def state_after(state: int, steps: int) -> int:
    """The state of the shift register after so many steps."""
    bits = _sequence(state, steps + 32)[steps:]
    return int(sum(int(bit) << place for place, bit in enumerate(bits)))


def is_scrambled(data: bytes | bytearray) -> bool:
    """Whether the pixels are noise: decided by the first two lines, as no header field tells it."""
    lines = np.frombuffer(data, dtype=np.uint8, count=2 * WIDTH, offset=HEADER_BYTES).astype(np.int64)
    sums = lines[:WIDTH] + lines[WIDTH:]
    return int(((sums - sums.sum() // WIDTH) ** 2).sum()) // WIDTH >= SCRAMBLED_FROM


def read_picture(data: bytes | bytearray, new_key: KeySource) -> NDArray[np.uint8]:
    """The lines as the sensor saw them.

    Parameters
    ----------
    data : header and lines as received.
    new_key : asked for the header's key number, and for the next one at a block that says so; not asked at all when
        the picture is plain.

    Returns
    -------
    lines : (n, 384) uint8, n the sum of all blocks; lines that were not sent repeat the ones that follow.

    Raises
    ------
    PictureError
    """
    header = Header.parse(data)
    received = np.frombuffer(data, dtype=np.uint8, offset=HEADER_BYTES)
    lines = np.empty((sum(block.lines for block in header.blocks), WIDTH), dtype=np.uint8)
    sent = sum(block.lines for block in header.blocks if block.sent) * WIDTH
    plain = received[:sent].copy()
    if sent >= 2 * WIDTH and is_scrambled(data):
        _unscramble(plain, received, header, new_key)
        if _neighbours_differ_by(plain.reshape(-1, WIDTH)[::16]) > NOISE_FROM:
            raise PictureError("its key does not fit")
    row = at = 0
    for block in header.blocks:
        # The lines that follow stand in for those that were not sent; at the end, the last one.
        shown = np.minimum(np.arange(at, at + block.lines), sent // WIDTH - 1)
        lines[row : row + block.lines] = plain.reshape(-1, WIDTH)[shown]
        row += block.lines
        at += block.lines if block.sent else 0
    plain[:] = 0
    return lines


def forge_picture(
    lines: NDArray[np.uint8], key_of: KeySource, *, blocks: Sequence[Block] = RECORDED_BLOCKS, key_number: int = 0
) -> bytes:
    """The bytes a reader would send for these lines: the way back of :func:`read_picture`.

    Parameters
    ----------
    lines : (n, 384) uint8 as the sensor sees them, n the sum of all blocks.
    key_of : the device's key table, key number to start state.
    """
    header = bytearray(HEADER_BYTES)
    header[:4] = b"\x10\x40\x80\x01"
    header[4:6] = sum(block.lines for block in blocks if block.sent).to_bytes(2, "little")
    header[6] = key_number
    for place, block in enumerate(blocks):
        header[16 + 2 * place : 18 + 2 * place] = bytes((block.flags, block.lines))
    ahead = sum(block.steps for block in blocks)
    number, keys, row, step = key_number, key_stream(key_of(key_number), ahead), 0, 0
    parts = [bytes(header)]
    for block in blocks:
        if block.flags & FLAG_NEW_KEY:
            number = number + 1 & 0xFF
            keys, step = key_stream(key_of(number), ahead), 0
        pixels = lines[row : row + block.lines].reshape(-1)
        if block.scrambled and block.sent:
            parts.append(b"\0" + (pixels[:-1] ^ keys[step : step + pixels.size - 1]).tobytes())
        elif block.sent:
            parts.append(pixels.tobytes())
        row += block.lines
        step += block.steps
    return b"".join(parts)


def without_pixels(data: bytes) -> bytes:
    """A received picture for a recorder, as long as no key is known: its header and zeros."""
    return data[:HEADER_BYTES].ljust(len(data), b"\0")


def stand_in(header: bytes, keys: Mapping[int, int]) -> bytes:
    """A soft slope with the header, blocks and keys of a received picture: it replays like the finger it replaces.

    Parameters
    ----------
    header : the 64 bytes before the lines.
    keys : the start states that were asked for; none when the picture was plain.
    """
    lines = int.from_bytes(header[4:6], "little")
    said = Header.parse(header + bytes(lines * WIDTH))
    rows, columns = np.mgrid[0 : sum(block.lines for block in said.blocks), 0:WIDTH]
    slope = np.asarray((rows + columns // 4) % 128, dtype=np.uint8)
    if not keys:
        return header + slope[:lines].tobytes()
    forged = forge_picture(slope, lambda number: keys[number], blocks=said.blocks, key_number=said.key_number)
    return header + forged[HEADER_BYTES:]


def _neighbours_differ_by(lines: NDArray[np.uint8]) -> float:
    return float(np.abs(np.diff(lines.astype(np.int16), axis=1)).mean())


def _unscramble(plain: NDArray[np.uint8], received: NDArray[np.uint8], header: Header, new_key: KeySource) -> None:
    """In place; walks the blocks and follows the key stream."""
    number, at, step = header.key_number, 0, 0
    ahead = sum(block.steps for block in header.blocks)
    keys = key_stream(new_key(number), ahead)
    for block in header.blocks:
        if block.flags & FLAG_NEW_KEY:
            number = number + 1 & 0xFF
            keys, step = key_stream(new_key(number), ahead), 0
        size = block.lines * WIDTH
        if block.scrambled and block.sent:
            # The first byte is a filler; the last pixel was never sent.
            np.bitwise_xor(received[at + 1 : at + size], keys[step : step + size - 1], out=plain[at : at + size - 1])
            plain[at + size - 1] = 0
        at += size if block.sent else 0
        step += block.steps


def _sequence(state: int, count: int) -> NDArray[np.uint8]:
    """The first bits ``s`` of the sequence with this start state."""
    odd = _origins()[:count] & np.uint32(state)
    for shift in (16, 8, 4, 2, 1):
        odd ^= odd >> np.uint32(shift)
    return (odd & np.uint32(1)).astype(np.uint8)


@functools.cache
def _origins() -> NDArray[np.uint32]:
    """For each bit of the sequence, the bits of the start state whose parity it is.

    Over GF(2) a recurrence stays true when all its distances are doubled (squaring its polynomial), so that with
    distances 2**k there are 2**k new elements in one operation.
    """
    count = WIDTH * HEIGHT + 32
    origins = np.zeros(count, dtype=np.uint32)
    origins[:32] = np.uint32(1) << np.arange(32, dtype=np.uint32)
    known, spread = 32, 1
    while known < count:
        while 64 * spread <= known:
            spread *= 2
        size = min(spread, count - known)
        start = known - 32 * spread
        for tap in _FEEDBACK:
            origins[known : known + size] ^= origins[start + tap * spread : start + tap * spread + size]
        known += size
    return origins
