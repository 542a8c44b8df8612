"""Synthetic fingers and our matcher: what demo, drills and load tests rest on."""

import itertools

import pytest

from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import DPI, Finger
from matcher import THRESHOLDS, Network, Template, compare, extract
from matcher.errors import NetworkMissingError

FINGERS = range(60, 65)
ACCEPTED = THRESHOLDS["FMR_0.01%"]


@pytest.fixture(scope="module")
def network() -> Network:
    """The network file that set-up wrote; skips where set-up has not run."""
    try:
        return Network.load()
    except NetworkMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def touches(network: Network) -> list[list[Template]]:
    fingers = [Finger.from_seed(seed) for seed in FINGERS]
    return [[extract(finger.impression(number), DPI, network) for number in range(2)] for finger in fingers]


def test_two_touches_of_one_finger_match(touches: list[list[Template]]) -> None:
    """The demo's holder is recognised at the threshold a counter uses."""
    scores = [compare(first, second).value for first, second in touches]
    assert min(scores) >= ACCEPTED


def test_two_fingers_do_not_match(touches: list[list[Template]]) -> None:
    """The demo's stranger is not taken for the holder, whatever touches are compared."""
    scores = [compare(a, b).value for one, two in itertools.combinations(touches, 2) for a in one for b in two]
    assert max(scores) < ACCEPTED


def test_an_impression_holds_a_natural_number_of_minutiae(touches: list[list[Template]]) -> None:
    """As many as the network finds in people's prints of this size."""
    found = [len(template.x) for finger in touches for template in finger]
    assert min(found) >= 15
    assert max(found) <= 70


def test_nothing_but_a_finger_matches(network: Network, touches: list[list[Template]]) -> None:
    """Cloth, edges and dirty glass end far below the threshold."""
    finger = Finger.from_seed(FINGERS[0])
    for number in range(4):
        thing = extract(finger.impression(number, fault=Fault.NOT_A_FINGER), DPI, network)
        assert max(compare(thing, templates[0]).value for templates in touches) < ACCEPTED
