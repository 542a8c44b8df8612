"""Bytes over a serial port, by a deadline. The only importer of pyserial.

pyserial finds, opens, locks and sets up the port; bytes are read straight into the caller's buffer, so that no copy
of a picture is left that nobody can overwrite.
"""

import errno
import os
import select
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import serial
from serial.tools import list_ports

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DevicePermissionError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)

BY_ID = Path("/dev/serial/by-id")
RULES = "70-mpos-scanners.rules"
SLICE_S = 0.05
"""How long one wait in the kernel lasts before clock and stop event are looked at again."""
WRITE_S = 2.0
"""Commands are under 300 bytes: even at 9600 baud they are out in 0.3 s, unless the adapter takes none."""
MOST_UNREAD_BYTES = 1_000_000
"""More than any picture: a port that sends more than this unasked never stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPort:
    """A port of a USB adapter, as sysfs describes it."""

    path: str
    """Stable name of /dev/serial/by-id where udev made one, else the device node."""
    vendor: int
    product: int
    product_name: str
    serial: str | None
    """The adapter's serial number, not that of what hangs on it."""


def usb_ports() -> list[SerialPort]:
    """The ports of USB adapters that are plugged in; opens none of them."""
    stable = _stable_names()
    return [
        SerialPort(
            path=stable.get(Path(port.device).name, port.device),
            vendor=port.vid,
            product=port.pid,
            product_name=port.product or "",
            serial=port.serial_number,
        )
        for port in sorted(list_ports.comports())
        if port.vid is not None and port.pid is not None
    ]


def _stable_names() -> dict[str, str]:
    try:
        return {entry.readlink().name: str(entry) for entry in sorted(BY_ID.iterdir())}
    except OSError:
        return {}  # no udev, or no adapter plugged in: the folder is not there


class SerialTransport:
    """An opened port, locked against other programs; 8 data bits, no parity, one stop bit.

    Parameters
    ----------
    path : device node or a link to it.
    name : what errors call the device.
    monotonic : clock of the deadlines, seconds.

    Raises
    ------
    DeviceNotFoundError, DeviceBusyError, DevicePermissionError
    """

    def __init__(self, path: str, baud: int, *, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name, self._monotonic = name, monotonic
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=WRITE_S, exclusive=True)
        except (OSError, termios.error) as error:
            raise _not_opened(error, name) from error

    @property
    def baud(self) -> int:
        """Bits a second; a byte takes ten."""
        return int(self._port.baudrate)

    def set_baud(self, baud: int) -> None:
        """Go on at another speed."""
        try:
            self._port.baudrate = baud
        except (OSError, termios.error) as error:
            raise DeviceRemovedError(self._name, "set the speed", str(error)) from error

    def write(self, data: bytes, doing: str) -> None:
        """Send all of ``data``; raises DeviceRemovedError or DeviceTimeoutError."""
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise DeviceTimeoutError(self._name, doing, "it takes no command") from error
        except (OSError, termios.error) as error:
            raise DeviceRemovedError(self._name, doing, "unplugged") from error

    def read_into(self, view: memoryview, until: float, stopped: Callable[[], bool] = lambda: False) -> int:
        """Fill ``view`` as far as bytes come in time.

        Returns
        -------
        count : bytes read; fewer than asked when the time was over or ``stopped`` said so.

        Raises
        ------
        DeviceRemovedError
            The port is gone.
        """
        got = 0
        while got < len(view) and not stopped():
            left = until - self._monotonic()
            if left <= 0:
                break
            got += self._read_some(view[got:], min(left, SLICE_S))
        return got

    def read_until_quiet(self, quiet_s: float, until: float, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Throw away what comes until nothing came for ``quiet_s``; False when ``stopped`` said so before.

        Raises
        ------
        DeviceProtocolError
            It is still sending when the time is over, or has sent more than any picture.
        DeviceRemovedError
        """
        scrap = bytearray(4096)
        thrown = 0
        try:
            with memoryview(scrap) as view:
                while count := self._read_some(view, quiet_s):
                    if stopped():
                        return False
                    thrown += count
                    if thrown > MOST_UNREAD_BYTES or self._monotonic() > until:
                        raise DeviceProtocolError(self._name, "wait for silence", "it never stops sending")
        finally:
            scrap[:] = bytes(len(scrap))
        return True

    def close(self) -> None:
        """Give the port back; safe to call twice."""
        try:
            self._port.close()
        except OSError as error:
            # The adapter is unplugged: the descriptor is gone with it, which is what closing is for.
            if error.errno not in (errno.EIO, errno.ENODEV, errno.ENXIO, errno.EBADF):
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_some(self, view: memoryview, wait_s: float) -> int:
        if not self._port.is_open:
            raise DeviceRemovedError(self._name, "read", "it was closed; open it again")
        poll = select.poll()
        try:
            descriptor = self._port.fileno()
            poll.register(descriptor, select.POLLIN)
            events = poll.poll(wait_s * 1000)
            if not events:
                return 0
            count = os.readv(descriptor, [view])
        except BlockingIOError:
            return 0  # woken for nothing
        except OSError as error:
            raise DeviceRemovedError(self._name, "read", "unplugged") from error
        if count == 0:
            raise DeviceRemovedError(self._name, "read", "unplugged")
        return count


def _not_opened(error: Exception, name: str) -> DeviceError:
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY):
        return DeviceBusyError(name, "open", "another program is using it")
    if number in (errno.EACCES, errno.EPERM):
        return DevicePermissionError(name, "open", f"this user may not open the port: {RULES}")
    if number is None:  # pyserial opened it and could not set it up
        return DeviceNotFoundError(name, "open", "it is no serial port")
    return DeviceNotFoundError(name, "open", "no such serial port")
