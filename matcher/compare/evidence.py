"""What two fingers laid over one another say for and against being one."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.alignment import Aligned, squared_distances, trusted_counts
from matcher.compare.prepared import OUTLINE_NORMALS, Prepared, plane

Real = NDArray[np.float64]

_ASIDE = par.ASIDE * np.exp(2j * np.pi * np.arange(par.ASIDE_WAYS) / par.ASIDE_WAYS)


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """The few numbers a score is made of, each with its reason.

    share : minutiae matched, as a share of those both impressions should show, times how many; plus agreeing edges.
    information : nats; how surprising the matches are where minutiae are sparse, summed over both sides' logarithms.
    chance : how much of the one finger still lies on the other when it is moved aside: what the same two densities and
    the same run of ridges give without being one finger. Logarithm of the trusted closeness, the mean of several ways.
    fewer, more : logarithms of the trusted minutiae of the poorer and of the richer side.
    spacing : px; how far apart the minutiae of a side are from their nearest neighbours, the sum of both sides.
    order : -1 to 1; how alike ridges run at neighbouring minutiae of a side, the lesser of both sides.
    matched : how many minutiae lie on one another.
    """

    share: float
    information: float
    chance: float
    fewer: float
    more: float
    spacing: float
    order: float
    matched: int


def weigh(one: Prepared, two: Prepared, aligned: Aligned) -> Evidence:
    """Collect the evidence of an alignment.

    Notes
    -----
    Only minutiae inside the other finger's outline count against a pair: what lies outside could not be seen. With
    T the trusted closeness of the matched minutiae, a and b the trust inside the common area on either side,
    share = T^2 / (a b) min(T, ceiling) + w edges. Logarithms are log(1 + x).
    """
    first, second = aligned.first, aligned.second
    trust = np.sqrt(one.reliability[first] * two.reliability[second])
    matched = float((aligned.closeness * trust).sum())
    here = _inside(aligned.position, two.outline)
    there = _inside((two.position - aligned.pose.shift) * np.conj(aligned.pose.turn), one.outline)
    here[first], there[second] = True, True
    common = max(one.reliability[here].sum(), par.COMMON_FLOOR) * max(two.reliability[there].sum(), par.COMMON_FLOOR)
    share = matched**2 / common * min(matched, par.MATCHED_CEILING) + par.EDGE_WEIGHT * _edges(one, two, aligned)
    total, total_there = float(np.log1p(one.reliability.sum())), float(np.log1p(two.reliability.sum()))
    apart = squared_distances(aligned.position[first], two.position)
    return Evidence(
        share=float(np.log1p(share)),
        information=_information(aligned, apart),
        chance=_chance(one, two, aligned),
        fewer=min(total, total_there),
        more=max(total, total_there),
        spacing=one.spacing + two.spacing,
        order=min(one.order, two.order),
        matched=len(first),
    )


def _inside(position: NDArray[np.complex128], outline: Real) -> NDArray[np.bool_]:
    reach = plane(position) @ plane(OUTLINE_NORMALS).T
    inside: NDArray[np.bool_] = np.all(reach <= outline + par.OUTLINE_MARGIN, axis=1)
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


def _information(aligned: Aligned, apart: Real) -> float:
    """Sum over both sides of log(1 + sum of closeness x -log of the chance that a stranger's minutia lies there).

    The chance is 1 - exp(-density x area a match may lie in), the density of the other side round the minutia.
    """
    width = 2 * par.DENSITY_REACH**2
    within = squared_distances(aligned.position[aligned.first], aligned.position)
    here, there = (np.exp(squared * (-1.0 / width)).sum(axis=1) for squared in (within, apart))
    area = par.MATCH_AREA / (np.pi * width)
    return sum(
        float(np.log1p((aligned.closeness * -np.log(-np.expm1(-density * area))).sum())) for density in (here, there)
    )


def _chance(one: Prepared, two: Prepared, aligned: Aligned) -> float:
    """What is left of the alignment with the first finger moved aside, the mean over ``ASIDE_WAYS`` ways."""
    left = trusted_counts(one, two, aligned.position + _ASIDE[:, None], aligned.direction[None, :])
    return max(math.log1p(float(left.mean())), par.CHANCE_FLOOR)
