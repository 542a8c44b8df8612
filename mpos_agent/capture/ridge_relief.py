"""Whether two pictures show the same ridges in the same place on the glass.

A finger that is placed anew never lies within a tenth of a millimetre of where it lay before, at the same angle and
equally stretched. What does lie there is the finger that was not lifted, or the grease it left behind.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.base import FingerImage

DPI = 250.0
"""Ridges are 4 to 5 px apart at this resolution: one place differs from the next, and each frame can be compared."""
_COARSE_PX = 6.0
"""Shade that changes slower than this (standard deviation, px) is pressure and light, not ridges."""
_RIDGE_GREYS = 6.0
"""Grey levels (local standard deviation) below which there are no ridges, only sensor noise."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Relief:
    """The ridges of one picture without its shades; as biometric as the picture. :meth:`wipe` it."""

    levels: NDArray[np.float32]
    """(H, W), grey levels around the local mean, at 250 dpi."""
    ridged: NDArray[np.bool_]
    """(H, W), where there are ridges."""

    def wipe(self) -> None:
        """Overwrite it; safe to call twice."""
        self.levels[...] = 0
        self.ridged[...] = False

    @property
    def depth(self) -> float:
        """Standard deviation of the levels where there are ridges, grey levels; 0 without ridges."""
        return float(self.levels[self.ridged].std()) if self.ridged.any() else 0.0


def relief_of(image: FingerImage) -> Relief:
    """Take the relief of a picture; a picture of unknown resolution counts as one of 500 dpi, as one of its kind."""
    scale = DPI / (image.dpi or 500.0)
    small = cv2.resize(image.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    levels = np.asarray(small - cv2.GaussianBlur(small, (0, 0), _COARSE_PX), dtype=np.float32)
    local = cv2.GaussianBlur(levels * levels, (0, 0), _COARSE_PX)
    small[...] = 0
    return Relief(levels, np.asarray(local > _RIDGE_GREYS**2))


def likeness(before: Relief, now: Relief, reach_mm: float) -> float:
    """How far ``now`` shows the ridges of ``before`` in the same place.

    Parameters
    ----------
    reach_mm : how far it may have moved, in millimetres.

    Returns
    -------
    likeness : 0 to 1, the best normalised correlation within reach, over the ridges of ``before``; 0 for pictures of
        different size.
    """
    if before.levels.shape != now.levels.shape or not before.ridged.any():
        return 0.0
    reach = max(1, round(reach_mm / 25.4 * DPI))
    height, width = before.levels.shape
    middle = (slice(reach, height - reach), slice(reach, width - reach))
    where = before.ridged[middle]
    one, best = before.levels[middle][where], 0.0
    norm = float(np.linalg.norm(one))
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            rows, columns = slice(reach + down, height - reach + down), slice(reach + right, width - reach + right)
            other = now.levels[rows, columns][where]
            size = norm * float(np.linalg.norm(other))
            best = max(best, float(one @ other) / size if size else 0.0)
    return best
