"""What two fingers give by chance is measured on the two themselves, and taken off what they give."""

from dataclasses import replace

import numpy as np

from matcher.compare import parameters as par
from matcher.compare.evidence import Evidence
from matcher.compare.pipeline import evidence_between, prepare
from matcher.compare.scoring import raw_score
from matcher.template import Template
from tests.matcher.compare.made_up import finger, touch


def scattered(seed: int, count: int, directions: int) -> Template:
    """Minutiae anywhere, pointing about one of so many ways."""
    generator = np.random.default_rng([seed, 21])
    x, y = generator.uniform(30, 330, (2, count))
    turn = generator.integers(0, directions, count) * 2 * np.pi / directions
    return Template.of(x, y, turn + generator.normal(0, 0.15, count))


def evidence(one: Template, two: Template) -> Evidence:
    """Of two templates that have enough to be compared."""
    found = evidence_between(prepare(one), prepare(two))
    assert found is not None
    return found


def test_strangers_who_run_alike_meet_more_by_chance() -> None:
    """Minutiae that all point one way fall on one another wherever they are laid; those of a whole whorl do not."""
    alike = [evidence(scattered(k, 50, 1), scattered(k + 50, 50, 1)).chance for k in range(6)]
    every_way = [evidence(scattered(k, 50, 12), scattered(k + 50, 50, 12)).chance for k in range(6)]
    assert min(alike) > max(every_way)


def test_many_minutiae_meet_more_by_chance_than_few() -> None:
    """On the same area."""
    many = [evidence(scattered(k, 70, 4), scattered(k + 50, 70, 4)).chance for k in range(6)]
    few = [evidence(scattered(k, 20, 4), scattered(k + 50, 20, 4)).chance for k in range(6)]
    assert np.mean(many) > np.mean(few) + 0.5


def test_a_finger_moved_aside_no_longer_lies_on_itself() -> None:
    """Three ridges off, little of a match is left: chance does not count what matched a second time."""
    for k in range(6):
        found = evidence(finger(k), touch(finger(k), k))
        assert np.expm1(found.chance) < found.matched / 3


def test_what_chance_gives_is_taken_off() -> None:
    """The same matches are worth less where more would have met anyhow."""
    found = evidence(finger(1), touch(finger(1), 2))
    assert raw_score(replace(found, chance=found.chance + 0.5)) < raw_score(found) - 1.0


def test_spacing_stays_within_what_was_measured() -> None:
    """Nobody gains by minutiae far closer or far further apart than on any print."""
    least, most = par.SPACING_RANGE
    for step in (2.0, 8.0, 25.0, 60.0, 180.0):
        x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, 361, step), np.arange(0, 361, step)))
        generator = np.random.default_rng(1)
        kept = generator.permutation(x.size)[:60]
        x, y = x[kept] + generator.normal(0, step / 4, kept.size), y[kept] + generator.normal(0, step / 4, kept.size)
        assert least <= prepare(Template.of(x, y, 0.02 * x)).spacing <= most


def evenly(step: float, jitter: float) -> Template:
    """On a grid along ridges that bend, each a little off its place."""
    generator = np.random.default_rng(2)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(20, 341, step), np.arange(20, 341, step)))
    x, y = x + generator.normal(0, jitter, x.size), y + generator.normal(0, jitter, y.size)
    return Template.of(x, y, 0.01 * x)


def test_minutiae_as_even_as_on_no_finger_are_none() -> None:
    """A grid, and directions that are all the same; what trembles as on a print is looked at."""
    parallel = Template.of(finger(4).x, finger(4).y, np.full(45, 0.7))
    assert len(prepare(evenly(45.0, 0.5))) == len(prepare(parallel)) == 0
    assert len(prepare(evenly(45.0, 12.0))) > 30
    assert len(prepare(parallel.subset(np.arange(6)))) == 6, "a few may well point one way"


def test_ridges_that_run_every_way_are_held_back() -> None:
    """Order tells a finger from minutiae thrown at random, and costs a finger nothing."""
    orders = [prepare(finger(k)).order for k in range(6)]
    thrown = [prepare(scattered(k, 50, 12)).order for k in range(6)]
    assert min(orders) > par.ORDERLY > max(thrown) + 0.1
    found = evidence(finger(1), touch(finger(1), 2))
    assert raw_score(replace(found, order=par.ORDERLY)) == raw_score(replace(found, order=1.0))
    assert raw_score(replace(found, order=0.0)) < raw_score(found) - 4.0


def test_a_minutia_out_of_reach_does_not_change_a_description() -> None:
    """Only neighbours within the cylinder describe a minutia, however many others there are."""
    near = finger(3, 20)
    far = Template.of(
        np.append(near.x, 900.0),
        np.append(near.y, 900.0),
        np.append(near.angle, 1.0),
        quality=np.append(near.quality, 90),
    )
    rows, rows_more = prepare(near).cylinder, prepare(far).cylinder
    np.testing.assert_allclose(rows_more[: len(rows)], rows, atol=1e-6)
