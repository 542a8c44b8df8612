"""What a comparison needs of one template, computed once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.descriptors import cylinders
from matcher.template import Template

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

OUTLINE_NORMALS: Complex = np.exp(2j * np.pi * np.arange(par.OUTLINE_DIRECTIONS) / par.OUTLINE_DIRECTIONS)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Prepared:
    """One template as complex arrays: position ``x - iy`` (y up), direction ``exp(i angle)``.

    position, direction : (n,); distance : (n, n) px; bearing : (n, n) unit vectors to each neighbour in the
    minutia's own frame (0 where two coincide); outline : (k,) reach of the finger along ``OUTLINE_NORMALS``, px;
    cylinder : (n, d) float32 unit descriptors.
    """

    position: Complex
    direction: Complex
    distance: Real
    bearing: Complex
    outline: Real
    cylinder: NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.position.shape[0])

    def wipe(self) -> None:
        """Overwrite every array with zeros; safe to call twice."""
        for values in (self.position, self.direction, self.distance, self.bearing, self.outline, self.cylinder):
            values[...] = 0


def prepare(template: Template) -> Prepared:
    """Positions, pairwise geometry, outline and descriptors of the best minutiae of ``template``."""
    chosen = _best(template, par.MAX_MINUTIAE)
    position = template.x[chosen] - 1j * template.y[chosen]
    direction = np.exp(1j * template.angle[chosen])
    relative = (position[None, :] - position[:, None]) * np.conj(direction)[:, None]
    distance = np.abs(relative)
    bearing = relative / np.maximum(distance, 1e-9)
    if len(position):
        outline = np.max(np.real(position[:, None] * np.conj(OUTLINE_NORMALS)), axis=0)
    else:
        outline = np.zeros(par.OUTLINE_DIRECTIONS)
    cylinder = cylinders(relative, direction[None, :] * np.conj(direction)[:, None])
    return Prepared(position, direction, distance, bearing, outline, cylinder)


def _best(template: Template, limit: int) -> NDArray[np.intp]:
    """Up to ``limit`` distinct minutiae: best quality first, then nearest the middle; in a canonical order.

    Two minutiae at the same place with the same direction are one: a template gains nothing by repetition.
    """
    usable = np.isfinite(template.x) & np.isfinite(template.y) & np.isfinite(template.angle)
    index = np.flatnonzero(usable)
    if not index.size:
        return index
    keys = np.round(np.stack([template.x[index], template.y[index], template.angle[index] * 64]), 0)
    _, first = np.unique(keys, axis=1, return_index=True)
    index = index[first]
    if index.size > limit:
        quality = np.nan_to_num(template.quality[index], nan=-1.0)
        middle_x, middle_y = np.median(template.x[index]), np.median(template.y[index])
        off_centre = np.hypot(template.x[index] - middle_x, template.y[index] - middle_y)
        index = index[np.sort(np.lexsort((off_centre, -quality))[:limit])]
    return index
