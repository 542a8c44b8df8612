"""What a technician is shown of a test picture."""

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.scanner.base import FingerImage, PlaceAgain
from matcher import assess_quality
from matcher.quality import Quality
from mpos_agent.capture.trial import Preview, trial_of
from tests.capture.glass import INFO


def judge(image: FingerImage) -> Quality:
    assert image.dpi is not None
    return assess_quality(image.pixels, image.dpi)


def picture(pixels: NDArray[np.uint8], dpi: float | None = 500.0) -> FingerImage:
    return FingerImage(pixels.copy(), dpi, "test")


def test_a_good_and_a_dry_finger(touches: Mapping[str, NDArray[np.uint8]]) -> None:
    """The same numbers a claim goes by, with what could be better; the picture is wiped."""
    taken = picture(touches["good"])
    trial = trial_of(INFO, taken, judge)
    assert trial.missed is None
    assert (trial.width, trial.height, trial.dpi) == (388, 374, 500.0)
    assert trial.quality is not None
    assert trial.quality > 80
    assert trial.reasons == ()
    assert not taken.pixels.any()
    assert trial_of(INFO, picture(touches["dry"]), judge).reasons == ("too_dry",)


def test_a_scanner_of_unknown_resolution_gives_no_quality(touches: Mapping[str, NDArray[np.uint8]]) -> None:
    """Ridges are judged by their size: nobody guesses it."""
    trial = trial_of(INFO, picture(touches["good"], None), judge)
    assert trial.dpi is None
    assert trial.quality is None
    assert trial.preview is not None


def test_something_that_is_no_picture(touches: Mapping[str, NDArray[np.uint8]]) -> None:
    """A scrap of a picture is worth nothing, and that is said instead of failing."""
    assert trial_of(INFO, picture(touches["good"][:20, :20]), judge).quality == 0.0


def test_nobody_came() -> None:
    """Why there is no picture is told."""
    trial = trial_of(INFO, PlaceAgain.NO_FINGER, judge)
    assert (trial.missed, trial.preview) == (PlaceAgain.NO_FINGER, None)


def test_what_is_shown_has_the_shape_of_the_finger_but_no_ridges(touches: Mapping[str, NDArray[np.uint8]]) -> None:
    """The preview tells where the finger lies, and blown up again it is nothing a matcher could use."""
    preview = trial_of(INFO, picture(touches["good"]), judge).preview
    assert preview is not None
    assert (preview.width, preview.height) == (48, 46)
    shown = np.frombuffer(preview.greys, np.uint8).reshape(preview.height, preview.width)
    assert shown[20:26, 20:28].mean() < shown[:3, :3].mean() - 50, "the finger is darker than the bare corner"
    assert_no_ridges(preview, touches["good"])


@pytest.mark.parametrize("side_mm", [10, 13])
def test_a_small_sensor_shows_no_ridges_either(touches: Mapping[str, NDArray[np.uint8]], side_mm: int) -> None:
    """Ten millimetres of glass in as many cells as twenty would show each ridge: it gets fewer."""
    side = round(side_mm / 25.4 * 500)
    top, left = (374 - side) // 2, (388 - side) // 2
    seen = touches["good"][top : top + side, left : left + side]
    preview = trial_of(INFO, picture(seen), judge).preview
    assert preview is not None
    assert (preview.width, preview.height) == (int(side_mm / 0.4 + 0.5),) * 2
    assert_no_ridges(preview, seen)


def assert_no_ridges(preview: Preview, pixels: NDArray[np.uint8]) -> None:
    """Blown up again, the preview holds next to nothing of the ridges in the middle of the picture."""
    height, width = pixels.shape
    shown = np.frombuffer(preview.greys, np.uint8).reshape(preview.height, preview.width)
    again = cv2.resize(shown, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    rim = min(80, height // 6)

    def ridges(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(of - cv2.GaussianBlur(of, (0, 0), 8))[rim:-rim, rim:-rim]

    real = ridges(pixels.astype(np.float64))
    alike = abs(np.corrcoef(ridges(again).ravel(), real.ravel())[0, 1])
    assert alike < 0.15
    assert ridges(again).std() < 0.12 * real.std()
