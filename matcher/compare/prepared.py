"""What a comparison needs of one template, computed once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.descriptors import cylinders
from matcher.compare.reliability import reliability
from matcher.template import Template

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

OUTLINE_NORMALS: Complex = np.exp(2j * np.pi * np.arange(par.OUTLINE_DIRECTIONS) / par.OUTLINE_DIRECTIONS)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prepared:
    """One template as complex arrays: position ``x - iy`` (y up), direction ``exp(i angle)``.

    position, direction : (n,); reliability : (n,) 0 to 1; distance : (n, n) px; bearing : (n, n) unit vectors to each
    neighbour in the minutia's own frame (0 where two coincide); outline : (k,) reach of the finger along
    ``OUTLINE_NORMALS``, px; cylinder : (n, d) float32 unit descriptors.
    """

    position: Complex
    direction: Complex
    reliability: Real
    distance: Real
    bearing: Complex
    outline: Real
    cylinder: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.position.shape[0])

    def wipe(self) -> None:
        """Overwrite every array with zeros; safe to call twice."""
        for values in (
            self.position,
            self.direction,
            self.reliability,
            self.distance,
            self.bearing,
            self.outline,
            self.cylinder,
        ):
            values[...] = 0


def prepare(template: Template) -> Prepared:
    """Reliabilities, pairwise geometry, outline and descriptors of the most reliable minutiae of ``template``.

    Minutiae in a line or on a spot are none: no finger shows that.
    """
    index = _distinct(template)
    position = template.x[index] - 1j * template.y[index]
    trust = reliability(np.abs(position[None, :] - position[:, None]), template.quality[index])
    kept = np.argsort(-trust, kind="stable")[: par.MAX_MINUTIAE]
    kept = np.sort(kept[trust[kept] >= par.LEAST_RELIABILITY])
    if _width(position[kept]) < par.LEAST_WIDTH:
        kept = kept[:0]
    index, position, trust = index[kept], position[kept], trust[kept]
    direction = np.exp(1j * template.angle[index])
    relative = (position[None, :] - position[:, None]) * np.conj(direction)[:, None]
    distance = np.abs(relative)
    bearing = relative / np.maximum(distance, 1e-9)
    if index.size:
        outline = np.max(np.real(position[:, None] * np.conj(OUTLINE_NORMALS)), axis=0)
    else:
        outline = np.zeros(par.OUTLINE_DIRECTIONS)
    turn = direction[None, :] * np.conj(direction)[:, None]
    return Prepared(position, direction, trust, distance, bearing, outline, cylinders(relative, distance, turn, trust))


def _width(position: Complex) -> float:
    """Standard deviation across the longest direction, px: root of the smaller eigenvalue of the covariance.

    With z the deviations from the mean, the eigenvalues are (mean |z|^2 -+ |mean z^2|) / 2.
    """
    if position.size < par.LEAST_MINUTIAE:
        return 0.0
    deviation = position - position.mean()
    smaller = (np.abs(deviation) ** 2).mean() - abs((deviation**2).mean())
    return math.sqrt(max(0.0, float(smaller)) / 2.0)


def _distinct(template: Template) -> NDArray[np.intp]:
    """Indices of the usable minutiae, each once, in an order that does not depend on the template's.

    Two minutiae at the same pixel with the same direction are one: a template gains nothing by repetition.
    """
    usable = np.isfinite(template.x) & np.isfinite(template.y) & np.isfinite(template.angle)
    index = np.flatnonzero(usable & (np.hypot(template.x, template.y) < par.FARTHEST))
    keys = np.round(np.stack([template.x[index], template.y[index], template.angle[index] * 32]))
    order = np.lexsort((np.nan_to_num(-template.quality[index]), keys[2], keys[1], keys[0]))
    index, keys = index[order], keys[:, order]
    if index.size:
        fresh = np.concatenate([[True], np.any(np.diff(keys, axis=1) != 0, axis=0)])
        index = index[fresh]
    if index.size > par.MOST_READ:
        best_first = np.argsort(-np.nan_to_num(template.quality[index], nan=0.0), kind="stable")
        index = index[np.sort(best_first[: par.MOST_READ])]
    return index
