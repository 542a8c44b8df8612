"""DigitalPersona U.are.U 4000, 4000B and 4500, and the Microsoft readers of the same family.

One vendor request reads and writes one-byte registers; events come by an interrupt endpoint, pictures by a bulk one.
Tried on a recording of a 4500 (05ba:000a, release 1.03). A picture's pixels are not square and their size is not
known from the device: see ``calibration.py``.
"""

import contextlib
import dataclasses
import enum
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError, DeviceProtocolError, DeviceTimeoutError
from drivers.scanner.base import PlaceAgain, Prompt, ScannerInfo, ScannerSource, ScannerState
from drivers.scanner.calibration import Calibration, Calibrations, none_measured
from drivers.scanner.errors import NotConfiguredError
from drivers.scanner.uru4000_picture import (
    HEADER_BYTES,
    LARGEST_BYTES,
    PictureError,
    read_picture,
    stand_in,
    without_pixels,
)
from drivers.scanner.usb_link import UsbLink, open_link
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_scanner import UsbScanner, geometry_for, is_blank, is_set, listed
from drivers.scanner.usb_transport import Interface, SystemUsb, UsbBus, UsbOverflowError

DRIVER = "uru4000"
EVENTS, EVENT_BYTES = 0x81, 64
PICTURES = 0x82
REQUEST = 0x04
"""Of the vendor's own software one project reports 0x0C; on the recorded unit it is 4."""

STATUS_TRIES = 100
"""Ten milliseconds apart: a second for the device to come up; the recorded one was there at once."""
STATUS_EVERY_S = 0.01
POWER_ON_S = 0.3
"""The power-on event came 1 ms after power-up; its repeats 8 ms apart."""
POWER_UPS = 3
PICTURE_S = 3.0
"""A picture takes 128 ms at full speed; a device that needs 20 times as long has stopped."""
LIFTED_S = 0.1
"""An empty glass is reported as soon as the device is told to look for it."""
FORETOLD_S = 0.1
"""That a picture is going to be empty is said before it comes; the two ways to the host are not equally fast."""
PICTURE_TRIES = 3
"""Readers are known to give nothing the first time."""


class Register(enum.IntEnum):
    """Addresses."""

    STATUS = 0x07
    KEY_REQUEST = 0x33
    KEY_ANSWER = 0x34
    MODE = 0x4E
    VERSIONS = 0xF0
    RESPONSE = 0x2000
    CHALLENGE = 0x2010


class Mode(enum.IntEnum):
    """Values of the mode register."""

    AWAIT_FINGER_ON = 0x10
    AWAIT_FINGER_OFF = 0x12
    CAPTURE = 0x20
    OFF = 0x70


class Status(enum.IntFlag):
    """Bits of the status register."""

    REBOOTED = 0x01
    WRONG = 0x04
    LOW_POWER = 0x80


class Event(enum.IntEnum):
    """First two bytes of an event packet, big endian."""

    FINGER_ON = 0x0101
    FINGER_OFF = 0x0200
    LIKELY_EMPTY = 0x0800
    """The next picture will probably show nothing."""
    POWER_ON = 0x56AA


@dataclass(frozen=True, slots=True)
class Model:
    """What differs between sister models."""

    name: str
    turned: bool = False
    """Pictures come upside down."""
    challenged: bool = False
    """Wants an answer that only who knows the vendor's key can give."""


MODELS = {
    (0x05BA, 0x0007): Model("DigitalPersona U.are.U 4000"),
    (0x05BA, 0x0008): Model("DigitalPersona keyboard with reader"),
    (0x05BA, 0x000A): Model("DigitalPersona U.are.U 4000B/4500", turned=True),
    (0x045E, 0x00BB): Model("Microsoft Fingerprint Reader"),
    (0x045E, 0x00BC): Model("Microsoft wireless desktop with reader"),
    (0x045E, 0x00BD): Model("Microsoft Fingerprint Reader"),
    (0x045E, 0x00CA): Model("Microsoft Fingerprint Reader, second model", challenged=True),
}

Respond = Callable[[bytes], bytes]
"""The answer to a challenge: 16 bytes in, 16 bytes out."""


HostValue = Callable[[], int]


def random_host_value() -> int:
    """Nobody who listens on the cable shall know the key beforehand."""
    return secrets.randbits(32)


@dataclass(frozen=True, slots=True)
class Details:
    """What an opened reader needs beside its cable."""

    model: Model
    respond: Respond | None
    host_value: HostValue

    @property
    def unanswerable(self) -> bool:
        """It will ask for something that nobody here knows."""
        return self.model.challenged and self.respond is None


def find(
    bus: UsbBus | None = None,
    calibrations: Calibrations = none_measured,
    respond: Respond | None = None,
    host_value: HostValue = random_host_value,
) -> list[ScannerSource]:
    """The readers that are plugged in; opens nothing.

    Parameters
    ----------
    respond : answers the challenge of 045e:00ca; without it such a reader is listed as not configured.
    host_value : 32 bits chosen anew for each picture's key.
    """
    bus = SystemUsb() if bus is None else bus
    return [
        Uru4000Source(bus, device, calibrations(DRIVER, device.serial), Details(model, respond, host_value))
        for device in bus.devices()
        if (model := MODELS.get((device.vendor, device.product))) is not None
    ]


class Uru4000Source(ScannerSource):
    """A reader that is plugged in."""

    def __init__(
        self,
        bus: UsbBus,
        device: UsbDevice,
        measured: Calibration | None,
        details: Details,
    ) -> None:
        self._bus, self._device, self._measured, self._details = bus, device, measured, details
        info = listed(DRIVER, details.model.name, device, measured)
        if details.unanswerable:
            info = dataclasses.replace(info, state=ScannerState.NOT_CONFIGURED)
        self.info = info

    def open(self, *, raw: bool = False) -> "Uru4000Scanner":
        """See :meth:`ScannerSource.open`; raises NotConfiguredError where a challenge could not be answered."""
        if self._details.unanswerable:
            raise NotConfiguredError(self.info.name, "the response key of this model")
        measured = geometry_for(self.info, self._measured, raw=raw)
        link = open_link(self._bus, self._device, Interface.VENDOR)
        try:
            return Uru4000Scanner(self.info, link, measured, self._details)
        except BaseException:
            link.close()
            raise


class Uru4000Scanner(UsbScanner):
    """An opened reader, powered up."""

    def __init__(self, info: ScannerInfo, link: UsbLink, measured: Calibration | None, details: Details) -> None:
        super().__init__(info, link, measured)
        self._model, self._respond, self._host_value = details.model, details.respond, details.host_value
        self._lift_first = False
        link.listen(EVENTS, EVENT_BYTES)
        self._power_up()
        self.versions = self._read(Register.VERSIONS, 16)
        """Of hardware and firmware, as the device gives them; for support."""

    def _picture(self, until: float, stop: threading.Event | None) -> NDArray[np.uint8] | PlaceAgain:
        if self._lift_first:
            self._waiting_for(Prompt.LIFT)
            grace = self._link.clock.now() + LIFTED_S
            if not self._await(Event.FINGER_OFF, max(until, grace), stop):
                return PlaceAgain.LIFT_FIRST
            self._lift_first = False
        self._link.forget_events()
        self._set_mode(Mode.AWAIT_FINGER_ON)
        self._waiting_for(Prompt.PLACE)
        if not self._await(Event.FINGER_ON, until, stop):
            return PlaceAgain.NO_FINGER
        self._waiting_for(Prompt.HOLD)
        pixels = self._receive()
        self._set_mode(Mode.AWAIT_FINGER_OFF)
        self._lift_first = True
        if isinstance(pixels, PlaceAgain) or is_blank(pixels):
            if self._await(Event.FINGER_OFF, self._link.clock.now() + LIFTED_S, stop):
                self._lift_first = False
                return PlaceAgain.TOO_SHORT
            return PlaceAgain.EMPTY
        return pixels

    def _receive(self) -> NDArray[np.uint8] | PlaceAgain:
        """A picture worth having, or the reason why there is none after several tries."""
        problem: DeviceError | None = None
        for _ in range(PICTURE_TRIES):
            try:
                pixels = self._one_picture()
            except UsbOverflowError as error:
                problem = error
                continue
            except PictureError as error:
                problem = DeviceProtocolError(self._link.name, "receive the picture", str(error))
                continue
            if is_blank(pixels) and self._await(Event.LIKELY_EMPTY, self._link.clock.now() + FORETOLD_S, None):
                problem = None
                continue
            return pixels
        if problem is not None:
            raise problem
        return PlaceAgain.EMPTY

    def _one_picture(self) -> NDArray[np.uint8]:
        # More than a picture is asked for: it ends with an empty packet, which would else answer the next read.
        coming = self._link.begin_bulk_read(PICTURES, LARGEST_BYTES, PICTURE_S, "receive the picture", without_pixels)
        self._set_mode(Mode.CAPTURE)
        data = coming.result(PICTURE_S + 1)
        keys: dict[int, int] = {}

        def key(number: int) -> int:
            keys[number] = self._new_key(number)
            return keys[number]

        try:
            lines = read_picture(data, key)
            header = bytes(data[:HEADER_BYTES])
        finally:
            data[:] = bytes(len(data))
        self._link.amend_record(PICTURES, lambda: stand_in(header, keys))
        upright = lines[::-1, ::-1] if self._model.turned else lines
        pixels = np.subtract(np.uint8(255), upright, dtype=np.uint8)
        lines[...] = 0
        return pixels

    def _new_key(self, number: int) -> int:
        host = self._host_value()
        self._write(Register.KEY_REQUEST, bytes((number,)) + host.to_bytes(4, "little"))
        return int.from_bytes(self._read(Register.KEY_ANSWER, 4), "little") ^ host

    def _power_up(self) -> None:
        """Raises DeviceTimeoutError when it does not come up."""
        for _ in range(POWER_UPS):
            status = self._status()
            if status & Status.LOW_POWER and status & Status.WRONG:
                status = self._reboot(status)
            if not status & Status.LOW_POWER:
                self._write(Register.STATUS, bytes((status | Status.LOW_POWER,)))
            self._leave_low_power(status)
            if self._await(Event.POWER_ON, self._link.clock.now() + POWER_ON_S, None):
                return
        raise DeviceTimeoutError(self._link.name, "power up", "no power-on event came")

    def _reboot(self, status: int) -> int:
        self._write(Register.STATUS, bytes((status & 0x0F,)))
        for _ in range(STATUS_TRIES):
            if (status := self._status()) & Status.REBOOTED:
                return status
            self._link.clock.sleep(STATUS_EVERY_S)
        raise DeviceTimeoutError(self._link.name, "reboot", f"status stays {status:#04x}")

    def _leave_low_power(self, before: int) -> None:
        for _ in range(STATUS_TRIES):
            self._write(Register.STATUS, bytes((before & 0x0F,)))
            if not (status := self._status()) & Status.LOW_POWER:
                return
            self._link.clock.sleep(STATUS_EVERY_S)
            if self._model.challenged and self._respond is not None:
                self._write(Register.RESPONSE, self._respond(self._read(Register.CHALLENGE, 16)))
        raise DeviceTimeoutError(self._link.name, "power up", f"status stays {status:#04x}")

    def _await(self, wanted: Event, until: float, stop: threading.Event | None) -> bool:
        """Until it comes; False when time or patience is over. Other events are of no interest then."""
        while not is_set(stop):
            packet = self._link.next_event(until - self._link.clock.now(), stop)
            if packet is None:
                return False
            if int.from_bytes(packet[:2], "big") == wanted:
                return True
        return False

    def _say_goodbye(self) -> None:
        with contextlib.suppress(DeviceError):  # it is closed anyhow
            self._set_mode(Mode.OFF)

    def _status(self) -> int:
        return self._read(Register.STATUS, 1)[0]

    def _set_mode(self, mode: Mode) -> None:
        self._write(Register.MODE, bytes((mode,)))

    def _read(self, register: Register, length: int) -> bytes:
        return self._link.control_read(REQUEST, register, length, f"read {register.name.lower()}")

    def _write(self, register: Register, data: bytes) -> None:
        self._link.control_write(REQUEST, register, data, f"write {register.name.lower()}")
