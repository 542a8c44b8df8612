"""Several comparisons, one decision: two fingers of a person, or several attempts with a finger.

Both rest on what a calibrated score means: a stranger reaches the false match rate p, or a lower one, with
probability p. No new numbers are fitted; whatever is looked at is paid for. ``python -m bench attempts`` tries both on
strangers.
"""

import math
from collections.abc import Sequence
from typing import Final

from matcher.compare.calibration import Score, scored

MARGIN: Final = 2.0
"""How much more often than named a stranger may reach a rate on one sensor or another. Raising it costs mates."""

_NATS_PER_VALUE: Final = math.log(10.0) / 10.0


def fuse_fingers(right: Score, left: Score) -> Score:
    """Two fingers of one person, each compared with its own template.

    Notes
    -----
    Three tests, and Bonferroni's price for all of them: either finger alone, and both together by Fisher's method for
    independent tests (R. A. Fisher, Statistical Methods for Research Workers, 1932, section 21.1): with q = p1 p2, the
    chance that two strangers' fingers do as well together is q (1 - ln q). A good finger carries a poor one; two fair
    ones pass together. One person's fingers are not quite independent and a single rate is known within a factor of two
    only; Fisher's method by itself passes strangers twice as often as named. ``MARGIN`` pays for that as well.
    """
    nats = (right.value + left.value) * _NATS_PER_VALUE
    together = (nats - math.log1p(nats)) / _NATS_PER_VALUE
    best = max(right.value, left.value, together)
    return scored(best - 10.0 * math.log10(3 * MARGIN), right.matched + left.matched)


def fuse_attempts(scores: Sequence[Score], allowed: int) -> Score:
    """The best of the comparisons made so far, paid for with all that are allowed.

    Parameters
    ----------
    scores : one or more
        Of one claimed person: attempts, and every template tried at an attempt.
    allowed : int
        Comparisons the series may come to, fixed before the first one; at least as many as there are scores.

    Notes
    -----
    Bonferroni: the best of n tests is as good as p / n at most with probability p, whatever the tests have in common.
    So a series decided after every attempt never exceeds the false match rate it names, not even for somebody who
    presents another finger each time. As for two fingers, ``MARGIN`` pays for what a single rate may be off. Together
    they cost 10 log10 2n of value: 7.8 for three comparisons. A series of one is its score.

    Raises
    ------
    ValueError
        No scores, or more than allowed.
    """
    if not 1 <= len(scores) <= allowed:
        raise ValueError(f"{len(scores)} scores in a series of {allowed}")
    best = max(scores, key=lambda score: score.value)
    return scored(best.value - 10.0 * math.log10(allowed * MARGIN if allowed > 1 else 1.0), best.matched)
