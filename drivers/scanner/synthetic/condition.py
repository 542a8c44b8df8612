"""How a finger happens to touch the glass this time."""

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One touch, in numbers. The defaults are a healthy finger placed straight and pressed well.

    shift_px : (right, up) of the pad's middle from the middle of the glass, px at 500 dpi.
    rotation_deg : counter-clockwise.
    roll_px : (right, up), which part of the pad is pressed: 0 is the flat middle.
    traction_px : (right, up), how far the skin around the pressed middle is dragged.
    torsion_deg : how far the skin around the pressed middle is twisted.
    unevenness_px : standard deviation of the smaller, irregular distortion.
    area : size of the contact against a well-pressed pad, as a factor on both axes.
    pressure : -1 ridges thin, 0 usual, 1 ridges thick and flattened.
    dryness : 0 none, 1 ridges break into specks.
    wetness : 0 none, 1 valleys run full.
    slide_px : length of the way the finger slid while the picture was taken.
    contrast : 0 nothing visible, 1 the whole grey range.
    noise : standard deviation of the sensor noise in grey levels.
    dirt : number of specks and hairs on the glass, on average.
    """

    shift_px: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    roll_px: tuple[float, float] = (0.0, 0.0)
    traction_px: tuple[float, float] = (0.0, 0.0)
    torsion_deg: float = 0.0
    unevenness_px: float = 0.0
    area: float = 1.0
    pressure: float = 0.0
    dryness: float = 0.1
    wetness: float = 0.0
    slide_px: float = 0.0
    contrast: float = 0.9
    noise: float = 3.0
    dirt: float = 0.0

    @classmethod
    def natural(cls, rng: np.random.Generator) -> Self:
        """Draw a touch as people do it at a counter when they are shown how: neither ideal nor faulty."""
        moisture = rng.normal(0, 1)  # one skin is either dry or wet at a time
        return cls(
            shift_px=(_bounded(rng, 18, 45), _bounded(rng, 18, 45)),
            rotation_deg=_bounded(rng, 9, 28),
            roll_px=(_bounded(rng, 13, 32), _bounded(rng, 19, 45)),
            traction_px=(_bounded(rng, 3.5, 9), _bounded(rng, 4.5, 11)),
            torsion_deg=_bounded(rng, 2.2, 5.5),
            unevenness_px=float(rng.uniform(0.6, 1.6)),
            area=float(np.clip(rng.normal(0.98, 0.07), 0.8, 1.12)),
            pressure=_bounded(rng, 0.4, 0.9),
            dryness=float(np.clip(0.24 + 0.18 * moisture, 0.04, 0.55)),
            wetness=float(np.clip(-0.08 - 0.24 * moisture, 0.0, 0.5)),
            contrast=float(rng.uniform(0.75, 0.98)),
            noise=float(rng.uniform(2.0, 6.0)),
            dirt=2.0,
        )


def _bounded(rng: np.random.Generator, deviation: float, limit: float) -> float:
    """A normal draw around zero that cannot run away."""
    return float(np.clip(rng.normal(0, deviation), -limit, limit))
