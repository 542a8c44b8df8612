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
    """Rows and columns of the network's window around the finger; the whole picture where there is none.

    The picture lies in the middle of a frame of multiples of 32 px, and the window is cut on that frame's grid:
    the network halves its picture five times, and its answer depends on where the halvings fall. So the window may
    begin before the picture and end after it. A side longer than any finger is cut around the finger's middle.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return _on_grid(0, height, height), _on_grid(0, width, width)
    return (
        _on_grid(int(rows[0]) * STEP - FINGER_MARGIN, (int(rows[-1]) + 1) * STEP + FINGER_MARGIN, height),
        _on_grid(int(columns[0]) * STEP - FINGER_MARGIN, (int(columns[-1]) + 1) * STEP + FINGER_MARGIN, width),
    )


def _on_grid(first: int, last: int, side: int) -> slice:
    first, last = max(first, 0), min(last, side)
    if last - first > MAX_CROP - GRID:
        first = (first + last - MAX_CROP + GRID) // 2
        last = first + MAX_CROP - GRID
    before = (-side % GRID) // 2
    return slice((first + before) // GRID * GRID - before, -(-(last + before) // GRID) * GRID - before)


def window(image: NDArray[np.uint8], rows: slice, columns: slice) -> NDArray[np.float32]:
    """The window's grey levels as float; beyond the picture the brighter quartile of its border.

    That is background or valley: a hard dark edge would look like ridges.
    """
    height, width = image.shape
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    filled = np.full((rows.stop - rows.start, columns.stop - columns.start), np.quantile(border, 0.75), np.float32)
    top, bottom = max(rows.start, 0), min(rows.stop, height)
    left, right = max(columns.start, 0), min(columns.stop, width)
    filled[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = image[
        top:bottom, left:right
    ]
    return filled
