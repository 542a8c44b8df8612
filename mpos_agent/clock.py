"""This machine's time as a claim needs it: handed in, so that tests can hold it still."""

import datetime
from typing import Final, Protocol

from sync.edge.clock import Clock as DeviceClock
from sync.edge.clock import HeadOfficeTime


class Clock(Protocol):
    """Wall time for people, monotonic time for measuring, and whether the wall clock is believed."""

    def now(self) -> datetime.datetime:
        """Wall time, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds; never runs backwards, means nothing after a reboot."""

    @property
    def trusted(self) -> bool:
        """Whether head office has confirmed the wall clock."""


# A slow link's round trip and a few days of drift lie well inside; a battery that died or a hand on the clock
# does not. Beyond it the day on a slip may be wrong.
TOLERANCE_MS: Final = 120_000


class AgentClock:
    """The device's clocks, with what the last verified receipt said about them."""

    def __init__(self, clock: DeviceClock, head_office: HeadOfficeTime) -> None:
        self._clock, self._head_office = clock, head_office

    def now(self) -> datetime.datetime:
        """Wall time, UTC."""
        return self._clock.utc()

    def monotonic(self) -> float:
        """Seconds since boot."""
        return self._clock.monotonic_ns() / 1e9

    @property
    def trusted(self) -> bool:
        """An offset is known, its error is bounded, and both together are small."""
        offset = self._head_office.offset()
        if offset is None or offset.error_ms is None:
            return False
        return abs(offset.offset_ms) + offset.error_ms <= TOLERANCE_MS
