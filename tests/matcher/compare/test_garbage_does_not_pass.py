"""Templates that no finger made: a score or a MatcherError, soon, and never a match."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from matcher.compare.calibration import THRESHOLDS
from matcher.compare.pipeline import compare, prepare
from matcher.errors import MatcherError
from matcher.template import Template
from tests.matcher.compare.made_up import finger, touch

NEVER = THRESHOLDS["FMR_0.1%"]
TARGETS = [finger(seed, count) for seed, count in ((1, 45), (2, 30), (3, 60), (4, 80), (5, 12), (6, 5))]


def grid(step: float, turn: float, running: float) -> Template:
    """On a square grid; directions the same, or running over the picture."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, 380, step), np.arange(0, 380, step)))
    return Template.of(x, y, turn + running * (x + y))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_minutiae_match_nothing(count: int) -> None:
    """Not even themselves."""
    little = finger(1).subset(np.arange(count))
    for other in (*TARGETS, little, Template.empty()):
        score = compare(little, other)
        assert (score.value, score.false_match_rate, score.matched, score.band) == (0.0, 1.0, 0, "none")


@pytest.mark.parametrize("step", [6.0, 9.0, 12.0, 17.0, 25.0, 40.0, 60.0])
@pytest.mark.parametrize("running", [0.0, 0.01, 0.3])
def test_grids_do_not_pass(step: float, running: float) -> None:
    """However fine, whichever way they point."""
    for turn in np.arange(8) * np.pi / 4:
        for target in TARGETS:
            assert compare(grid(step, turn, running), target).value < NEVER


@pytest.mark.parametrize("turns", [4, 8, 16])
@pytest.mark.parametrize("step", [20.0, 40.0, 80.0])
def test_every_direction_at_once_does_not_pass(turns: int, step: float) -> None:
    """Stacks of minutiae that meet any direction are worth nothing."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, 380, step), np.arange(0, 380, step)))
    angle = np.tile(np.arange(turns) * 2 * np.pi / turns, x.size)
    for quality in (None, np.full(angle.shape, 100.0)):
        fake = Template.of(np.repeat(x, turns), np.repeat(y, turns), angle, quality=quality)
        for target in TARGETS:
            assert compare(fake, target).value < NEVER


def test_a_target_hidden_in_every_direction_gains_nothing() -> None:
    """A finger's own places with all directions: an attack that knows positions but no directions."""
    target = finger(1)
    fake = Template.of(np.repeat(target.x, 8), np.repeat(target.y, 8), np.tile(np.arange(8) * np.pi / 4, len(target)))
    assert compare(fake, target).value < NEVER


@pytest.mark.parametrize("count", [3, 40, 255])
def test_all_minutiae_at_one_place(count: int) -> None:
    """Identical ones are one minutia, not many."""
    same = Template.of(np.full(count, 100.0), np.full(count, 120.0), np.full(count, 1.0))
    for target in (*TARGETS, same):
        assert compare(same, target).value == 0.0


@pytest.mark.parametrize("count", [3, 10, 40, 255])
@pytest.mark.parametrize("slope", [0.0, 0.7, np.pi / 2])
def test_minutiae_in_a_line(count: int, slope: float) -> None:
    """No area, no match: not even with the same line, however it lies and even if it trembles a little."""
    along, across = np.linspace(0, 380, count), np.random.default_rng(count).normal(0, 4, count)
    x, y = along * np.cos(slope) - across * np.sin(slope), along * np.sin(slope) + across * np.cos(slope)
    line = Template.of(x, y, np.random.default_rng(count).uniform(0, 2 * np.pi, count))
    for target in (*TARGETS, line):
        assert compare(line, target).value == 0.0


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e4, 1e6])
def test_coordinates_beyond_any_sensor(scale: float) -> None:
    """Huge and tiny ones alike; what lies a metre away is not part of the finger."""
    base = finger(1)
    wild = Template.of(base.x / 400 * scale, base.y / 400 * scale, base.angle)
    for target in TARGETS:
        assert compare(wild, target).value < NEVER
    if scale in {1e-9, 1e6}:
        assert compare(wild, wild).value == 0.0, "nothing of it is left to compare"


def test_values_that_are_no_numbers_are_left_out() -> None:
    """Even in arrays that nobody checked."""
    whole = finger(1)
    broken = Template(whole.x.copy(), whole.y.copy(), whole.angle.copy(), whole.kind.copy(), whole.quality.copy())
    broken.x[::5], broken.y[1::5], broken.angle[2::5], broken.quality[:] = np.nan, np.inf, -np.inf, np.nan
    assert compare(broken, whole).value >= THRESHOLDS["FMR_0.01%"], "the rest is still the finger"
    broken.x[:] = np.nan
    assert compare(broken, whole).value == 0.0


def test_repeating_minutiae_gains_nothing() -> None:
    """A stranger's template three times over scores as it does once."""
    stranger, target = touch(finger(8), 1), finger(9)
    thrice = stranger.subset(np.tile(np.arange(len(stranger)), 3))
    assert compare(thrice, target) == compare(stranger, target)


def test_a_full_record_of_noise_is_bounded() -> None:
    """255 minutiae are cut to the most reliable before anything quadratic happens."""
    generator = np.random.default_rng(0)
    x, y, angle = generator.random((3, 255))
    full = Template.of(380 * x, 380 * y, 6.28 * angle)
    assert len(prepare(full)) <= 80
    for target in TARGETS:
        assert compare(full, target).value < NEVER


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.just(3), st.integers(0, 80)), elements=st.floats(allow_nan=True, width=32)),
    st.sampled_from(TARGETS),
)
def test_any_numbers_give_a_score_or_an_error(values: np.ndarray, target: Template) -> None:
    """Whatever the arrays hold."""
    try:
        made = Template.of(*values)
    except MatcherError:
        return
    score = compare(made, target)
    assert 0.0 <= score.value < NEVER
    assert 0.0 < score.false_match_rate <= 1.0
    assert score == compare(target, made)
