"""Touches that go wrong, by name: what a quality check must recognise and an operator must hear about."""

import dataclasses
import enum

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.condition import Condition
from drivers.scanner.synthetic.impression import take_impression
from drivers.scanner.synthetic.skin import Skin
from drivers.scanner.synthetic.smooth_field import smooth_field


class Fault(enum.Enum):
    """One planted fault; everything else about the touch stays natural."""

    DRY = "dry"
    WET = "wet"
    SMALL = "small"
    """Only the tip or a corner touches."""
    SHIFTED = "shifted"
    """The finger lies half beside the glass."""
    SMEARED = "smeared"
    """It slid while the picture was taken."""
    GHOST = "ghost"
    """No finger: the grease of the last one is still on the glass."""
    NOT_A_FINGER = "not_a_finger"
    """Cloth, an edge of something, bare dirty glass, skin without ridges."""


def take_faulty_impression(
    rng: np.random.Generator, skin: Skin, condition: Condition, fault: Fault, shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Picture a touch with one fault; arguments and result as for :func:`take_impression`."""
    if fault is Fault.NOT_A_FINGER:
        return _not_a_finger(rng, shape)
    if fault is Fault.GHOST:
        return _ghost(rng, take_impression(rng, skin, dataclasses.replace(condition, dirt=0.0, noise=0.0), shape))
    return take_impression(rng, skin, _spoilt(rng, condition, fault, shape), shape)


def _spoilt(rng: np.random.Generator, condition: Condition, fault: Fault, shape: tuple[int, int]) -> Condition:
    """The same touch with the fault in it."""
    if fault is Fault.DRY:
        return dataclasses.replace(
            condition, dryness=float(rng.uniform(1.05, 1.35)), wetness=0.0, pressure=float(rng.uniform(-0.9, -0.4))
        )
    if fault is Fault.WET:
        return dataclasses.replace(
            condition, dryness=0.0, wetness=float(rng.uniform(0.9, 1.15)), pressure=float(rng.uniform(0.5, 1.0))
        )
    if fault is Fault.SMALL:
        return dataclasses.replace(
            condition,
            area=float(rng.uniform(0.38, 0.5)),
            roll_px=(float(rng.normal(0, 22)), float(rng.uniform(-40, 90))),
        )
    if fault is Fault.SHIFTED:
        height, width = shape
        # So far that the glass ends near the pad's middle; sideways more often than up or down.
        sideways = rng.random() < 0.6
        sign = -1 if rng.random() < 0.5 else 1
        far = (width if sideways else height) * float(rng.uniform(0.42, 0.52)) * sign
        other = float(rng.normal(0, 20))
        return dataclasses.replace(condition, shift_px=(far, other) if sideways else (other, far))
    if fault is Fault.SMEARED:
        return dataclasses.replace(condition, slide_px=float(rng.uniform(14, 28)))
    raise ValueError(f"{fault} is not a matter of how the finger touches")


def _ghost(rng: np.random.Generator, touch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a touch leaves behind: the same ridges, pale, in patches, grease also in between."""
    shape = (touch.shape[0], touch.shape[1])
    left = cv2.GaussianBlur(255.0 - touch.astype(np.float32), (0, 0), 1.1)
    patches = np.clip(0.55 + 0.5 * smooth_field(rng, shape, 45.0), 0, 1.2)
    grease = 9 * np.clip(smooth_field(rng, shape, 60.0), 0, None)
    light = 247 - left * patches * float(rng.uniform(0.1, 0.2)) - grease
    noisy = light + rng.uniform(1.5, 3.5) * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(np.clip(np.round(noisy), 0, 255), dtype=np.uint8)


def _not_a_finger(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """One of four things that lie on scanners besides fingers."""
    thing = rng.choice(["glass", "cloth", "edge", "skin"])
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    if thing == "glass":
        dark = 0.04 * np.clip(smooth_field(rng, shape, 70.0), 0, None)
        dark = dark + 0.25 * (smooth_field(rng, shape, 3.0) > 3.2)
    elif thing == "cloth":
        turn = rng.uniform(0, np.pi)
        along = column * np.cos(turn) + row * np.sin(turn) + 1.5 * smooth_field(rng, shape, 40.0)
        across = row * np.cos(turn) - column * np.sin(turn) + 1.5 * smooth_field(rng, shape, 40.0)
        thread = rng.uniform(7, 16)
        weave = np.sin(2 * np.pi * along / thread) * np.sin(2 * np.pi * across / thread)
        dark = 0.45 + 0.3 * weave + 0.12 * smooth_field(rng, shape, 2.0)
    elif thing == "edge":
        turn = rng.uniform(0, 2 * np.pi)
        beyond = (column - shape[1] / 2) * np.cos(turn) + (row - shape[0] / 2) * np.sin(turn) + rng.normal(0, 40)
        dark = rng.uniform(0.4, 0.9) / (1 + np.exp(-beyond / 2)) + 0.03 * smooth_field(rng, shape, 5.0)
    else:
        reach = ((column - shape[1] / 2) / 140) ** 2 + ((row - shape[0] / 2) / 170) ** 2
        dark = 0.6 / (1 + np.exp((reach - 0.8 + 0.2 * smooth_field(rng, shape, 50.0)) * 12))
        dark = dark * (1 + 0.18 * smooth_field(rng, shape, 16.0) + 0.1 * smooth_field(rng, shape, 3.0))
    light = 248 * (1 - np.clip(dark, 0, 1)) + 3 * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(np.clip(np.round(light), 0, 255), dtype=np.uint8)
