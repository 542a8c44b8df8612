"""Erasing sealed copies some time after head office's receipt, in small steps, each together with its record.

The bytes are overwritten (secure_delete), then their pages go back to the file system. A step is small enough for the
room that the reserve gives on a full disk: there this is the only way to make more.

Two clocks have to say that it is over. Head office's, as it signs it: when a packet was taken, and how late it is by
now. And this machine's, which says when the receipt came. A hand on the one, or an hour in which the other was months
ahead, purges nothing early. Where this machine's was ahead itself when the receipt came, and the two could not agree
for years, head office's alone decides after more than a year.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sync.edge.database import Database
from sync.edge.outbox import Outbox

PAGES_AT_ONCE = 256
"""A megabyte: moving pages down writes them to the log first."""
IN_ANY_CASE_AFTER = timedelta(days=400)
"""Beyond the retention, by head office's time alone: a wall clock ten years ahead keeps nothing for ten years."""
STEPS_AT_ONCE = 50
"""Steps in one go, a thousand packets at most: a counter that purges a year's backlog still answers in between."""


class Retention:
    """Purges what has been in custody for ``keep``; None keeps everything."""

    def __init__(
        self, database: Database, outbox: Outbox, keep: timedelta | None, on_purged: Callable[[int], None]
    ) -> None:
        """``on_purged`` records a number of packets, inside the transaction that erases them."""
        self._database, self._outbox, self._keep, self._on_purged = database, outbox, keep, on_purged

    def tidy(self, at_least: datetime | None, wall: datetime) -> int:
        """Erase what is over, as much as one go takes; gives the number of packets. Raises StorageError.

        ``at_least`` is a time head office's clock has certainly reached. Where nothing but sticks ever comes from
        there, the last receipt tells. ``wall`` is this machine's clock.
        """
        reached = [time for time in (at_least, self._outbox.last_receipt()) if time is not None]
        if self._keep is None or not reached:
            return 0
        before, erased = max(reached) - self._keep, 0
        here = wall - self._keep
        for _ in range(STEPS_AT_ONCE):
            gone = self._database.drain(lambda _: self._step(before, here, wall))
            if not gone:
                break
            erased += gone
            self._database.give_back_space(PAGES_AT_ONCE)
        return erased

    def _step(self, before: datetime, here: datetime, wall: datetime) -> int:
        gone = self._outbox.purge(
            before, received_before=here, received_ahead_of=wall, in_any_case_before=before - IN_ANY_CASE_AFTER
        )
        if gone:
            self._on_purged(gone)
        return gone
