"""What two fingers laid over one another say for and against being one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.alignment import Aligned, plane
from matcher.compare.prepared import OUTLINE_NORMALS, Prepared

Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """The few numbers a score is made of, each with its reason.

    share : minutiae matched, as a share of those both impressions should show, times how many; plus agreeing edges.
    information : nats; how surprising the matches are where minutiae are sparse, summed over both sides' logarithms.
    flow : -1 to 1; how well the ridges run alike where nothing matched. Where they do, minutiae meet by chance.
    fewer, more : logarithms of the trusted minutiae of the poorer and of the richer side: more minutiae, more chances.
    matched : how many minutiae lie on one another.
    """

    share: float
    information: float
    flow: float
    fewer: float
    more: float
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
    apart = np.abs(aligned.position[:, None] - two.position)
    return Evidence(
        share=float(np.log1p(share)),
        information=_information(aligned, apart),
        flow=_flow(one, two, aligned, apart, (here, there)),
        fewer=min(total, total_there),
        more=max(total, total_there),
        matched=len(first),
    )


def _inside(position: NDArray[np.complex128], outline: Real) -> NDArray[np.bool_]:
    reach = np.real(position[:, None] * np.conj(OUTLINE_NORMALS))
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
    first = aligned.first
    width = 2 * par.DENSITY_REACH**2
    within = np.abs(aligned.position[:, None] - aligned.position[first])
    here = np.exp(-(within**2) / width).sum(axis=0)
    there = np.exp(-(apart[first] ** 2) / width).sum(axis=1)
    area = par.MATCH_AREA / (np.pi * width)
    return sum(
        float(np.log1p((aligned.closeness * -np.log(-np.expm1(-density * area))).sum())) for density in (here, there)
    )


def _flow(
    one: Prepared,
    two: Prepared,
    aligned: Aligned,
    apart: Real,
    common: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> float:
    """Agreement of each minutia's ridge direction with the other side's around it, matched pairs left out.

    Ridge directions are directions doubled, so that the two ways along a ridge are one.
    """
    near = np.exp(-0.5 * (apart / par.FLOW_REACH) ** 2)
    near[aligned.first, aligned.second] = 0.0
    ridges, ridges_there = aligned.direction**2, two.direction**2
    agree = seen = 0.0
    for weight, own, other, trust, trust_other, inside in (
        (near, ridges, ridges_there, one.reliability, two.reliability, common[0]),
        (near.T, ridges_there, ridges, two.reliability, one.reliability, common[1]),
    ):
        trusted = weight * trust_other
        total = trusted.sum(axis=1)
        scale = trust / (total + par.FLOW_FLOOR)
        agree += float((((trusted @ plane(other)) * plane(own)).sum(axis=1) * scale)[inside].sum())
        seen += float((total * scale)[inside].sum())
    return agree / max(seen, 1.0)
