"""What lies on the pretended glass, and how long a capture waits for it."""

import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.sbi.protocol import FINGERS
from drivers.scanner.synthetic.finger import Finger

SYNTHETIC_DPI = 500.0
_SLICE_S = 0.02
"""How often a wait looks whether its caller has gone."""
_NO_FINGERS: Mapping[str, NDArray[np.uint8]] = MappingProxyType({})

_HANDS_S = 0.1
"""A lifted finger is away for at least this long, for whoever is looking."""

Picture = tuple[NDArray[np.uint8], float]


class Glass:
    """Fingers come and go from one thread while captures wait in others. Pictures stay in memory and are wiped."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._changed = threading.Condition()
        self._monotonic = monotonic
        self._every: NDArray[np.uint8] | None = None
        self._named: dict[str, NDArray[np.uint8]] = {}
        self._dpi = SYNTHETIC_DPI
        self._empty_unseen = False

    def place(
        self,
        pixels: NDArray[np.uint8],
        dpi: float = SYNTHETIC_DPI,
        named: Mapping[str, NDArray[np.uint8]] = _NO_FINGERS,
    ) -> None:
        """Lay a finger there until it is lifted; ``named`` gives pictures of their own to some fingers of a slap."""
        with self._changed:
            self._wipe()
            self._every, self._dpi = pixels.copy(), dpi
            self._named = {name: one.copy() for name, one in named.items()}
            self._changed.notify_all()

    def place_synthetic(self, finger: int, impression: int) -> None:
        """Lay a synthetic finger there, by its numbers."""
        self.place(Finger.from_seed(finger).impression(impression))

    def place_hand(self, number: int) -> None:
        """Ten synthetic fingers, each under its name."""
        hand = {name: Finger.from_seed(number * 10 + position).impression(1) for position, name in FINGERS.items()}
        self.place(hand[FINGERS[2]], named=hand)

    def lift(self) -> None:
        """Take the finger off. Hands are slower than programs: the glass is seen empty before it is touched again."""
        with self._changed:
            self._empty_unseen = self._every is not None
            self._wipe()
            self._every, self._named = None, {}
            self._changed.notify_all()

    def wait(
        self, names: list[str], seconds: float, enough: Callable[[], bool], given_up: Callable[[], bool]
    ) -> dict[str, Picture] | None:
        """Pictures of the named fingers: at once when they are good ``enough``, else the best when the time is over.

        None when no finger came, or the caller has gone. Copies, for the caller to wipe.
        """
        began = self._monotonic()
        until = began + seconds
        with self._changed:
            while True:
                now = self._monotonic()
                left = until - now
                if left <= 0 or now - began >= _HANDS_S:
                    seen_empty, self._empty_unseen = self._empty_unseen, False
                    if seen_empty and left <= 0:
                        return None
                if self._every is not None and not self._empty_unseen and (enough() or left <= 0):
                    return {name: (self._named.get(name, self._every).copy(), self._dpi) for name in names}
                if left <= 0 or given_up():
                    return None
                self._changed.wait(min(left, _SLICE_S))

    def frame(self) -> Picture | None:
        """What lies there now."""
        with self._changed:
            return None if self._every is None else (self._every.copy(), self._dpi)

    def _wipe(self) -> None:
        for pixels in (self._every, *self._named.values()):
            if pixels is not None:
                pixels[...] = 0
