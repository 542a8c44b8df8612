"""Time as the device has it, and as head office told it; nothing is ever ordered by the wall clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import UUID

from sync.edge.database import Database, Schema
from sync.envelope import Created
from sync.records import from_milliseconds, milliseconds

WORST_DRIFT = 200e-6
"""Seconds per second: twice what a cheap PC crystal may be off over its temperature range."""


class Clock(Protocol):
    """What the device can say of time by itself."""

    @property
    def boot_id(self) -> bytes:
        """16 bytes, new at every boot: monotonic times compare only within one."""

    def utc(self) -> datetime:
        """The wall clock; may be wrong by years."""

    def monotonic_ns(self) -> int:
        """Since boot, time asleep included."""


class SystemClock:
    """This machine's clocks."""

    def __init__(self) -> None:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        self.boot_id = UUID(text.strip()).bytes

    def utc(self) -> datetime:
        """See :class:`Clock`."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """See :class:`Clock`. CLOCK_BOOTTIME: a laptop's lid does not stop it."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Offset:
    """Head office's time minus our wall clock, in ms; ``error_ms`` None when nothing bounds the error."""

    offset_ms: int
    error_ms: int | None


class HeadOfficeTime:
    """Remembers what the last receipt said of time, over restarts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        database.migrate("head_office_time", STEPS)

    def learn(self, server_time: datetime, sent_ns: int, received_ns: int) -> Offset:
        """Take head office's time from a *verified* receipt.

        Parameters
        ----------
        server_time
            What it signed.
        sent_ns, received_ns
            Our monotonic clock when the request began and when the reply was complete. The stamp was made
            somewhere between: in the middle, give or take half the round trip.
        """
        half_ns = max(0, received_ns - sent_ns) // 2
        learnt = (
            milliseconds(server_time),
            received_ns - half_ns,
            self._clock.boot_id,
            milliseconds(server_time) - milliseconds(self._wall_at(received_ns - half_ns)),
            half_ns // 1_000_000 + 1,
        )
        # Part of a round: on a full disk it must not keep the receipt behind it from being taken.
        self._database.drain(
            lambda tx: tx.execute(
                "INSERT OR REPLACE INTO head_office_time"
                " (one, server_ms, monotonic_ns, boot_id, offset_ms, error_ms) VALUES (1, ?, ?, ?, ?, ?)",
                learnt,
            )
        )
        offset = self.offset()
        assert offset is not None
        return offset

    def offset(self) -> Offset | None:
        """The offset now; None when no receipt was ever verified.

        In the boot it was learnt in, it follows the monotonic clock, so that somebody setting the wall clock
        in between changes nothing; later it is what was last known, with an error nothing bounds.
        """
        rows = self._database.read("SELECT * FROM head_office_time")
        if not rows:
            return None
        known = rows[0]
        if known["boot_id"] != self._clock.boot_id:
            return Offset(known["offset_ms"], None)
        elapsed_ms = max(0, self._clock.monotonic_ns() - known["monotonic_ns"]) // 1_000_000
        now_there = known["server_ms"] + elapsed_ms
        return Offset(
            now_there - milliseconds(self._clock.utc()), known["error_ms"] + int(elapsed_ms * WORST_DRIFT) + 1
        )

    def at_least(self) -> datetime | None:
        """A time head office's clock has certainly reached; None when no receipt was ever verified.

        Its last signed time and what the monotonic clock of that boot says has passed since, both on the safe side.
        Whoever sets the wall clock changes nothing. After a reboot it stands still until the next receipt.
        """
        rows = self._database.read("SELECT * FROM head_office_time")
        if not rows:
            return None
        known, elapsed_ms = rows[0], 0
        if known["boot_id"] == self._clock.boot_id:
            elapsed_ms = max(0, self._clock.monotonic_ns() - known["monotonic_ns"]) // 1_000_000
        safe_ms = known["server_ms"] - known["error_ms"] + int(elapsed_ms * (1 - WORST_DRIFT))
        return from_milliseconds(safe_ms)

    def created(self) -> Created:
        """All the clocks at this moment, for a packet's header."""
        offset = self.offset()
        return Created(
            self._clock.utc(),
            self._clock.monotonic_ns(),
            self._clock.boot_id,
            None if offset is None else offset.offset_ms,
            None if offset is None else offset.error_ms,
        )

    def _wall_at(self, monotonic_ns: int) -> datetime:
        """The wall clock as it was, or will be, at that reading of the monotonic clock."""
        return self._clock.utc() - timedelta(microseconds=(self._clock.monotonic_ns() - monotonic_ns) // 1000)


def _one_row(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE head_office_time ("
        " one INTEGER PRIMARY KEY CHECK (one = 1),"
        " server_ms INTEGER NOT NULL, monotonic_ns INTEGER NOT NULL, boot_id BLOB NOT NULL,"
        " offset_ms INTEGER NOT NULL, error_ms INTEGER NOT NULL) STRICT"
    )


STEPS: tuple[Callable[[Schema], None], ...] = (_one_row,)
