"""Where on the picture the finger is."""

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.extract.parameters import (
    ACTIVITY_LEAST,
    ACTIVITY_SHARE,
    ACTIVITY_WINDOW,
    FINGER_CLOSING,
    FINGER_MARGIN,
    GRID,
    MAX_CROP,
)

STEP = 4
"""px; the mask needs no finer grid."""


def finger_mask(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blocks of 4x4 px that belong to the finger: grey levels vary around them as ridges do.

    Parameters
    ----------
    image : (H, W) uint8
        At 500 dpi, either polarity.

    Returns
    -------
    mask : (ceil(H / 4), ceil(W / 4)) uint8
        1 on the largest connected area and areas at least a quarter of it, 0 elsewhere.
    """
    size = (-(-image.shape[1] // STEP), -(-image.shape[0] // STEP))
    window = (ACTIVITY_WINDOW, ACTIVITY_WINDOW)
    mean = cv2.boxFilter(image, cv2.CV_32F, window)
    square = cv2.sqrBoxFilter(image, cv2.CV_32F, window)
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    activity = cv2.resize(spread, size, interpolation=cv2.INTER_AREA)
    liveliest = float(np.quantile(activity, 0.9))
    mask = (activity > max(ACTIVITY_LEAST, ACTIVITY_SHARE * liveliest)).astype(np.uint8)
    side = FINGER_CLOSING // STEP | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    whole = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), cv2.MORPH_OPEN, disc)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(whole.astype(np.uint8), connectivity=4)
    if count <= 1:
        return np.zeros_like(mask)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    kept = np.flatnonzero(areas >= areas.max() / 4) + 1
    # The window sees ridges half its side away: the outermost cells are background.
    return cv2.erode(np.isin(labels, kept).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.uint8)


def finger_box(mask: NDArray[np.uint8], height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns around the finger with a margin; the whole picture where there is none.

    A side longer than any finger is cut to the longest allowed around the finger's middle.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return _bounded(0, height, height), _bounded(0, width, width)
    return (
        _bounded(int(rows[0]) * STEP - FINGER_MARGIN, (int(rows[-1]) + 1) * STEP + FINGER_MARGIN, height),
        _bounded(int(columns[0]) * STEP - FINGER_MARGIN, (int(columns[-1]) + 1) * STEP + FINGER_MARGIN, width),
    )


def _bounded(first: int, last: int, side: int) -> slice:
    first, last = max(first, 0), min(last, side)
    if last - first > MAX_CROP:
        first = (first + last - MAX_CROP) // 2
        last = first + MAX_CROP
    return slice(first, last)


def padded_to_grid(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey levels as float, filled up to multiples of 32 with the background on the right and below.

    The fill is the brighter quartile of the border, which is background or valley: a hard edge would look like ridges.
    """
    height, width = image.shape
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    filled = np.full((-(-height // GRID) * GRID, -(-width // GRID) * GRID), np.quantile(border, 0.75), np.float32)
    filled[:height, :width] = image
    return filled
