"""What to tell the member while the finger lies on the glass: one short sentence at a time, from the picture's faults.

Every code has its sentence, Indonesian and English, under ``guidance`` in ``config/tables/texts.toml``.
"""

import enum
from collections.abc import Callable, Sequence

from matcher.quality import QualityReason


class Guidance(enum.StrEnum):
    """What the member should do now."""

    PLACE_FINGER = "PLACE_FINGER"
    LIFT_FINGER = "LIFT_FINGER"
    """The finger of the last picture still lies there."""
    CLEAN_GLASS = "CLEAN_GLASS"
    """What is seen is what an earlier finger left behind."""
    WRONG_POSITION = "WRONG_POSITION"
    """Something lies on the glass, but not the pad of a finger."""
    LAY_FLAT = "LAY_FLAT"
    """Only the tip or an edge touches."""
    CENTRE = "CENTRE"
    HOLD_STILL = "HOLD_STILL"
    PRESS_HARDER = "PRESS_HARDER"
    PRESS_SOFTER = "PRESS_SOFTER"
    TOO_DRY = "TOO_DRY"
    TOO_WET = "TOO_WET"
    HOLD = "HOLD"
    """As it is now it is good: a moment more."""


Tell = Callable[[Guidance], None]
"""Told when what the member should do changes; must return soon."""

_FOR_REASON = {
    QualityReason.NOT_A_FINGER: Guidance.WRONG_POSITION,
    QualityReason.GHOST: Guidance.CLEAN_GLASS,
    QualityReason.TOO_WET: Guidance.TOO_WET,
    QualityReason.SMEARED: Guidance.HOLD_STILL,
    QualityReason.OFF_CENTRE: Guidance.CENTRE,
    QualityReason.TOO_SMALL: Guidance.LAY_FLAT,
    QualityReason.TOO_DRY: Guidance.TOO_DRY,
}


def guidance_for(reasons: Sequence[QualityReason], *, was_drier: bool) -> Guidance:
    """The one thing to do about a touch.

    Parameters
    ----------
    reasons : what is wrong with the latest frame, the most hindering first.
    was_drier : whether an earlier frame of this touch was not too wet: then the finger is not wet but pressed hard.
    """
    if not reasons:
        return Guidance.HOLD
    first = reasons[0]
    if first is QualityReason.TOO_WET and was_drier:
        return Guidance.PRESS_SOFTER
    # A finger that is dry all over its pad lacks moisture; thin ridges in a small spot are a light touch.
    if first is QualityReason.TOO_SMALL and QualityReason.TOO_DRY in reasons:
        return Guidance.PRESS_HARDER
    return _FOR_REASON[first]


class Prompter:
    """Passes guidance on when it changes and has lasted, so that the words on the screen can be read.

    Parameters
    ----------
    lasting : how many frames in a row must say the same before it is told; 1 where each frame is a touch.
    """

    def __init__(self, tell: Tell, lasting: int) -> None:
        self._tell, self._lasting = tell, lasting
        self._told: Guidance | None = None
        self._candidate: Guidance | None = None
        self._seen = 0

    def say(self, guidance: Guidance) -> None:
        """What this frame asks for."""
        self._seen = self._seen + 1 if guidance is self._candidate else 1
        self._candidate = guidance
        if guidance is not self._told and (self._told is None or self._seen >= self._lasting):
            self._told = guidance
            self._tell(guidance)
