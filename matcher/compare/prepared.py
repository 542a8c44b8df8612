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
    neighbour in the minutia's own frame (0 where two coincide); spacing : px, mean distance to the nearest
    neighbour; order : -1 to 1, how alike ridges run at neighbours; outline : (k,) reach of the finger along
    ``OUTLINE_NORMALS``, px; cylinder : (n, d) float32 unit descriptors.
    """

    position: Complex
    direction: Complex
    reliability: Real
    distance: NDArray[np.float32]
    bearing: NDArray[np.complex64]
    spacing: float
    order: float
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

    Minutiae in a line or on a spot, evenly spaced, or all one way, are none: no finger shows that.
    """
    index = _distinct(template)
    position = template.x[index] - 1j * template.y[index]
    distance = np.abs(position[None, :] - position[:, None])
    trust = reliability(distance, template.quality[index])
    kept = np.argsort(-trust, kind="stable")[: par.MAX_MINUTIAE]
    kept = np.sort(kept[trust[kept] >= par.LEAST_RELIABILITY])
    direction = np.exp(1j * template.angle[index])
    position, direction, trust, distance = position[kept], direction[kept], trust[kept], distance[np.ix_(kept, kept)]
    nearest = _nearest(distance)
    if not _like_a_finger(position, direction, nearest):
        kept = kept[:0]
        position, direction, trust, distance = position[:0], direction[:0], trust[:0], distance[:0, :0]
    least, most = par.SPACING_RANGE
    frame = np.conj(direction)[:, None]
    relative = (position[None, :] - position[:, None]) * frame
    if kept.size:
        outline = (plane(position) @ plane(OUTLINE_NORMALS).T).max(axis=0)
    else:
        outline = np.zeros(par.OUTLINE_DIRECTIONS)
    bearing = relative * (1.0 / np.maximum(distance, 1e-9))  # dividing complex numbers takes four times as long
    return Prepared(
        position,
        direction,
        trust,
        distance.astype(np.float32),
        bearing.astype(np.complex64),
        spacing=min(max(float(nearest.mean()), least), most) if kept.size else 0.0,
        order=_order(distance, direction, trust),
        outline=outline,
        cylinder=cylinders(relative, distance, direction * frame, trust),
    )


def plane(points: Complex) -> Real:
    """Complex numbers as rows of two reals: products of them stay small enough for one thread."""
    return np.ascontiguousarray(points).view(np.float64).reshape(-1, 2)


def _nearest(distance: Real) -> Real:
    """Distance of each minutia to its nearest neighbour, px."""
    apart = distance.copy()
    np.fill_diagonal(apart, np.inf)
    nearest: Real = apart.min(axis=1, initial=np.inf)
    return nearest


def _like_a_finger(position: Complex, direction: Complex, nearest: Real) -> bool:
    """Neither in a line, nor evenly spaced, nor all one way."""
    if _width(position) < par.LEAST_WIDTH:
        return False
    if len(position) < par.REGULAR_FROM:
        return True
    regular = float(nearest.std()) < par.LEAST_IRREGULARITY * float(nearest.mean())
    return not regular and abs((direction**2).mean()) < par.MOST_PARALLEL


def _order(distance: Real, direction: Complex, trust: Real) -> float:
    """How alike ridges run at neighbouring minutiae: mean cosine of the doubled angle between them, by trust."""
    near = np.exp(distance**2 * (-0.5 / par.ORDER_REACH**2))
    np.fill_diagonal(near, 0.0)
    ridges = plane(direction**2) * trust[:, None]
    agree = (ridges * (near @ ridges)).sum()
    return float(agree / max(float(trust @ near @ trust), 1e-9))


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
