"""The door to USB: one claimed interface, its requests with time-outs, its event reader, and how all of it ends.

pyusb's back-end interface is used directly: its ``Device`` would claim interfaces and set configurations by itself.
Each opening has a libusb context of its own, made at open and destroyed at close: libusb's list of devices goes
stale where udev's messages do not arrive, a fresh context sees the truth.

libusb's synchronous calls cannot be cancelled one by one. Closing releases the interface first, upon which Linux
ends every pending request of it; where that does not help, the reader looks up once a second.
"""

import array
import contextlib
import enum
import errno
import struct
import threading
from collections import deque
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
LISTEN_S = 1.0
"""How often the event reader looks whether it shall end. Not below 0.2: a request that is cancelled in the moment
its answer comes loses it where the device is replayed."""
JOIN_S = 5.0
"""A thread ends with the request it waits in, of which none has a longer time-out than 3 s."""
STOP_S = 0.05
"""How often a wait looks at the caller's stop event: nobody notices, and a kiosk stays idle."""
MOST_EVENTS = 256
"""Unread events that are kept; a person causes two in a touch."""
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


def find(bus: UsbBus, wanted: Callable[[UsbDevice], bool]) -> list[UsbDevice]:
    """The plugged-in devices a driver knows; opens nothing."""
    return [device for device in bus.devices() if wanted(device)]


def open_link(bus: UsbBus, listed: UsbDevice, interface: Interface) -> "UsbLink":
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
    return UsbLink(name, Opened(backend, handle, number, there), bus.clock, bus.recorder(now[0]))


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


class UsbLink:
    """One claimed interface. Requests come from one thread; events are read beside it.

    After a DeviceRemovedError it answers everything with the same: close it, and open anew after the replug.
    """

    def __init__(self, name: str, opened: Opened, clock: Clock, recorder: Recorder | None) -> None:
        self.name, self.clock, self._recorder = name, clock, recorder
        self._backend, self._handle, self._interface = opened.backend, opened.handle, opened.interface
        self._still_there = opened.still_there
        self._threads: list[threading.Thread] = []
        self._events: deque[bytes] = deque(maxlen=MOST_EVENTS)
        self._reader_error: DeviceError | None = None
        self._closing = False
        self._lost = ""

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

    def begin_bulk_read(
        self, endpoint: int, size: int, timeout_s: float, doing: str, shown: Callable[[bytes], bytes] | None = None
    ) -> "PendingRead":
        """Ask for bytes that come only after another request, which this thread makes meanwhile."""
        pending = PendingRead(self.clock)
        work = pending.run(lambda: self.bulk_read(endpoint, size, timeout_s, doing, shown))
        self._start(work, "bulk read")
        return pending

    def amend_record(self, endpoint: int, make: Callable[[], bytes]) -> None:
        """Give a recorder, if there is one, something that replays better than a masked answer."""
        if self._recorder is not None:
            self._recorder.amend(endpoint, make())

    def listen(self, endpoint: int, size: int) -> None:
        """Read events from now on, in a thread that ends at :meth:`close`."""
        self._start(lambda: self._read_events(endpoint, size), "events")

    def next_event(self, timeout_s: float, stop: threading.Event | None = None) -> bytes | None:
        """The next unread event; None when the time is over or ``stop`` is set.

        Raises
        ------
        DeviceError
            Why no more events come.
        """
        until = self.clock.now() + timeout_s
        while not self._events and self._reader_error is None and (stop is None or not stop.is_set()):
            left = until - self.clock.now()
            if left <= 0:
                return None
            ready = lambda: bool(self._events) or self._reader_error is not None  # noqa: E731
            self.clock.wait_for(ready, left if stop is None else min(left, STOP_S))
        if self._events:
            return self._events.popleft()
        if self._reader_error is not None:
            raise self._reader_error
        return None

    def forget_events(self) -> None:
        """What happened until now is not asked for any more; raises when no more events can come."""
        self._events.clear()
        if self._reader_error is not None:
            raise self._reader_error

    def close(self) -> None:
        """End what is pending and give the device back; safe to call twice, and with the device gone."""
        if self._closing:
            return
        self._closing = True
        # A device that is gone has released its interface by itself.
        with contextlib.suppress(usb.core.USBError, UNSUPPORTED):
            self._backend.release_interface(self._handle, self._interface)
        self.clock.notify()
        for thread in self._threads:
            thread.join(JOIN_S)
        if not any(thread.is_alive() for thread in self._threads):
            # Closing under a thread that is still within libusb would pull the memory from under it.
            self._backend.close_device(self._handle)
            _finalize(self._backend)

    def _start(self, work: Callable[[], None], what: str) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(self.clock.start_thread(work, f"{what} of {self.name}"))

    def _read_events(self, endpoint: int, size: int) -> None:
        buffer = Bytes("B", bytes(size))

        def receive() -> int:
            return int(self._backend.intr_read(self._handle, endpoint, self._interface, buffer, _ms(LISTEN_S)))

        def kept(count: int) -> bytes:
            return buffer[:count].tobytes()

        request = UsbRequest(Kind.INTERRUPT, endpoint, size)
        while not self._closing:
            try:
                count = self._request(request, receive, kept, "report events")
            except DeviceTimeoutError:
                continue  # nothing happened, and nobody closed
            except DeviceError as error:
                self._reader_error = error
                break
            if count == 0:
                # A cancelled request ends so, too; then nobody asks for the error any more.
                self._reader_error = DeviceProtocolError(self.name, "report events", "an empty packet: it stopped")
                break
            self._events.append(kept(count))
            self.clock.notify()
        self.clock.notify()

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
            if self._lost or self._closing:
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


class PendingRead:
    """A bulk read under way in a thread of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done = False
        self._data: bytearray | None = None
        self._error: DeviceError | None = None

    def run(self, read: Callable[[], bytearray]) -> Callable[[], None]:
        """The thread's work."""

        def work() -> None:
            try:
                self._data = read()
            except DeviceError as error:
                self._error = error
            finally:
                self._done = True
                self._clock.notify()

        return work

    def result(self, timeout_s: float) -> bytearray:
        """What came; raises what went wrong. ``timeout_s`` is above the read's own."""
        self._clock.wait_for(lambda: self._done, timeout_s)
        if self._error is not None:
            raise self._error
        if self._data is None:
            raise DeviceTimeoutError("USB", "bulk read", "libusb kept a request beyond its time-out")
        return self._data


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
