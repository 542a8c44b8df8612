"""The door to USB: an interface is claimed, one request at a time is made of it, every failure gets its name.

pyusb's back-end interface is used directly: its ``Device`` would claim interfaces and set configurations by itself.
Each opening has a libusb context of its own, made at open and destroyed at close: libusb's list of devices goes
stale where udev's messages do not arrive, a fresh context sees the truth. What happens beside a request (events, a
read that waits for another request) and how all of it ends: ``usb_link.py``.
"""

import array
import contextlib
import enum
import errno
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import usb.backend.libusb1
import usb.core
from usb.backend import IBackend

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DevicePermissionError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)
from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_listing import UsbDevice, plugged_in
from drivers.scanner.usb_traffic import Kind, UsbRequest

CONTROL_S = 1.0
"""A register is read or written within a millisecond; a device that takes a thousand times as long has hung."""
UDEV_RULES = "systemd/70-mpos-scanners.rules"

UNSUPPORTED = RuntimeError
"""A subclass of it is how pyusb says that this system has no such call."""

Handle = Any
"""pyusb has no types; what a back end gives is handed back to it untouched."""
Bytes = array.array  # pyusb reads into arrays of this module only


class Recorder(Protocol):
    """Keeps what goes over the cable; see ``usb_recorder.py``."""

    def begin(self, request: UsbRequest) -> int:
        """A request was made; gives its number."""

    def end(self, number: int, received: bytes, status: int) -> None:
        """It was answered."""

    def amend(self, endpoint: int, received: bytes) -> None:
        """The last answer of this endpoint is kept as these bytes instead."""


class UsbBus(Protocol):
    """Where USB devices are plugged in: this machine's ports, or a replay."""

    clock: Clock

    def devices(self) -> list[UsbDevice]:
        """What is plugged in now; opens nothing."""

    def new_backend(self) -> IBackend:
        """A fresh context, to be finalized by whoever asked for it."""

    def recorder(self, device: UsbDevice) -> Recorder | None:
        """What keeps the traffic of this device; None, as nearly always: nothing does."""


class SystemUsb:
    """The ports of this machine, through libusb."""

    def __init__(
        self, record: Callable[[UsbDevice], Recorder] | None = None, clock: Callable[[], Clock] = Clock
    ) -> None:
        self.clock = clock()
        self._record = record

    def devices(self) -> list[UsbDevice]:
        """See :class:`UsbBus`; from sysfs."""
        return plugged_in()

    def new_backend(self) -> IBackend:
        """See :class:`UsbBus`.

        Raises
        ------
        DeviceNotFoundError
            libusb itself is not installed.
        """
        shared = usb.backend.libusb1.get_backend()
        if shared is None:
            raise DeviceNotFoundError("USB", "open", "libusb-1.0 is missing: apt-get install libusb-1.0-0")
        return type(shared)(shared.lib)

    def recorder(self, device: UsbDevice) -> Recorder | None:
        """See :class:`UsbBus`."""
        return None if self._record is None else self._record(device)


class Interface(enum.Enum):
    """Which interface of a device is the scanner."""

    FIRST = enum.auto()
    VENDOR = enum.auto()
    """The one of class ff/ff/ff: a keyboard with a reader has others beside it."""


def claim(bus: UsbBus, listed: UsbDevice, interface: Interface) -> "ClaimedInterface":
    """Open what was listed, where it is plugged in now, and claim its interface.

    Raises
    ------
    DeviceNotFoundError
        Nothing of these ids is at this port any more.
    DeviceBusyError, DevicePermissionError
    """
    name = f"{listed.product_name or listed.usb_id} at USB {listed.path}"
    # A replugged device has a new address at the old port.
    now = [one for one in bus.devices() if (one.path, one.usb_id) == (listed.path, listed.usb_id)]
    if not now:
        raise DeviceNotFoundError(name, "open", "it is not plugged in")
    backend = bus.new_backend()
    handle: Handle = None
    try:
        found = _listed(backend, now[0], name)
        try:
            handle = backend.open_device(found)
            number = _interface_number(backend, found, interface)
            _claim(backend, handle, number)
        except usb.core.USBError as error:
            raise _not_opened(error, name) from error
        finally:
            _finalize(found)
    except BaseException:
        if handle is not None:
            backend.close_device(handle)
        _finalize(backend)
        raise
    there = lambda: any((one.path, one.address) == (now[0].path, now[0].address) for one in bus.devices())  # noqa: E731
    return ClaimedInterface(name, Opened(backend, handle, number, there), bus.recorder(now[0]))


@dataclass(frozen=True, slots=True)
class Opened:
    """A claimed interface as the back end knows it."""

    backend: IBackend
    handle: Handle
    interface: int
    still_there: Callable[[], bool]
    """Asked after a time-out: not every system says at once that a device is gone."""


class UsbOverflowError(DeviceProtocolError):
    """It sent more than was asked for; what came is lost."""


class ClaimedInterface:
    """One claimed interface and the requests it takes; from one thread, and one more that reads events.

    After a DeviceRemovedError it answers everything with the same: close it, and open anew after the replug.
    """

    def __init__(self, name: str, opened: Opened, recorder: Recorder | None) -> None:
        self.name, self._recorder = name, recorder
        self._backend, self._handle, self._interface = opened.backend, opened.handle, opened.interface
        self._still_there = opened.still_there
        self._lost = ""
        self._released = False

    @property
    def lost(self) -> bool:
        """The device is gone; nothing more reaches it."""
        return bool(self._lost)

    def control_read(self, request: int, value: int, length: int, doing: str) -> bytes:
        """A vendor request that reads ``length`` bytes.

        Raises
        ------
        DeviceError
            By cause; a shorter answer is a DeviceProtocolError.
        """
        buffer = Bytes("B", bytes(length))
        got = self._control(struct.pack("<BBHHH", 0xC0, request, value, 0, length), buffer, doing)
        if got != length:
            raise DeviceProtocolError(self.name, doing, f"{got} of {length} bytes came")
        return buffer.tobytes()

    def control_write(self, request: int, value: int, data: bytes, doing: str, *, index: int = 0) -> None:
        """A vendor request that writes; raises as :meth:`control_read`."""
        got = self._control(struct.pack("<BBHHH", 0x40, request, value, index, len(data)), Bytes("B", data), doing)
        if got != len(data):
            raise DeviceProtocolError(self.name, doing, f"it took {got} of {len(data)} bytes")

    def bulk_write(self, endpoint: int, data: bytes, timeout_s: float, doing: str) -> None:
        """Send; raises as :meth:`control_read`."""
        buffer = Bytes("B", data)

        def send() -> int:
            return int(self._backend.bulk_write(self._handle, endpoint, self._interface, buffer, _ms(timeout_s)))

        request = UsbRequest(Kind.BULK, endpoint, len(data), sent=data)
        if (got := self._request(request, send, lambda _: b"", doing)) != len(data):
            raise DeviceProtocolError(self.name, doing, f"it took {got} of {len(data)} bytes")

    def bulk_read(
        self, endpoint: int, size: int, timeout_s: float, doing: str, shown: Callable[[bytes], bytes] | None = None
    ) -> bytearray:
        """Receive up to ``size`` bytes; none at all is an answer, too.

        Parameters
        ----------
        shown : what a recorder may keep of the bytes, as many of them; None: zeros, for they may be of a finger.
        """
        buffer = Bytes("B", bytes(size))

        def receive() -> int:
            return int(self._backend.bulk_read(self._handle, endpoint, self._interface, buffer, _ms(timeout_s)))

        def kept(count: int) -> bytes:
            return bytes(count) if shown is None else shown(buffer[:count].tobytes())

        try:
            count = self._request(UsbRequest(Kind.BULK, endpoint, size), receive, kept, doing)
            with memoryview(buffer) as view:
                return bytearray(view[:count])
        finally:
            buffer[:] = Bytes("B", bytes(size))  # the only other copy of what may be a finger

    def amend_record(self, endpoint: int, make: Callable[[], bytes]) -> None:
        """Give a recorder, if there is one, something that replays better than a masked answer."""
        if self._recorder is not None:
            self._recorder.amend(endpoint, make())

    def interrupt_read(self, endpoint: int, size: int, timeout_s: float, doing: str) -> bytes:
        """One event; raises as :meth:`control_read`, DeviceTimeoutError when nothing happened."""
        buffer = Bytes("B", bytes(size))

        def receive() -> int:
            return int(self._backend.intr_read(self._handle, endpoint, self._interface, buffer, _ms(timeout_s)))

        def kept(count: int) -> bytes:
            return buffer[:count].tobytes()

        return kept(self._request(UsbRequest(Kind.INTERRUPT, endpoint, size), receive, kept, doing))

    def release(self) -> None:
        """Let go of the interface, upon which Linux ends what is pending; no request is taken any more."""
        self._released = True
        # A device that is gone has released its interface by itself.
        with contextlib.suppress(usb.core.USBError, UNSUPPORTED):
            self._backend.release_interface(self._handle, self._interface)

    def destroy(self) -> None:
        """Close the device and its context. Nobody may be within a request any more: its memory goes, too."""
        self._backend.close_device(self._handle)
        _finalize(self._backend)

    def _control(self, setup: bytes, buffer: Any, doing: str) -> int:
        direction, request, value, index, _ = struct.unpack("<BBHHH", setup)
        inward = bool(direction & 0x80)

        def transfer() -> int:
            arguments = (self._handle, direction, request, value, index, buffer, _ms(CONTROL_S))
            return int(self._backend.ctrl_transfer(*arguments))

        def kept(count: int) -> bytes:
            return buffer[:count].tobytes() if inward else b""

        asked = UsbRequest(Kind.CONTROL, setup[0] & 0x80, len(buffer), setup, b"" if inward else buffer.tobytes())
        return self._request(asked, transfer, kept, doing)

    def _request(
        self, request: UsbRequest, transfer: Callable[[], int], kept: Callable[[int], bytes], doing: str
    ) -> int:
        """One request, recorded, its failure named; a stalled endpoint is freed and asked once more."""
        for stalled_before in (False, True):
            if self._lost or self._released:
                raise DeviceRemovedError(self.name, doing, self._lost or "it was closed; open it again")
            number = None if self._recorder is None else self._recorder.begin(request)
            try:
                count = transfer()
            except usb.core.USBError as error:
                if self._recorder is not None and number is not None:
                    self._recorder.end(number, b"", -(error.errno or errno.EIO))
                if error.errno == errno.EPIPE and request.kind is not Kind.CONTROL and not stalled_before:
                    self._free(request.endpoint)
                    continue
                raise self._named(error, doing) from error
            if self._recorder is not None and number is not None:
                self._recorder.end(number, kept(count), 0)
            return count
        raise AssertionError("unreachable: the second round returns or raises")

    def _free(self, endpoint: int) -> None:
        with contextlib.suppress(usb.core.USBError):  # the next request says what is wrong
            self._backend.clear_halt(self._handle, endpoint)

    def _named(self, error: usb.core.USBError, doing: str) -> DeviceError:
        if isinstance(error, usb.core.USBTimeoutError) or error.errno == errno.ETIMEDOUT:
            if self._still_there():
                return DeviceTimeoutError(self.name, doing, "it did not answer in time")
            self._lost = "it was unplugged"
            return DeviceRemovedError(self.name, doing, self._lost)
        if error.errno == errno.EPIPE:
            return DeviceProtocolError(self.name, doing, "it refused (stall)")
        if error.errno == errno.EOVERFLOW:
            return UsbOverflowError(self.name, doing, "it sent more than was asked for (overflow)")
        if error.errno in (errno.ENODEV, errno.EIO, errno.EPROTO, errno.ESHUTDOWN, errno.ENOENT):
            self._lost = "it was unplugged, or the cable fails"
            return DeviceRemovedError(self.name, doing, self._lost)
        return DeviceProtocolError(self.name, doing, f"USB error {error.errno}: {error.strerror}")


def _listed(backend: IBackend, device: UsbDevice, name: str) -> Handle:
    listed = backend.enumerate_devices()
    try:
        for one in listed:
            said = backend.get_device_descriptor(one)
            if (said.bus, said.address, said.idVendor, said.idProduct) == (
                device.bus,
                device.address,
                device.vendor,
                device.product,
            ):
                return one
            _finalize(one)
        raise DeviceNotFoundError(name, "open", "it was unplugged in this moment")
    finally:
        _finalize(listed)


def _interface_number(backend: IBackend, found: Handle, wanted: Interface) -> int:
    configuration = backend.get_configuration_descriptor(found, 0)
    for index in range(configuration.bNumInterfaces):
        said = backend.get_interface_descriptor(found, index, 0, 0)
        classes = (said.bInterfaceClass, said.bInterfaceSubClass, said.bInterfaceProtocol)
        if wanted is Interface.FIRST or classes == (0xFF, 0xFF, 0xFF):
            return int(said.bInterfaceNumber)
    raise usb.core.USBError("no interface of the scanner's class", errno=errno.ENOENT)


def _claim(backend: IBackend, handle: Handle, interface: int) -> None:
    try:
        backend.claim_interface(handle, interface)
    except usb.core.USBError as error:
        if error.errno != errno.EBUSY:
            raise
        # Not every back end can tell or detach; a driver of the kernel may hold it, or another program.
        with contextlib.suppress(usb.core.USBError, UNSUPPORTED):
            if backend.is_kernel_driver_active(handle, interface):
                backend.detach_kernel_driver(handle, interface)
        backend.claim_interface(handle, interface)


def _not_opened(error: usb.core.USBError, name: str) -> DeviceError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return DevicePermissionError(name, "open", f"this user may not open it: install {UDEV_RULES} and replug")
    if error.errno == errno.EBUSY:
        return DeviceBusyError(name, "open", "another program holds it")
    if error.errno in (errno.ENODEV, errno.ENOENT, errno.EIO):
        return DeviceNotFoundError(name, "open", f"it went away: {error.strerror}")
    return DeviceError(name, "open", f"USB error {error.errno}: {error.strerror}")


def _finalize(owned: Any) -> None:
    """pyusb frees C memory with its objects; freeing by hand keeps the order: devices before their context."""
    free = getattr(owned, "finalize", None)
    if free is not None:
        free()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
