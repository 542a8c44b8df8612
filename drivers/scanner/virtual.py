"""A scanner without hardware: pictures come over a Unix socket from whoever plays the glass.

Tried against ``virtual_server.py``; the frames are described in ``virtual_frames.py``. To the agent it is
a scanner like any other: found, opened, unplugged, busy, slow or talking nonsense.
"""

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DevicePermissionError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)
from drivers.scanner.base import FingerImage, PlaceAgain, Scanner, ScannerInfo, ScannerSource
from drivers.scanner.calibration import Calibration, Calibrations, apply, none_measured
from drivers.scanner.virtual_frames import HEADER_BYTES, FrameError, Header, Kind, decode_header, encode_header

DRIVER = "virtual"

ANSWER_S = 3.0
"""Both ends are on one machine and answer within milliseconds; this much covers a machine that swaps."""
SLICE_S = 0.05
"""How often a wait looks at the stop event: short enough that nobody notices, idle enough for a kiosk."""
FRAME_S = 0.04
"""Between two frames: what a camera with 25 frames a second does."""
FEWEST_GREY_LEVELS = 8
"""A picture whose darkest and lightest hundredth lie nearer than this holds no ridges, only sensor noise."""


def find(socket_path: Path | None, calibrations: Calibrations = none_measured) -> list[ScannerSource]:
    """The virtual scanner that listens there, if one does."""
    if socket_path is None or not socket_path.is_socket():
        return []
    return [VirtualScannerSource(socket_path, calibrations)]


class VirtualScannerSource(ScannerSource):
    """A socket that a virtual scanner listens on. What was measured goes before what it says of its resolution."""

    def __init__(self, path: Path, calibrations: Calibrations = none_measured) -> None:
        self._measured = measured = calibrations(DRIVER, None)
        self.info = ScannerInfo(
            driver=DRIVER,
            name="Virtual scanner",
            serial=None,
            dpi=None if measured is None else measured.dpi,
            path=str(path),
            calibration="device" if measured is None else measured.told,
        )

    def open(self, *, raw: bool = False) -> Scanner:
        """Connect; raises as :class:`ScannerSource` says, and other DeviceErrors when the answer is wrong."""
        return VirtualScanner(self.info, measured=None if raw else self._measured)


class VirtualScanner(Scanner):
    """A connection to a virtual scanner. After any DeviceError it is closed: open it anew."""

    def __init__(
        self,
        info: ScannerInfo,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        measured: Calibration | None = None,
    ) -> None:
        self._monotonic, self._measured = monotonic, measured
        self._name = f"virtual scanner {info.path}"
        self._socket: socket.socket | None = _connect(info.path, self._name)
        try:
            hello = self._read_header("open", self._monotonic() + ANSWER_S)
            if hello.kind is Kind.BUSY:
                raise DeviceBusyError(self._name, "open", "another program is using it")
            if hello.kind not in (Kind.HELLO, Kind.HELLO_STREAM):
                raise DeviceProtocolError(self._name, "open", f"began with {hello.kind.name}")
        except DeviceError:
            self.close()
            raise
        self.info = dataclasses.replace(info, dpi=hello.dpi if measured is None else measured.dpi)
        self.streams = hello.kind is Kind.HELLO_STREAM

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """See :meth:`Scanner.capture`."""
        try:
            return self._capture(self._monotonic() + timeout_s, stop)
        except DeviceError:
            # What is still on its way belongs to a conversation that went wrong.
            self.close()
            raise

    def _capture(self, until: float, stop: threading.Event | None) -> FingerImage | PlaceAgain:
        if _is_set(stop):
            return PlaceAgain.NO_FINGER
        self._refuse_what_was_not_asked_for()
        self._send(Header(Kind.CAPTURE))
        if not self._answer_comes(until, stop):
            self._send(Header(Kind.CANCEL))
        answer = self._read_header("capture", self._monotonic() + ANSWER_S)
        if answer.kind is Kind.IMAGE:
            image = self._read_image(answer)
            if _is_set(stop):
                image.wipe()
                return PlaceAgain.NO_FINGER
            if _is_blank(image):
                image.wipe()
                return PlaceAgain.EMPTY
            return image
        if answer.kind is Kind.TOO_SHORT:
            return PlaceAgain.TOO_SHORT
        if answer.kind is Kind.CANCELLED or (answer.kind is Kind.NOT_LIFTED and _is_set(stop)):
            return PlaceAgain.NO_FINGER
        if answer.kind is Kind.NOT_LIFTED:
            return PlaceAgain.LIFT_FIRST
        raise DeviceProtocolError(self._name, "capture", f"answered {answer.kind.name}")

    def frames(self, timeout_s: float, stop: threading.Event | None = None) -> Iterator[FingerImage]:
        """See :meth:`Scanner.frames`."""
        if not self.streams:
            yield from super().frames(timeout_s, stop)
            return
        until, pause = self._monotonic() + timeout_s, stop or threading.Event()
        while not pause.is_set() and self._monotonic() < until:
            try:
                frame = self._look()
            except DeviceError:
                self.close()
                raise
            yield frame
            pause.wait(FRAME_S)

    def _look(self) -> FingerImage:
        self._refuse_what_was_not_asked_for()
        self._send(Header(Kind.LOOK))
        answer = self._read_header("look", self._monotonic() + ANSWER_S)
        if answer.kind is not Kind.FRAME:
            raise DeviceProtocolError(self._name, "look", f"answered {answer.kind.name}")
        return self._read_image(answer)

    def close(self) -> None:
        """See :meth:`Scanner.close`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _refuse_what_was_not_asked_for(self) -> None:
        """A picture that lies ready before the capture may be of an earlier finger."""
        connection = self._connected("capture")
        connection.settimeout(0)
        try:
            waiting = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as error:
            raise DeviceRemovedError(self._name, "capture", str(error)) from error
        if not waiting:
            raise DeviceRemovedError(self._name, "capture", "unplugged")
        raise DeviceProtocolError(self._name, "capture", "it answered before it was asked")

    def _answer_comes(self, until: float, stop: threading.Event | None) -> bool:
        """Wait for the first byte of an answer; False when time or patience is over."""
        connection = self._connected("capture")
        while not _is_set(stop):
            left = until - self._monotonic()
            if left <= 0:
                return False
            connection.settimeout(min(left, SLICE_S))
            try:
                if not connection.recv(1, socket.MSG_PEEK):
                    raise DeviceRemovedError(self._name, "capture", "unplugged while waiting for a finger")
                return True
            except TimeoutError:
                continue
            except OSError as error:
                raise DeviceRemovedError(self._name, "capture", str(error)) from error
        return False

    def _read_image(self, header: Header) -> FingerImage:
        pixels = self._read(header.payload_bytes, "receive the picture", self._monotonic() + ANSWER_S)
        # The array lives in the received buffer itself: wiping it leaves no second copy.
        image = np.frombuffer(pixels, dtype=np.uint8).reshape(header.height, header.width)
        scanner = f"{self.info.driver}:{self.info.path}"
        if self._measured is None:
            return FingerImage(pixels=image, dpi=header.dpi, scanner=scanner)
        try:
            square, dpi = apply(image, self._measured)
        finally:
            image[...] = 0
        return FingerImage(pixels=square, dpi=dpi, scanner=scanner)

    def _read_header(self, doing: str, until: float) -> Header:
        try:
            return decode_header(self._read(HEADER_BYTES, doing, until))
        except FrameError as error:
            raise DeviceProtocolError(self._name, doing, str(error)) from error

    def _read(self, size: int, doing: str, until: float) -> bytearray:
        """Exactly ``size`` bytes by ``until``, however thinly they drip; overwritten if the rest never comes."""
        connection = self._connected(doing)
        buffer = bytearray(size)
        got = 0
        try:
            with memoryview(buffer) as view:
                while got < size:
                    left = until - self._monotonic()
                    if left <= 0:
                        raise DeviceTimeoutError(self._name, doing, f"{got} of {size} bytes came")
                    connection.settimeout(left)
                    count = connection.recv_into(view[got:])
                    if count == 0:
                        raise DeviceRemovedError(self._name, doing, f"unplugged after {got} of {size} bytes")
                    got += count
        except TimeoutError as error:
            buffer[:] = bytes(size)
            raise DeviceTimeoutError(self._name, doing, f"{got} of {size} bytes came") from error
        except OSError as error:
            buffer[:] = bytes(size)
            raise DeviceRemovedError(self._name, doing, str(error)) from error
        except DeviceError:
            buffer[:] = bytes(size)
            raise
        return buffer

    def _send(self, header: Header) -> None:
        connection = self._connected(header.kind.name.lower())
        connection.settimeout(ANSWER_S)
        try:
            connection.sendall(encode_header(header))
        except TimeoutError as error:
            raise DeviceTimeoutError(self._name, header.kind.name.lower(), "it takes no command") from error
        except OSError as error:
            raise DeviceRemovedError(self._name, header.kind.name.lower(), str(error)) from error

    def _connected(self, doing: str) -> socket.socket:
        if self._socket is None:
            raise DeviceRemovedError(self._name, doing, "it was closed; open it again")
        return self._socket


def _connect(path: str, name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A Unix socket connects at once, or its listener is stuck with a full queue.
    connection.settimeout(ANSWER_S)
    try:
        connection.connect(path)
    except PermissionError as error:
        connection.close()
        raise DevicePermissionError(name, "open", "this user may not use the socket") from error
    except (TimeoutError, BlockingIOError) as error:
        connection.close()
        raise DeviceBusyError(name, "open", "too many programs are waiting for it") from error
    except OSError as error:
        connection.close()
        raise DeviceNotFoundError(name, "open", "nobody listens on the socket") from error
    return connection


def _is_set(stop: threading.Event | None) -> bool:
    return stop is not None and stop.is_set()


def _is_blank(image: FingerImage) -> bool:
    dark, light = np.percentile(image.pixels, (1, 99))
    return bool(light - dark < FEWEST_GREY_LEVELS)
