"""The one place where fingerprint templates of a card wait for a finger, and a passport's photo for its holder.

Memory only. They belong to one claim. They are overwritten when the finger matched or the photo was compared, when
no more tries are left, when the claim is withdrawn, expires, fails or ends, when another claim reads a card, when
their time is over, and when the desk closes. After that the card has to be read again.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from drivers.sensitive import SensitiveBytes


class Timer(Protocol):
    """Something that was scheduled and can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it has run."""


Schedule = Callable[[float, Callable[[], None]], Timer]


def threading_schedule(seconds: float, act: Callable[[], None]) -> Timer:
    """Run ``act`` once after ``seconds`` in a thread of its own, which keeps no process alive."""
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HeldFinger:
    """One template of the card and the finger it is of (ISO code)."""

    finger: int
    record: SensitiveBytes

    def __repr__(self) -> str:
        return f"<template of finger {self.finger}>"


class HeldBiometrics:
    """At most one claim's templates, or passport photo, at a time. Safe from every thread."""

    def __init__(self, hold_s: float, schedule: Schedule = threading_schedule) -> None:
        self._hold_s, self._schedule = hold_s, schedule
        self._lock = threading.Lock()
        self._claim_id: str | None = None
        self._fingers: tuple[HeldFinger, ...] = ()
        self._photo: SensitiveBytes | None = None
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<held biometrics: {len(self._fingers)} fingers>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("held biometrics are neither pickled nor copied")

    def hold(self, claim_id: str, fingers: Sequence[HeldFinger]) -> None:
        """Take over these templates for this claim; what was held before is wiped."""
        with self._lock:
            self._wipe()
            self._claim_id, self._fingers = claim_id, tuple(fingers)
            if fingers:
                self._timer = self._schedule(self._hold_s, lambda: self._time_is_over(fingers))

    def hold_photo(self, claim_id: str, photo: SensitiveBytes) -> None:
        """Take over a passport's photo for this claim; what was held before is wiped."""
        with self._lock:
            self._wipe()
            self._claim_id, self._photo = claim_id, photo
            self._timer = self._schedule(self._hold_s, lambda: self._photo_time_is_over(photo))

    def photo(self, claim_id: str) -> bytes | None:
        """A copy of the photo of this claim; None when there is none (any more)."""
        with self._lock:
            return bytes(self._photo.view()) if self._photo is not None and claim_id == self._claim_id else None

    def fingers(self, claim_id: str) -> tuple[HeldFinger, ...]:
        """The templates of this claim; empty when there are none (any more)."""
        with self._lock:
            return self._fingers if claim_id == self._claim_id else ()

    def wipe(self, claim_id: str) -> None:
        """Overwrite what is held for this claim; safe to call at any time, as often as wished."""
        with self._lock:
            if claim_id == self._claim_id:
                self._wipe()

    def wipe_fingers(self, claim_id: str) -> None:
        """Overwrite this claim's templates; a photo stays."""
        with self._lock:
            if claim_id == self._claim_id and self._photo is None:
                self._wipe()

    def wipe_all(self) -> None:
        """Overwrite whatever is held."""
        with self._lock:
            self._wipe()

    def _time_is_over(self, fingers: Sequence[HeldFinger]) -> None:
        with self._lock:
            # A later read may have replaced them in the moment the timer went off.
            if self._fingers and self._fingers[0] is fingers[0]:
                self._wipe()

    def _photo_time_is_over(self, photo: SensitiveBytes) -> None:
        with self._lock:
            if self._photo is photo:
                self._wipe()

    def _wipe(self) -> None:
        for held in self._fingers:
            held.record.wipe()
        if self._photo is not None:
            self._photo.wipe()
        self._claim_id, self._fingers, self._photo = None, (), None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
