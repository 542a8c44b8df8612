"""NEXT Biometrics NB-1010-U (298d:1010): thermal, 256x180, no initialisation, one question one answer.

A command is 0x80, its code, a sequence number that is echoed, 0, the whole length (32 bits, little endian) and its
parameters. Tried on a recording of one unit. How many pixels make an inch is not known from the device.
"""

import enum
import threading

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceProtocolError
from drivers.scanner.base import PlaceAgain, Prompt, ScannerSource
from drivers.scanner.calibration import Calibration, Calibrations, none_measured
from drivers.scanner.usb_link import open_link
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_scanner import UsbScanner, geometry_for, is_blank, is_set, listed
from drivers.scanner.usb_transport import Interface, SystemUsb, UsbBus

DRIVER = "nb1010"
MODEL = "NEXT Biometrics NB-1010-U"
USB_ID = (0x298D, 0x1010)
OUT, IN = 0x02, 0x83

WIDTH, HEIGHT = 256, 180
LINES_A_PACKET = 2
PACKET_HEADER, PACKET_TAIL = 25, 3
PACKET_BYTES = PACKET_HEADER + LINES_A_PACKET * WIDTH + PACKET_TAIL
ANSWER_BYTES = 16
FINGER_FROM = 0x30
"""Above this the answer means a finger; the recorded one was 247."""
POLL_EVERY_S = 0.05
"""As often as the vendor's software asks."""
ANSWER_S = 1.0
"""It answers within milliseconds; one that takes a second has hung."""


class Command(enum.IntEnum):
    """Second byte of a command."""

    PREPARE = 0x0D
    CAPTURE = 0x12
    FINGER = 0x38


class Reply(enum.IntEnum):
    """Second byte of an answer."""

    DONE = 0x20
    LINES = 0x21
    FINGER = 0x37


FINGER_QUESTION = bytes.fromhex("8038010008000000")
PREPARE = bytes.fromhex("800d03000c00000000040000")
CAPTURE = bytes.fromhex("8012040020000000020000000000000000000000000000000000000020000000")


def find(bus: UsbBus | None = None, calibrations: Calibrations = none_measured) -> list[ScannerSource]:
    """The scanners that are plugged in; opens nothing."""
    bus = SystemUsb() if bus is None else bus
    return [
        Nb1010Source(bus, device, calibrations(DRIVER, device.serial))
        for device in bus.devices()
        if (device.vendor, device.product) == USB_ID
    ]


class Nb1010Source(ScannerSource):
    """A scanner that is plugged in."""

    def __init__(self, bus: UsbBus, device: UsbDevice, measured: Calibration | None) -> None:
        self._bus, self._device, self._measured = bus, device, measured
        self.info = listed(DRIVER, MODEL, device, measured)

    def open(self, *, raw: bool = False) -> "Nb1010Scanner":
        """See :meth:`ScannerSource.open`."""
        measured = geometry_for(self.info, self._measured, raw=raw)
        return Nb1010Scanner(self.info, open_link(self._bus, self._device, Interface.FIRST), measured)


class Nb1010Scanner(UsbScanner):
    """An opened scanner."""

    _lift_first = False

    def _picture(self, until: float, stop: threading.Event | None) -> NDArray[np.uint8] | PlaceAgain:
        if self._lift_first:
            self._waiting_for(Prompt.LIFT)
            if not self._await_finger(False, until, stop):
                return PlaceAgain.LIFT_FIRST
            self._lift_first = False
        self._waiting_for(Prompt.PLACE)
        if not self._await_finger(True, until, stop):
            return PlaceAgain.NO_FINGER
        self._waiting_for(Prompt.HOLD)
        self._lift_first = True
        self._ask(PREPARE, Reply.DONE, "prepare")
        self._ask(CAPTURE, Reply.DONE, "start the picture")
        pixels = self._receive()
        if is_blank(pixels) and self._await_finger(False, 0, stop):
            self._lift_first = False
            return PlaceAgain.TOO_SHORT
        return pixels

    def _await_finger(self, there: bool, until: float, stop: threading.Event | None) -> bool:
        """Until a finger is there, or is not; False when time or patience is over."""
        while not is_set(stop):
            answer = self._ask(FINGER_QUESTION, Reply.FINGER, "ask for a finger")
            if (answer[12] > FINGER_FROM) == there:
                return True
            left = until - self._link.clock.now()
            if left <= 0:
                return False
            self._link.clock.sleep(min(left, POLL_EVERY_S))
        return False

    def _receive(self) -> NDArray[np.uint8]:
        pixels = np.empty((HEIGHT, WIDTH), dtype=np.uint8)
        for row in range(0, HEIGHT, LINES_A_PACKET):
            packet = self._link.bulk_read(IN, PACKET_BYTES, ANSWER_S, "receive the picture", masked)
            problem = fault_of(packet, row + 1)
            if problem:
                packet[:] = bytes(len(packet))
                pixels[...] = 0
                raise DeviceProtocolError(self._link.name, "receive the picture", f"line {row + 1}: {problem}")
            lines = np.frombuffer(packet, dtype=np.uint8, count=LINES_A_PACKET * WIDTH, offset=PACKET_HEADER)
            pixels[row : row + LINES_A_PACKET] = lines.reshape(LINES_A_PACKET, WIDTH)
            lines[:] = 0
        return pixels

    def _ask(self, command: bytes, expected: Reply, doing: str) -> bytearray:
        self._link.bulk_write(OUT, command, ANSWER_S, doing)
        answer = self._link.bulk_read(IN, ANSWER_BYTES, ANSWER_S, doing, bytes)
        if len(answer) != ANSWER_BYTES:
            raise DeviceProtocolError(self._link.name, doing, f"{len(answer)} of {ANSWER_BYTES} bytes came")
        if (answer[0], answer[1]) != (0x80, expected) or int.from_bytes(answer[4:8], "little") != ANSWER_BYTES:
            raise DeviceProtocolError(self._link.name, doing, f"answered {answer[0]:#04x} {answer[1]:#04x}")
        return answer


def fault_of(packet: bytes | bytearray, line: int) -> str:
    """What is wrong with a packet that should begin with this line, counted from 1; nothing: empty."""
    if len(packet) != PACKET_BYTES:
        return f"{len(packet)} of {PACKET_BYTES} bytes came"
    said_length = int.from_bytes(packet[4:8], "little")
    said_line = int.from_bytes(packet[16:20], "little")
    said_width = int.from_bytes(packet[20:24], "little")
    if (packet[0], packet[1], said_length, said_line) != (0x80, Reply.LINES, PACKET_BYTES, line):
        return f"packet {packet[1]:#04x} of {said_length} bytes came for line {said_line}"
    return "" if said_width == WIDTH else f"it is {said_width} pixels wide"


def masked(data: bytes) -> bytes:
    """A packet of lines for a recorder: a slope in place of the finger, so that the replay is no empty picture."""
    return data[:PACKET_HEADER] + bytes(place & 0xFF for place in range(max(0, len(data) - PACKET_HEADER)))
