"""A U.are.U 4500 that is not there: answers as one does, with whatever picture is laid on its glass.

Pictures go out scrambled with a key of its own, cut into blocks, without the line that a recorded unit leaves out.
For tests of everything above the cable, and for demonstrations.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.uru4000 import EVENT_BYTES, EVENTS, PICTURES, REQUEST, Event, Mode, Register, Status
from drivers.scanner.uru4000_picture import HEIGHT, RECORDED_BLOCKS, WIDTH, Block, forge_picture
from drivers.scanner.usb_players import Answer, Player
from drivers.scanner.usb_traffic import UsbRequest

NATIVE_DPI_X, NATIVE_DPI_Y = 500.0, 500.0
"""What one pixel of the forged sensor is taken to be; a calibration of this belongs to it."""
VERSIONS = bytes.fromhex("1a0a1a0a01150000002000108b211130")
BACKGROUND = 255


class ForgedUru4000(Player):
    """The device's end of the cable, and the hands that lay fingers on it.

    >>> reader = ForgedUru4000()
    >>> bus = ReplayedUsb(reader)
    >>> reader.place(ridges)        # (H, W) uint8, ridges dark; stays until lift()
    >>> find(bus)[0].open(raw=True).capture(10.0)
    """

    product_name = "U.are.U 4500 Fingerprint Reader"
    serial = "FORGED-0001"
    key_number = 3

    def __init__(
        self, *, product: int = 0x000A, vendor: int = 0x05BA, blocks: tuple[Block, ...] = RECORDED_BLOCKS, seed: int = 1
    ) -> None:
        ids = vendor.to_bytes(2, "little") + product.to_bytes(2, "little")
        self.descriptors = (
            bytes.fromhex("1201000200000040")
            + ids
            + bytes.fromhex("0301010203010902200001010080640904000002ffffff000705810340000807058202400000")
        )
        self._turned = (vendor, product) == (0x05BA, 0x000A)
        self._blocks = blocks
        self._random = np.random.default_rng(seed)
        self._glass: NDArray[np.uint8] | None = None
        self.mode_writes: list[int] = []
        """Every mode the host asked for, for tests of what it does when."""
        self.challenge: bytes | None = None
        """Set it, and power comes up only after a response; see ``response``."""
        self.response: bytes | None = None
        self.foretell_empty = 0
        """So many pictures come empty, after the event that says so."""
        self.power_up()

    def power_up(self) -> None:
        """See :class:`Player`."""
        self._registers = {Register.STATUS: int(Status.REBOOTED)}
        self._events: deque[bytes] = deque()
        self._pictures: deque[bytes] = deque()
        self._reads: deque[bytes] = deque()
        self._mode = int(Mode.OFF)
        self._key_answer = int(self._random.integers(0, 1 << 32))
        self._salt = int(self._random.integers(0, 1 << 32))
        self.response = None

    def place(self, ridges: NDArray[np.uint8]) -> None:
        """Lay a finger on the glass: centred, cut where it is larger than the sensor.

        ridges : (H, W) uint8, dark on light, at the sensor's resolution.
        """
        self._glass = on_canvas(ridges)
        if self._mode == Mode.AWAIT_FINGER_ON:
            self._tell(Event.FINGER_ON)
        self.changed()

    def lift(self) -> None:
        """Take it off."""
        self._glass = None
        if self._mode == Mode.AWAIT_FINGER_OFF:
            self._tell(Event.FINGER_OFF)
        self.changed()

    def touch_briefly(self) -> None:
        """A finger that is gone before it is pictured."""
        if self._mode == Mode.AWAIT_FINGER_ON:
            self._tell(Event.FINGER_ON)
        self.changed()

    def submit(self, request: UsbRequest) -> None:
        """See :class:`Player`."""
        if not request.setup or request.setup[1] != REQUEST:
            return
        register = int.from_bytes(request.setup[2:4], "little")
        if request.is_input:
            self._reads.append(self._register(register, request.asked))
        else:
            self._written(register, request.sent)

    def answer(self, request: UsbRequest) -> Answer | None:
        """See :class:`Player`."""
        if not request.is_input:
            return Answer()
        waiting = {EVENTS: self._events, PICTURES: self._pictures}.get(request.endpoint, self._reads)
        return Answer(waiting.popleft()) if waiting else None

    def _register(self, register: int, asked: int) -> bytes:
        match register:
            case Register.VERSIONS:
                return VERSIONS[:asked]
            case Register.KEY_ANSWER:
                return self._key_answer.to_bytes(4, "little")
            case Register.CHALLENGE:
                return self.challenge or bytes(16)
            case _:
                return bytes((self._registers.get(Register(register), 0),))[:asked]

    def _written(self, register: int, data: bytes) -> None:
        match register:
            case Register.STATUS:
                self._powered(data[0])
            case Register.MODE:
                self._mode = data[0]
                self.mode_writes.append(data[0])
                self._entered(data[0])
            case Register.KEY_REQUEST:
                host = int.from_bytes(data[1:5], "little")
                # The device answers so that both ends know the start state and the cable does not show it.
                self._key_answer = self._key_of(data[0]) ^ host
            case Register.RESPONSE:
                self.response = data
                self._registers[Register.STATUS] &= ~Status.LOW_POWER

    def _powered(self, value: int) -> None:
        if value & Status.LOW_POWER:
            self._registers[Register.STATUS] = value
        elif self.challenge is None or self.response is not None:
            was_off = self._registers[Register.STATUS] & Status.LOW_POWER
            self._registers[Register.STATUS] = value | Status.REBOOTED
            if was_off or self.challenge is not None:
                self._tell(Event.POWER_ON)

    def _entered(self, mode: int) -> None:
        if mode == Mode.AWAIT_FINGER_ON and self._glass is not None:
            self._tell(Event.FINGER_ON)
        elif mode == Mode.AWAIT_FINGER_OFF and self._glass is None:
            self._tell(Event.FINGER_OFF)
        elif mode == Mode.CAPTURE:
            self._send_picture()

    def _send_picture(self) -> None:
        seen = np.full((HEIGHT, WIDTH), BACKGROUND, dtype=np.uint8) if self._glass is None else self._glass
        if self.foretell_empty:
            self.foretell_empty -= 1
            self._tell(Event.LIKELY_EMPTY)
            seen = np.full((HEIGHT, WIDTH), BACKGROUND, dtype=np.uint8)
        raw = np.uint8(255) - (seen[::-1, ::-1] if self._turned else seen)
        self._salt = int(self._random.integers(0, 1 << 32))
        self._pictures.append(forge_picture(raw, self._key_of, blocks=self._blocks, key_number=self.key_number))

    def _key_of(self, number: int) -> int:
        """The device's key table; another one for each picture."""
        return (self._salt + 0x9E3779B1 * (number + 1)) % (1 << 32) or 1

    def _tell(self, event: Event) -> None:
        self._events.append(event.to_bytes(2, "big").ljust(EVENT_BYTES, b"\0"))


def on_canvas(ridges: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture in the middle of an empty one of the sensor's size, (290, 384) uint8."""
    canvas = np.full((HEIGHT, WIDTH), BACKGROUND, dtype=np.uint8)
    height, width = min(HEIGHT, ridges.shape[0]), min(WIDTH, ridges.shape[1])
    from_row, from_column = (ridges.shape[0] - height) // 2, (ridges.shape[1] - width) // 2
    row, column = (HEIGHT - height) // 2, (WIDTH - width) // 2
    canvas[row : row + height, column : column + width] = ridges[
        from_row : from_row + height, from_column : from_column + width
    ]
    return canvas
