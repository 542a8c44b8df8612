"""Whether a finger lies on the glass, from one frame of a camera: contrast and area; pure."""

import cv2
import numpy as np
from numpy.typing import NDArray

CELLS = 24
"""The frame is judged in this many squares along its shorter side: one is about a millimetre of a fingertip."""
RIDGE_CONTRAST = 12.0
"""Standard deviation of the grey levels in a square from which it can hold ridges; an empty glass has 1 to 5."""
PRESENT_AREA = 0.25
"""A quarter of the squares must hold ridges: less is an edge, a hair or a smear."""
GONE_AREA = 0.10
"""Below a tenth the glass counts as empty; between the two, nothing is decided."""
STILL_DIFFERENCE = 6.0
"""Mean difference of grey levels between two frames of a finger at rest: noise gives 1 to 3, a moving ridge 20."""


def ridge_area(pixels: NDArray[np.uint8]) -> float:
    """The share of the frame that has the contrast of ridges.

    Parameters
    ----------
    pixels : (H, W) uint8, at least 24 on a side.

    Returns
    -------
    area : 0.0 for an empty glass to 1.0.
    """
    side = max(2, min(pixels.shape) // CELLS)
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    squares = pixels[: rows * side, : columns * side].astype(np.float32)
    mean = cv2.resize(squares, (columns, rows), interpolation=cv2.INTER_AREA)
    mean_of_squares = cv2.resize(squares * squares, (columns, rows), interpolation=cv2.INTER_AREA)
    contrast = np.sqrt(np.maximum(mean_of_squares - mean * mean, 0.0))
    return float(np.mean(contrast >= RIDGE_CONTRAST))


def difference(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float:
    """Mean difference of two frames of one size, in grey levels."""
    return float(np.mean(cv2.absdiff(before, now)))
