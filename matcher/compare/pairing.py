"""Which minutia of one finger may be which of the other, and which such pairs agree with each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.prepared import Prepared, plane

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
    similarity *= np.outer(np.sqrt(one.reliability), np.sqrt(two.reliability)).astype(np.float32)
    similarity *= plane(one.direction) @ plane(two.direction).T > par.MAX_TURN_COS
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
    here, there = first[:, None] * len(one) + first, second[:, None] * len(two) + second
    lengths, lengths_there = one.distance.take(here), two.distance.take(there)
    bearing, bearing_there = one.bearing.take(here), two.bearing.take(there)
    turned = bearing.real * bearing_there.real
    turned += bearing.imag * bearing_there.imag
    turned = turned + turned.T
    stretched = np.minimum(lengths, lengths_there)
    stretched *= np.float32(par.LENGTH_STRETCH)
    stretched += np.float32(par.LENGTH_TOLERANCE)
    both = (lengths > 0) & (lengths_there > 0)
    lengths -= lengths_there
    lengths /= stretched
    lengths *= lengths
    lengths *= np.float32(-0.5)
    turned -= np.float32(2)
    turned *= np.float32(1 / par.BEARING_TOLERANCE**2)
    turned += lengths
    agreement: NDArray[np.float64] = (np.exp(turned) * both).astype(np.float64)
    return agreement
