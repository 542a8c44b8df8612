"""Where the demo's fingers come from: drawn from a seed, or pictures in a folder of somebody's own."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceNotFoundError
from drivers.scanner.image_files import ImageFolder
from drivers.scanner.synthetic.finger import DPI, Finger

LEAST_FINGERS, LEAST_IMPRESSIONS = 3, 2
"""A holder has two fingers on the chip, the third one is the stranger's; one impression is enrolled."""


class Fingers(Protocol):
    """Fingers by number, each with several impressions, counted from 1."""

    dpi: float
    what: str
    """For the story: what these fingers are."""

    def impression(self, finger: int, number: int) -> NDArray[np.uint8]:
        """(H, W) uint8, ridges dark on light."""
        ...


class SyntheticFingers:
    """Fingers that nobody has."""

    dpi = DPI
    what = "synthetic fingers, grown from seeds"

    def impression(self, finger: int, number: int) -> NDArray[np.uint8]:
        """Grow the finger and touch the glass once; half a second."""
        return Finger.from_seed(finger).impression(number)


class FolderFingers:
    """Pictures named ``<finger>_<impression>.png`` (TIFF, BMP, WebP too), read in place, never copied.

    Raises
    ------
    DeviceNotFoundError
        No such folder, or fewer than three fingers with two impressions each.
    """

    def __init__(self, folder: Path, dpi: float) -> None:
        self._folder = ImageFolder(folder)
        self._fingers = [
            (finger, impressions)
            for finger in self._folder.fingers
            if len(impressions := self._folder.impressions(finger)) >= LEAST_IMPRESSIONS
        ]
        if len(self._fingers) < LEAST_FINGERS:
            raise DeviceNotFoundError(
                f"image folder {folder}",
                "open",
                f"needs {LEAST_FINGERS} fingers with {LEAST_IMPRESSIONS} pictures <finger>_<impression>.png each; "
                f"there are {len(self._fingers)}",
            )
        self.dpi = dpi
        self.what = f"prints from {folder} ({len(self._fingers)} fingers, read as {dpi:g} dpi)"

    def impression(self, finger: int, number: int) -> NDArray[np.uint8]:
        """Read that picture; numbers beyond the last begin again, with a little noise: a sensor is never the same."""
        name, impressions = self._fingers[finger % len(self._fingers)]
        turn, place = divmod(number - 1, len(impressions))
        pixels = self._folder.pixels(name, impressions[place])
        if turn:
            grain = np.random.default_rng([finger, number]).integers(0, 2, pixels.shape, dtype=np.uint8)
            pixels = np.where(pixels < 255, pixels + grain, pixels)
        return pixels
