"""How much room is left, by marks: look after it, no more scans, no more claims. Nothing queued is ever dropped.

New work is refused long before the disk is full, while what is begun can still be finished and what waits can still
be sent. A limit inside SQLite (``max_page_count``) is not used for this: it would refuse at the last step of a claim,
where the marks refuse at the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sync.checkpoint import StorageMark
from sync.edge.database import Database
from sync.edge.reserve import Reserve


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Bytes. Each mark is reached by little room on the disk, or by a long queue, whichever comes first."""

    warn_free: int
    stop_documents_free: int
    stop_claims_free: int
    warn_queue: int
    stop_documents_queue: int
    stop_claims_queue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How it stands."""

    mark: StorageMark
    free_bytes: int
    queue_bytes: int
    """Of the database and its log: packets, drafts and records."""
    reserve: bool
    """Whether the reserve is there. It is missing after it was needed, until there is room for it again."""

    @property
    def takes_claims(self) -> bool:
        """Whether a new claim may begin."""
        return self.mark is not StorageMark.STOP_CLAIMS

    @property
    def takes_documents(self) -> bool:
        """Whether a new scan may be attached."""
        return self.mark not in (StorageMark.STOP_CLAIMS, StorageMark.STOP_DOCUMENTS)


class RoomWatch:
    """Looks anew at every question; that is two system calls."""

    def __init__(
        self, database: Database, reserve: Reserve, marks: Marks, *, free_bytes: Callable[[], int] | None = None
    ) -> None:
        """``free_bytes`` tells the room on the disk; the reserve's own look at it unless given."""
        self._database, self._reserve, self._marks = database, reserve, marks
        self._free_bytes = reserve.free_bytes if free_bytes is None else free_bytes

    def now(self) -> Room:
        """How it stands."""
        free, queue, reserve = self._free_bytes(), self._database.size_bytes(), self._reserve.there
        return Room(
            mark=mark_of(self._marks, free, queue, reserve=reserve),
            free_bytes=free,
            queue_bytes=queue,
            reserve=reserve,
        )

    def mark(self) -> StorageMark:
        """The mark alone: for the checkpoint."""
        return self.now().mark

    def tend(self) -> None:
        """Make the reserve again once there is room for it."""
        self._reserve.make()


def mark_of(marks: Marks, free: int, queue: int, *, reserve: bool) -> StorageMark:
    """The highest mark that is reached.

    Without its reserve the queue could not drain if the rest of the disk went too: no new claims, however the disk
    looks at this moment.
    """
    if not reserve or free < marks.stop_claims_free or queue > marks.stop_claims_queue:
        return StorageMark.STOP_CLAIMS
    if free < marks.stop_documents_free or queue > marks.stop_documents_queue:
        return StorageMark.STOP_DOCUMENTS
    if free < marks.warn_free or queue > marks.warn_queue:
        return StorageMark.WARN
    return StorageMark.OK
