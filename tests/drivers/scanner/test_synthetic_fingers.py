"""Synthetic fingers behave like fingers: seen by an independent extractor, by Fourier, and by counting turns."""

import hashlib
import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.scanner.synthetic.condition import Condition
from drivers.scanner.synthetic.finger import GLASS, Finger
from drivers.scanner.synthetic.pattern import FREQUENCY_OF_CLASS, FingerClass, Pattern, draw_pattern, ridge_orientation
from drivers.scanner.synthetic.ridge_period import LONGEST_PERIOD_PX, SHORTEST_PERIOD_PX, ridge_period
from drivers.scanner.synthetic.ridges import grow_ridges
from drivers.scanner.synthetic.skin import CANVAS, MIDDLE
from tests.peer_nbis import Nbis

MATCH = 40
"""BOZORTH3's usual threshold."""


def digest(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def finger_coordinates() -> NDArray[np.complex128]:
    rows, columns = np.mgrid[0 : CANVAS[0], 0 : CANVAS[1]]
    return np.asarray((columns - MIDDLE[1]) + 1j * (MIDDLE[0] - rows), dtype=np.complex128)


def turns_around(theta: NDArray[np.float64], point: complex, radius: float) -> float:
    """How many full turns the ridge direction makes on a small circle around a point (Poincaré's index)."""
    around = point + radius * np.exp(1j * np.linspace(0, 2 * np.pi, 65))
    rows = np.round(MIDDLE[0] - around.imag).astype(int)
    columns = np.round(around.real + MIDDLE[1]).astype(int)
    steps = np.diff(theta[rows, columns])
    return float(((steps + np.pi / 2) % np.pi - np.pi / 2).sum() / (2 * np.pi))


def test_a_seed_fully_determines_the_pixels() -> None:
    """Two machines of a load test that agree on numbers agree on fingers, and every touch is another one."""
    once, again = Finger.from_seed(7), Finger.from_seed(7)
    first = digest(once.impression(3))
    assert digest(again.impression(3)) == first
    assert digest(once.impression(4)) != first
    assert digest(Finger.from_seed(8).impression(3)) != first


def test_earlier_touches_do_not_influence_later_ones() -> None:
    """A touch depends on its own number only, not on how many came before."""
    fresh, used = Finger.from_seed(7), Finger.from_seed(7)
    for number in range(3):
        used.impression(number)
    assert digest(fresh.impression(9)) == digest(used.impression(9))


def test_the_picture_is_what_a_scanner_gives() -> None:
    """Grey, of the size asked for, ridges dark on a light background."""
    pixels = Finger.from_seed(1).impression(0)
    assert pixels.dtype == np.uint8
    assert pixels.shape == GLASS
    background, dark = float(np.median(pixels[:6, -6:])), float((pixels < 128).mean())
    assert background > 235
    assert 0.08 < dark < 0.5
    assert Finger.from_seed(1).impression(0, shape=(300, 256)).shape == (300, 256)


def test_classes_are_as_frequent_as_in_people() -> None:
    """A thousand fingers hold loops, whorls and arches in the proportions of the population."""
    drawn = [draw_pattern(np.random.default_rng(seed)).finger_class for seed in range(1000)]
    for finger_class, share in FREQUENCY_OF_CLASS.items():
        # Three standard deviations of a count of a thousand draws.
        allowed = 3 * np.sqrt(1000 * share * (1 - share))
        assert abs(drawn.count(finger_class) - 1000 * share) < allowed, finger_class


@pytest.mark.parametrize("finger_class", list(FingerClass))
def test_the_flow_turns_half_around_each_core_and_back_around_each_delta(finger_class: FingerClass) -> None:
    """That is what makes a loop a loop and a whorl a whorl, however the flow is bent besides."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pattern = draw_pattern(rng, finger_class)
        theta = ridge_orientation(rng, pattern, finger_coordinates())
        for core in pattern.cores:
            assert turns_around(theta, core, 8) == pytest.approx(0.5)
        for delta in pattern.deltas:
            assert turns_around(theta, delta, 8) == pytest.approx(-0.5)
        inside = [0.5 for core in pattern.cores if abs(core) < 205] + [
            -0.5 for delta in pattern.deltas if abs(delta) < 205
        ]
        assert turns_around(theta, 0j, 205) == pytest.approx(sum(inside))


def test_ridges_lie_as_close_as_a_grown_up_persons() -> None:
    """Over many fingers the mean distance on the pad is about 9 px at 500 dpi, and it varies within a finger."""
    position = finger_coordinates()
    pad = (np.abs(position.real) < 120) & (np.abs(position.imag) < 170)
    means, spreads = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        pattern = draw_pattern(rng)
        period = ridge_period(rng, pattern, position, ridge_orientation(rng, pattern, position))
        assert period.min() >= SHORTEST_PERIOD_PX
        assert period.max() <= LONGEST_PERIOD_PX
        means.append(period[pad].mean())
        spreads.append(period[pad].std() / period[pad].mean())
    assert np.mean(means) == pytest.approx(9.0, abs=0.4)
    assert np.std(means) > 0.2
    assert min(spreads) > 0.02


def test_ridges_lie_closer_where_the_flow_narrows() -> None:
    """In a fan of ridges the distance grows along the fan, so that few of them need to end."""
    position = finger_coordinates()
    fan = np.angle(position + 400j)  # all ridges come from a point below the finger
    arch = Pattern(FingerClass.ARCH, (), ())
    ratios = []
    for seed in range(10):
        fanned = ridge_period(np.random.default_rng(seed), arch, position, fan)
        level = ridge_period(np.random.default_rng(seed), arch, position, np.zeros_like(fan))
        relative = fanned / level
        ratios.append(relative[150:200, 150:280].mean() / relative[450:500, 150:280].mean())
    assert np.median(ratios) > 1.25


def test_two_fingers_are_not_placed_alike() -> None:
    """The first touch of one finger says nothing about where the first touch of another lies."""
    middles = []
    for seed in range(6):
        dark = Finger.from_seed(seed).impression(0) < 128
        middles.append([float(axis.mean()) for axis in np.nonzero(dark)])
    assert np.std(middles, axis=0).min() > 6


@pytest.mark.parametrize(("degrees", "period"), [(0, 9.0), (30, 9.0), (90, 7.5), (135, 11.0)])
def test_ridges_grow_along_the_direction_and_at_the_distance_asked_for(degrees: int, period: float) -> None:
    """A field of one direction and one distance gives stripes that Fourier finds there."""
    shape = (256, 256)
    grown = grow_ridges(np.random.default_rng(1), np.full(shape, np.radians(degrees)), np.full(shape, period))
    assert float(np.abs(grown).max()) <= 1.0
    power = np.abs(np.fft.fftshift(np.fft.fft2(grown * np.hanning(256)[:, None] * np.hanning(256)))) ** 2
    row, column = np.mgrid[-128:128, -128:128] / 256
    power[column < 0] = 0
    power[(column == 0) & (row < 0)] = 0
    frequency = complex((power * column).sum(), -(power * row).sum()) / power.sum()
    if degrees == 0:  # the peak lies on the axis, half of it was cut away
        frequency = complex(0, abs(np.sqrt((power * row**2).sum() / power.sum())))
    across = np.degrees(np.angle(frequency)) % 180
    turn = (across - 90 - degrees + 90) % 180 - 90
    assert abs(turn) < 4
    assert 1 / abs(frequency) == pytest.approx(period, rel=0.06)


@pytest.fixture(scope="module")
def nbis() -> Nbis:
    return Nbis()


def test_minutiae_appear_by_themselves_at_a_natural_density(nbis: Nbis) -> None:
    """A full, clean impression holds 25 to 60 minutiae, as people's fingers do, and not all fingers the same number."""
    clean = Condition(dryness=0.03, pressure=0.1, noise=1.0)
    found = [len(nbis.extract(Finger.from_seed(seed).impression(0, condition=clean)).get()) for seed in range(12)]
    assert 33 <= np.median(found) <= 52
    assert min(found) >= 20
    assert max(found) <= 75
    assert np.std(found) > 2


def test_an_independent_matcher_tells_fingers_apart_and_touches_together(nbis: Nbis) -> None:
    """NBIS finds two touches of one finger alike and two fingers different, without being told how they were made."""
    touches = [[nbis.extract(Finger.from_seed(seed).impression(n)) for n in range(3)] for seed in range(20, 26)]
    same = [a.compare(b) for finger in touches for a, b in itertools.combinations(finger, 2)]
    others = [a.compare(b) for one, two in itertools.combinations(touches, 2) for a in one for b in two]
    assert np.mean(np.array(same) >= MATCH) >= 0.85
    assert np.median(same) >= 2 * MATCH
    # Nor is it child's play: a touch compared with itself scores far more.
    assert np.median(same) < 0.6 * np.median([a.compare(a) for finger in touches for a in finger])
    assert max(others) < MATCH
    assert np.median(others) < MATCH / 3


def test_a_given_class_is_what_is_grown() -> None:
    """Whoever asks for a whorl gets two cores and two deltas; an arch has none."""
    assert len(Finger.from_seed(5, FingerClass.WHORL).pattern.cores) == 2
    assert Finger.from_seed(5, FingerClass.ARCH).pattern == Pattern(FingerClass.ARCH, (), ())
