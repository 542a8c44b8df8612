"""How well a finger lies on the glass, and what the member can do about it. Fast enough for every frame."""

import enum
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher import quality_parameters as par
from matcher.extract.pipeline import checked, wipe_copies
from matcher.extract.polarity import dark_ridges
from matcher.extract.resample import resampled
from matcher.extract.segment import finger_mask
from matcher.quality_maps import CellMaps, cell_maps, ridge_cells
from matcher.tracing import Trace, silent

CELL_CM2 = (par.CELL / 500 * 2.54) ** 2


class QualityReason(enum.Enum):
    """What is wrong with a touch, most hindering first; the values are stable names."""

    NOT_A_FINGER = "not_a_finger"
    """Nothing on the glass, or something without ridges."""
    GHOST = "ghost"
    """Only the grease of an earlier finger."""
    TOO_WET = "too_wet"
    SMEARED = "smeared"
    """The finger slid."""
    OFF_CENTRE = "off_centre"
    """It lies half beside the glass."""
    TOO_SMALL = "too_small"
    """Only a tip or corner touches."""
    TOO_DRY = "too_dry"


@dataclass(frozen=True, slots=True)
class Quality:
    """What a picture of a finger is worth.

    value : 0 to 100; the lower, the likelier a comparison with the same finger fails.
    reasons : what could be better, the most hindering first; empty for a good touch.
    """

    value: float
    reasons: tuple[QualityReason, ...]


@dataclass(frozen=True, slots=True)
class Touch:
    """A touch in a dozen numbers; see ``quality_parameters`` for what each is like on good and bad fingers."""

    lively_area: float
    """cm2"""
    ridge_area: float
    """cm2"""
    ridges: float
    """share of the lively area"""
    solid: float
    """lively area over its convex hull's"""
    depth: float
    """grey levels from the background to the darkest ridges"""
    coherence: float
    """median"""
    mean_coherence: float
    duty: float
    """median"""
    thin: float
    """share of cells with little ridge"""
    full: float
    """share of cells run full"""
    contrast: float
    """median amplitude over median shade"""
    spread: float
    """amplitude of strong cells over weak ones"""
    by_direction: float
    """how much the logarithm of amplitude goes with ridge direction: size of its second harmonic"""
    off_centre: float
    """share of a side, towards a border that cuts the contact"""


def assess_quality(pixels: NDArray[np.uint8], dpi: float, trace: Trace = silent) -> Quality:
    """Judge one picture.

    Parameters
    ----------
    pixels : (H, W) uint8
        Grey picture, any polarity.
    dpi : float
        250 to 1100.
    trace : Trace
        Receives ``clarity`` (rows, columns): 0 to 1 for each cell of 8 px, 0 where there are no ridges.

    Raises
    ------
    UnusableImageError
        As :func:`matcher.extract`.
    """
    checked(pixels, dpi)
    sampled = resampled(pixels, dpi)
    mask = finger_mask(sampled)
    image = dark_ridges(sampled, mask)
    maps = cell_maps(image, mask)
    wipe_copies(pixels, sampled, image)
    ridges = ridge_cells(maps)
    trace("clarity", np.where(ridges, maps.coherence * (1 - np.clip(2 * np.abs(maps.duty - 0.45), 0, 1)), 0))
    if maps.lively.sum() * CELL_CM2 < par.NOTHING_AREA:
        return Quality(0.0, (QualityReason.NOT_A_FINGER,))
    touch = measured(maps, ridges)
    reasons = tuple(reasons_for(touch))
    value = value_of(touch)
    for reason in reasons:
        value = min(value, par.VALUE_CAPS.get(reason.value, 100.0))
    return Quality(value, reasons)


def measured(maps: CellMaps, ridges: NDArray[np.bool_]) -> Touch:
    """The touch's numbers; ``maps`` must have a lively cell."""
    lively = maps.lively
    amplitude = maps.amplitude[lively]
    shade = maps.background - float(np.median(maps.mean[lively]))
    strong, weak = np.percentile(amplitude, [90, 25])
    return Touch(
        lively_area=float(lively.sum() * CELL_CM2),
        ridge_area=float(ridges.sum() * CELL_CM2),
        ridges=float(ridges.sum() / lively.sum()),
        solid=_solid(lively),
        depth=maps.background - float(np.percentile(maps.darkest[lively], 10)),
        coherence=float(np.median(maps.coherence[lively])),
        mean_coherence=float(maps.coherence[lively].mean()),
        duty=float(np.median(maps.duty[lively])),
        thin=float((maps.duty[lively] < par.DRY_DUTY).mean()),
        full=float((maps.duty[lively] > par.WET_CELL_DUTY).mean()),
        contrast=float(np.median(amplitude)) / max(shade, 1.0),
        spread=float(strong / max(weak, 0.5)),
        by_direction=_by_direction(amplitude, maps.direction[lively]),
        off_centre=_off_centre(lively),
    )


def _solid(lively: NDArray[np.bool_]) -> float:
    """Lively cells over the cells their convex hull covers; at most 1."""
    corners = cv2.convexHull(np.argwhere(lively)[:, ::-1].astype(np.float32))
    filled = np.zeros(lively.shape, np.uint8)
    cv2.fillConvexPoly(filled, corners.astype(np.int32), 1)
    return float(lively.sum() / max(int(filled.sum()), 1))


def _by_direction(amplitude: NDArray[np.float32], direction: NDArray[np.float32]) -> float:
    """Size of (b, c) in the least squares fit ``log amplitude = a + b cos 2 direction + c sin 2 direction``."""
    terms = np.stack([np.ones_like(direction), np.cos(2 * direction), np.sin(2 * direction)], axis=1)
    if len(terms) < 3:
        return 0.0
    found, *_ = np.linalg.lstsq(terms.astype(np.float64), np.log(amplitude + 1.0), rcond=None)
    return float(np.hypot(found[1], found[2]))


def _off_centre(lively: NDArray[np.bool_]) -> float:
    """How far the contact's middle lies towards a border that cuts it, as a share of the picture's side."""
    rows, columns = np.nonzero(lively)
    height, width = lively.shape
    right, down = (columns.mean() + 0.5) / width - 0.5, (rows.mean() + 0.5) / height - 0.5
    towards = {
        -right: lively[:, :2].any(axis=1).mean(),
        right: lively[:, -2:].any(axis=1).mean(),
        -down: lively[:2].any(axis=0).mean(),
        down: lively[-2:].any(axis=0).mean(),
    }
    return float(max([shift for shift, cut in towards.items() if cut > par.OFF_CENTRE_CUT], default=0.0))


def reasons_for(touch: Touch) -> list[QualityReason]:
    """What is wrong with it; the first two exclude all others."""
    pale = touch.depth < (par.GHOST_DEPTH if touch.solid < par.GHOST_SOLID else par.GHOST_SURE_DEPTH)
    if pale and touch.ridges > par.GHOST_RIDGES:
        return [QualityReason.GHOST]
    blob = touch.ridges < par.BLOB_RIDGES and touch.contrast < par.BLOB_CONTRAST
    if touch.ridges < par.FINGER_RIDGES or blob:
        return [QualityReason.NOT_A_FINGER]
    slid = (
        touch.spread
        + par.SMEAR_BY_DIRECTION * touch.by_direction
        + par.SMEAR_BY_BLUR * max(0.0, 0.5 - touch.coherence)
        + par.SMEAR_BY_PALENESS * max(0.0, 0.2 - touch.contrast)
    )
    slid_along = touch.by_direction > par.SMEAR_ALONG[0] and touch.spread > par.SMEAR_ALONG[1]
    found = {
        QualityReason.TOO_WET: touch.duty > par.WET_DUTY,
        QualityReason.SMEARED: (slid_along and touch.lively_area > par.SMALL_AREA)
        or (
            touch.contrast < par.SMEAR_CONTRAST
            and slid > par.SMEAR_SPREAD
            and (touch.coherence < par.SMEAR_COHERENCE or touch.spread > par.SMEAR_SURE)
            and par.SMEAR_DUTY[0] < touch.duty < par.SMEAR_DUTY[1]
        ),
        QualityReason.OFF_CENTRE: touch.off_centre > par.OFF_CENTRE_SHIFT,
        QualityReason.TOO_SMALL: touch.lively_area < par.SMALL_AREA,
        QualityReason.TOO_DRY: touch.thin > par.DRY_THIN and touch.coherence < par.DRY_COHERENCE,
    }
    return [reason for reason, holds in found.items() if holds]


def value_of(touch: Touch) -> float:
    """0 to 100 by a logistic curve over area, coherence, share of ridges and share run full."""
    total = (
        par.VALUE_AREA * np.log(touch.ridge_area + 0.1)
        + par.VALUE_COHERENCE * touch.mean_coherence
        + par.VALUE_RIDGES * touch.ridges
        - par.VALUE_FULL * touch.full
    )
    return float(100 / (1 + np.exp(-(total - par.VALUE_MIDDLE) / par.VALUE_WIDTH)))
