"""Builds that are wrong on purpose, one mistake each: a fault tool that lets one of them pass is worth nothing.

Each is made from outside, by a subclass or by what is handed in; the programs have no switch for any of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from bench.faults.history import Fault
from bench.faults.rig import Build
from head_office import round as round_module
from head_office.checks import Placement, place
from head_office.ingest import Ingest
from head_office.ledger.base import Answers, Question
from head_office.ledger.sqlite import SqliteLedger
from sync.edge import uploader as uploader_module
from sync.edge.database import Database
from sync.edge.outbox import Outbox, Resent
from sync.edge.outbox_row import OutboxRow
from sync.edge.uploader import Uploader
from sync.envelope import Lane
from sync.receipt import _PROOF as PROOF
from sync.receipt import PacketVerdict, Receipt, Verdict, VerifiedReceipt

T = TypeVar("T")


class _LaxDatabase(Database):
    """Commits without waiting for the disk."""

    synchronous = "NORMAL"

    def _set_up(self, connection: Any) -> None:
        super()._set_up(connection)
        connection.execute(f"PRAGMA synchronous = {self.synchronous}")


class _NeverFlushingDatabase(_LaxDatabase):
    synchronous = "OFF"


def _lax_ledger(path: Path) -> SqliteLedger:
    ledger = SqliteLedger(path)
    ledger._writer.execute("PRAGMA synchronous = NORMAL")
    return ledger


def _ledger_without_indexes(path: Path) -> SqliteLedger:
    ledger = SqliteLedger(path)
    ledger._writer.execute("DROP INDEX IF EXISTS packets_once")
    ledger._writer.execute("DROP INDEX IF EXISTS packets_in_chain")
    return ledger


class _LateLedger:
    """Answers first and commits when the next transaction begins: whoever was answered in between was lied to."""

    def __init__(self, path: Path) -> None:
        self._ledger = SqliteLedger(path)
        self._open: AbstractContextManager[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self._commit_now()
        opened = self._ledger.transaction()
        inner = opened.__enter__()
        try:
            yield inner
        except BaseException as error:
            opened.__exit__(type(error), error, error.__traceback__)
            raise
        self._open = opened

    def together_after(self, questions: Sequence[Question], work: Callable[[Any, Answers], T]) -> T:
        return self.together(lambda tx: work(tx, [tx.execute(*question) for question in questions]))

    def together(self, work: Callable[[Any], T]) -> T:
        with self.transaction() as tx:
            return work(tx)

    def close(self) -> None:
        self._commit_now()
        self._ledger.close()

    def _commit_now(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            opened.__exit__(None, None, None)


class _HastyOutbox(Outbox):
    """Takes a packet out of the queue when it is handed to the network."""

    def due(self, *arguments: Any, **more: Any) -> list[OutboxRow]:
        rows = super().due(*arguments, **more)
        with self._database.transaction() as tx:
            tx.execute("DROP TRIGGER IF EXISTS outbox_held_fast")
            for row in rows:
                tx.execute("UPDATE outbox_rows SET state = 'DEAD' WHERE id = ?", (row.id,))
                tx.execute("DELETE FROM outbox_envelopes WHERE id = ?", (row.id,))
        return rows

    def resend(self, lane: Lane, epoch: bytes, first_seq: int, last_seq: int) -> Resent:
        # Its own idea of it: what was handed over is not here any more.
        return Resent(again=0, waiting=0, gone=last_seq - first_seq + 1, unknown=0)


class _CredulousUploader(Uploader):
    """Takes any reply for a receipt: an HTTP 200 counts as delivered."""

    def _round(self, **more: Any) -> Any:
        sent: list[OutboxRow] = []
        really_due = self._outbox.due

        def due(*arguments: Any, **some: Any) -> list[OutboxRow]:
            rows = really_due(*arguments, **some)
            sent.extend(rows)
            return rows

        def believed(data: bytes, keys: Any, device: str, nonce: bytes) -> VerifiedReceipt:
            now = datetime.now(UTC)
            verdicts = tuple(
                PacketVerdict(
                    lane=row.lane, epoch=row.epoch, seq=row.seq, digest=row.digest, verdict=Verdict.ACCEPTED,
                    receipt_no="R-0", stored_at=now,
                )
                for row in {row.id: row for row in sent}.values()
            )  # fmt: skip
            receipt = Receipt(device_id=device, nonce=nonce, server_time=now, verdicts=verdicts, next_poll_s=60)
            return VerifiedReceipt(receipt, data, next(iter(keys)), PROOF)

        with (
            patch.object(self._outbox, "due", due),
            patch.object(uploader_module, "verify_receipt", believed),
        ):
            return super()._round(**more)


class _ForgetfulIngest(Ingest):
    """Does not look whether a packet is here already: what comes twice is stored twice."""

    def receive(self, *arguments: Any, **more: Any) -> bytes:
        with patch.object(round_module, "place", lambda **_: Placement.NEXT):
            return super().receive(*arguments, **more)


class _UnwatchfulIngest(Ingest):
    """Does not notice that two histories were signed with one key: the second one is told to have been kept."""

    def receive(self, *arguments: Any, **more: Any) -> bytes:
        def never_a_fork(**facts: Any) -> Placement:
            found = place(**facts)
            return Placement.GAP if found in (Placement.FORK, Placement.CHAIN_BROKEN) else found

        with patch.object(round_module, "place", never_a_fork):
            return super().receive(*arguments, **more)


_LOST = frozenset({Fault.LOST})
_GONE = frozenset({Fault.LOST, Fault.UNPROVED})
DEVICE_NORMAL = Build(
    "device flushes at checkpoints only", database=_LaxDatabase, wrong="synchronous=NORMAL", shows=_LOST
)
DEVICE_OFF = Build("device never flushes", database=_NeverFlushingDatabase, wrong="synchronous=OFF", shows=_LOST)
OFFICE_NORMAL = Build(
    "head office flushes at checkpoints only", ledger=_lax_ledger, wrong="synchronous=NORMAL", shows=_LOST
)
OFFICE_LATE = Build(
    "head office answers before it commits", ledger=_LateLedger, wrong="acknowledged before commit", shows=_LOST
)
HASTY = Build("device deletes before the receipt", outbox=_HastyOutbox, wrong="deleted when sent", shows=_GONE)
CREDULOUS = Build(
    "device does not verify receipts", uploader=_CredulousUploader, wrong="a 200 counts as delivered", shows=_GONE
)
DOUBLING = Build(
    "head office stores twice what comes twice",
    ledger=_ledger_without_indexes,
    ingest=_ForgetfulIngest,
    wrong="no look for duplicates, and no index against them",
    shows=frozenset({Fault.DOUBLED}),
)
FORGETFUL = Build(
    "head office does not look for duplicates",
    ingest=_ForgetfulIngest,
    wrong="its index refuses what it would store again",
    shows=frozenset({Fault.REFUSED, Fault.NOT_DRAINED}),
)
UNWATCHFUL = Build(
    "head office overlooks forks",
    ingest=_UnwatchfulIngest,
    wrong="a fork is a gap to it",
    shows=frozenset({Fault.NOT_DRAINED, Fault.UNNOTICED}),
)
NO_RESERVE = Build(
    "device keeps no reserve",
    database=Database,
    wrong="no reserve",
    shows=frozenset({Fault.REFUSED, Fault.NOT_DRAINED}),
)

POWER_CUT = (DEVICE_NORMAL, DEVICE_OFF, OFFICE_NORMAL, OFFICE_LATE, HASTY)
