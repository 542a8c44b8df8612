"""From an opened scanner to one picture of one touch, with a word to the member at each turn.

A scanner that streams is watched: guidance frame by frame, the best frame of the touch is its picture. One that gives
a picture a touch is asked for it. Either way what is no live finger never gets out: the grease of an earlier one, the
finger that was not lifted, a picture that was handed out before.
"""

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import cast

import numpy as np

from drivers.scanner.base import FingerImage, PlaceAgain, Prompt, Scanner
from drivers.scanner.errors import PictureRepeatedError
from matcher.errors import UnusableImageError
from matcher.quality import Quality, QualityReason
from mpos_agent.capture.guidance import Guidance, Prompter, Tell
from mpos_agent.capture.memory import PictureMemory, Seen
from mpos_agent.capture.touch import Touch

Judge = Callable[[FingerImage], Quality]
"""How usable a picture is; UnusableImageError when it is none."""

REPEATS = 3
"""A virtual or stuck scanner may show one picture twice by mistake; three times it has nothing else."""
_LASTING_FRAMES = 3
"""At 10 to 25 frames a second: a word stands for a tenth of a second at least before the next one comes."""
_DARKER = 40
"""Grey levels below the bare glass: what touches it, not its dust."""
_CONTACT = 0.05
"""Share of the picture that a touch covers at least."""
_UNUSABLE = Quality(0.0, (QualityReason.NOT_A_FINGER,))


class AutoCapture:
    """Takes pictures of touches, one at a time."""

    def __init__(self, judge: Judge, memory: PictureMemory, monotonic: Callable[[], float]) -> None:
        self._judge, self._memory, self._monotonic = judge, memory, monotonic

    def take(self, scanner: Scanner, timeout_s: float, stop: threading.Event, tell: Tell) -> FingerImage | PlaceAgain:
        """Wait for a touch and give its picture, which is the caller's to wipe.

        Returns
        -------
        What the member can put right otherwise: as ``Scanner.capture`` says, and ``PlaceAgain.LEFTOVER`` when all that
        was seen is what an earlier finger left behind.

        Raises
        ------
        PictureRepeatedError
            The scanner gives pictures it gave before.
        DeviceError
            Whatever else the scanner did.
        """
        if scanner.streams:
            return self._watch(scanner, timeout_s, stop, Prompter(tell, _LASTING_FRAMES))
        prompter = Prompter(tell, 1)
        scanner.prompt = lambda prompt: prompter.say(_WAITED_FOR[prompt])
        try:
            return self._ask(scanner, timeout_s, stop, prompter)
        finally:
            scanner.prompt = None

    def hand_out(self, picture: FingerImage) -> None:
        """Note a picture that somebody else took: no claim gets it again."""
        self._memory.hand_out(picture)

    def forget(self) -> None:
        """Wipe what is remembered of the last finger."""
        self._memory.forget()

    # --- one picture a touch ---

    def _ask(
        self, scanner: Scanner, timeout_s: float, stop: threading.Event, prompter: Prompter
    ) -> FingerImage | PlaceAgain:
        until, repeats, pale_by_looks = self._monotonic() + timeout_s, 0, False
        missed = PlaceAgain.NO_FINGER
        prompter.say(Guidance.PLACE_FINGER)
        while True:
            picture = scanner.capture(max(0.0, until - self._monotonic()), stop)
            if isinstance(picture, PlaceAgain):
                # What made us ask again is what the member has to put right.
                return picture if missed is PlaceAgain.NO_FINGER or stop.is_set() else missed
            with _wiped_unless_taken(picture) as taken:
                seen = self._memory.beside_last(picture)
                if self._memory.was_handed_out(picture):
                    repeats += 1
                    if repeats == REPEATS:
                        raise PictureRepeatedError(f"scanner {scanner.info.path}", "capture")
                    missed = PlaceAgain.LIFT_FIRST
                    prompter.say(Guidance.LIFT_FINGER)
                elif seen is Seen.STAYS:
                    missed = PlaceAgain.LIFT_FIRST
                    prompter.say(Guidance.LIFT_FINGER)
                elif seen is Seen.LEFTOVER or (not pale_by_looks and self._is_ghost(picture)):
                    # By its looks alone a pale finger is turned away once; the second time it is what this finger has.
                    pale_by_looks = pale_by_looks or seen is not Seen.LEFTOVER
                    missed = PlaceAgain.LEFTOVER
                    prompter.say(Guidance.CLEAN_GLASS)
                else:
                    self._memory.hand_out(picture)
                    taken.append(picture)
                    return picture
            if stop.is_set():
                return PlaceAgain.NO_FINGER
            if self._monotonic() >= until:
                return missed

    # --- frames ---

    def _watch(
        self, scanner: Scanner, timeout_s: float, stop: threading.Event, prompter: Prompter
    ) -> FingerImage | PlaceAgain:
        frames = cast("Generator[FingerImage, None, None]", scanner.frames(timeout_s, stop))
        touch: Touch | None = None
        missed = PlaceAgain.NO_FINGER
        with contextlib.closing(frames), contextlib.ExitStack() as leaving:
            for frame in frames:
                with _wiped_unless_taken(frame) as taken:
                    shown, quality = self._look(frame)
                    if shown is None:
                        if touch is None:
                            touch = Touch(self._monotonic())
                            leaving.callback(touch.wipe)
                        taken.append(frame)
                        prompter.say(touch.see(frame, quality))
                        if touch.is_enough(self._monotonic()):
                            return self._handed_out(touch, scanner)
                    elif touch is None:
                        missed = _MISSED.get(shown, PlaceAgain.NO_FINGER)
                        prompter.say(shown)
                    else:
                        return PlaceAgain.TOO_SHORT if touch.was_brief else self._handed_out(touch, scanner)
            if stop.is_set():
                return PlaceAgain.NO_FINGER
            return missed if touch is None else self._handed_out(touch, scanner)

    def _look(self, frame: FingerImage) -> tuple[Guidance | None, Quality]:
        """What to say of a frame that shows no live finger (None: it does), and how good it is."""
        if not _something_touches(frame):
            leftover = self._memory.beside_last(frame) is not Seen.NEW
            return (Guidance.CLEAN_GLASS if leftover else Guidance.PLACE_FINGER), _UNUSABLE
        seen = self._memory.beside_last(frame, resting=True)
        if seen is not Seen.NEW:
            return (Guidance.LIFT_FINGER if seen is Seen.STAYS else Guidance.CLEAN_GLASS), _UNUSABLE
        quality = self._judged(frame)
        if QualityReason.GHOST in quality.reasons:
            return Guidance.CLEAN_GLASS, quality
        if QualityReason.NOT_A_FINGER in quality.reasons:
            return Guidance.WRONG_POSITION, quality
        return None, quality

    def _handed_out(self, touch: Touch, scanner: Scanner) -> FingerImage:
        picture = touch.take()
        if self._memory.was_handed_out(picture):
            picture.wipe()
            raise PictureRepeatedError(f"scanner {scanner.info.path}", "watch")
        self._memory.hand_out(picture)
        return picture

    def _is_ghost(self, picture: FingerImage) -> bool:
        return QualityReason.GHOST in self._judged(picture).reasons

    def _judged(self, picture: FingerImage) -> Quality:
        try:
            return self._judge(picture)
        except UnusableImageError:
            return _UNUSABLE


_WAITED_FOR = {
    Prompt.PLACE: Guidance.PLACE_FINGER,
    Prompt.HOLD: Guidance.HOLD,
    Prompt.LIFT: Guidance.LIFT_FINGER,
}
_MISSED = {Guidance.LIFT_FINGER: PlaceAgain.LIFT_FIRST, Guidance.CLEAN_GLASS: PlaceAgain.LEFTOVER}


def _something_touches(frame: FingerImage) -> bool:
    glass = np.percentile(frame.pixels[::4, ::4], 95)
    return bool((frame.pixels[::4, ::4] < glass - _DARKER).mean() > _CONTACT)


@contextlib.contextmanager
def _wiped_unless_taken(picture: FingerImage) -> Generator[list[FingerImage], None, None]:
    taken: list[FingerImage] = []
    try:
        yield taken
    finally:
        if not taken:
            picture.wipe()
