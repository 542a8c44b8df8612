"""The error rates the benches print are the ones the words mean."""

import numpy as np
import pytest

from bench.datasets import Name
from bench.det_plot import det_plot
from bench.rates import (
    Comparisons,
    Rate,
    curve,
    intervals,
    poisson_upper,
    share_accepted,
    strangers_accepted,
    within_factor_of_two,
)


def scores(seed: int, mates: int = 60, strangers: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping scores on a coarse scale, so that there are ties."""
    generator = np.random.default_rng(seed)
    score = np.round(np.concatenate([generator.normal(2.5, 1, mates), generator.normal(0, 1, strangers)]), 1)
    return score, np.arange(mates + strangers) < mates


def by_hand(score: np.ndarray, mated: np.ndarray, target: float) -> float:
    """Lowest share of mates refused by any threshold that accepts few enough strangers."""
    refused = [
        float((score[mated] < threshold).mean())
        for threshold in [*np.unique(score), np.inf]
        if (score[~mated] >= threshold).mean() <= target
    ]
    return min(refused)


@pytest.mark.parametrize("target", [0.1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("seed", range(5))
def test_fnmr_is_the_lowest_any_threshold_gives(seed: int, target: float) -> None:
    """Ties included: a threshold takes all equal scores or none."""
    score, mated = scores(seed)
    assert curve(score, mated).fnmr_at(target) == pytest.approx(by_hand(score, mated, target))


def test_equal_error_rate_of_a_worked_example() -> None:
    """Mates 1, 3, 4, 5 and strangers 0, 1, 2, 3: a quarter to a half on either side of the crossing."""
    score = np.array([1.0, 3.0, 4.0, 5.0, 0.0, 1.0, 2.0, 3.0])
    assert curve(score, np.arange(8) < 4).equal_error_rate() == pytest.approx(0.25)


def test_pairs_that_could_not_be_compared_are_refused() -> None:
    """A picture without minutiae is a refused mate, at every threshold."""
    pairs = [(Name("1", "1"), Name("1", "2")), (Name("1", "1"), Name("1", "3")), (Name("1", "1"), Name("2", "1"))]
    part = Comparisons.of("folder", pairs, [float("nan"), 5.0, 1.0])
    assert curve(part.score, part.mated).fnmr_at(0.0) == pytest.approx(0.5)
    assert share_accepted([part], 4.0, mated=True) == pytest.approx(0.5)
    assert share_accepted([part], 4.0, mated=False) == 0.0


def test_intervals_hold_the_rate_and_widen_with_fewer_fingers() -> None:
    """Drawn from whole fingers, because pairs that share one are not independent."""

    def folder(fingers: int) -> Comparisons:
        generator = np.random.default_rng(4)
        names = [Name(str(finger), str(k)) for finger in range(fingers) for k in range(4)]
        pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
        good = generator.normal(3, 1.5, fingers)
        values = [
            generator.normal(good[int(a.finger)], 0.5) if a.finger == b.finger else generator.normal(0, 1)
            for a, b in pairs
        ]
        return Comparisons.of("folder", pairs, values)

    widths = []
    for fingers in (6, 40):
        _, at = intervals([folder(fingers)], draws=60)
        rate = at[1e-2]
        assert rate.low <= rate.value <= rate.high
        widths.append(rate.high - rate.low)
    assert widths[1] < widths[0]


def strangers_of(fingers: int, passed: int) -> Comparisons:
    """Four impressions of each finger; so many pairs of strangers score 1, the others 0."""
    names = [Name(str(finger), str(k)) for finger in range(fingers) for k in range(4)]
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :] if a.finger != b.finger]
    chosen = set(np.random.default_rng(6).permutation(len(pairs))[:passed].tolist())
    return Comparisons.of("folder", pairs, [float(k in chosen) for k in range(len(pairs))])


def test_the_interval_of_strangers_accepted_holds_their_share() -> None:
    """More fingers, a narrower one."""
    few, many = (strangers_accepted(strangers_of(fingers, passed), 0.5) for fingers, passed in ((6, 36), (24, 440)))
    for rate in (few, many):
        assert rate.low < rate.value < rate.high
    assert many.high - many.low < few.high - few.low


def test_no_stranger_accepted_does_not_prove_that_none_would_be() -> None:
    """Of 240 pairs that come in threes, a share of 4 % may well show none."""
    rate = strangers_accepted(strangers_of(6, 0), 0.5)
    assert (rate.value, rate.low) == (0.0, 0.0)
    assert 0.03 < rate.high < 0.06
    assert poisson_upper(0.0) == pytest.approx(3.69, rel=0.01)
    assert poisson_upper(4.0) == pytest.approx(10.24, rel=0.01)


@pytest.mark.parametrize(
    ("rate", "answer"),
    [
        (Rate(0.0010, 0.0002, 0.003), "yes"),
        (Rate(0.0021, 0.0002, 0.005), "open"),
        (Rate(0.0000, 0.0, 0.0009), "open"),
        (Rate(0.0000, 0.0, 0.0004), "no"),
        (Rate(0.0040, 0.0022, 0.006), "no"),
    ],
)
def test_within_a_factor_of_two(rate: Rate, answer: str) -> None:
    """By the figure itself, possibly, or not."""
    assert within_factor_of_two(rate, 0.001) == answer


def test_the_picture_of_a_curve_is_a_picture() -> None:
    """One line and one name per curve, all points inside the frame."""
    drawn = det_plot({"ours": curve(*scores(1)), "peer": curve(*scores(2))}, "errors")
    assert drawn.startswith("<svg")
    assert drawn.count('stroke-width="1.8"') == 2
    assert "ours" in drawn
    assert "nan" not in drawn
