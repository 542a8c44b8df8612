"""Error rates from comparison scores.

A comparison is accepted when its score reaches the threshold. FNMR at a false match rate is the lowest share of mated
pairs refused by any threshold whose share of strangers accepted stays within it. The equal error rate is that of the
FVC2000 report: the middle of the interval in which the two curves cross. Pairs that share a finger are not
independent; intervals come from drawing whole fingers with replacement.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.datasets import Name

TARGETS = (1e-2, 1e-3, 1e-4)
"""False match rates asked for."""
CLUSTER = 3.0
"""False matches at 0.1 % that come together, from one pair of strangers' fingers. 2.1 counted; more, to be sure."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Scores of one folder against one gallery.

    score : (n,); first, second : (n,) number of the finger on either side.
    """

    folder: str
    score: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    @classmethod
    def of(cls, folder: str, pairs: Sequence[tuple[Name, Name]], scores: Sequence[float]) -> "Comparisons":
        """From pairs of names and their scores; nan counts as refused."""
        numbers = {finger: k for k, finger in enumerate(sorted({name.finger for pair in pairs for name in pair}))}
        values = np.array(scores, dtype=np.float64)
        values[np.isnan(values)] = -np.inf
        return cls(
            folder,
            values,
            np.array([numbers[one.finger] for one, _ in pairs], dtype=np.intp),
            np.array([numbers[two.finger] for _, two in pairs], dtype=np.intp),
        )

    @property
    def mated(self) -> NDArray[np.bool_]:
        """Which pairs are of one finger."""
        same: NDArray[np.bool_] = self.first == self.second
        return same


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Share of strangers accepted and of mates refused, at every threshold from the lowest to infinity."""

    threshold: NDArray[np.float64]
    false_match: NDArray[np.float64]
    false_non_match: NDArray[np.float64]

    def fnmr_at(self, target: float) -> float:
        """Lowest false non-match rate with a false match rate within ``target``."""
        return float(self.false_non_match[self.false_match <= target + 1e-12].min())

    def equal_error_rate(self) -> float:
        """FVC2000's definition."""
        below = np.flatnonzero(self.false_non_match <= self.false_match)
        above = np.flatnonzero(self.false_non_match >= self.false_match)
        ends = [above[0]] if not below.size else [below[-1], above[0]]
        return float(min((self.false_non_match[k] + self.false_match[k]) / 2 for k in ends))


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its 95 % interval, all as shares; printed in per cent."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value * 100:.2f} ({self.low * 100:.2f}-{self.high * 100:.2f})"


def curve(score: NDArray[np.float64], mated: NDArray[np.bool_], weight: NDArray[np.float64] | None = None) -> Curve:
    """Both error rates at every threshold; ``weight`` says how often each pair counts."""
    counted = np.ones(score.shape) if weight is None else weight
    order = np.argsort(score, kind="stable")
    values, sorted_mated, sorted_weight = score[order], mated[order], counted[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    mates = np.concatenate([[0.0], np.cumsum(sorted_weight * sorted_mated)])
    strangers = np.concatenate([[0.0], np.cumsum(sorted_weight * ~sorted_mated)])
    cuts = np.concatenate([starts[np.isfinite(values[starts])], [len(values)]])
    threshold = np.concatenate([values[cuts[:-1]], [np.inf]])
    return Curve(threshold, 1.0 - strangers[cuts] / strangers[-1], mates[cuts] / mates[-1])


def pooled(parts: Sequence[Comparisons]) -> Curve:
    """One curve over several folders with one common threshold."""
    return curve(np.concatenate([part.score for part in parts]), np.concatenate([part.mated for part in parts]))


def intervals(parts: Sequence[Comparisons], draws: int = 200, seed: int = 1) -> tuple[Rate, dict[float, Rate]]:
    """Equal error rate and FNMR at each target, with 95 % intervals over fingers drawn anew within each folder."""
    generator = np.random.default_rng(seed)
    score = np.concatenate([part.score for part in parts])
    mated = np.concatenate([part.mated for part in parts])
    whole = curve(score, mated)
    drawn: list[tuple[float, ...]] = []
    for _ in range(draws):
        again = curve(score, mated, np.concatenate([drawn_weights(part, generator) for part in parts]))
        drawn.append((again.equal_error_rate(), *(again.fnmr_at(target) for target in TARGETS)))
    low, high = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    values = (whole.equal_error_rate(), *(whole.fnmr_at(target) for target in TARGETS))
    rates = [Rate(value, float(below), float(above)) for value, below, above in zip(values, low, high, strict=True)]
    return rates[0], dict(zip(TARGETS, rates[1:], strict=True))


def drawn_weights(part: Comparisons, generator: np.random.Generator) -> NDArray[np.float64]:
    """How often each pair counts when as many fingers as there are are drawn with replacement."""
    fingers = int(max(part.first.max(), part.second.max())) + 1
    times = np.bincount(generator.integers(0, fingers, fingers), minlength=fingers).astype(np.float64)
    return np.where(part.mated, times[part.first], times[part.first] * times[part.second])


def strangers_accepted(part: Comparisons, threshold: float, draws: int = 1000, seed: int = 1) -> Rate:
    """Share of strangers whose score reaches a threshold, with its 95 % interval over fingers drawn anew.

    Where none or few do, drawing fingers anew cannot show how many might have: the upper end is then at least the
    share of which seeing so few has a chance of 2.5 %, with ``CLUSTER`` pairs counting as one (Poisson).
    """
    generator = np.random.default_rng(seed)
    strangers = ~part.mated
    passed = (part.score >= threshold)[strangers]
    shares = []
    for _ in range(draws):
        weight = drawn_weights(part, generator)[strangers]
        shares.append((weight * passed).sum() / max(weight.sum(), 1.0))
    low, high = np.percentile(shares, [2.5, 97.5])
    few = CLUSTER * poisson_upper(passed.sum() / CLUSTER) / len(passed)
    return Rate(float(passed.mean()), float(low), max(float(high), few))


def poisson_upper(seen: float) -> float:
    """Mean of which so few, or fewer, are seen with a chance of 2.5 % (after Wilson and Hilferty)."""
    count = seen + 1.0
    return float(count * (1 - 1 / (9 * count) + 1.96 / (3 * math.sqrt(count))) ** 3)


def within_factor_of_two(rate: Rate, named: float) -> str:
    """``yes`` by the point estimate, ``open`` where only the interval reaches the factor, ``no`` where it does not."""
    if named / 2 <= rate.value <= named * 2:
        return "yes"
    return "open" if rate.low <= named * 2 and rate.high >= named / 2 else "no"


def share_accepted(parts: Sequence[Comparisons], threshold: float, *, mated: bool) -> float:
    """Share of mates (or of strangers) whose score reaches a threshold."""
    score = np.concatenate([part.score[part.mated == mated] for part in parts])
    return float((score >= threshold).mean())
