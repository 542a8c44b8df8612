"""The operator hears what is wrong with a touch, and a touch that will match is let through."""

from pathlib import Path

import cv2
import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from matcher import MatcherError, QualityReason, assess_quality

TOLD = {
    Fault.DRY: QualityReason.TOO_DRY,
    Fault.WET: QualityReason.TOO_WET,
    Fault.SMALL: QualityReason.TOO_SMALL,
    Fault.SHIFTED: QualityReason.OFF_CENTRE,
    Fault.SMEARED: QualityReason.SMEARED,
    Fault.GHOST: QualityReason.GHOST,
    Fault.NOT_A_FINGER: QualityReason.NOT_A_FINGER,
}


@pytest.fixture(scope="module")
def fingers() -> list[Finger]:
    """Four synthetic fingers nobody tuned on."""
    return [Finger.from_seed(seed) for seed in range(7001, 7005)]


@pytest.mark.parametrize("fault", TOLD)
def test_planted_fault_is_the_first_thing_said(fault: Fault, fingers: list[Finger]) -> None:
    """Dry, wet, small, shifted, smeared, grease, cloth: named as such in nearly every touch."""
    touches = [finger.impression(touch, fault=fault) for finger in fingers for touch in range(3)]
    first = [(assess_quality(pixels, 500).reasons or (None,))[0] for pixels in touches]
    assert first.count(TOLD[fault]) >= 10


def test_natural_touches_are_let_through(fingers: list[Finger]) -> None:
    """An operator who hears a complaint at every finger stops listening."""
    found = [assess_quality(finger.impression(touch), 500) for finger in fingers for touch in range(3)]
    assert sum(bool(quality.reasons) for quality in found) <= 1
    assert np.median([quality.value for quality in found]) > 80


def test_every_fault_costs_quality(fingers: list[Finger]) -> None:
    """A natural touch is worth more than the same finger's touch with any fault."""
    for finger in fingers[:2]:
        natural = assess_quality(finger.impression(0), 500).value
        for fault in TOLD:
            assert assess_quality(finger.impression(0, fault=fault), 500).value < natural


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_empty_glass_is_no_finger(grey: int) -> None:
    """Nothing there: worth 0, and said."""
    quality = assess_quality(np.full((374, 388), grey, np.uint8), 500)
    assert (quality.value, quality.reasons) == (0.0, (QualityReason.NOT_A_FINGER,))


@pytest.mark.parametrize("dpi", [400, 1000])
def test_resolution_hardly_changes_the_value(dpi: int, fingers: list[Finger]) -> None:
    """The same touch on a finer or coarser sensor."""
    pixels = fingers[0].impression(1)
    size = (round(pixels.shape[1] * dpi / 500), round(pixels.shape[0] * dpi / 500))
    other = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if dpi < 500 else cv2.INTER_CUBIC))
    one, two = assess_quality(pixels, 500), assess_quality(other.astype(np.uint8), dpi)
    assert one.reasons == two.reasons
    assert one.value == pytest.approx(two.value, abs=12)


def test_light_ridges_are_judged_like_dark_ones(fingers: list[Finger]) -> None:
    """A scanner's negative is worth the same."""
    pixels = fingers[1].impression(1)
    one, two = assess_quality(pixels, 500), assess_quality(255 - pixels, 500)
    assert one == two


@pytest.mark.data
@pytest.mark.parametrize("recording", ["upektc_img", "nb1010"])
def test_finger_on_a_pale_or_small_sensor_is_not_called_grease(recording: str, shared_data: Path) -> None:
    """Pictures recorded from real scanners: small, one very pale; each is a finger and worth something."""
    pixels = cv2.imread(str(shared_data / "usb-recordings" / recording / "capture.png"), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    quality = assess_quality(np.asarray(pixels, np.uint8), 500)
    assert not {QualityReason.GHOST, QualityReason.NOT_A_FINGER} & set(quality.reasons)
    assert quality.value > 30


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.one_of(
        npst.arrays(np.uint8, st.tuples(st.integers(0, 140), st.integers(0, 140)), elements=st.integers(0, 255)),
        npst.arrays(np.float32, st.tuples(st.integers(0, 70), st.integers(0, 70))),
        npst.arrays(np.uint8, st.tuples(st.integers(60, 80), st.integers(60, 80), st.integers(1, 4))),
    ),
    st.one_of(st.sampled_from([250.0, 500.0, 1100.0]), st.floats()),
)
def test_any_array_gives_a_quality_or_a_matcher_error(pixels: NDArray[np.uint8], dpi: float) -> None:
    """No frame of a broken scanner stops the capture loop."""
    try:
        quality = assess_quality(pixels, dpi)
    except MatcherError:
        return
    assert 0 <= quality.value <= 100
