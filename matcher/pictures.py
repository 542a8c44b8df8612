"""Pictures of what the matcher saw, for technicians and documents. They show a finger: never made in production."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.compare.alignment import Aligned, best_pose, follow_skin, seed_poses
from matcher.compare.pairing import candidate_pairs
from matcher.compare.parameters import LEAST_MINUTIAE
from matcher.compare.prepared import Prepared, prepare
from matcher.drawing import Colour, Drawing
from matcher.quality import assess_quality
from matcher.template import BIFURCATION, ENDING, OTHER, Template

Pixels = NDArray[np.uint8]

COLOURS: Final[dict[int, Colour]] = {ENDING: (215, 40, 40), BIFURCATION: (20, 110, 220), OTHER: (40, 150, 40)}
PAIR: Final[Colour] = (30, 150, 60)
LAID_OVER: Final[Colour] = (230, 120, 20)
RING: Final = 3.0
"""px at 500 dpi."""
TAIL: Final = 12.0
"""px at 500 dpi: a little more than a ridge period, so that the direction is seen."""
ENLARGE: Final = 2.0
GAP: Final = 24


def minutiae_picture(pixels: Pixels, dpi: float, template: Template) -> Drawing:
    """The finger, greyed, with a ring and a tail along its direction for each minutia; endings red, forks blue.

    pixels : (H, W) uint8 at ``dpi``; the drawing has twice its size at 500 dpi.
    """
    ground = _greyed(pixels, dpi)
    drawing = Drawing(ground.shape[1], ground.shape[0])
    drawing.image(0, 0, ground)
    _minutiae(drawing, template)
    return drawing


def quality_picture(pixels: Pixels, dpi: float) -> Drawing:
    """The finger coloured by how clear its ridges are: green clear, red not, uncoloured where nothing is."""
    clarity: list[NDArray[np.float64]] = []
    assess_quality(pixels, dpi, lambda name, value: clarity.append(np.array(value, np.float64)))
    ground = _greyed(pixels, dpi)
    size = (ground.shape[1], ground.shape[0])
    clear = np.asarray(cv2.resize(clarity[0], size, interpolation=cv2.INTER_LINEAR))[:, :, None]
    tint = np.concatenate([255 * (1 - clear), 255 * clear, 60 + 0 * clear], axis=2)
    seen = np.where(clear > 0, 0.35, 0.0)
    drawing = Drawing(*size)
    drawing.image(0, 0, (ground[:, :, None] * (1 - seen) + tint * seen).astype(np.uint8))
    return drawing


def pairs_picture(
    probe: Template, gallery: Template, probe_ground: Pixels | None = None, gallery_ground: Pixels | None = None
) -> Drawing:
    """Probe on the left, gallery on the right, a green line between minutiae laid on one another.

    In orange on the gallery: where each matched probe minutia comes to lie, skin distortion taken out.
    The grounds are pictures at 500 dpi; without one the minutiae stand on white.
    """
    left, right = prepare(probe), prepare(gallery)
    grounds = [
        _blank(template) if ground is None else _greyed(ground, 500.0)
        for template, ground in ((probe, probe_ground), (gallery, gallery_ground))
    ]
    shift = grounds[0].shape[1] + GAP
    drawing = Drawing(shift + grounds[1].shape[1], max(ground.shape[0] for ground in grounds))
    drawing.image(0, 0, grounds[0])
    drawing.image(shift, 0, grounds[1])
    _minutiae(drawing, probe)
    _minutiae(drawing, gallery, shift)
    aligned = _aligned(left, right)
    if aligned is not None:
        for one, two in zip(aligned.first, aligned.second, strict=True):
            start, end = _place(left.position[one]), _place(right.position[two], shift)
            drawing.line(start, end, PAIR)
            drawing.ring(*_place(aligned.position[one], shift), RING * ENLARGE / 2, LAID_OVER)
    return drawing


def _aligned(left: Prepared, right: Prepared) -> Aligned | None:
    if min(len(left), len(right)) < LEAST_MINUTIAE:
        return None
    pose, fit = best_pose(left, right, seed_poses(left, right, candidate_pairs(left, right)))
    return follow_skin(left, right, pose, fit)


def _place(position: complex, shift: float = 0.0) -> tuple[float, float]:
    """On the drawing, of a position in the comparison's own coordinates (y up)."""
    return shift + (position.real + 0.5) * ENLARGE, (0.5 - position.imag) * ENLARGE


def _minutiae(drawing: Drawing, template: Template, shift: float = 0.0) -> None:
    for x, y, angle, kind in zip(template.x, template.y, template.angle, template.kind, strict=True):
        column, row = shift + (x + 0.5) * ENLARGE, (y + 0.5) * ENLARGE
        tip = (column + TAIL * ENLARGE * np.cos(angle), row - TAIL * ENLARGE * np.sin(angle))
        drawing.line((column, row), tip, COLOURS[int(kind)])
        drawing.ring(column, row, RING * ENLARGE, COLOURS[int(kind)])


def _greyed(pixels: Pixels, dpi: float) -> Pixels:
    """Twice its size at 500 dpi, pale, so that colours are seen on it."""
    factor = ENLARGE * 500.0 / dpi
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    grey = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC), np.float32)
    return (127 + grey / 2).astype(np.uint8)


def _blank(template: Template) -> Pixels:
    """White, as large as the minutiae reach; a record's own image size is often zero."""
    reach = [max(float(values.max(initial=0.0)), 100.0) + 20 for values in (template.x, template.y)]
    width, height = (round(min(side, 2000.0) * ENLARGE) for side in reach)
    return np.full((height, width), 255, np.uint8)
