"""An NB-1010-U that is not there: answers as one does, with whatever picture is laid on its glass. For tests."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.nb1010 import (
    ANSWER_BYTES,
    HEIGHT,
    IN,
    LINES_A_PACKET,
    OUT,
    PACKET_BYTES,
    PACKET_TAIL,
    WIDTH,
    Command,
    Reply,
)
from drivers.scanner.usb_players import Answer, Player
from drivers.scanner.usb_traffic import UsbRequest

EMPTY_GLASS = 0xE5


class ForgedNb1010(Player):
    """The device's end of the cable, and the hands that lay fingers on it."""

    product_name = "NB-1010-U"
    descriptors = bytes.fromhex(
        "12010002000000408d29101001000102000109022700010100a032"
        "0904000003000000000705810340000507050202400000" + "07058302400000"
    )

    def __init__(self) -> None:
        self._glass: NDArray[np.uint8] | None = None
        self.power_up()

    def power_up(self) -> None:
        """See :class:`Player`."""
        self._answers: deque[bytes] = deque()
        self._brief = False

    def place(self, ridges: NDArray[np.uint8]) -> None:
        """Lay a finger on the glass; (H, W) uint8, dark on light, cut or centred to 256x180."""
        canvas = np.full((HEIGHT, WIDTH), EMPTY_GLASS, dtype=np.uint8)
        part = ridges[:HEIGHT, :WIDTH]
        canvas[: part.shape[0], : part.shape[1]] = part
        self._glass = canvas

    def lift(self) -> None:
        """Take it off."""
        self._glass = None

    def touch_briefly(self) -> None:
        """A finger that is gone after it was asked for once."""
        self._brief = True

    def submit(self, request: UsbRequest) -> None:
        """See :class:`Player`."""
        if request.endpoint != OUT:
            return
        match request.sent[1]:
            case Command.FINGER:
                level = 0 if self._glass is None and not self._brief else 247
                self._brief = False
                self._answers.append(_answer(Reply.FINGER, request.sent[2], bytes((0, 0, 0, 0, level, 0, 0, 0))))
            case Command.PREPARE:
                self._answers.append(_answer(Reply.DONE, request.sent[2], bytes(8)))
            case Command.CAPTURE:
                self._answers.append(_answer(Reply.DONE, request.sent[2], bytes((0, 0, 0, 0, 3, 0, 0, 0))))
                self._answers.extend(self._lines())

    def answer(self, request: UsbRequest) -> Answer | None:
        """See :class:`Player`."""
        if request.endpoint != IN:
            return Answer()
        return Answer(self._answers.popleft()) if self._answers else None

    def _lines(self) -> list[bytes]:
        seen = np.full((HEIGHT, WIDTH), EMPTY_GLASS, dtype=np.uint8) if self._glass is None else self._glass
        packets = []
        for row in range(0, HEIGHT, LINES_A_PACKET):
            more = int(row + LINES_A_PACKET < HEIGHT)
            fields = (PACKET_BYTES, 0, more, row + 1, WIDTH)
            head = bytes((0x80, Reply.LINES, 0, 0)) + b"".join(number.to_bytes(4, "little") for number in fields)
            packets.append(head + b"\1" + seen[row : row + LINES_A_PACKET].tobytes() + bytes(PACKET_TAIL))
        return packets


def _answer(code: Reply, sequence: int, parameters: bytes) -> bytes:
    return bytes((0x80, code, sequence, 0)) + ANSWER_BYTES.to_bytes(4, "little") + parameters
