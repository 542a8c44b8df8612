"""Lay one finger over the other: rigid first, then following the skin."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par
from matcher.compare.pairing import Candidates
from matcher.compare.prepared import Prepared

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pose:
    """The first finger in the frame of the second: ``turn`` (unit) times position plus ``shift`` (px)."""

    turn: complex
    shift: complex


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Aligned:
    """The first finger laid over the second.

    position : (n,) px in the second finger's frame, skin distortion taken out;
    first, second : (m,) indices of the matched minutiae; closeness : (m,) 0 to 1.
    """

    pose: Pose
    position: Complex
    first: NDArray[np.intp]
    second: NDArray[np.intp]
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
        turn /= abs(turn) + 1e-12
        poses.append(Pose(complex(turn), complex(middle_there - turn * middle_here)))
        taken |= agreement[seed] > par.SEED_CLUSTER
        taken[seed] = True
        if len(poses) == par.SEEDS:
            break
    return poses


def closeness(
    position: Complex, direction: Complex, two: Prepared, *, spread: float, gate: float, turn_gate: float
) -> Real:
    """How well each laid-over minutia fits each of the second finger: (n, m), 0 outside the gates."""
    off = np.abs(position[:, None] - two.position[None, :])
    turn_cos = np.real(direction[:, None] * np.conj(two.direction)[None, :])
    fit: Real = np.exp(-0.5 * (off / spread) ** 2 + (turn_cos - 1.0) / par.RIGID_TURN_SPREAD**2)
    fit *= (off < gate) & (turn_cos > np.cos(turn_gate))
    return fit


def mutual_best(fit: Real) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs that are each other's best."""
    best_there, best_here = fit.argmax(axis=1), fit.argmax(axis=0)
    rows = np.arange(fit.shape[0])
    kept = (best_here[best_there] == rows) & (fit[rows, best_there] > 0)
    return rows[kept], best_there[kept]


def align(one: Prepared, two: Prepared, poses: list[Pose]) -> Aligned:
    """The pose under which most minutiae fall on one another, refined by a smooth local pull.

    Notes
    -----
    Each matched pair pulls its surroundings by what is left between its two minutiae, with a Gaussian weight of
    ``WARP_REACH``; pairs are then chosen anew under tighter gates.
    """
    fits = [
        closeness(
            one.position * pose.turn + pose.shift,
            one.direction * pose.turn,
            two,
            spread=par.RIGID_SPREAD,
            gate=par.RIGID_GATE,
            turn_gate=par.RIGID_TURN_GATE,
        )
        for pose in poses
    ]
    counts = [min(fit.max(axis=1).sum(), fit.max(axis=0).sum()) for fit in fits]
    best = int(np.argmax(counts))
    pose, fit = poses[best], fits[best]
    position, direction = one.position * pose.turn + pose.shift, one.direction * pose.turn
    for gate, turn_gate in par.WARP_GATES:
        first, second = mutual_best(fit)
        pull = fit[first, second]
        left = two.position[second] - position[first]
        reach = np.exp(-0.5 * (np.abs(position[:, None] - position[first][None, :]) / par.WARP_REACH) ** 2) * pull
        position = position + (reach @ left) / (reach.sum(axis=1) + par.WARP_STIFFNESS)
        fit = closeness(position, direction, two, spread=par.WARP_SPREAD, gate=gate, turn_gate=turn_gate)
    first, second = mutual_best(fit)
    return Aligned(pose, position, first, second, fit[first, second])
