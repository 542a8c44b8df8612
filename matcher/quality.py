"""How well a picture of a finger can be compared, and what the person at the scanner can do about it.

First version: area of the finger, contrast and one-directedness of its ridges. Nothing here is fitted.
"""

import enum
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.extract.pipeline import checked
from matcher.extract.resample import resampled
from matcher.extract.segment import STEP, finger_mask

_BLOCK = 15
"""px; window of the structure tensor, a little under two ridge periods."""
_FULL_AREA_MM2 = 150.0
"""A plain impression of an index finger covers 150 to 250 mm²; more does not make it better."""
_LEAST_AREA_MM2 = 40.0
"""Below this an overlap with the chip's finger is a matter of luck."""
_FULL_CONTRAST = 40.0
"""Grey levels of spread inside a block of clear ridges."""
_LEAST_COHERENCE = 0.35
"""Below this, directions are as mixed as in noise; clear ridges have 0.8 and more."""


class QualityReason(enum.Enum):
    """What an operator can act on."""

    TOO_DRY = "too_dry"
    TOO_WET = "too_wet"
    TOO_SMALL = "too_small"
    OFF_CENTRE = "off_centre"
    SMEARED = "smeared"
    GHOST = "ghost"
    NOT_A_FINGER = "not_a_finger"


@dataclass(frozen=True, slots=True)
class Quality:
    """``value`` 0 (useless) to 100, and the reasons that lower it, the gravest first."""

    value: int
    reasons: tuple[QualityReason, ...]


def assess_quality(pixels: NDArray[np.uint8], dpi: float) -> Quality:
    """Judge one picture without looking for minutiae.

    Parameters
    ----------
    pixels : (H, W) uint8
        Ridges dark or light.
    dpi : float
        Resolution of both axes.

    Raises
    ------
    UnusableImageError
        Not a grey picture, too small or large, or no plausible resolution.
    """
    checked(pixels, dpi)
    image = resampled(pixels, dpi)
    mask = finger_mask(image).astype(bool)
    area_mm2 = float(mask.sum()) * (STEP * 25.4 / 500) ** 2
    if area_mm2 < 1.0:
        return Quality(0, (QualityReason.NOT_A_FINGER,))
    coherence, contrast = _ridge_clarity(image, mask)
    if coherence < _LEAST_COHERENCE:
        return Quality(0, (QualityReason.NOT_A_FINGER,))
    reasons: list[QualityReason] = []
    if area_mm2 < _LEAST_AREA_MM2:
        reasons.append(QualityReason.TOO_SMALL)
    if _off_centre(mask):
        reasons.append(QualityReason.OFF_CENTRE)
    parts = (
        min(1.0, area_mm2 / _FULL_AREA_MM2),
        min(1.0, contrast / _FULL_CONTRAST),
        min(1.0, (coherence - _LEAST_COHERENCE) / 0.4),
    )
    return Quality(round(100 * float(np.prod(parts)) ** (1 / len(parts))), tuple(reasons))


def _ridge_clarity(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean coherence of directions (0 to 1) and mean spread of grey levels inside the finger."""
    grey = image.astype(np.float32)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    window = (_BLOCK, _BLOCK)
    xx, yy, xy = (cv2.boxFilter(part, cv2.CV_32F, window) for part in (across**2, down**2, across * down))
    coherence = np.sqrt((xx - yy) ** 2 + 4 * xy**2) / np.maximum(xx + yy, 1e-6)
    mean = cv2.boxFilter(grey, cv2.CV_32F, window)
    spread = np.sqrt(np.maximum(cv2.boxFilter(grey**2, cv2.CV_32F, window) - mean**2, 0))
    size = (mask.shape[1], mask.shape[0])
    coarse = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (coherence, spread)]
    return float(coarse[0][mask].mean()), float(coarse[1][mask].mean())


def _off_centre(mask: NDArray[np.bool_]) -> bool:
    """The finger's middle lies in the outer quarter of the picture."""
    rows, columns = np.nonzero(mask)
    middle = rows.mean() / mask.shape[0], columns.mean() / mask.shape[1]
    return any(not 0.25 < place < 0.75 for place in middle)
