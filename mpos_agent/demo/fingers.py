"""Where the demo's fingers come from: drawn from a seed, or pictures in a folder of somebody's own."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.finger import DPI, Finger

NAME = re.compile(r"(?P<finger>.+)_(?P<impression>\d+)\.(?:png|tiff?|bmp|webp)", re.IGNORECASE)


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
        """Grow the finger and touch the glass once; a second or two."""
        return Finger.from_seed(finger).impression(number)


class FolderFingers:
    """Pictures named ``<finger>_<impression>.png`` (TIFF, BMP, WebP too), read in place, never copied.

    Raises
    ------
    FileNotFoundError
        The folder has fewer than three fingers with two impressions each: the demo's holder has two
        fingers on the chip, and a third one is the stranger's.
    """

    def __init__(self, folder: Path, dpi: float) -> None:
        pictures: dict[str, list[tuple[int, Path]]] = defaultdict(list)
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if match := NAME.fullmatch(path.name):
                pictures[match["finger"]].append((int(match["impression"]), path))
        self._fingers: Sequence[Sequence[Path]] = [
            [path for _, path in sorted(found)] for _, found in sorted(pictures.items()) if len(found) >= 2
        ]
        if len(self._fingers) < 3:
            raise FileNotFoundError(
                f"{folder}: needs pictures <finger>_<impression>.png of three fingers, two impressions each; "
                f"found {len(self._fingers)} such fingers"
            )
        self.dpi = dpi
        self.what = f"prints from {folder} ({len(self._fingers)} fingers, read as {dpi:g} dpi)"

    def impression(self, finger: int, number: int) -> NDArray[np.uint8]:
        """Read that picture; numbers beyond the last begin again."""
        impressions = self._fingers[finger % len(self._fingers)]
        path = impressions[(number - 1) % len(impressions)]
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise FileNotFoundError(f"{path}: cannot be read as a picture; is it complete?")
        return np.asarray(pixels, dtype=np.uint8)
