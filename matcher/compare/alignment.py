"""Lay one finger over the other: rigid first, then following the skin."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.pairing import Candidates
from matcher.compare.prepared import Prepared, plane

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pose:
    """The first finger in the frame of the second: ``turn`` (unit) times position plus ``shift`` (px)."""

    turn: complex
    shift: complex


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Aligned:
    """The first finger laid over the second.

    position, direction : (n,) in the second finger's frame, skin distortion taken out of the position;
    first, second : (m,) indices of the matched minutiae; closeness : (m,) 0 to 1.
    """

    pose: Pose
    position: Complex
    direction: Complex
    first: Index
    second: Index
    closeness: Real


def seed_poses(one: Prepared, two: Prepared, candidates: Candidates) -> list[Pose]:
    """Rigid fits to the candidates that agree with each of the best pairs of different clusters."""
    weight, agreement = candidates.weight, candidates.agreement
    here, there = one.position[candidates.first], two.position[candidates.second]
    turned = two.direction[candidates.second] * np.conj(one.direction[candidates.first])
    taken = np.zeros(weight.shape, dtype=np.bool_)
    poses: list[Pose] = []
    for seed in np.argsort(-weight, kind="stable"):
        if taken[seed]:
            continue
        pull = agreement[seed] * weight
        pull[seed] = weight[seed]
        total = pull.sum() + 1e-12
        middle_here, middle_there = (pull * here).sum() / total, (pull * there).sum() / total
        turn = (pull * (there - middle_there) * np.conj(here - middle_here)).sum() / par.DIRECTION_ARM**2
        turn += (pull * turned).sum()
        turn = turn / abs(turn) if abs(turn) > 1e-12 else 1.0
        poses.append(Pose(complex(turn), complex(middle_there - turn * middle_here)))
        taken |= agreement[seed] > par.SEED_CLUSTER
        taken[seed] = True
        if len(poses) == par.SEEDS:
            break
    return poses


def best_pose(one: Prepared, two: Prepared, poses: list[Pose]) -> tuple[Pose, Real]:
    """The pose under which most reliable minutiae fall on one another, and how closely each on each."""
    turns = np.array([pose.turn for pose in poses])[:, None]
    shifts = np.array([pose.shift for pose in poses])[:, None]
    counts = trusted_counts(one, two, one.position * turns + shifts, one.direction * turns)
    pose = poses[int(counts.argmax())]
    fit = _closeness(
        one.position * pose.turn + pose.shift,
        one.direction * pose.turn,
        two,
        spread=par.RIGID_SPREAD,
        gate=par.RIGID_GATE,
        turn_gate=par.RIGID_TURN_GATE,
    )
    return pose, fit


def trusted_counts(one: Prepared, two: Prepared, position: Complex, direction: Complex) -> NDArray[np.float32]:
    """How much of the first finger falls on the second, laid over it in k ways: the smaller side's trusted closeness.

    Parameters
    ----------
    position, direction : (k, n) or, where all k share them, (1, n)
        The first finger's minutiae in the frame of the second.

    Returns
    -------
    (k,) float32
        Single precision about the middle of the second finger is plenty.
    """
    middle = two.position.mean()
    off = squared_distances(position - middle, two.position - middle).astype(np.float32)
    turn_cos = (plane(direction) @ plane(two.direction).T).astype(np.float32).reshape(*direction.shape, len(two))
    trusted = np.exp((turn_cos - np.float32(1)) * np.float32(1 / par.TURN_SPREAD**2))
    trusted *= np.outer(np.sqrt(one.reliability), np.sqrt(two.reliability)).astype(np.float32)
    trusted *= turn_cos > np.float32(math.cos(par.RIGID_TURN_GATE))
    near = off < np.float32(par.RIGID_GATE**2)
    off *= np.float32(-0.5 / par.RIGID_SPREAD**2)
    fit = np.exp(off, out=off)
    fit *= trusted
    fit *= near
    counts: NDArray[np.float32] = np.minimum(fit.max(axis=2).sum(axis=1), fit.max(axis=1).sum(axis=1))
    return counts


def follow_skin(one: Prepared, two: Prepared, pose: Pose, fit: Real) -> Aligned:
    """The pose refined by a smooth local pull.

    Notes
    -----
    Each matched pair pulls its surroundings by what is left between its two minutiae, with a Gaussian weight of
    ``WARP_REACH``; pairs are then chosen anew under tighter gates.
    """
    position, direction = one.position * pose.turn + pose.shift, one.direction * pose.turn
    for gate, turn_gate in par.WARP_GATES:
        first, second = mutual_best(fit)
        pull = fit[first, second] * np.sqrt(one.reliability[first] * two.reliability[second])
        left = two.position[second] - position[first]
        reach = np.exp(squared_distances(position, position[first]) * (-0.5 / par.WARP_REACH**2)) * pull
        position = position + _line(reach @ plane(left)) / (reach.sum(axis=1) + par.WARP_STIFFNESS)
        fit = _closeness(position, direction, two, spread=par.WARP_SPREAD, gate=gate, turn_gate=turn_gate)
    first, second = mutual_best(fit)
    return Aligned(pose, position, direction, first, second, fit[first, second])


def mutual_best(fit: Real) -> tuple[Index, Index]:
    """Pairs that are each other's best."""
    best_there, best_here = fit.argmax(axis=1), fit.argmax(axis=0)
    rows = np.arange(fit.shape[0])
    kept = (best_here[best_there] == rows) & (fit[rows, best_there] > 0)
    return rows[kept], best_there[kept]


def _closeness(
    position: Complex, direction: Complex, two: Prepared, *, spread: float, gate: float, turn_gate: float
) -> Real:
    """How well each laid-over minutia fits each of the second finger: (n, m), 0 outside the gates."""
    off = squared_distances(position, two.position)
    turn_cos = plane(direction) @ plane(two.direction).T
    fit: Real = np.exp(off * (-0.5 / spread**2) + (turn_cos - 1.0) * (1.0 / par.TURN_SPREAD**2))
    fit *= (off < gate**2) & (turn_cos > math.cos(turn_gate))
    return fit


def squared_distances(here: Complex, there: Complex) -> Real:
    """px^2 between each of (..., n) and each of (m,): (..., n, m). One small product, without a root."""
    one, two = plane(here), plane(there)
    left = np.column_stack([one, (one * one).sum(axis=1), np.ones(len(one))])
    right = np.column_stack([-2.0 * two, np.ones(len(two)), (two * two).sum(axis=1)])
    squared: Real = (left @ right.T).reshape(*here.shape, len(two))
    return squared


def _line(points: Real) -> Complex:
    """Rows of two reals as complex numbers."""
    return np.ascontiguousarray(points).view(np.complex128).reshape(-1)
