"""Which way the ridges run: fingerprint classes, their singular points and the orientation they force.

The flow is the zero-pole model of Sherlock and Monro: every core turns the direction by half a turn of
the angle at which it is seen, every delta takes it back [1]_. Vizcaya and Gerhardt bend that angle so
that fingers with the same singular points still differ [2]_; the same is done here with a random bend.
Zero-pole flow goes flat too soon above the core, so a background arch is added that follows the
outline of the finger tip and fades out below. How often each class occurs: [3]_.

References
----------
.. [1] Sherlock and Monro, "A model for interpreting fingerprint topology", Pattern Recognition 26(7), 1993.
.. [2] Vizcaya and Gerhardt, "A nonlinear orientation model for global description of fingerprints",
   Pattern Recognition 29(7), 1996.
.. [3] Wilson, Candela and Watson, "Neural network fingerprint classification",
   Journal of Artificial Neural Networks 1(2), 1994.
"""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.smooth_field import smooth_field


class FingerClass(enum.Enum):
    """Henry classes; the twin loop is counted with the whorls in the sources and split off here."""

    ARCH = "arch"
    TENTED_ARCH = "tented_arch"
    LEFT_LOOP = "left_loop"
    RIGHT_LOOP = "right_loop"
    WHORL = "whorl"
    TWIN_LOOP = "twin_loop"


FREQUENCY_OF_CLASS = {
    FingerClass.ARCH: 0.037,
    FingerClass.TENTED_ARCH: 0.029,
    FingerClass.LEFT_LOOP: 0.338,
    FingerClass.RIGHT_LOOP: 0.317,
    FingerClass.WHORL: 0.234,
    FingerClass.TWIN_LOOP: 0.045,
}

# (x, y) in px at 500 dpi from the middle of the pad, y up: cores, then deltas.
_TYPICAL_POINTS: dict[FingerClass, tuple[tuple[complex, ...], tuple[complex, ...]]] = {
    FingerClass.ARCH: ((), ()),
    FingerClass.TENTED_ARCH: ((0 + 5j,), (0 - 75j,)),
    FingerClass.LEFT_LOOP: ((-8 + 15j,), (88 - 105j,)),
    FingerClass.RIGHT_LOOP: ((8 + 15j,), (-88 - 105j,)),
    FingerClass.WHORL: ((0 + 32j, 0 - 12j), (-105 - 110j, 105 - 110j)),
    FingerClass.TWIN_LOOP: ((-24 + 30j, 24 - 28j), (-108 - 115j, 108 - 110j)),
}
_MIDDLE_SPREAD_PX = 15.0
_CORES_TURN = 0.3
"""Radians: how far the line between two cores turns."""
_DELTA_STRETCH = 0.24
"""Of the logarithm of the distance between cores and delta."""
_DELTA_SWING = 0.2
"""Radians, as seen from the cores."""
_ROUNDNESS = 0.75
"""0: the pointed loop of the plain model; 1: a half circle on two parallel legs."""
_ROUND_REACH_PX = 70.0


@dataclass(frozen=True, slots=True)
class Pattern:
    """A class and where its singular points lie: complex x + iy, px at 500 dpi from the pad's middle, y up."""

    finger_class: FingerClass
    cores: tuple[complex, ...]
    deltas: tuple[complex, ...]


def draw_pattern(rng: np.random.Generator, finger_class: FingerClass | None = None) -> Pattern:
    """Choose a class by its natural frequency, unless given, and place its singular points.

    Deltas are placed as seen from the middle of the cores, their distance varying by a factor: ridge
    counts between core and delta run from a handful to over twenty (Henry's loops).
    """
    classes = list(FREQUENCY_OF_CLASS)
    drawn = classes[int(rng.choice(len(classes), p=list(FREQUENCY_OF_CLASS.values())))]
    chosen = finger_class or drawn
    typical_cores, typical_deltas = _TYPICAL_POINTS[chosen]
    if not typical_cores:
        return Pattern(chosen, (), ())
    shift = _scattered(rng, _MIDDLE_SPREAD_PX)
    typical_middle = sum(typical_cores) / len(typical_cores)
    middle = typical_middle + shift
    turn = np.exp(1j * _bounded(rng, _CORES_TURN))
    cores = tuple(middle + (core - typical_middle) * turn * np.exp(_bounded(rng, 0.25)) for core in typical_cores)
    # Core and delta of a tented arch stay on one upright line.
    swing = 0.03 if chosen is FingerClass.TENTED_ARCH else _DELTA_SWING
    deltas = tuple(
        middle + (delta - typical_middle) * np.exp(_bounded(rng, _DELTA_STRETCH) + 1j * _bounded(rng, swing))
        for delta in typical_deltas
    )
    return Pattern(chosen, cores, deltas)


def _scattered(rng: np.random.Generator, spread: float) -> complex:
    return complex(_bounded(rng, spread), _bounded(rng, spread))


def _bounded(rng: np.random.Generator, deviation: float) -> float:
    """A normal draw around zero, kept within two deviations."""
    return float(np.clip(rng.normal(0, deviation), -2 * deviation, 2 * deviation))


def ridge_orientation(
    rng: np.random.Generator, pattern: Pattern, position: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """The direction of the ridges at every position.

    Parameters
    ----------
    rng : decides the bends that make this finger differ from others with the same singular points.
    position : (H, W) complex128
        x + iy in px at 500 dpi from the middle of the pad, y up.

    Returns
    -------
    theta : (H, W) float64
        Radians, counter-clockwise from +x with y up; meaningful modulo pi.
    """
    x, y = position.real, position.imag
    theta = _arch(rng, x, y) if pattern.finger_class is FingerClass.ARCH else _outline_arch(rng, x, y)
    upright = [_upright_direction(pattern, core) for core in pattern.cores]
    for core, direction in zip(pattern.cores, upright, strict=True):
        theta = theta + 0.5 * (_bent_angle(rng, position - core) + _recurve(position - core, direction))
    for delta in pattern.deltas:
        theta = theta - 0.5 * _bent_angle(rng, position - delta)
    tilt = _bounded(rng, np.radians(4))
    shape = (position.shape[0], position.shape[1])
    # Wide and narrow bends: without them fingers of one class share the places where the flow spreads
    # or narrows, and with those places their minutiae.
    unrest = np.radians(5.5) * smooth_field(rng, shape, 110.0) + np.radians(3) * smooth_field(rng, shape, 55.0)
    return np.asarray(theta + tilt + unrest, dtype=np.float64)


def _arch(rng: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridges that enter at one side, rise in the middle and leave at the other: no singular point."""
    steepness = rng.uniform(0.9, 1.35)
    top = rng.uniform(-10, 40)
    # Flat at the crease, steepest at the height ``top``, milder again towards the tip.
    height = np.where(y < top, np.exp(-(((y - top) / 105) ** 2)), 0.55 + 0.45 * np.exp(-(((y - top) / 90) ** 2)))
    middle = rng.normal(0, 8)
    return np.asarray(-np.arctan(steepness * height * np.sin(np.clip((x - middle) / 150, -1, 1) * np.pi / 2) * 1.2))


def _outline_arch(rng: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The part of the flow that follows the outline of the tip; none near the crease."""
    radius = rng.uniform(140, 270)
    rise = np.clip((y + 150) / 210, 0, 1)
    rise = rise * rise * (3 - 2 * rise)
    return np.asarray(-np.arctan(x / radius) * rise)


def _bent_angle(rng: np.random.Generator, offset: NDArray[np.complex128]) -> NDArray[np.float64]:
    """The angle at which a singular point is seen, bent piecewise linearly at eight directions."""
    bends = np.clip(rng.normal(0, np.radians(8), 8), -0.3, 0.3)
    angle = np.angle(offset)
    eighths = (angle + np.pi) / (np.pi / 4)
    below = np.floor(eighths).astype(np.int64)
    part = eighths - below
    return np.asarray(angle + bends[below % 8] * (1 - part) + bends[(below + 1) % 8] * part)


def _upright_direction(pattern: Pattern, core: complex) -> float:
    """The direction from a core to the top of its innermost loop, in radians."""
    others = sum(np.angle(core - other) for other in pattern.cores if other != core)
    deltas = sum(np.angle(core - delta) for delta in pattern.deltas)
    return float(others - deltas + np.pi)


def _recurve(offset: NDArray[np.complex128], upright: float) -> NDArray[np.float64]:
    """What makes a loop round at its top and its legs parallel.

    The plain model turns evenly around a core, which draws a pointed loop. In a finger the ridges go
    round like a circle on the upper half (turning twice as fast) and run straight on the lower one.
    Fades with the distance from the core, so that the flow further out stays as it is.
    """
    seen = np.angle(offset * np.exp(-1j * upright))
    round_top = np.clip(2 * seen, -np.pi, np.pi)
    return np.asarray(_ROUNDNESS * (round_top - seen) * np.exp(-np.abs(offset) / _ROUND_REACH_PX))
