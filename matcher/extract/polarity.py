"""Ridges dark on light, whichever way the scanner gives them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.extract.parameters import BACKGROUND_BLACK, BACKGROUND_LEAST, BACKGROUND_REACH


def dark_ridges(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with ridges dark.

    Beside the finger a scanner sees what it sees in a valley: nothing touches the glass. So a background darker than
    most of the finger means that ridges are light. Without background the picture stays as it is: grey levels of
    ridges and valleys alone do not tell (their skewness has either sign on good pictures), and the network finds
    nearly the same minutiae either way.

    Parameters
    ----------
    image : (H, W) uint8
        At 500 dpi.
    mask : (ceil(H / 4), ceil(W / 4)) uint8
        1 on the finger.
    """
    finger = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    side = 2 * BACKGROUND_REACH + 1
    outside = cv2.dilate(finger.astype(np.uint8), np.ones((side, side), np.uint8)) == 0
    if not finger.any() or outside.mean() < BACKGROUND_LEAST:
        return image
    background = float(np.median(image[outside]))
    dark, middle = np.percentile(image[finger], [25, 50])
    if background < dark or (background < middle and background < BACKGROUND_BLACK):
        return 255 - image
    return image
