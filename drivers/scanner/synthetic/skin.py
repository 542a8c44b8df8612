"""The skin of one finger: relief, pores and creases, and how far the pad reaches. The same at every touch."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.pattern import Pattern, ridge_orientation
from drivers.scanner.synthetic.ridge_period import ridge_period
from drivers.scanner.synthetic.ridges import grow_ridges
from drivers.scanner.synthetic.smooth_field import smooth_field

CANVAS = (576, 432)
"""Rows and columns at 500 dpi: 29 x 22 mm, more than ever touches the glass at once."""
MIDDLE = (262, 216)
"""Row and column of the pad's middle, the origin of finger coordinates (y up)."""

_UNEVEN = 0.2
"""Standard deviation of what sets a ridge off from an even wave, in halves of its height."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Skin:
    """What one finger brings to every touch.

    relief : (H, W) float32, about 1 on top of a ridge and -1 in a valley; no ridge is as even as a wave.
    pores : (H, W) float32 in [0, 1], 1 in the middle of an open pore.
    creases : (H, W) float32 in [0, 1], 1 where a wrinkle or scar keeps the skin off the glass.
    half_width, half_height : px at 500 dpi, of the pad pressed flat.
    """

    relief: NDArray[np.float32]
    pores: NDArray[np.float32]
    creases: NDArray[np.float32]
    half_width: float
    half_height: float


def grow_skin(rng: np.random.Generator, pattern: Pattern) -> Skin:
    """Grow the skin that goes with a pattern."""
    rows, columns = np.mgrid[0 : CANVAS[0], 0 : CANVAS[1]]
    position = (columns - MIDDLE[1]) + 1j * (MIDDLE[0] - rows)
    theta = ridge_orientation(rng, pattern, position)
    period = ridge_period(rng, pattern, position, theta)
    ridges = grow_ridges(rng, theta, period)
    half_width = float(np.clip(rng.normal(128, 9), 108, 150))
    return Skin(
        relief=ridges + _UNEVEN * smooth_field(rng, CANVAS, 3.2),
        pores=_pores(rng, ridges),
        creases=_creases(rng),
        half_width=half_width,
        half_height=half_width * float(rng.uniform(1.35, 1.55)),
    )


def _pores(rng: np.random.Generator, ridges: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sweat pores sit on the ridge tops, about half a millimetre apart; at 500 dpi each is a speck."""
    open_here = (ridges > 0.8) & (rng.random(ridges.shape, dtype=np.float32) < 1 / 45)
    specks = cv2.GaussianBlur(open_here.astype(np.float32), (0, 0), 0.9)
    return np.asarray(np.minimum(specks * (2 * np.pi * 0.9**2), 1), dtype=np.float32)


def _creases(rng: np.random.Generator) -> NDArray[np.float32]:
    """White lines across the ridges: none on most fingers, several on old hands."""
    drawn = np.zeros(CANVAS, dtype=np.float32)
    for _ in range(int(rng.choice([0, 1, 2, 3, 5], p=[0.45, 0.2, 0.15, 0.12, 0.08]))):
        middle = np.array([MIDDLE[1], MIDDLE[0]]) + rng.uniform([-100, -150], [100, 170])
        direction = rng.normal(0, 0.5)
        along = np.linspace(-1, 1, 9) * rng.uniform(18, 75)
        across = np.cumsum(rng.normal(0, 1.3, 9))
        turn = np.array([[np.cos(direction), -np.sin(direction)], [np.sin(direction), np.cos(direction)]])
        line = middle + np.stack([along, across], axis=1) @ turn.T
        thickness = 1 if rng.random() < 0.6 else 2
        cv2.polylines(drawn, [np.round(line * 8).astype(np.int32)], False, 1.0, thickness, cv2.LINE_8, shift=3)
    return np.asarray(np.minimum(cv2.GaussianBlur(drawn, (0, 0), 0.8) * 1.4, 1), dtype=np.float32)
