"""What is remembered of pictures that were handed out: where the last finger lay, and that none is handed out twice.

In memory only. The relief of the last picture is as biometric as the picture: it is wiped after a while, and when the
next one comes. Of older pictures a keyed digest is left, which says nothing to anybody without this process's key.
"""

import collections
import enum
import hashlib
import secrets
import threading
from collections.abc import Callable

from drivers.scanner.base import FingerImage
from mpos_agent.capture.ridge_relief import Relief, likeness, relief_of

FORGET_S = 300.0
"""How long the last finger's place is remembered: the next member has sat down by then, and grease has dried."""
ALIKE, RESTING_ALIKE = 0.5, 0.6
"""Between what two placements of one finger reach within that way (0.48 at most in 2,240 pairs of real prints) and what
its grease does (0.67 and more, synthetic), or a finger that was not lifted (nearly 1)."""
PALE = 0.5
"""Ridges this much shallower than the finger's own are its grease; deeper ones are the finger itself."""
NEAR_MM, RESTING_MM = 0.3, 0.5
"""How far grease seems to move (it does not; the picture is cut to pixels), and a finger that rests."""
_DIGESTS = 1024
"""Pictures of some days at a busy counter."""


class Seen(enum.Enum):
    """What a picture is beside the last one."""

    NEW = "new"
    STAYS = "stays"
    """The same finger in the same place: it was not lifted."""
    LEFTOVER = "leftover"
    """The same ridges in the same place, but pale: what it left behind."""


class PictureMemory:
    """Safe from every thread: a timer of its own wipes it.

    Parameters
    ----------
    schedule : calls a function after so many seconds, in a thread of its own; gives a way to cancel it.
    """

    def __init__(self, schedule: Callable[[float, Callable[[], None]], Callable[[], None]]) -> None:
        self._schedule = schedule
        self._lock = threading.Lock()
        self._last: Relief | None = None
        self._cancel: Callable[[], None] | None = None
        self._key = secrets.token_bytes(32)
        self._handed_out: collections.OrderedDict[bytes, None] = collections.OrderedDict()

    def beside_last(self, image: FingerImage, *, resting: bool = False) -> Seen:
        """What this picture is, judged by the last one that was handed out.

        Parameters
        ----------
        resting : whether a finger that moved a little without being lifted is to be recognised, too.
        """
        with self._lock:
            if self._last is None:
                return Seen.NEW
            now = relief_of(image)
            try:
                reach, alike = (RESTING_MM, RESTING_ALIKE) if resting else (NEAR_MM, ALIKE)
                if likeness(self._last, now, reach) < alike:
                    return Seen.NEW
                depth = float(now.levels[self._last.ridged].std())
                return Seen.LEFTOVER if depth < PALE * self._last.depth else Seen.STAYS
            finally:
                now.wipe()

    def was_handed_out(self, image: FingerImage) -> bool:
        """Whether this very picture was handed out before, to this claim or another.

        A live sensor never gives the same bytes twice: its noise alone differs. Whoever does has a picture in store.
        """
        with self._lock:
            return self._digest(image) in self._handed_out

    def hand_out(self, image: FingerImage) -> None:
        """Remember a picture that a claim gets."""
        with self._lock:
            self._handed_out[self._digest(image)] = None
            if len(self._handed_out) > _DIGESTS:
                self._handed_out.popitem(last=False)
            self._forget()
            self._last = relief_of(image)
            relief = self._last
            self._cancel = self._schedule(FORGET_S, lambda: self._time_is_over(relief))

    def forget(self) -> None:
        """Wipe where the last finger lay."""
        with self._lock:
            self._forget()

    def _digest(self, image: FingerImage) -> bytes:
        # Row by row: a picture that was turned is no single stretch of memory, and a copy of it would stay behind.
        digest = hashlib.blake2b(repr(image.pixels.shape).encode(), key=self._key, digest_size=16)
        for row in image.pixels:
            digest.update(row.tobytes())
        return digest.digest()

    def _time_is_over(self, relief: Relief) -> None:
        with self._lock:
            if self._last is relief:
                self._forget()

    def _forget(self) -> None:
        if self._last is not None:
            self._last.wipe()
            self._last = None
        if self._cancel is not None:
            self._cancel()
            self._cancel = None


def in_a_thread(seconds: float, act: Callable[[], None]) -> Callable[[], None]:
    """Schedule on the real clock; does not keep the program from ending."""
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer.cancel
