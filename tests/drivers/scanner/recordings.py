"""The recordings of real scanners beside the project: read in place, pictures in memory only."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner import nb1010, upektc_img, uru4000
from drivers.scanner.base import ScannerSource
from drivers.scanner.usb_traffic import Session, read_session
from drivers.scanner.usb_transport import UsbBus

HOST_VALUE = 0x51EA2124
"""What the recording host chose; a replay must send the same bytes."""

_FIND: dict[str, Callable[[UsbBus], list[ScannerSource]]] = {
    "uru4000-4500": lambda bus: uru4000.find(bus, host_value=lambda: HOST_VALUE),
    "nb1010": nb1010.find,
    "upektc_img": upektc_img.find,
}
NAMES = tuple(_FIND)


class Recording:
    """One of them."""

    def __init__(self, shared_data: Path, name: str) -> None:
        self.name = name
        self.folder = shared_data / "usb-recordings" / name

    @property
    def capture(self) -> Path:
        """The traffic."""
        return next(file for file in self.folder.glob("capture.*") if file.suffix in (".pcapng", ".ioctl"))

    def session(self) -> Session:
        """The traffic, read."""
        return read_session(self.capture, self.folder / "device")

    def picture(self) -> NDArray[np.uint8]:
        """What must come out of it."""
        read = cv2.imread(str(self.folder / "capture.png"), cv2.IMREAD_GRAYSCALE)
        assert read is not None
        return np.asarray(read, dtype=np.uint8)

    def find(self, bus: UsbBus) -> list[ScannerSource]:
        """The scanner, as its driver lists it."""
        return _FIND[self.name](bus)

    def umockdev_arguments(self) -> list[str]:
        """What plays it, for ``umockdev-run``."""
        description = self.folder / "device"
        if self.capture.suffix == ".ioctl":
            node = self.capture.read_text(encoding="ascii").splitlines()[0].removeprefix("@DEV ")
            return ["-d", str(description), "-i", f"{node}={self.capture}"]
        place = description.read_text(encoding="utf-8").splitlines()[0].removeprefix("P: ")
        return ["-d", str(description), "-p", f"/sys{place}={self.capture}"]
