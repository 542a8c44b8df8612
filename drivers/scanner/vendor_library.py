"""Scanners behind a closed library of their maker's, made to fit ``vendor/mpos_scanner.h``.

The library runs in a process of its own (``vendor_worker.py``): what crashes, hangs or writes where it should not is
that process. Each call has a time-out, after which the process is ended. Pictures come through shared memory and are
overwritten there as soon as they are taken. Tried with a library of ours that plays a scanner, not with a maker's.
"""

import contextlib
import dataclasses
import json
import mmap
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

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
from drivers.scanner.base import FingerImage, PlaceAgain, Scanner, ScannerInfo, ScannerSource, ScannerState
from drivers.scanner.calibration import HIGHEST_DPI, LOWEST_DPI, Calibration, Calibrations, apply, none_measured
from drivers.scanner.errors import LibraryDiedError, LibraryUnusableError, NotCalibratedError, NotConfiguredError

DRIVER = "vendor"
RULES = "70-mpos-scanners.rules"
LARGEST_SIDE = 2048
LARGEST_PICTURE = LARGEST_SIDE * LARGEST_SIDE
GUARD = b"\xa5" * mmap.PAGESIZE
"""Behind the room for a picture: a library that writes too far is found out."""
WORKER = Path(__file__).with_name("vendor_worker.py")
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR", "TMPDIR")

START_S = 10.0
"""Python starts in 50 ms, a maker's library with its dependencies in a second or two, from a slow disk."""
LIST_S = 5.0
"""As the header allows; so the three below."""
OPEN_S = 15.0
CLOSE_S = 3.0
CANCEL_S = 2.0
GRACE_S = 2.0
"""Beyond the time a capture was given: the header allows one second."""
FRAME_S = 2.0
"""The slowest live views show five frames a second."""
KILLED_S = 5.0
"""A killed process is gone at once, unless the kernel waits for its hardware."""
SLICE_S = 0.05
"""How often a wait looks at the clock and at the stop event."""
FEWEST_GREY_LEVELS = 8
"""A picture whose darkest and lightest hundredth lie nearer than this holds no ridges, only sensor noise."""

_STREAMS, _BUSY, _NOT_PERMITTED = 1, 2, 4
_OK, _CANCELLED = 0, 5
_PLACE_AGAIN = {1: PlaceAgain.NO_FINGER, 2: PlaceAgain.LIFT_FIRST, 3: PlaceAgain.TOO_SHORT, 4: PlaceAgain.EMPTY}
_FAILURES: dict[int, tuple[type[DeviceError], str]] = {
    -1: (DeviceNotFoundError, "no such scanner is plugged in"),
    -2: (DeviceBusyError, "another program is using it"),
    -3: (DevicePermissionError, f"this user may not open it: {RULES}"),
    -4: (DeviceRemovedError, "unplugged"),
    -5: (DeviceTimeoutError, "the scanner does not answer"),
    -6: (DeviceProtocolError, "the scanner answers nonsense"),
    -8: (DeviceProtocolError, f"its pictures are larger than {LARGEST_PICTURE} pixels"),
    -99: (DeviceProtocolError, "the library failed"),
}
_NOT_LICENSED = -7


def find(library: Path | None, calibrations: Calibrations = none_measured) -> list[ScannerSource]:
    """What the library lists. It is asked in a process that ends with the answer.

    Raises
    ------
    DeviceNotFoundError
        There is no such file.
    LibraryUnusableError, LibraryDiedError, DeviceTimeoutError
    """
    if library is None:
        return []
    with _Worker(library) as worker:
        listed = worker.ask({"do": "list"}, "list", LIST_S)
        _raise_failure(listed, worker.name, "list")
        return [
            VendorSource(library, _info(library, one, calibrations), calibrations) for one in _entries(listed, worker)
        ]


class VendorSource(ScannerSource):
    """A scanner as its maker's library listed it. ``info.path`` is the library and the scanner's id in it."""

    def __init__(
        self,
        library: Path,
        info: ScannerInfo,
        calibrations: Calibrations = none_measured,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.info, self._library, self._monotonic = info, library, monotonic
        self._calibration = calibrations(DRIVER, info.serial)

    def open(self, *, raw: bool = False) -> Scanner:
        """Start the library's process and open the scanner; raises as :class:`ScannerSource` says.

        Also LibraryUnusableError, LibraryDiedError and other DeviceErrors when the library fails.
        """
        if self.info.dpi is None and not raw:
            raise NotCalibratedError(DRIVER, self.info.serial)
        return VendorScanner(
            self._library, self.info, None if raw else self._calibration, raw=raw, monotonic=self._monotonic
        )


class VendorScanner(Scanner):
    """An opened scanner and the process it lives in. After any DeviceError it is closed: open it anew."""

    def __init__(
        self,
        library: Path,
        info: ScannerInfo,
        calibration: Calibration | None,
        *,
        raw: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calibration, self._raw, self._monotonic = calibration, raw, monotonic
        self._name = f"{info.name} ({library.name})"
        self._worker: _Worker | None = _Worker(library, name=self._name, monotonic=monotonic)
        scanner_id = info.path.removeprefix(f"{library}#")
        try:
            # The list again: some libraries open only what they have listed in the same process.
            listed = self._worker.ask({"do": "list"}, "list", LIST_S)
            _raise_failure(listed, self._name, "list")
            self.streams = any(
                one["id"] == scanner_id and one["flags"] & _STREAMS for one in _entries(listed, self._worker)
            )
            _raise_failure(self._worker.ask({"do": "open", "id": scanner_id}, "open", OPEN_S), self._name, "open")
        except BaseException:
            self.close()
            raise
        self.info = info

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """See :meth:`Scanner.capture`."""
        stopped = stop or threading.Event()
        if stopped.is_set():
            return PlaceAgain.NO_FINGER
        try:
            picture = self._ask("capture", timeout_s, GRACE_S, stopped)
        except DeviceError:
            self.close()
            raise
        if not isinstance(picture, FingerImage):
            return picture
        dark, light = np.percentile(picture.pixels, (1, 99))
        if not stopped.is_set() and light - dark >= FEWEST_GREY_LEVELS:
            return picture
        picture.wipe()
        return PlaceAgain.NO_FINGER if stopped.is_set() else PlaceAgain.EMPTY

    def frames(self, timeout_s: float, stop: threading.Event | None = None) -> Iterator[FingerImage]:
        """See :meth:`Scanner.frames`; the one picture of a capture where the library shows no live frames."""
        if not self.streams:
            yield from super().frames(timeout_s, stop)
            return
        until, stopped = self._monotonic() + timeout_s, stop or threading.Event()
        try:
            while not stopped.is_set() and self._monotonic() < until:
                frame = self._ask("frame", FRAME_S, GRACE_S, stopped)
                if isinstance(frame, FingerImage):
                    yield frame
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """See :meth:`Scanner.close`. A library that does not let go of the scanner is ended."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _ask(self, what: str, timeout_s: float, grace_s: float, stop: threading.Event) -> FingerImage | PlaceAgain:
        if self._worker is None:
            raise DeviceRemovedError(self._name, what, "it was closed; open it again")
        request = {"do": what, "timeout_ms": min(max(0, int(timeout_s * 1000)), 0x7FFFFFFF)}
        worker = self._worker
        try:
            return self._told(worker.ask(request, what, timeout_s + grace_s, stop), what, worker, stop)
        finally:
            # A library may have written more than its picture, or something before it found that it has none.
            worker.overwrite()

    def _told(
        self, answer: dict[str, Any], what: str, worker: "_Worker", stop: threading.Event
    ) -> FingerImage | PlaceAgain:
        result = answer["result"]
        if result == _CANCELLED and stop.is_set():
            return PlaceAgain.NO_FINGER
        if what == "capture" and result in _PLACE_AGAIN:
            return PlaceAgain.NO_FINGER if stop.is_set() else _PLACE_AGAIN[result]
        _raise_failure(answer, self._name, what)
        return self._image(answer, what, worker)

    def _image(self, answer: dict[str, Any], doing: str, worker: "_Worker") -> FingerImage:
        width, height, dpi = (answer.get(key) for key in ("width", "height", "dpi"))
        if not (
            isinstance(width, int)
            and isinstance(height, int)
            and 0 < width <= LARGEST_SIDE
            and 0 < height <= LARGEST_SIDE
        ):
            raise DeviceProtocolError(self._name, doing, f"a picture of {width}x{height}")
        pixels = worker.take(width * height, doing).reshape(height, width)
        scanner = f"{DRIVER}:{self.info.path}"
        if self._calibration is not None:
            try:
                square, measured = apply(pixels, self._calibration)
            finally:
                pixels[...] = 0
            return FingerImage(pixels=square, dpi=measured, scanner=scanner)
        stated = _dpi(dpi)
        if stated is None and not self._raw:
            pixels[...] = 0
            raise NotCalibratedError(DRIVER, self.info.serial)
        return FingerImage(pixels=pixels, dpi=stated, scanner=scanner)


class _Worker:
    """A process with the library in it, the socket to it and the memory shared with it."""

    def __init__(self, library: Path, *, name: str = "", monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name = name or f"vendor library {library.name}"
        self._monotonic = monotonic
        _refuse_file(library, self.name)
        memory = os.memfd_create("mpos-picture", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, LARGEST_PICTURE + len(GUARD))
            self._memory = mmap.mmap(memory, LARGEST_PICTURE + len(GUARD))
            self._memory[LARGEST_PICTURE:] = GUARD
            self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = self._started(library, theirs.fileno(), memory)
        finally:
            os.close(memory)
        self._refuse_library()

    def _started(self, library: Path, their_socket: int, memory: int) -> "subprocess.Popen[bytes]":
        numbers = (str(their_socket), str(memory), str(LARGEST_PICTURE))
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(WORKER), str(library.absolute()), *numbers],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # libraries chat; what they say may hold what nobody may read
                stderr=subprocess.DEVNULL,
                pass_fds=(their_socket, memory),
                env={key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ},
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the agent, which then closes the scanner
            )
        except OSError as error:
            self._socket.close()
            self._memory.close()
            raise LibraryUnusableError(self.name, "load", f"no process for it: {error.strerror}") from error

    def _refuse_library(self) -> None:
        """Hear whether it could be loaded; the process is gone when not."""
        try:
            greeting = self._answer("load", START_S, None)
        except BaseException:
            self.kill()
            raise
        if "refused" in greeting:
            self.kill()
            raise LibraryUnusableError(self.name, "load", str(greeting["refused"]))

    def ask(
        self, request: dict[str, Any], doing: str, within_s: float, stop: threading.Event | None = None
    ) -> dict[str, Any]:
        """Send a request; its answer, ``result`` always among it.

        Raises
        ------
        DeviceTimeoutError
            None came in time, or not soon after ``stop`` was set; the process is gone then.
        LibraryDiedError, DeviceProtocolError
        """
        self._send(request, doing)
        answer = self._answer(doing, within_s, stop)
        if not isinstance(answer.get("result"), int):
            raise DeviceProtocolError(self.name, doing, "an answer without a result")
        return answer

    def take(self, size: int, doing: str) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """A copy of the first ``size`` bytes of the shared memory.

        Raises
        ------
        DeviceProtocolError
            The library wrote behind its room; the process is gone then.
        """
        shared = np.frombuffer(self._memory, dtype=np.uint8)
        pixels = shared[:size].copy()
        whole = shared[LARGEST_PICTURE:].tobytes() == GUARD
        del shared
        if not whole:
            pixels[:] = 0
            self.kill()
            raise DeviceProtocolError(self.name, doing, "the library wrote beyond its buffer")
        return pixels

    def overwrite(self) -> None:
        """Leave nothing in the shared memory that a library wrote there; does nothing once the process is gone."""
        if not self._memory.closed:
            np.frombuffer(self._memory, dtype=np.uint8)[:LARGEST_PICTURE] = 0

    def end(self) -> None:
        """Let the library close the scanner, then end the process, whatever it does; never raises."""
        if self._process.returncode is None:
            with contextlib.suppress(DeviceError):  # it is ended either way
                self.ask({"do": "close"}, "close", CLOSE_S)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """End the process and overwrite what it left in the shared memory; safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_S)
        self._socket.close()
        if not self._memory.closed:
            self._memory[:] = bytes(len(self._memory))
            self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.end()

    def _send(self, request: dict[str, Any], doing: str) -> None:
        try:
            self._socket.send(json.dumps(request).encode())
        except OSError as error:
            raise self._died(doing) from error

    def _answer(self, doing: str, within_s: float, stop: threading.Event | None) -> dict[str, Any]:
        until = self._monotonic() + within_s
        cancelling = False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not poll.poll(SLICE_S * 1000):
            if stop is not None and stop.is_set():
                if not cancelling:
                    cancelling, until = True, min(until, self._monotonic() + CANCEL_S)
                # Again each time: the first one may come before the library has begun.
                self._send({"do": "cancel"}, doing)
            if self._monotonic() >= until:
                self.kill()
                detail = "it does not stop when told to" if cancelling else "the library does not come back"
                raise DeviceTimeoutError(self.name, doing, detail)
        try:
            message = self._socket.recv(1 << 18)
        except OSError as error:
            raise self._died(doing) from error
        if not message:
            raise self._died(doing)
        answer = json.loads(message)
        assert isinstance(answer, dict)  # our own program at the other end
        return answer

    def _died(self, doing: str) -> LibraryDiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_S)
        code = self._process.returncode
        self.kill()
        if code is not None and code < 0:
            return LibraryDiedError(self.name, doing, f"the library crashed ({signal.Signals(-code).name})")
        return LibraryDiedError(self.name, doing, f"the library ended its process ({code})")


def _refuse_file(library: Path, name: str) -> None:
    """Only a file that nobody but its owner can change is loaded."""
    try:
        status = library.stat()
    except OSError as error:
        raise DeviceNotFoundError(name, "load", f"there is no file {library}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
        raise LibraryUnusableError(name, "load", "it is no file of this user's or root's")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LibraryUnusableError(name, "load", "other users may change it: chmod go-w")


def _entries(listed: dict[str, Any], worker: _Worker) -> list[dict[str, Any]]:
    scanners = listed.get("scanners", [])
    ids = [one["id"] for one in scanners]
    if len(set(ids)) != len(ids) or "" in ids:
        raise DeviceProtocolError(worker.name, "list", "scanners without an id, or several with the same")
    return list(scanners)


def _info(library: Path, one: dict[str, Any], calibrations: Calibrations) -> ScannerInfo:
    serial = one["serial"] or None
    calibration = calibrations(DRIVER, serial)
    stated = _dpi(one["dpi"])
    state = ScannerState.READY
    if one["flags"] & _BUSY:
        state = ScannerState.BUSY
    elif one["flags"] & _NOT_PERMITTED:
        state = ScannerState.NO_PERMISSION
    info = ScannerInfo(
        driver=DRIVER,
        name=one["name"] or "Scanner of a maker's library",
        serial=serial,
        dpi=stated,
        path=f"{library}#{one['id']}",
        state=state,
        calibration=None if stated is None else "device",
    )
    # What was measured goes before what is stated.
    return info if calibration is None else dataclasses.replace(info, dpi=calibration.dpi, calibration=calibration.told)


def _dpi(value: object) -> float | None:
    """A resolution that a scanner can have, or None."""
    return float(value) if isinstance(value, int | float) and LOWEST_DPI <= value <= HIGHEST_DPI else None


def _raise_failure(answer: dict[str, Any], name: str, doing: str) -> None:
    result = answer["result"]
    if result == _OK:
        return
    words = f" ({answer['text']})" if answer.get("text") else ""
    if result == _NOT_LICENSED:
        raise NotConfiguredError(name, f"the licence of the maker's library{words}")
    cause, detail = _FAILURES.get(result, (DeviceProtocolError, f"the library answers {result}"))
    raise cause(name, doing, detail + words)
