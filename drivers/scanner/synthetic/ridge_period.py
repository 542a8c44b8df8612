"""How far apart the ridges lie: about 9 px at 500 dpi, wider under the deltas and at the tip."""

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.pattern import Pattern
from drivers.scanner.synthetic.smooth_field import smooth_field

MEAN_PERIOD_PX = 9.0
"""Mean distance of two ridges in px at 500 dpi (0.46 mm, adults of both sexes)."""
SHORTEST_PERIOD_PX, LONGEST_PERIOD_PX = 6.8, 12.4
"""Beyond these no healthy adult ridge lies; the filters are made for this range."""


def ridge_period(rng: np.random.Generator, pattern: Pattern, position: NDArray[np.complex128]) -> NDArray[np.float64]:
    """The ridge distance at every position.

    Parameters
    ----------
    position : (H, W) complex128
        x + iy in px at 500 dpi from the middle of the pad, y up.

    Returns
    -------
    period : (H, W) float64
        Pixels at 500 dpi, between SHORTEST_PERIOD_PX and LONGEST_PERIOD_PX.

    Notes
    -----
    Above the uppermost core and below the lowest delta ridges lie further apart than between them
    (Cappelli, Maio, Maltoni, "Synthetic fingerprint-image generation", ICPR 2000).
    """
    y = position.imag
    top = max((core.imag for core in pattern.cores), default=20.0)
    bottom = min((delta.imag for delta in pattern.deltas), default=-110.0)
    of_this_finger = MEAN_PERIOD_PX * float(np.clip(rng.normal(0.97, 0.055), 0.86, 1.1))
    above = 0.06 * _ramp((y - top) / 120)
    below = 0.16 * _ramp((bottom + 25 - y) / 90)
    unrest = 0.06 * smooth_field(rng, (position.shape[0], position.shape[1]), 60.0)
    period = of_this_finger * (1 + above + below + unrest)
    return np.asarray(np.clip(period, SHORTEST_PERIOD_PX, LONGEST_PERIOD_PX), dtype=np.float64)


def _ramp(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below 0, 1 above 1, smooth between."""
    inside = np.clip(value, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))
