"""UPEK / AuthenTec TouchChip readers (147e:2016, 147e:2020): press and swipe sensors behind one protocol.

Whether a sensor is pressed or swiped, and how large it is, stands in its answer to a question, not in its USB ids.
The device scales its picture to three quarters. Tried on a recording of a strip sensor (147e:2016, release 0.02).
How many pixels make an inch is not known from the device.
"""

import contextlib
import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError, DeviceProtocolError, DeviceTimeoutError
from drivers.scanner.base import PlaceAgain, Prompt, ScannerSource
from drivers.scanner.calibration import Calibration, Calibrations, none_measured
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
    PacketError,
    decode,
    encode,
    whole_length,
    without_pixels,
)
from drivers.scanner.usb_link import UsbLink, open_link
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_scanner import UsbScanner, geometry_for, is_set, listed
from drivers.scanner.usb_transport import Interface, SystemUsb, UsbBus

DRIVER = "upektc_img"
MODELS = {(0x147E, 0x2016): "UPEK TouchChip", (0x147E, 0x2020): "AuthenTec TouchChip"}
OUT, IN = 0x02, 0x81
FIRST_READ, SECOND_READ = 64, 1988
"""Every answer begins with a read of one USB packet; what does not fit follows in one more."""

ANSWER_S = 1.0
"""Recorded answers took 1 to 25 ms."""
FRAME_S = 2.0
"""Frames came 4 ms apart; a finger that stops halfway over a strip is given this long."""
LOOK_S = 0.25
"""How long a wait for a finger reads before it looks at the clock and at who might have stopped it."""
AGAIN_S = 0.2
"""Between two looks whether the finger of the last picture is still there."""
EMPTY_READS = 16
"""An empty answer or two is normal for this device."""
STALE_PACKETS = 64
"""Left over from an interrupted picture of at most 30 frames."""

SIZES = {(256, 360), (208, 288), (248, 360), (192, 512), (144, 512)}
"""Sensors that exist: width and height in their own pixels."""


class Status(enum.IntEnum):
    """What a status packet says of the finger."""

    FINGER = 0x00
    REMOVED = 0x01
    NO_FINGER = 0x0C
    KEEP_FINGER = 0x13
    MOVED_SIDEWAYS = 0x1D
    TOO_SHORT = 0x1E


CONFIGURE_1 = bytes.fromhex("01004600000000000101000000")
CONFIGURE_2 = bytes.fromhex("0100bc02000000000101000000")
ASK_INFO = bytes.fromhex("28040000000604")
START = bytes.fromhex("280b0000000e02feffffff02")
"""With a time-out of -2, for ever; then the way of taking (0 swipe, 1 press), then 2."""
SEEN_STATUS = bytes.fromhex("2805000000003001")
SEEN_FRAME = b"\x30"
GOODBYE = b"\x01"


@dataclass(frozen=True, slots=True)
class Sensor:
    """What the device says of itself."""

    width: int
    height: int
    pressed: bool

    @property
    def picture(self) -> tuple[int, int]:
        """Width and height of what it sends."""
        return self.width * 3 // 4, self.height * 3 // 4


def find(bus: UsbBus | None = None, calibrations: Calibrations = none_measured) -> list[ScannerSource]:
    """The scanners that are plugged in; opens nothing."""
    bus = SystemUsb() if bus is None else bus
    return [
        UpektcSource(bus, device, calibrations(DRIVER, device.serial))
        for device in bus.devices()
        if (device.vendor, device.product) in MODELS
    ]


class UpektcSource(ScannerSource):
    """A scanner that is plugged in."""

    def __init__(self, bus: UsbBus, device: UsbDevice, measured: Calibration | None) -> None:
        self._bus, self._device, self._measured = bus, device, measured
        self.info = listed(DRIVER, MODELS[device.vendor, device.product], device, measured)

    def open(self, *, raw: bool = False) -> "UpektcScanner":
        """See :meth:`ScannerSource.open`."""
        measured = geometry_for(self.info, self._measured, raw=raw)
        link = open_link(self._bus, self._device, Interface.FIRST)
        try:
            return UpektcScanner(self, link, measured)
        except BaseException:
            link.close()
            raise


class UpektcScanner(UsbScanner):
    """An opened scanner."""

    def __init__(self, source: UpektcSource, link: UsbLink, measured: Calibration | None) -> None:
        super().__init__(source.info, link, measured)
        self._lift_first = False
        self._started = False
        self._next = 0
        self.sensor = self._open()

    def _picture(self, until: float, stop: threading.Event | None) -> NDArray[np.uint8] | PlaceAgain:
        while True:
            if self._started:
                # A picture that was begun for nobody, or taken before, is nobody's: the device starts anew.
                self._reset()
                self._open()
            self._waiting_for(Prompt.LIFT if self._lift_first else Prompt.PLACE)
            taken = self._take(until, stop)
            left = until - self._link.clock.now()
            if taken is not PlaceAgain.LIFT_FIRST or is_set(stop) or left <= 0:
                return taken
            self._link.clock.sleep(min(left, AGAIN_S))

    def _take(self, until: float, stop: threading.Event | None) -> NDArray[np.uint8] | PlaceAgain:
        """One start of the device: the picture, or why there is none."""
        self._started = True
        self._send_data(START + bytes((int(self.sensor.pressed), 2)))
        # The first status comes at once, whoever is in a hurry: without it nothing is known of the finger.
        patience = max(until, self._link.clock.now() + ANSWER_S) if self._lift_first else until
        while True:
            packet = self._await_packet(patience, stop)
            if packet is None:
                return PlaceAgain.LIFT_FIRST if self._lift_first else PlaceAgain.NO_FINGER
            if packet.flag == FLAG_KEEP_ALIVE:
                self._send(Packet(FLAG_ALIVE, packet.sequence, b""))
                continue
            if packet.flag != FLAG_DATA or not packet.payload:
                raise self._nonsense("wait for a finger", packet)
            if packet.payload[0] == Kind.FIRST_FRAME:
                if self._lift_first:
                    return PlaceAgain.LIFT_FIRST
                self._waiting_for(Prompt.HOLD)
                self._lift_first = True
                return self._receive(packet)
            if packet.payload[0] != Kind.STATUS or len(packet.payload) != 20:
                raise self._nonsense("wait for a finger", packet)
            match packet.payload[11]:
                case Status.NO_FINGER | Status.REMOVED:
                    self._lift_first, patience = False, until
                    self._waiting_for(Prompt.PLACE)
                case Status.TOO_SHORT | Status.MOVED_SIDEWAYS:
                    return PlaceAgain.TOO_SHORT
                case Status.FINGER if self._lift_first:
                    return PlaceAgain.LIFT_FIRST
            self._send_data(SEEN_STATUS)

    def _receive(self, packet: Packet) -> NDArray[np.uint8] | PlaceAgain:
        """The frames of one picture, the first of which has come."""
        width, height = self.sensor.picture
        size = int.from_bytes(packet.payload[7:11], "little")
        if size != width * height:
            raise DeviceProtocolError(self._link.name, "receive the picture", f"{size} bytes for {width}x{height}")
        pixels = np.empty(size, dtype=np.uint8)
        got, part = 0, packet.payload[11:]
        while True:
            if got + len(part) > size:
                pixels[:] = 0
                raise DeviceProtocolError(self._link.name, "receive the picture", f"it does not end at {size} bytes")
            pixels[got : got + len(part)] = np.frombuffer(part, dtype=np.uint8)
            got += len(part)
            if packet.payload[0] == Kind.LAST_FRAME:
                break
            self._send_data(SEEN_FRAME)
            packet = self._next_frame()
            if packet.payload[0] == Kind.STATUS:
                pixels[:] = 0
                return PlaceAgain.TOO_SHORT  # it was lifted before the last line
            part = packet.payload[1:-4] if packet.payload[0] == Kind.LAST_FRAME else packet.payload[1:]
        if got != size:
            pixels[:] = 0
            raise DeviceProtocolError(self._link.name, "receive the picture", f"{got} of {size} bytes came")
        return pixels.reshape(height, width)

    def _next_frame(self) -> Packet:
        for _ in range(EMPTY_READS):
            packet = self._read(FRAME_S, "receive the picture")
            if packet.flag == FLAG_KEEP_ALIVE:
                self._send(Packet(FLAG_ALIVE, packet.sequence, b""))
                continue
            if packet.flag == FLAG_DATA and packet.payload and packet.payload[0] in tuple(Kind):
                return packet
            raise self._nonsense("receive the picture", packet)
        raise DeviceProtocolError(self._link.name, "receive the picture", "it only says that it is alive")

    def _open(self) -> Sensor:
        """From whatever state to one in which it takes pictures."""
        self._started, self._next = False, 0
        self._wake(CONFIGURE_1)
        self._send(Packet(FLAG_RESET, 0, GOODBYE))
        self._expect(FLAG_BYE, "reset")
        self._wake(CONFIGURE_2)
        self._send_data(ASK_INFO)
        info = self._expect(FLAG_DATA, "ask what it is").payload
        return self._sensor(info)

    def _wake(self, configuration: bytes) -> None:
        self._link.control_write(0x0C, 0x0100, b"\0", "wake", index=0x0400)
        self._expect(FLAG_HELLO, "wake")
        self._send(Packet(FLAG_CONFIGURE, 0, configuration))
        self._expect(FLAG_CONFIGURED, "configure")

    def _sensor(self, info: bytes) -> Sensor:
        """From the info answer; offsets within the payload are seven less than within the packet."""
        if len(info) != 55 or info[0] != Kind.STATUS or info[5:7] != b"\x06\x14":
            raise DeviceProtocolError(self._link.name, "ask what it is", f"answered {len(info)} bytes")
        width, height = int.from_bytes(info[43:45], "little"), int.from_bytes(info[45:47], "little")
        if (width, height) not in SIZES:
            raise DeviceProtocolError(self._link.name, "ask what it is", f"no known sensor has {width}x{height}")
        return Sensor(width, height, pressed=not info[42] & 0x80)

    def _reset(self) -> None:
        self._send(Packet(FLAG_RESET, self._next, GOODBYE))
        self._expect(FLAG_BYE, "reset")
        self._started = False

    def _say_goodbye(self) -> None:
        with contextlib.suppress(DeviceError):  # it is closed anyhow
            self._reset()

    def _expect(self, flag: int, doing: str) -> Packet:
        """The packet that answers; older ones are passed over."""
        for _ in range(STALE_PACKETS):
            packet = self._read(ANSWER_S, doing)
            if packet.flag == flag:
                return packet
        raise DeviceProtocolError(self._link.name, doing, f"no packet of flag {flag} among {STALE_PACKETS}")

    def _await_packet(self, until: float, stop: threading.Event | None) -> Packet | None:
        """The next packet whenever it comes; None when time or patience is over."""
        while not is_set(stop):
            left = until - self._link.clock.now()
            if left <= 0:
                return None
            try:
                return self._read(min(left, LOOK_S), "wait for a finger")
            except DeviceTimeoutError:
                continue
        return None

    def _read(self, timeout_s: float, doing: str) -> Packet:
        shown = bytearray()

        def first(data: bytes) -> bytes:
            shown[:] = without_pixels(data)
            return bytes(shown[: len(data)])

        def second(data: bytes) -> bytes:
            return bytes(shown[FIRST_READ : FIRST_READ + len(data)]).ljust(len(data), b"\0")

        head = self._read_some(FIRST_READ, timeout_s, doing, first)
        try:
            length = whole_length(head)
            if length > len(head):
                head += self._read_some(SECOND_READ, ANSWER_S, doing, second)
            return decode(head)
        except PacketError as error:
            raise DeviceProtocolError(self._link.name, doing, str(error)) from error
        finally:
            head[:] = bytes(len(head))

    def _read_some(self, size: int, timeout_s: float, doing: str, shown: Callable[[bytes], bytes]) -> bytearray:
        """Something; empty answers are normal."""
        for _ in range(EMPTY_READS):
            data = self._link.bulk_read(IN, size, timeout_s, doing, shown)
            if data:
                return data
        raise DeviceProtocolError(self._link.name, doing, f"{EMPTY_READS} empty answers in a row")

    def _send_data(self, payload: bytes) -> None:
        self._send(Packet(FLAG_DATA, self._next, payload))
        self._next = (self._next + 1) % 16

    def _send(self, packet: Packet) -> None:
        self._link.bulk_write(OUT, encode(packet), ANSWER_S, "send a command")

    def _nonsense(self, doing: str, packet: Packet) -> DeviceProtocolError:
        return DeviceProtocolError(self._link.name, doing, f"answered {packet!r}")
