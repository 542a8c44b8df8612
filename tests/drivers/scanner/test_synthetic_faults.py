"""Each named fault shows what its name says, measured on the pixels and felt by an independent matcher."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from tests.peer_nbis import Nbis

TOUCHES = [(seed, number) for seed in (40, 41, 42) for number in (0, 1)]


@pytest.fixture(scope="module")
def fingers() -> dict[int, Finger]:
    return {seed: Finger.from_seed(seed) for seed in {seed for seed, _ in TOUCHES}}


def covered(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the finger lies: near anything dark."""
    dark = (pixels < 170).astype(np.uint8)
    return np.asarray(cv2.boxFilter(dark, cv2.CV_32F, (25, 25)) > 0.15)


def pieces(pixels: NDArray[np.uint8]) -> int:
    """How many separate dark specks there are."""
    return int(cv2.connectedComponents((pixels < 128).astype(np.uint8))[0])


def ridge_contrast(pixels: NDArray[np.uint8]) -> float:
    """How far dark and light lie apart within a ridge's distance, in the middle of the finger."""
    local = pixels.astype(np.float32)
    mean = cv2.blur(local, (15, 15))
    deviation = np.sqrt(np.maximum(cv2.blur(local * local, (15, 15)) - mean * mean, 0))
    return float(np.median(deviation[covered(pixels)]))


@pytest.mark.parametrize(("seed", "number"), TOUCHES)
def test_faults_show_what_their_names_say(fingers: dict[int, Finger], seed: int, number: int) -> None:
    """The same touch, once as it was and once spoilt: the difference is the one that was planted."""
    good = fingers[seed].impression(number)
    spoilt = {fault: fingers[seed].impression(number, fault=fault) for fault in Fault}

    dry_pieces, good_pieces = pieces(spoilt[Fault.DRY]), pieces(good)
    assert dry_pieces > 1.6 * good_pieces

    finger = covered(good)
    wet_grey, good_grey = float(spoilt[Fault.WET][finger].mean()), float(good[finger].mean())
    assert wet_grey < good_grey - 20

    small_area, good_area = int(covered(spoilt[Fault.SMALL]).sum()), int(finger.sum())
    assert small_area < 0.45 * good_area

    smeared_contrast, good_contrast = ridge_contrast(spoilt[Fault.SMEARED]), ridge_contrast(good)
    assert smeared_contrast < 0.75 * good_contrast

    darkest, spread = float(np.percentile(spoilt[Fault.GHOST], 1)), float(np.std(spoilt[Fault.GHOST]))
    assert darkest > 170
    assert spread > 4

    lying = covered(spoilt[Fault.SHIFTED])
    lying_area = int(lying.sum())
    at_the_rim = max(float(side.mean()) for side in (lying[0], lying[-1], lying[:, 0], lying[:, -1]))
    assert at_the_rim > 0.3
    assert lying_area < 0.8 * good_area


def test_a_ghost_has_the_ridges_of_the_touch_that_left_it(fingers: dict[int, Finger]) -> None:
    """What stays on the glass is the last picture, pale: so it can be found by comparing with that one."""
    touch = fingers[40].impression(1).astype(np.float64)
    left = fingers[40].impression(1, fault=Fault.GHOST).astype(np.float64)
    other = fingers[41].impression(1).astype(np.float64)
    assert np.corrcoef(touch.ravel(), left.ravel())[0, 1] > 0.6
    assert np.corrcoef(other.ravel(), left.ravel())[0, 1] < 0.5


def test_what_is_no_finger_matches_no_finger(fingers: dict[int, Finger]) -> None:
    """Cloth, edges and dirty glass come in several kinds, and none of them passes for anybody."""
    nbis = Nbis()
    genuine = [nbis.extract(finger.impression(0)) for finger in fingers.values()]
    things = [fingers[40].impression(number, fault=Fault.NOT_A_FINGER) for number in range(12)]
    assert len({round(float(thing.mean()) / 20) for thing in things}) >= 3
    for thing in things:
        found = nbis.extract(thing)
        assert max(found.compare(finger) for finger in genuine) < 40


def test_a_fault_costs_the_match(fingers: dict[int, Finger]) -> None:
    """Dry, wet, small and smeared touches score well below the same touch without the fault."""
    nbis = Nbis()
    for fault in (Fault.DRY, Fault.WET, Fault.SMALL, Fault.SHIFTED, Fault.SMEARED):
        good_scores, spoilt_scores = [], []
        for finger in fingers.values():
            enrolled = nbis.extract(finger.impression(0))
            good_scores.append(enrolled.compare(nbis.extract(finger.impression(1))))
            spoilt_scores.append(enrolled.compare(nbis.extract(finger.impression(1, fault=fault))))
        lost = 1 - float(np.mean(spoilt_scores) / np.mean(good_scores))
        assert lost > 0.3, fault


@pytest.mark.parametrize("fault", list(Fault))
def test_faults_are_as_repeatable_as_touches(fingers: dict[int, Finger], fault: Fault) -> None:
    """A quality bench can name a picture by three numbers and a word."""
    first = fingers[42].impression(5, fault=fault)
    assert first.tobytes() == Finger.from_seed(42).impression(5, fault=fault).tobytes()
