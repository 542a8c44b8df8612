"""A scanner that shows what the test says, frame by frame or touch by touch, and keeps what it gave out."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError
from drivers.scanner.base import FingerImage, PlaceAgain, Scanner, ScannerInfo

INFO = ScannerInfo(driver="scripted", name="Scripted", serial=None, dpi=500, path="scripted", calibration="device")
BARE = np.full((374, 388), 240, dtype=np.uint8)


class Clock:
    """Time that goes on by a tenth of a second a frame."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ScriptedScanner(Scanner):
    """Gives the pictures it was made with, in order, then nothing more. ``given`` holds every image it gave out."""

    def __init__(
        self, shows: Sequence[NDArray[np.uint8] | PlaceAgain | DeviceError], clock: Clock, *, streams: bool
    ) -> None:
        self.info, self.streams, self._clock = INFO, streams, clock
        self._shows = list(shows)
        self.given: list[FingerImage] = []

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        if not self._shows:
            self._clock.now += timeout_s
            return PlaceAgain.NO_FINGER
        self._clock.now += 1.0
        shown = self._shows.pop(0)
        return shown if isinstance(shown, PlaceAgain) else self._image(shown)

    def frames(self, timeout_s: float, stop: threading.Event | None = None) -> Iterator[FingerImage]:
        until = self._clock.now + timeout_s
        while self._shows and self._clock.now < until and not (stop is not None and stop.is_set()):
            self._clock.now += 0.1
            shown = self._shows.pop(0)
            assert not isinstance(shown, PlaceAgain)
            yield self._image(shown)

    def close(self) -> None:
        self._shows.clear()

    def _image(self, shown: NDArray[np.uint8] | DeviceError) -> FingerImage:
        if isinstance(shown, DeviceError):
            raise shown
        self.given.append(FingerImage(pixels=shown.copy(), dpi=500.0, scanner="scripted"))
        return self.given[-1]

    def left(self, but: object = None) -> int:
        """How many of the images it gave out still hold something, apart from one."""
        return sum(bool(image.pixels.any()) for image in self.given if image is not but)


def noisy(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The same sight a moment later: no live sensor gives the same bytes twice."""
    noise = np.random.default_rng(seed).normal(0, 2, pixels.shape)
    return np.asarray(np.clip(pixels + noise, 0, 255), dtype=np.uint8)
