"""Which minutia of one finger may be which of the other, and which such pairs agree with each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.prepared import Prepared

Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Candidates:
    """first, second : (k,) indices into the two templates; agreement : (k, k) 0 to 1; weight : (k,) 0 to 1."""

    first: Index
    second: Index
    agreement: NDArray[np.float64]
    weight: NDArray[np.float64]


def candidate_pairs(one: Prepared, two: Prepared) -> Candidates:
    """The pairs with the most similar surroundings, weighted by how well they agree with one another.

    Notes
    -----
    Agreement of the pairs (i, j) and (k, l): Gaussian in the difference of the distances i-k and j-l, and in the
    differences of the bearings i to k against j to l and k to i against l to j. The weight is what remains of the
    similarity after a few rounds of w <- w (own + agreement w), after the relaxation of MCC.
    """
    similarity = _similarity(one, two)
    similarity *= np.sqrt(np.outer(one.reliability, two.reliability))
    similarity[np.real(np.conj(one.direction)[:, None] * two.direction) <= par.MAX_TURN_COS] = 0.0
    flat = similarity.ravel()
    count = min(par.CANDIDATES, flat.size)
    chosen = np.sort(np.argpartition(-flat, count - 1)[:count])
    first, second = np.divmod(chosen, len(two))
    agreement = _agreement(one, two, first, second)
    weight = flat[chosen].astype(np.float64)
    floor = par.RELAXATION_OWN * weight.max()
    for _ in range(par.RELAXATIONS):
        weight = weight * (floor + agreement @ weight)
        weight = weight / (weight.max() + 1e-12)
    return Candidates(first, second, agreement, weight)


def _similarity(one: Prepared, two: Prepared) -> NDArray[np.float32]:
    """Product of the descriptors, a few rows at a time.

    Above some size the matrix library starts threads, which cost ten times what so small a product does, and round
    differently on another number of cores.
    """
    products = -(-one.cylinder.shape[0] * two.cylinder.size // par.UNTHREADED_PRODUCT)
    # Equal parts: a single row left over would be a matrix times a vector, with a lower limit.
    return np.concatenate([part @ two.cylinder.T for part in np.array_split(one.cylinder, products)])


def _agreement(one: Prepared, two: Prepared, first: Index, second: Index) -> NDArray[np.float64]:
    rows, columns = first[:, None], second[:, None]
    lengths, lengths_there = one.distance[rows, first], two.distance[columns, second]
    bearing_cos = np.real(one.bearing[rows, first] * np.conj(two.bearing[columns, second]))
    turned = bearing_cos + bearing_cos.T - 2.0
    tolerance = par.LENGTH_TOLERANCE + par.LENGTH_STRETCH * np.minimum(lengths, lengths_there)
    stretched = (lengths - lengths_there) / tolerance
    agreement: NDArray[np.float64] = np.exp(-0.5 * stretched**2 + turned / par.BEARING_TOLERANCE**2)
    agreement *= (rows != first) & (columns != second)
    return agreement
