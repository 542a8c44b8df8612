"""A value, its false match rate and its band say the same; fusion never promises more than it keeps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.compare.calibration import LOWEST_RATE, THRESHOLDS, Score, calibrated, no_match, scored
from matcher.compare.fusion import MARGIN, fuse_attempts, fuse_fingers

NAMED = {"FMR_1%": 1e-2, "FMR_0.1%": 1e-3, "FMR_0.01%": 1e-4, "FMR_0.001%": 1e-5}


@pytest.mark.parametrize("name", NAMED)
def test_a_threshold_is_the_value_of_the_rate_it_is_named_by(name: str) -> None:
    """Whoever compares values with thresholds and whoever compares rates decide alike."""
    at = scored(THRESHOLDS[name], 10)
    assert at.false_match_rate == pytest.approx(NAMED[name])
    assert at.band == name
    assert scored(THRESHOLDS[name] - 1e-6, 10).band != name


@given(st.floats(-60, 60), st.floats(-60, 60))
def test_a_higher_raw_score_never_means_less(one: float, two: float) -> None:
    """Value rises and rate falls with the raw score, to its ends."""
    low, high = (calibrated(raw, 5) for raw in sorted((one, two)))
    assert 0.0 <= low.value <= high.value
    assert 1.0 >= low.false_match_rate >= high.false_match_rate >= LOWEST_RATE


def test_what_cannot_be_compared_is_any_stranger() -> None:
    """Rate one, no band, no minutia."""
    assert no_match() == Score(0.0, 1.0, 0, "none")


def uniform_scores(generator: np.random.Generator, count: int) -> list[Score]:
    """Strangers as calibrated scores see them: the rate is uniform between 0 and 1."""
    return [scored(-10 * math.log10(max(p, 1e-15)), 0) for p in generator.random(count)]


@pytest.mark.parametrize("likeness", [0.0, 0.7, 1.0])
def test_a_series_of_attempts_keeps_the_rate_it_names(likeness: float) -> None:
    """Three attempts decided after each: strangers pass as seldom as named, however alike their attempts are."""
    generator = np.random.default_rng(2)
    passed, series = 0, 40_000
    for _ in range(series):
        scores = uniform_scores(generator, 3)
        if generator.random() < likeness:
            scores = [scores[0]] * 3
        values = [fuse_attempts(scores[:k], 3).value for k in (1, 2, 3)]
        passed += max(values) >= THRESHOLDS["FMR_1%"]
    assert passed / series <= 0.01 * 1.1


def test_a_series_keeps_its_rate_where_single_rates_are_half_as_rare_as_named() -> None:
    """On one sensor or another strangers pass twice as often as named: the margin pays for that."""
    generator = np.random.default_rng(4)
    passed, series = 0, 40_000
    for _ in range(series):
        flattered = [scored(score.value + 10 * math.log10(MARGIN), 0) for score in uniform_scores(generator, 3)]
        passed += fuse_attempts(flattered, 3).value >= THRESHOLDS["FMR_1%"]
    assert passed / series <= 0.01 * 1.1


def test_without_paying_for_attempts_the_rate_would_not_be_kept() -> None:
    """What the fusion is for: the best of three passes three times as often."""
    generator = np.random.default_rng(2)
    best = [max(score.value for score in uniform_scores(generator, 3)) for _ in range(20_000)]
    assert np.mean(np.array(best) >= THRESHOLDS["FMR_1%"]) > 0.02


def test_an_attempt_more_than_allowed_is_refused() -> None:
    """The number is fixed beforehand, or the promise is empty."""
    score = scored(35.0, 9)
    with pytest.raises(ValueError, match="series of 2"):
        fuse_attempts([score] * 3, 2)
    with pytest.raises(ValueError, match="series of 2"):
        fuse_attempts([], 2)


def test_a_single_allowed_attempt_costs_nothing() -> None:
    """It is the score itself."""
    assert fuse_attempts([scored(35.0, 9)], 1) == scored(35.0, 9)


def test_the_best_attempt_counts() -> None:
    """A poor touch before a good one does no harm."""
    fused = fuse_attempts([scored(3.0, 2), scored(60.0, 20)], 3)
    assert fused.value == pytest.approx(60.0 - 10 * math.log10(3 * MARGIN))
    assert fused.matched == 20


@pytest.mark.parametrize("likeness", [0.0, 0.1])
def test_two_fingers_keep_the_rate_they_name(likeness: float) -> None:
    """Strangers pass no more often than named; nor where one person in ten has the same on both hands."""
    generator = np.random.default_rng(3)
    passed, people = 0, 60_000
    for _ in range(people):
        right, left = uniform_scores(generator, 2)
        passed += fuse_fingers(right, right if generator.random() < likeness else left).value >= THRESHOLDS["FMR_1%"]
    assert 0.002 <= passed / people <= 0.01


def test_two_fair_fingers_pass_together_and_a_good_one_carries_a_poor_one() -> None:
    """Neither fair finger would pass alone."""
    fair, good, poor = scored(25.0, 9), scored(60.0, 20), scored(1.0, 2)
    assert fuse_fingers(fair, fair).value >= THRESHOLDS["FMR_0.1%"] > fair.value
    assert fuse_fingers(good, poor).value >= THRESHOLDS["FMR_0.001%"]
    assert fuse_fingers(good, poor) == fuse_fingers(poor, good)
    assert fuse_fingers(no_match(), no_match()).false_match_rate == 1.0
