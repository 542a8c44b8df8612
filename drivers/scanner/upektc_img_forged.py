"""A TouchChip reader that is not there: press or swipe, with whatever picture is laid on it. For tests."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.upektc_img import ASK_INFO, IN, OUT, SEEN_FRAME, SEEN_STATUS, START, Sensor, Status
from drivers.scanner.upektc_packet import (
    FLAG_ALIVE,
    FLAG_BYE,
    FLAG_CONFIGURE,
    FLAG_CONFIGURED,
    FLAG_DATA,
    FLAG_HELLO,
    FLAG_KEEP_ALIVE,
    FLAG_RESET,
    Kind,
    Packet,
    decode,
    encode,
)
from drivers.scanner.usb_players import Answer, Player
from drivers.scanner.usb_traffic import UsbRequest

PRESS_SENSOR, STRIP_SENSOR = Sensor(256, 360, pressed=True), Sensor(192, 512, pressed=False)
FRAME_PIXELS = 2042
INFO = bytes.fromhex(
    "2834000000061425100005251000050d0000206f0107003a000700000000001e0000000200008043000064c000000200000000010003"
)


class ForgedUpektc(Player):
    """The device's end of the cable, and the hands that lay fingers on it."""

    product_name = "Biometric Coprocessor"
    descriptors = bytes.fromhex(
        "12010101000000087e14162002000102000109022700010100a032"
        "0904000003ff0000000705810240000007050202400000" + "07058303040014"
    )

    def __init__(self, sensor: Sensor = PRESS_SENSOR) -> None:
        self.sensor = sensor
        self.keep_alives = 1
        """Before each look for a finger, so many packets that only say that it is alive."""
        self.empty_reads = 0
        """So many reads at the start of each answer come empty."""
        self._glass: NDArray[np.uint8] | None = None
        self.power_up()

    def power_up(self) -> None:
        """See :class:`Player`."""
        self._answers: deque[bytes] = deque()
        self._waiting_sequence: int | None = None
        self._frames: deque[bytes] = deque()

    def place(self, ridges: NDArray[np.uint8]) -> None:
        """Lay a finger on the glass; (H, W) uint8, dark on light, cut, or filled up with its corner's grey."""
        width, height = self.sensor.picture
        canvas = np.full((height, width), ridges[0, 0], dtype=np.uint8)
        part = ridges[:height, :width]
        canvas[: part.shape[0], : part.shape[1]] = part
        self._glass = canvas
        if self._waiting_sequence is not None:
            self._finger_came(self._waiting_sequence)
        self.changed()

    def lift(self) -> None:
        """Take it off."""
        self._glass = None

    def touch_briefly(self) -> None:
        """A finger that is gone before the picture is complete."""
        if self._waiting_sequence is not None:
            self._say(Status.TOO_SHORT, self._waiting_sequence)
            self._waiting_sequence = None
        self.changed()

    def submit(self, request: UsbRequest) -> None:
        """See :class:`Player`."""
        if request.setup:
            self._give(Packet(FLAG_HELLO, 0, b"10.05"))
        elif request.endpoint == OUT:
            self._told(decode(request.sent))

    def answer(self, request: UsbRequest) -> Answer | None:
        """See :class:`Player`."""
        if request.endpoint != IN:
            return Answer()
        if not self._answers:
            return None
        if self._answers[0]:
            head, rest = self._answers[0][: request.asked], self._answers[0][request.asked :]
            self._answers.popleft()
            if rest:
                self._answers.appendleft(rest)
            return Answer(head)
        self._answers.popleft()
        return Answer()

    def _told(self, packet: Packet) -> None:
        if packet.flag == FLAG_CONFIGURE:
            self._give(Packet(FLAG_CONFIGURED, 0, b"\0"))
        elif packet.flag == FLAG_RESET:
            self._waiting_sequence = None
            self._frames.clear()
            self._give(Packet(FLAG_BYE, 0, b""))
        elif packet.flag == FLAG_ALIVE:
            return
        elif packet.payload == ASK_INFO:
            self._give(Packet(FLAG_DATA, packet.sequence, self._info()))
        elif packet.payload.startswith(START):
            for _ in range(self.keep_alives):
                self._give(Packet(FLAG_KEEP_ALIVE, 0, b""))
            if self._glass is None:
                self._say(Status.NO_FINGER, packet.sequence)
            else:
                self._finger_came(packet.sequence)
        elif packet.payload == SEEN_STATUS and not self._frames:
            self._waiting_sequence = packet.sequence
            if self._glass is not None:
                self._finger_came(packet.sequence)
        elif packet.payload in (SEEN_STATUS, SEEN_FRAME):
            self._give(Packet(FLAG_DATA, packet.sequence, self._frames.popleft()))

    def _finger_came(self, sequence: int) -> None:
        assert self._glass is not None
        self._waiting_sequence = None
        pixels = self._glass.tobytes()
        size = len(pixels).to_bytes(4, "little")
        head = bytes((Kind.FIRST_FRAME,)) + (len(pixels) + 12).to_bytes(4, "little") + b"\x0e\x12" + size
        first, rest = pixels[: FRAME_PIXELS - 10], pixels[FRAME_PIXELS - 10 :]
        self._frames.append(head + first)
        for at in range(0, len(rest), FRAME_PIXELS):
            last = at + FRAME_PIXELS >= len(rest)
            kind = bytes((Kind.LAST_FRAME if last else Kind.FRAME,))
            self._frames.append(kind + rest[at : at + FRAME_PIXELS] + (bytes(4) if last else b""))
        self._say(Status.FINGER, sequence)

    def _say(self, status: Status, sequence: int) -> None:
        payload = bytes.fromhex("2811000000002001000000") + bytes((status,)) + bytes(8)
        self._give(Packet(FLAG_DATA, sequence, payload))

    def _info(self) -> bytes:
        said = bytearray(INFO.ljust(55, b"\0"))
        said[42] = 0x64 if self.sensor.pressed else 0xE4
        said[43:45] = self.sensor.width.to_bytes(2, "little")
        said[45:47] = self.sensor.height.to_bytes(2, "little")
        return bytes(said)

    def _give(self, packet: Packet) -> None:
        self._answers.extend([b""] * self.empty_reads)
        data = encode(packet)
        self._answers.append(data.ljust(64, b"\0"))
