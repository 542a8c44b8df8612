"""A scanner behind a pretended device service, and the hands for it."""

import datetime
import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.base import ScannerSource
from drivers.scanner.sbi.mock.device import MockDevice
from drivers.scanner.sbi.mock.identity import MockIdentity
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.sbi.scanner import Pace, find

PACE = Pace(look=10.0, listing=20.0, answer=10.0, capture=2.0, glimpse=0.05, pause=0.01)
"""Patient with a machine that is busy with other tests, quick to see a lifted finger."""


@functools.cache
def keys() -> MockIdentity:
    """Made once: RSA keys take half a second."""
    return MockIdentity(datetime.datetime.now(datetime.UTC))


class PlayedService:
    """A service in this process, and discovery on its one port."""

    def __init__(self, folder: Path) -> None:
        self._roots = keys().write_roots(folder / "roots")
        self.service = MockService(MockDevice(keys()))
        self._listed = self._found()[0]

    def source(self) -> ScannerSource:
        """As listed now, or as it was listed when it was there."""
        return next(iter(self._found()), self._listed)

    def place(self, pixels: NDArray[np.uint8]) -> None:
        """Lay a finger on the glass."""
        self.service.device.glass.place(pixels)

    def _found(self) -> list[ScannerSource]:
        return find((self.service.port, self.service.port), self._roots, "Developer", PACE)
