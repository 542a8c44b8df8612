"""From two fingers laid over one another to a raw score."""

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.alignment import Aligned
from matcher.compare.prepared import OUTLINE_NORMALS, Prepared


def raw_score(one: Prepared, two: Prepared, aligned: Aligned) -> float:
    """Share of the minutiae in the common area that match, times how many, plus agreeing edges.

    Notes
    -----
    Only minutiae inside the other finger's outline count against a pair: what lies outside could not be seen.
    """
    first, second = aligned.first, aligned.second
    here = _inside(aligned.position, two.outline)
    there = _inside((two.position - aligned.pose.shift) * np.conj(aligned.pose.turn), one.outline)
    here[first], there[second] = True, True
    seen_here, seen_there = int(here.sum()), int(there.sum())
    matched = float(aligned.closeness.sum())
    share = matched**2 / (max(seen_here, par.OVERLAP_FLOOR) * max(seen_there, par.OVERLAP_FLOOR))
    return share * min(len(first), par.MATCHED_CEILING) + par.EDGE_WEIGHT * _edges(one, two, aligned)


def _inside(position: NDArray[np.complex128], outline: NDArray[np.float64]) -> NDArray[np.bool_]:
    reach = np.real(position[:, None] * np.conj(OUTLINE_NORMALS))
    inside: NDArray[np.bool_] = np.all(reach <= outline + par.OVERLAP_MARGIN, axis=1)
    return inside


def _edges(one: Prepared, two: Prepared, aligned: Aligned) -> float:
    """Soft count of pairs of matched neighbours whose distance and bearing agree."""
    first, second = aligned.first, aligned.second
    lengths = one.distance[first[:, None], first]
    lengths_there = two.distance[second[:, None], second]
    bearing_cos = np.real(one.bearing[first[:, None], first] * np.conj(two.bearing[second[:, None], second]))
    stretched = (lengths - lengths_there) / (par.EDGE_LENGTH_TOLERANCE + par.LENGTH_STRETCH * lengths)
    agree = np.exp(-0.5 * stretched**2 + (bearing_cos - 1.0) / par.BEARING_TOLERANCE**2)
    return float((agree * ((lengths < par.EDGE_REACH) & (lengths > 0))).sum() / 2)
