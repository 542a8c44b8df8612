"""What keeps the queue in order beside filling and emptying it: room on the disk, retention, new epochs, a failed disk.

Each act leaves its row in the audit record, in the transaction of the act itself.
"""

import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from mpos_agent.audit import Act, AuditLog
from mpos_agent.errors import StorageLowError
from mpos_agent.log import happening
from sync.checkpoint import StorageMark
from sync.commands import CommandName, Resend
from sync.edge.commands import Handler
from sync.edge.database import Database, Transaction
from sync.edge.marks import Room, RoomWatch
from sync.edge.outbox import NewChain, Outbox, Resent
from sync.edge.queue_orders import QueueOrders
from sync.edge.retention import Retention
from sync.envelope import Lane

_log = logging.getLogger(__name__)


class QueueKeeper:
    """Looks after one queue. Every method may be called from any thread."""

    def __init__(
        self, database: Database, outbox: Outbox, audit: AuditLog, watch: RoomWatch, keep: timedelta | None
    ) -> None:
        """``keep`` is how long sealed copies stay after their receipt; None keeps them."""
        self._database, self._outbox, self._audit, self._watch = database, outbox, audit, watch
        self._retention = Retention(database, outbox, keep, self._purged)
        self._orders = QueueOrders(outbox, on_resent=self._resent, on_new_epoch=self._begun)
        self._looking = threading.Lock()
        self._seen = StorageMark.OK

    def handlers(self) -> Mapping[CommandName, Handler]:
        """What head office may order of the queue."""
        return self._orders.handlers()

    def room(self) -> Room:
        """How much is left."""
        return self._watch.now()

    def mark(self) -> StorageMark:
        """The same as one word, for the checkpoint; the first look at a new one is loud."""
        room = self._watch.now()
        with self._looking:
            new, self._seen = room.mark is not self._seen, room.mark
        if new:
            level = logging.INFO if room.mark is StorageMark.OK else logging.WARNING
            happening(
                _log,
                level,
                "storage",
                mark=room.mark,
                free_bytes=room.free_bytes,
                queue_bytes=room.queue_bytes,
                reserve=room.reserve,
            )
        return room.mark

    def refuse_new_claims(self) -> None:
        """Raises StorageLowError where the last mark is reached; claims that are open go on."""
        room = self._watch.now()
        if not room.takes_claims:
            raise StorageLowError(numbers_of(room))

    def refuse_new_documents(self) -> None:
        """Raises StorageLowError where no more scans are taken; claims still are, one mark longer."""
        room = self._watch.now()
        if not room.takes_documents:
            raise StorageLowError(numbers_of(room))

    def tidy(self, at_least: datetime | None, wall: datetime) -> None:
        """Make the reserve again where it can be, erase what is over by both clocks. Raises StorageError.

        ``at_least`` is what :meth:`sync.edge.clock.HeadOfficeTime.at_least` says, ``wall`` this machine's clock.
        """
        self._watch.tend()
        self._retention.tidy(at_least, wall)

    def new_epoch(self, lane: Lane) -> NewChain:
        """A technician's word that a lane begins a new chain, after a frozen one was seen to."""

        def begin(_: Transaction) -> NewChain:
            begun = self._outbox.new_epoch(lane)
            assert begun is not None, "none was named that had to be the growing one"
            self._begun(begun)
            return begun

        return self._database.drain(begin)

    def take_up(self, device_id: str) -> None:
        """The machine is that device from now on; after another enrolment every lane begins a new chain."""

        def follow(_: Transaction) -> None:
            for begun in self._outbox.take_up(device_id):
                self._begun(begun)
                happening(_log, logging.WARNING, "former_enrolment", lane=begun.lane, waiting=begun.still_ready)

        self._database.drain(follow)

    def open_again(self) -> None:
        """After the disk failed: see :meth:`sync.edge.database.Database.reopen`. Raises StorageError."""
        before = self._database.set_aside
        self._database.reopen()
        anew = self._database.set_aside != before
        self._database.drain(lambda _: self._audit.record(Act.STORAGE_REOPENED, anew=anew))
        happening(_log, logging.CRITICAL, "storage_reopened", set_aside=anew)

    def _purged(self, packets: int) -> None:
        self._audit.record(Act.PACKET_PURGED, packets=packets)

    def _resent(self, order: Resend, resent: Resent) -> None:
        self._audit.record(Act.PACKETS_ASKED_AGAIN, lane=order.lane, seq=order.first_seq, packets=resent.again)

    def _begun(self, begun: NewChain) -> None:
        self._audit.record(Act.EPOCH_BEGUN, lane=begun.lane, seq=begun.last_seq, packets=begun.still_ready)


def numbers_of(room: Room) -> str:
    """The numbers behind a refusal."""
    reserve = "" if room.reserve else ", no reserve"
    return f"{room.free_bytes / 1e6:.0f} MB free, queue {room.queue_bytes / 1e6:.0f} MB{reserve}"
