"""What the comparison says of touches of one finger, of strangers, and of cards and other vendors' templates."""

import numpy as np
import pytest

from matcher.chip_profile import as_on_chip
from matcher.compare.calibration import THRESHOLDS
from matcher.compare.pipeline import compare, prepare
from matcher.iso19794 import decode
from matcher.template import Template
from tests.matcher.compare.made_up import finger, touch

FINGERS = range(8)


@pytest.mark.parametrize("seed", FINGERS)
def test_two_touches_of_a_finger_match(seed: int) -> None:
    """At the strictest threshold there is."""
    score = compare(finger(seed), touch(finger(seed), seed))
    assert score.band == "FMR_0.001%"
    assert score.matched >= 20


def test_strangers_do_not_match() -> None:
    """No two of the fingers reach the threshold of one stranger in a thousand."""
    values = [compare(finger(a), touch(finger(b), b)).value for a in FINGERS for b in FINGERS if a != b]
    assert max(values) < THRESHOLDS["FMR_0.1%"]


@pytest.mark.parametrize("turn", [-1.57, -1.0, 0.5, 1.57])
def test_a_finger_laid_on_sideways_still_matches(turn: float) -> None:
    """Up to a right angle either way."""
    assert compare(finger(1), touch(finger(1), 5, turn=turn)).value >= THRESHOLDS["FMR_0.01%"]


def test_half_a_finger_matches_the_whole() -> None:
    """What the other half would have shown does not count against it."""
    whole, again = finger(2), touch(finger(2), 3, turn=0.1)
    half = again.subset(again.x < np.median(again.x))
    assert compare(half, whole).value >= THRESHOLDS["FMR_0.01%"]


@pytest.mark.parametrize("seed", FINGERS)
def test_the_template_of_a_card_matches(seed: int) -> None:
    """At most 60 minutiae, all "ending", two qualities, no picture size."""
    chip = decode(as_on_chip(finger(seed, 60), 2)).views[0].template
    assert compare(touch(finger(seed, 60), seed), chip).value >= THRESHOLDS["FMR_0.01%"]


@pytest.mark.parametrize("along", [-6.0, 6.0])
@pytest.mark.parametrize("turn", [-0.12, 0.12])
def test_another_vendors_habits_do_no_harm(along: float, turn: float) -> None:
    """Every minutia 6 px further along its ridge and turned by 7 degrees, types and qualities unknown."""
    mine, other = finger(3), touch(finger(3), 4)
    shifted = Template.of(
        other.x + along * np.cos(other.angle), other.y - along * np.sin(other.angle), other.angle + turn
    )
    assert compare(mine, shifted).value >= THRESHOLDS["FMR_0.01%"]


def test_types_are_not_needed() -> None:
    """A vendor that calls every minutia something else changes nothing."""
    one, two = finger(4), touch(finger(4), 1)
    swapped = Template.of(two.x, two.y, two.angle, 3 - two.kind.astype(int).clip(1, 2), two.quality)
    assert compare(one, swapped) == compare(one, two)


def test_order_of_the_two_makes_no_difference() -> None:
    """To the last bit, for mates and strangers, of one size and of different ones."""
    for a, b in ((finger(1), touch(finger(1), 2)), (finger(1), finger(2)), (finger(1, 45), finger(3, 20))):
        assert compare(a, b) == compare(b, a)


def test_order_of_the_minutiae_makes_no_difference() -> None:
    """A record may list them as it likes."""
    one, two = finger(5), touch(finger(5), 1)
    shuffled = two.subset(np.random.default_rng(0).permutation(len(two)))
    assert compare(one, shuffled) == compare(one, two)


def test_preparing_beforehand_changes_nothing() -> None:
    """And the same templates always score the same."""
    one, two = finger(6), touch(finger(6), 1)
    assert compare(prepare(one), prepare(two)) == compare(one, two) == compare(one, prepare(two))


def test_comparing_leaves_the_templates_as_they_are() -> None:
    """The same template serves the next attempt."""
    one, two = finger(7), touch(finger(7), 1)
    before = [values.copy() for values in (one.x, one.y, one.angle, one.kind, one.quality)]
    compare(one, two)
    for values, kept in zip((one.x, one.y, one.angle, one.kind, one.quality), before, strict=True):
        np.testing.assert_array_equal(values, kept)


def test_a_prepared_template_can_be_wiped_and_tells_nothing() -> None:
    """Nothing of the finger stays in its arrays, and none of it is ever printed."""
    prepared = prepare(finger(0))
    assert "0." not in repr(prepared)
    prepared.wipe()
    prepared.wipe()
    assert not prepared.position.any()
    assert not prepared.direction.any()
    assert not prepared.cylinder.any()
    assert not prepared.distance.any()
