"""The best frame of one touch."""

import numpy as np

from drivers.scanner.base import FingerImage
from matcher.quality import Quality, QualityReason
from mpos_agent.capture.touch import Touch


def test_a_worn_finger_whose_every_frame_is_poor_still_gives_its_best() -> None:
    """Very low quality with a fault is worth less than nothing by the count, and is a picture all the same."""
    touch = Touch(0.0)
    poor, poorer = (FingerImage(np.full((8, 8), grey, np.uint8), 500.0, "scanner") for grey in (1, 2))
    touch.see(poor, Quality(20.0, (QualityReason.TOO_WET,)))
    touch.see(poorer, Quality(3.0, (QualityReason.TOO_WET,)))
    assert touch.take() is poor
