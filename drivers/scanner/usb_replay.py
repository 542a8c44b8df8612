"""A USB port played by code: pyusb's back end without libusb, a cable or root rights.

On it a :class:`drivers.scanner.usb_players.Player` answers: a recording, request by request, or a forged device that
behaves as one would. Faults are planted at any answer. For tests and demonstrations; a machine in use has it only
where its configuration says so.
"""

import enum
import errno
import math
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import usb.core
from usb.backend import IBackend

from drivers.scanner import usb_descriptors
from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_players import Answer, Player
from drivers.scanner.usb_traffic import Kind, UsbRequest
from drivers.scanner.usb_transport import Recorder

FLOOD_S = 0.001
"""How fast a device that never ends sends: full speed has one frame a millisecond."""


class FaultKind(enum.Enum):
    """What can go wrong with an answer."""

    UNPLUG = "unplug"
    STALL = "stall"
    STALL_ONCE = "stall once"
    OVERFLOW = "overflow"
    SHORT = "short"
    ZERO = "zero-length"
    NEVER_ENDING = "never-ending"
    """Input: full answers without end. Output: never taken."""
    SILENCE = "silence"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class Fault:
    """Planted at answer ``number`` (from 0) of ``endpoint`` (0x80 and 0: control in and out)."""

    kind: FaultKind
    endpoint: int
    number: int
    delay_s: float = 0.0


class ReplayedUsb:
    """A :class:`drivers.scanner.usb_transport.UsbBus` with players on its ports."""

    def __init__(self, *players: Player, clock: Clock | None = None) -> None:
        self.clock = Clock() if clock is None else clock
        self.ports = [Port(player, f"1-{number}", number + 1) for number, player in enumerate(players, 1)]
        for player in players:
            player.changed = self.clock.notify
        self.faults: list[Fault] = []
        self.record: Recorder | None = None

    def devices(self) -> list[UsbDevice]:
        """See ``UsbBus``."""
        return [port.listed() for port in self.ports if port.plugged]

    def new_backend(self) -> IBackend:
        """See ``UsbBus``. As with a libusb that gets no messages, its list stays as it is now."""
        return ReplayBackend(self, [port for port in self.ports if port.plugged])

    def recorder(self, device: UsbDevice) -> Recorder | None:
        """See ``UsbBus``."""
        del device
        return self.record

    def unplug(self, port: int = 0) -> None:
        """Pull the cable."""
        self.ports[port].plugged = False
        self.ports[port].claimed.clear()
        self.clock.notify()

    def plug(self, port: int = 0) -> None:
        """Plug it in again: a new address at the same port, a device that knows of nothing."""
        there = self.ports[port]
        there.address += len(self.ports)
        there.answers.clear()
        there.stuck.clear()
        there.kept.clear()
        there.player.power_up()
        there.plugged = True
        self.clock.notify()


class Port:
    """Where one player is plugged in."""

    def __init__(self, player: Player, path: str, address: int) -> None:
        self.player, self.path, self.address = player, path, address
        self.plugged = True
        self.permitted = True
        self.claimed: set[int] = set()
        """Interfaces that somebody holds."""
        self.answers: Counter[int] = Counter()
        """Answers given since it was plugged in, by endpoint."""
        self.stuck: dict[int, FaultKind] = {}
        self.kept: dict[int, Answer] = {}
        """Answers that were not taken: the next request gets them."""

    def listed(self) -> UsbDevice:
        """As sysfs shows it."""
        said = self.player.descriptors
        return UsbDevice(
            vendor=int.from_bytes(said[8:10], "little"),
            product=int.from_bytes(said[10:12], "little"),
            release=int.from_bytes(said[12:14], "little"),
            bus=1,
            address=self.address,
            path=self.path,
            product_name=self.player.product_name,
            serial=self.player.serial,
            claimed=bool(self.claimed),
            permitted=self.permitted,
            descriptors=said,
        )


class _Handle:
    """An opened device: good for as long as the device keeps its address."""

    def __init__(self, port: Port) -> None:
        self.port, self.address = port, port.address
        self.interfaces: set[int] = set()

    @property
    def gone(self) -> bool:
        return not self.port.plugged or self.port.address != self.address


@dataclass(frozen=True, slots=True)
class _Call:
    """One request of the driver, its buffer, and when its time is over."""

    handle: _Handle
    request: UsbRequest
    buffer: Any
    until: float


class ReplayBackend(IBackend):  # type: ignore[misc]  # pyusb has no types
    """pyusb's back end over the players of a bus."""

    def __init__(self, bus: ReplayedUsb, listed: list[Port]) -> None:
        super().__init__()
        self._bus, self._clock = bus, bus.clock
        self._listed = [(port, port.address) for port in listed]

    def enumerate_devices(self) -> list[tuple[Port, int]]:
        """What was plugged in when this context was made."""
        return list(self._listed)

    def get_device_descriptor(self, dev: tuple[Port, int]) -> SimpleNamespace:
        """As libusb gives it."""
        port, address = dev
        fields = port.player.descriptors[:18]
        said = usb_descriptors.device(fields)
        said.bus, said.address, said.speed = 1, address, 2
        said.port_number, said.port_numbers = int(port.path.partition("-")[2]), (int(port.path.partition("-")[2]),)
        return said

    def get_configuration_descriptor(self, dev: tuple[Port, int], config: int) -> SimpleNamespace:
        """As libusb gives it; devices of this kind have one configuration."""
        if config != 0:
            raise IndexError(config)
        return usb_descriptors.configuration(dev[0].player.descriptors)

    def get_interface_descriptor(self, dev: tuple[Port, int], intf: int, alt: int, config: int) -> SimpleNamespace:
        """As libusb gives it."""
        interfaces = usb_descriptors.interfaces(dev[0].player.descriptors)
        if config or alt:
            raise IndexError(alt)
        return interfaces[intf]

    def get_endpoint_descriptor(
        self, dev: tuple[Port, int], ep: int, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        """As libusb gives it."""
        before = sum(self.get_interface_descriptor(dev, one, alt, config).bNumEndpoints for one in range(intf))
        said: SimpleNamespace = usb_descriptors.endpoints(dev[0].player.descriptors)[before + ep]
        return said

    def open_device(self, dev: tuple[Port, int]) -> _Handle:
        """Refused when it was pulled, or this user may not."""
        port, address = dev
        if not port.plugged or port.address != address:
            raise _usb_error(errno.ENODEV)
        if not port.permitted:
            raise _usb_error(errno.EACCES)
        return _Handle(port)

    def close_device(self, dev_handle: _Handle) -> None:
        """Gives back what it held."""
        for interface in tuple(dev_handle.interfaces):
            self.release_interface(dev_handle, interface)

    def set_configuration(self, dev_handle: _Handle, config_value: int) -> None:
        """There is one."""

    def get_configuration(self, dev_handle: _Handle) -> int:
        """There is one."""
        return int(usb_descriptors.configuration(dev_handle.port.player.descriptors).bConfigurationValue)

    def set_interface_altsetting(self, dev_handle: _Handle, intf: int, altsetting: int) -> None:
        """There is one."""

    def claim_interface(self, dev_handle: _Handle, intf: int) -> None:
        """Refused when somebody has it."""
        with self._clock.changed:
            if dev_handle.gone:
                raise _usb_error(errno.ENODEV)
            if intf in dev_handle.port.claimed:
                raise _usb_error(errno.EBUSY)
            dev_handle.port.claimed.add(intf)
            dev_handle.interfaces.add(intf)

    def release_interface(self, dev_handle: _Handle, intf: int) -> None:
        """Ends what is pending on it, as Linux does."""
        with self._clock.changed:
            dev_handle.interfaces.discard(intf)
            if not dev_handle.gone:
                dev_handle.port.claimed.discard(intf)
            self._clock.notify()

    def is_kernel_driver_active(self, dev_handle: _Handle, intf: int) -> bool:
        """Nothing of the kernel's drives a scanner."""
        return False

    def reset_device(self, dev_handle: _Handle) -> None:
        """Does nothing here."""

    def clear_halt(self, dev_handle: _Handle, ep: int) -> None:
        """Frees an endpoint that stalled once."""
        if dev_handle.gone:
            raise _usb_error(errno.ENODEV)

    def ctrl_transfer(
        self, dev_handle: _Handle, bmRequestType: int, bRequest: int, wValue: int, wIndex: int, data: Any, timeout: int
    ) -> int:
        """See pyusb."""
        inward = bmRequestType & 0x80
        setup = bytes((bmRequestType, bRequest)) + b"".join(
            number.to_bytes(2, "little") for number in (wValue, wIndex, len(data))
        )
        request = UsbRequest(Kind.CONTROL, inward, len(data), setup, b"" if inward else data.tobytes())
        return self._transfer(dev_handle, request, data, timeout)

    def bulk_read(self, dev_handle: _Handle, ep: int, intf: int, buff: Any, timeout: int) -> int:
        """See pyusb."""
        self._require(dev_handle, intf)
        return self._transfer(dev_handle, UsbRequest(Kind.BULK, ep, len(buff)), buff, timeout)

    def bulk_write(self, dev_handle: _Handle, ep: int, intf: int, data: Any, timeout: int) -> int:
        """See pyusb."""
        self._require(dev_handle, intf)
        return self._transfer(dev_handle, UsbRequest(Kind.BULK, ep, len(data), sent=data.tobytes()), data, timeout)

    def intr_read(self, dev_handle: _Handle, ep: int, intf: int, buff: Any, timeout: int) -> int:
        """See pyusb."""
        self._require(dev_handle, intf)
        return self._transfer(dev_handle, UsbRequest(Kind.INTERRUPT, ep, len(buff)), buff, timeout)

    def _require(self, handle: _Handle, interface: int) -> None:
        if interface not in handle.interfaces:
            raise _usb_error(errno.ENODEV if handle.gone else errno.ENOENT)

    def _transfer(self, handle: _Handle, request: UsbRequest, buffer: Any, timeout_ms: int) -> int:
        port, endpoint = handle.port, request.endpoint
        came: list[Answer] = []

        def cancelled() -> bool:
            return request.kind is not Kind.CONTROL and not handle.interfaces

        def over() -> bool:
            if handle.gone or cancelled():
                return True
            if port.stuck.get(endpoint) in (None, FaultKind.STALL) and not came:
                answer = Answer() if endpoint in port.stuck else port.kept.pop(endpoint, None)
                answer = port.player.answer(request) if answer is None else answer
                if answer is not None:
                    came.append(answer)
            return bool(came)

        with self._clock.changed:
            if handle.gone:
                raise _usb_error(errno.ENODEV)
            until = self._clock.now() + timeout_ms / 1000
            if endpoint not in port.stuck and endpoint not in port.kept:
                port.player.submit(request)
                self._clock.notify()  # what it does may be what another request waits for
            if port.stuck.get(endpoint) is FaultKind.NEVER_ENDING and request.is_input:
                self._wait(_Call(handle, request, buffer, until), FLOOD_S)
                return _fill(buffer, bytes(index & 0xFF for index in range(len(buffer))))
            if not self._clock.wait_for(over, until - self._clock.now()):
                raise usb.core.USBTimeoutError("Operation timed out", errno=errno.ETIMEDOUT)
            if handle.gone:
                raise _usb_error(errno.ENODEV)
            if not came:
                return 0  # cancelled
            return self._give(_Call(handle, request, buffer, until), came[0])

    def _give(self, call: _Call, answer: Answer) -> int:
        request, port = call.request, call.handle.port
        number = port.answers[request.endpoint]
        port.answers[request.endpoint] += 1
        data, failed = answer.data, answer.errno
        if answer.after_s:
            self._wait(call, answer.after_s)
        for fault in self._bus.faults:
            if (fault.endpoint, fault.number) == (request.endpoint, number):
                data, failed = self._spoil(fault, call, data)
        if port.stuck.get(request.endpoint) is FaultKind.STALL:
            failed = errno.EPIPE
        if failed == errno.ETIMEDOUT:
            raise usb.core.USBTimeoutError("Operation timed out", errno=errno.ETIMEDOUT)
        if failed:
            raise _usb_error(failed)
        if not request.is_input:
            return len(call.buffer) if not data else int.from_bytes(data, "little")
        if len(data) > len(call.buffer):
            raise _usb_error(errno.EOVERFLOW)
        return _fill(call.buffer, data)

    def _spoil(self, fault: Fault, call: _Call, data: bytes) -> tuple[bytes, int]:
        """Bytes (of an output: how many were taken) and errno that the fault makes of an answer."""
        port, request = call.handle.port, call.request
        endpoint = request.endpoint
        match fault.kind:
            case FaultKind.UNPLUG:
                self._bus.unplug(self._bus.ports.index(port))
                return b"", errno.ENODEV
            case FaultKind.STALL:
                port.stuck[endpoint] = FaultKind.STALL
                return b"", errno.EPIPE
            case FaultKind.STALL_ONCE:
                port.kept[endpoint] = Answer(data)
                return b"", errno.EPIPE
            case FaultKind.OVERFLOW:
                return b"", errno.EOVERFLOW
            case FaultKind.SHORT if request.is_input:
                return data[: len(data) // 2], 0
            case FaultKind.SHORT:
                return (len(request.sent) // 2).to_bytes(4, "little"), 0
            case FaultKind.ZERO:
                return (b"" if request.is_input else bytes(4)), 0
            case FaultKind.NEVER_ENDING if request.is_input:
                port.stuck[endpoint] = FaultKind.NEVER_ENDING
                return data.ljust(request.asked, data[-1:] or b"\0"), 0
            case FaultKind.NEVER_ENDING | FaultKind.SILENCE:
                port.stuck[endpoint] = FaultKind.SILENCE
                self._wait(call, math.inf)
                return b"", errno.ENODEV if call.handle.gone else errno.ETIMEDOUT
            case FaultKind.DELAY:
                self._wait(call, fault.delay_s)
                if self._clock.now() < call.until:
                    return data, 0
                port.kept[endpoint] = Answer(data)
                return b"", errno.ENODEV if call.handle.gone else errno.ETIMEDOUT

    def _wait(self, call: _Call, seconds: float) -> None:
        over = lambda: call.handle.gone or not call.handle.interfaces  # noqa: E731
        self._clock.wait_for(over, min(seconds, call.until - self._clock.now()))


def _fill(buffer: Any, data: bytes) -> int:
    with memoryview(buffer) as view:
        view[: len(data)] = data
    return len(data)


def _usb_error(number: int) -> usb.core.USBError:
    return usb.core.USBError(errno.errorcode.get(number, "error"), errno=number)
