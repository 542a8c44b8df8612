"""One touch of a scanner that streams: the best of its frames is its picture."""

import math

from drivers.scanner.base import FingerImage
from matcher.quality import Quality, QualityReason
from mpos_agent.capture.guidance import Guidance, guidance_for

GOOD_QUALITY = 60.0
"""From here on, and without a fault, a frame is worth taking; healthy synthetic touches have 90 and more."""
GOOD_FRAMES = 2
"""So many good frames in a row show that the finger has settled: the first full contact still spreads."""
LONGEST_S = 3.0
"""After this the best frame is taken as it is: longer the member thinks that nothing happens and lifts the finger."""
LEAST_FRAMES = 2
"""A finger that was lifted after fewer frames brushed the glass."""


class Touch:
    """From the first frame with a finger to the last; holds the best picture so far, until it is taken or wiped."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._best: FingerImage | None = None
        self._best_value = -math.inf
        self._good = 0
        self._frames = 0
        self._was_drier = False

    def see(self, frame: FingerImage, quality: Quality) -> Guidance:
        """Take the next frame over, for keeping or wiping; gives what the member should do."""
        self._frames += 1
        # Between two frames of one worth the one without a fault is the better.
        value = quality.value - (0.0 if not quality.reasons else 25.0)
        self._good = self._good + 1 if not quality.reasons and quality.value >= GOOD_QUALITY else 0
        if value > self._best_value:
            self.wipe()
            self._best, self._best_value = frame, value
        else:
            frame.wipe()
        guidance = guidance_for(quality.reasons, was_drier=self._was_drier)
        self._was_drier = self._was_drier or QualityReason.TOO_WET not in quality.reasons
        return guidance

    def is_enough(self, now: float) -> bool:
        """The picture will not get better by waiting, or not soon enough."""
        return self._good >= GOOD_FRAMES or now - self._began >= LONGEST_S

    @property
    def was_brief(self) -> bool:
        """The finger brushed the glass."""
        return self._frames < LEAST_FRAMES

    def take(self) -> FingerImage:
        """The best frame, from now on the caller's to wipe."""
        assert self._best is not None, "a touch begins with a frame"
        best, self._best = self._best, None
        return best

    def wipe(self) -> None:
        """Forget the picture."""
        if self._best is not None:
            self._best.wipe()
            self._best = None
