"""Which minutiae are believed."""

import numpy as np
from numpy.typing import NDArray

from matcher.compare.reliability import reliability


def distances(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of points on a line."""
    return np.abs(x[:, None] - x[None, :])


def test_lone_minutiae_are_believed_and_crowds_are_not() -> None:
    """A scar's five minutiae within a few pixels count for less than one that stands alone."""
    trust = reliability(distances(np.array([0.0, 100.0, 104.0, 108.0, 112.0, 116.0])), np.full(6, np.nan))
    assert trust[0] > 0.9
    assert trust[1:].sum() < trust[0]


def test_quality_counts_where_it_tells_minutiae_apart() -> None:
    """The better rated one is believed more."""
    trust = reliability(distances(np.array([0.0, 100.0, 200.0])), np.array([20.0, 50.0, 90.0]))
    assert trust[2] > trust[1] > trust[0] + 0.3


def test_one_quality_for_all_says_nothing() -> None:
    """Some extractors write the same number everywhere: as good as none."""
    far = distances(np.array([0.0, 100.0, 200.0]))
    unknown = reliability(far, np.full(3, np.nan))
    np.testing.assert_array_equal(reliability(far, np.full(3, 9.0)), unknown)
    np.testing.assert_array_equal(reliability(far, np.array([9.0, np.nan, 80.0])), unknown)


def patches() -> NDArray[np.float64]:
    """Two patches of twelve minutiae, far from each other; spaced so that none crowds another."""
    return np.concatenate([np.arange(12) * 30.0, 2000 + np.arange(12) * 30.0])


def test_two_qualities_are_better_and_worse_whatever_their_numbers() -> None:
    """A card's 50 and 9 mean an order; a third quality, and the numbers mean something."""
    far = distances(patches())
    card = reliability(far, np.repeat([50.0, 9.0], 12))
    np.testing.assert_array_equal(card, reliability(far, np.repeat([90.0, 60.0], 12)))
    assert card[:12].min() > card[12:].max() + 0.2
    fine = reliability(far, np.append(np.repeat([50.0, 9.0], 12)[1:], 51.0))
    assert fine[-1] > fine[0] > fine[-2]


def test_two_qualities_dealt_out_at_random_say_nothing() -> None:
    """Clear and poor skin lie in patches; where neighbours share no level, a card without qualities made them up."""
    far = distances(patches())
    dealt = reliability(far, np.tile([50.0, 9.0], 12))
    np.testing.assert_array_equal(dealt, reliability(far, np.full(24, np.nan)))


def test_no_minutiae_no_reliabilities() -> None:
    """And no warning either."""
    assert reliability(np.zeros((0, 0)), np.zeros(0)).shape == (0,)
