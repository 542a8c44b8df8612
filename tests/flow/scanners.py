"""Every kind of scanner there is, as a counter would have it, and the hands that lay fingers on it."""

import abc
import contextlib
import dataclasses
import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner import uru4000
from drivers.scanner.base import ScannerSource
from drivers.scanner.calibration import Calibration, save
from drivers.scanner.discovery import Wanted
from drivers.scanner.sbi.mock.device import MockDevice
from drivers.scanner.sbi.mock.identity import MockIdentity
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.uru4000_forged import ForgedUru4000
from drivers.scanner.usb_replay import ReplayedUsb
from drivers.scanner.virtual_server import VirtualScannerServer
from drivers.scanner.zfm_simulator import ZfmSimulator
from tests.drivers.scanner.played_library import PlayedLibrary, compiled

MEASURED = Calibration(500, 500, source="target", measured_on=datetime.date(2026, 11, 20))


class Counter(abc.ABC):
    """One scanner at a counter. Made in a folder; ``with`` it."""

    glass: ClassVar[tuple[int, int]] = (374, 388)
    """Rows and columns a finger may have at 500 dpi."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened = contextlib.ExitStack()

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """The section ``scanner`` of the agent's settings."""

    @abc.abstractmethod
    def place(self, pixels: NDArray[np.uint8]) -> None:
        """Lay a finger down until lifted."""

    @abc.abstractmethod
    def lift(self) -> None:
        """Take it off."""

    def place_anew(self, pixels: NDArray[np.uint8]) -> None:
        """Lay the next finger down once the scanner has seen that the last one was lifted; called while it looks."""
        self.place(pixels)

    def measured(self, calibration_dir: Path) -> None:
        """What a technician measured beforehand; a scanner that knows its resolution needs nothing."""
        del calibration_dir

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.close()


class VirtualCounter(Counter):
    """A scanner played by a program: one picture a touch."""

    streams = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._server = self.opened.enter_context(
            VirtualScannerServer(folder / "glass.sock", dpi=500, streams=self.streams)
        )

    def settings(self) -> dict[str, Any]:
        return {"driver": "virtual", "socket": "glass.sock"}

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self._server.place(pixels)

    def lift(self) -> None:
        self._server.lift()


class StreamingCounter(VirtualCounter):
    """The same, with a glass that is watched."""

    streams = True


class Uru4000Counter(Counter):
    """A U.are.U 4500 behind the real driver; what goes over the cable is played, scrambled as the device does it."""

    glass = (290, 384)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._reader = ForgedUru4000()
        self._bus = ReplayedUsb(self._reader)
        self.opened.enter_context(mock.patch("mpos_agent.wiring.find_scanners", self._find))

    def _find(self, wanted: Wanted) -> list[ScannerSource]:
        assert wanted.driver == "uru4000"
        return uru4000.find(self._bus, wanted.calibrations)

    def settings(self) -> dict[str, Any]:
        return {"driver": "uru4000"}

    def measured(self, calibration_dir: Path) -> None:
        save(calibration_dir, "uru4000", ForgedUru4000.serial, MEASURED)

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self._reader.place(pixels)

    def lift(self) -> None:
        self._reader.lift()


class ZfmCounter(Counter):
    """A serial module on a pseudo-terminal, with a password of its own: 16 grey levels, half a second of line."""

    glass = (288, 256)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._module = self.opened.enter_context(ZfmSimulator(folder / "port", password=b"\x99\0\0\x01"))
        (folder / "password").touch(mode=0o600)
        (folder / "password").write_text("99000001\n")

    def settings(self) -> dict[str, Any]:
        port, password = self.folder / "port", self.folder / "password"
        return {"driver": "zfm", "zfm": {"port": str(port), "password_file": str(password)}}

    def measured(self, calibration_dir: Path) -> None:
        save(calibration_dir, "zfm", None, MEASURED)

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self._module.place(pixels)

    def lift(self) -> None:
        self._module.lift()


class SbiCounter(Counter):
    """A certified scanner behind its maker's device service, whose signatures are checked to the configured roots."""

    _identity: ClassVar[list[MockIdentity]] = []

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if not self._identity:
            self._identity.append(MockIdentity(datetime.datetime.now(datetime.UTC)))
        self._identity[0].write_roots(folder / "roots")
        self._service = self.opened.enter_context(MockService(MockDevice(self._identity[0])))

    def settings(self) -> dict[str, Any]:
        port = self._service.port
        sbi = {"first_port": port, "last_port": port, "roots_dir": "roots", "environment": "Developer"}
        return {"driver": "sbi", "sbi": sbi}

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self._service.device.glass.place(pixels)

    def place_anew(self, pixels: NDArray[np.uint8]) -> None:
        # The interface knows no "lifted": the client glimpses, sees nothing, and then asks for a finger in earnest.
        until = time.monotonic() + 15
        while self._scores()[-1:] != [60] and time.monotonic() < until:
            time.sleep(0.05)
        self.place(pixels)

    def lift(self) -> None:
        self._service.device.glass.lift()
        self._service.device.asked.clear()

    def _scores(self) -> list[int]:
        return [int(asked["bio"][0]["requestedScore"]) for asked in self._service.device.asked]


class UvcCounter(Counter):
    """A camera of VGA size whose useful part was measured; its frames come from numbered files, read by OpenCV."""

    _CORNER = (50, 100)
    """Row and column of the useful part."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._frames = folder / "frames"
        self._frames.mkdir()
        self._next = 0
        self._bare = np.full((480, 640), 235, dtype=np.uint8)
        self._show(self._bare, 12)

    def settings(self) -> dict[str, Any]:
        return {"driver": "uvc", "uvc": {"device": "frames/%04d.png"}}

    def measured(self, calibration_dir: Path) -> None:
        (top, left), (height, width) = self._CORNER, self.glass
        save(calibration_dir, "uvc", None, dataclasses.replace(MEASURED, crop=(left, top, width, height)))

    def place(self, pixels: NDArray[np.uint8]) -> None:
        frame = self._bare.copy()
        (top, left), (height, width) = self._CORNER, pixels.shape
        frame[top : top + height, left : left + width] = pixels
        self._show(frame, 40)

    def lift(self) -> None:
        self._show(self._bare, 60)

    def _show(self, frame: NDArray[np.uint8], times: int) -> None:
        """So many frames more. A camera goes on showing; here the end of the files would be a cable pulled."""
        seen = self.folder / f"seen-{self._next}.png"
        cv2.imwrite(str(seen), frame)
        for _ in range(times):
            (self._frames / f"{self._next:04d}.png").hardlink_to(seen)
            self._next += 1


class VendorCounter(Counter):
    """A maker's closed library in a process of its own, compiled from C; it shows live frames."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._library = PlayedLibrary(compiled(folder))
        self.opened.callback(self._library.close)
        self._library.stream()

    def settings(self) -> dict[str, Any]:
        return {"driver": "vendor", "vendor": {"library": str(self._library.library)}}

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self._library.place(pixels)

    def lift(self) -> None:
        self._library.lift()


COUNTERS: tuple[Callable[[Path], Counter], ...] = (
    VirtualCounter,
    StreamingCounter,
    Uru4000Counter,
    ZfmCounter,
    SbiCounter,
    UvcCounter,
    VendorCounter,
)
