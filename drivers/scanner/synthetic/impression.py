"""What a scanner sees of a touch: skin laid on glass, pressed, more or less moist, and photographed."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.condition import Condition
from drivers.scanner.synthetic.skin import MIDDLE, Skin
from drivers.scanner.synthetic.smooth_field import smooth_field

_WHITE = 250.0
"""Grey of the clean glass."""


def take_impression(
    rng: np.random.Generator, skin: Skin, condition: Condition, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Picture one touch.

    Parameters
    ----------
    rng : everything accidental in this touch that ``condition`` leaves open.
    shape : (H, W) of the glass in pixels at 500 dpi.

    Returns
    -------
    pixels : (H, W) uint8, ridges dark on light.
    """
    x, y = _finger_coordinates(rng, condition, shape)
    way = _way_of_the_slide(rng, condition)
    contact = _contact(rng, skin, condition, x, y)
    ink = np.zeros(shape, dtype=np.float32)
    for dx, dy in way:
        ink += _ink(skin, condition, contact, _Laid(x + dx, y + dy))
    ink /= len(way)
    return _photograph(rng, ink, condition)


class _Laid(NamedTuple):
    """The point of the skin that lies on each pixel: (H, W) float32 each, px from the pad's middle, y up."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]


class _Contact(NamedTuple):
    """How the skin meets the glass.

    firmness : (H, W) float32, 1 in the middle, 0 where the skin just leaves the glass, then negative.
    roughness : (H, W) float32, what moisture adds to or takes from the relief.
    """

    firmness: NDArray[np.float32]
    roughness: NDArray[np.float32]


def _finger_coordinates(
    rng: np.random.Generator, condition: Condition, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For every pixel of the glass the point of the skin that lies there: x, y in px, y up.

    The skin distorts as in Cappelli, Maio, Maltoni, "Modelling plastic distortion in fingerprint
    images", ICAPR 2001: the middle sticks to the glass, the skin around it is dragged and twisted the
    more, the further out it lies.
    """
    height, width = shape
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    right = column - (width - 1) / 2 - condition.shift_px[0]
    up = (height - 1) / 2 - row - condition.shift_px[1]
    angle = np.radians(condition.rotation_deg)
    x = right * np.cos(angle) + up * np.sin(angle)
    y = up * np.cos(angle) - right * np.sin(angle)

    sticking = np.hypot((x - condition.roll_px[0]) / 45, (y - condition.roll_px[1]) / 60)
    give = np.clip(sticking - 1, 0, 2) / 2
    give = (1 - np.cos(np.pi * give)) / 2
    twist = np.radians(condition.torsion_deg) * give
    x, y = x - twist * y, y + twist * x
    uneven = condition.unevenness_px
    x = x - condition.traction_px[0] * give + uneven * smooth_field(rng, shape, 60.0)
    y = y - condition.traction_px[1] * give + uneven * smooth_field(rng, shape, 60.0)
    return x.astype(np.float32), y.astype(np.float32)


def _way_of_the_slide(rng: np.random.Generator, condition: Condition) -> list[tuple[float, float]]:
    """Where the finger was while the picture was taken: one point unless it slid."""
    direction = rng.uniform(0, 2 * np.pi)
    if condition.slide_px < 1:
        return [(0.0, 0.0)]
    steps = max(int(condition.slide_px / 1.5), 2)
    along = np.linspace(-0.5, 0.5, steps) * condition.slide_px
    return [(float(s * np.cos(direction)), float(s * np.sin(direction))) for s in along]


def _contact(
    rng: np.random.Generator, skin: Skin, condition: Condition, x: NDArray[np.float32], y: NDArray[np.float32]
) -> _Contact:
    """Press the pad on the glass: firm in the middle, rough where dry, flooded where wet."""
    shape = (x.shape[0], x.shape[1])
    across = (x - condition.roll_px[0]) / (skin.half_width * condition.area)
    # The pad reaches further down than up: the tip curves away.
    along = (y - condition.roll_px[1]) / (skin.half_height * condition.area)
    reach = np.abs(across) ** 2.3 + np.abs(along + 0.12) ** 2.3
    firmness = 1 - reach + 0.07 * smooth_field(rng, shape, 45.0)

    grain = 0.62 * smooth_field(rng, shape, 2.1) + 0.38 * smooth_field(rng, shape, 4.5)
    # A slightly dry finger is dry in places, a really dry one everywhere.
    least = 0.1 + 0.6 * float(np.clip(condition.dryness - 0.6, 0, 1))
    patches = np.clip(0.75 + 0.45 * smooth_field(rng, shape, 38.0), least, 2.0)
    roughness = grain * (0.10 + 0.95 * condition.dryness) * patches
    flooded = np.clip(smooth_field(rng, shape, 24.0) + 0.4, 0, 2.2)
    roughness = roughness - 0.85 * condition.dryness * patches * 0.6 + condition.wetness * (0.55 + 0.55 * flooded)
    return _Contact(firmness.astype(np.float32), roughness.astype(np.float32))


def _ink(skin: Skin, condition: Condition, contact: _Contact, at: _Laid) -> NDArray[np.float32]:
    """How dark each point is, 0 to 1: skin touches where its relief reaches the glass."""
    columns, rows = at.x + MIDDLE[1], MIDDLE[0] - at.y

    def laid(surface: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.remap(surface, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))

    relief = np.asarray(cv2.remap(skin.relief, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))
    lost = laid(skin.pores) * (0.55 + 0.4 * condition.dryness - 0.5 * condition.wetness) + 2.2 * laid(skin.creases)
    # Pressed lightly, only the tops touch; at the rim of the pad the glass is out of reach.
    pressed = np.clip(contact.firmness, -1, 1)
    level = relief + contact.roughness - lost + 0.42 * condition.pressure + 0.55 * np.minimum(pressed - 0.45, 0.35)
    level = level - 3.0 * np.maximum(0.12 - pressed, 0)
    return np.asarray(1 / (1 + np.exp(-level / 0.17)), dtype=np.float32)


def _photograph(rng: np.random.Generator, ink: NDArray[np.float32], condition: Condition) -> NDArray[np.uint8]:
    """Glass with its dirt, lens, sensor noise."""
    shape = (ink.shape[0], ink.shape[1])
    seen = ink * (0.86 + 0.09 * smooth_field(rng, shape, 55.0)) * condition.contrast
    glass = np.zeros(shape, dtype=np.float32)
    for _ in range(int(rng.poisson(condition.dirt))):
        _add_dirt(rng, glass)
    dark = np.maximum(seen, 0.35 * glass)
    blurred = cv2.GaussianBlur(dark.astype(np.float32), (0, 0), 0.7)
    light = _WHITE * (1 - blurred) + 2.0 * smooth_field(rng, shape, 120.0)
    noisy = light + condition.noise * rng.standard_normal(shape, dtype=np.float32) * (0.35 + 0.65 * blurred)
    return np.asarray(np.clip(np.round(noisy), 0, 255), dtype=np.uint8)


def _add_dirt(rng: np.random.Generator, glass: NDArray[np.float32]) -> None:
    """A speck, or now and then a hair."""
    height, width = glass.shape
    at = np.array([rng.uniform(0, width), rng.uniform(0, height)])
    if rng.random() < 0.85:
        cv2.circle(glass, (int(at[0]), int(at[1])), int(rng.integers(1, 3)), float(rng.uniform(0.3, 1.0)), -1)
        return
    bend = np.cumsum(rng.normal(0, 0.25, 12)) + rng.uniform(0, 2 * np.pi)
    hair = at + np.cumsum(np.stack([np.cos(bend), np.sin(bend)], axis=1) * 4, axis=0)
    cv2.polylines(glass, [np.round(hair * 8).astype(np.int32)], False, 0.5, 1, cv2.LINE_8, shift=3)
