"""Any resolution to 500 dpi."""

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.extract.parameters import DPI


def resampled(pixels: NDArray[np.uint8], dpi: float) -> NDArray[np.uint8]:
    """The picture at 500 dpi.

    Averages areas when it shrinks (no aliasing of fine ridges at 1000 dpi), cubic when it grows.
    """
    factor = DPI / dpi
    height, width = (max(1, round(side * factor)) for side in pixels.shape)
    if (height, width) == pixels.shape:
        return pixels
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=method).astype(np.uint8, copy=False)


def positions_at_500_dpi(places: NDArray[np.float64], sampled: int, given: int, dpi: float) -> NDArray[np.float64]:
    """Pixel centres of the resampled picture as exact 500 dpi pixels of the given one.

    The resampled side is a whole number of pixels, so its scale is not quite 500 / dpi; a pixel's centre lies at
    index + 1/2 on both grids.

    places : (n,) index along one side; sampled, given : pixels of that side after and before resampling.
    """
    return (places + 0.5) * (given / sampled) * (DPI / dpi) - 0.5
