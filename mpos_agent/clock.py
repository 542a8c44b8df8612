"""This machine's time: handed in wherever time matters, so that tests can hold it still."""

import datetime
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Wall time for people, monotonic time for measuring, and how far the wall clock is believed."""

    def now(self) -> datetime.datetime:
        """Wall time, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds; never runs backwards, means nothing after a reboot."""

    @property
    def trusted(self) -> bool:
        """Whether head office confirmed the wall clock since this boot."""


class SystemClock:
    """The real one. Trust comes with :meth:`confirmed`, called when a verified receipt brought server time."""

    # A round trip of a slow link plus a receiver that batches: more than this and the clock itself is off.
    TOLERANCE_MS = 120_000

    def __init__(self) -> None:
        self.offset_ms: int | None = None
        """Head office's time minus ours, learnt from the last receipt."""
        self.error_ms: int | None = None
        """How far ``offset_ms`` may be wrong: half the round trip it was learnt in."""

    def now(self) -> datetime.datetime:
        """Wall time, UTC."""
        return datetime.datetime.now(datetime.UTC)

    def monotonic(self) -> float:
        """Seconds since some point before this process."""
        return time.monotonic()

    @property
    def trusted(self) -> bool:
        """An offset is known and small."""
        return self.offset_ms is not None and abs(self.offset_ms) <= self.TOLERANCE_MS

    def confirmed(self, offset_ms: int, error_ms: int) -> None:
        """Remember what the last receipt said about our clock."""
        self.offset_ms, self.error_ms = offset_ms, error_ms

    @staticmethod
    def boot_id() -> str:
        """Names this boot; two readings of monotonic time compare only within one."""
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
