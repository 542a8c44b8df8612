"""The device's end of a stick: batches out, receipts in; files are the business of whoever holds the stick.

Export changes nothing in the queue: what goes out on a stick waits on, and goes by network as well when one comes
back. It leaves the queue when a receipt settles it, as ever. So exporting again, losing the stick, or delivering by
both ways costs nothing but room.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sync.checkpoint import MAX_PACKETS, Checkpoint, sign_batch
from sync.edge import exports
from sync.edge.clock import Clock
from sync.edge.database import Database, Transaction
from sync.edge.outbox import Outbox
from sync.edge.receipts import Answer
from sync.edge.uploader import Trust
from sync.envelope import Lane
from sync.errors import StickUnanswerableError
from sync.keys import Signer
from sync.receipt import VerifiedReceipt, read_receipt, verify_receipt
from sync.records import milliseconds
from sync.stick import MAX_NUMBER, FileName, Kind

BATCH_BYTES = 1024 * 1024
"""Envelopes in one file: what a stick pulled out midway costs at most, and half of what a batch may hold."""
EXPORTS_KEPT = 10_000
"""Nonces remembered, oldest forgotten first. By number and not by age: a clock set forward must not forget a stick
that is on its way. Ten thousand files hold some ten gigabytes of claims; what a forgotten one carried is still in the
queue, and the next export carries it again."""

Position = Mapping[Lane, int]
"""How far an export has come: the last row taken of each lane."""
START: Position = {}


@dataclass(frozen=True, slots=True)
class Exported:
    """One file for a stick."""

    name: FileName
    body: bytes
    packets: int
    after: Position
    """Where the next file goes on."""


class Brought(enum.StrEnum):
    """What a receipt from a stick came to."""

    SETTLED = "settled"
    """Taken over; see the numbers."""
    KNOWN = "known"
    """This export was answered before, and this changed nothing."""
    OTHER_DEVICE = "other_device"
    """For another device: left where it is."""


@dataclass(frozen=True, slots=True)
class ReceiptTaken:
    """One receipt and what it changed here."""

    brought: Brought
    answer: Answer | None = None


class Stick:
    """Exports and imports for one enrolled device. Thread-safe as the database is."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        signer: Signer,
        trust: Trust,
        clock: Clock,
        *,
        checkpoint: Callable[[], Checkpoint],
        take: Callable[[VerifiedReceipt, int], Answer],
    ) -> None:
        """``checkpoint`` states where the device stands, with a fresh nonce; ``take`` is what a round does with a
        receipt once it is verified, and is given the running number of the export it answers.
        """
        self._database, self._outbox, self._signer, self._trust, self._clock = database, outbox, signer, trust, clock
        self._checkpoint, self._take = checkpoint, take
        exports.prepare(database)

    def next_file(self, after: Position = START) -> Exported | None:
        """The next file of an export that has come to ``after``; None when everything waiting is out.

        Its nonce is remembered before it is given out, so that no receipt can come for a file we do not know.
        """
        rows, reached = self._waiting(after)
        if not rows:
            return None
        checkpoint = self._checkpoint()
        body = sign_batch(checkpoint, rows, self._signer)
        number = self._remember(checkpoint.nonce, len(rows))
        # The name only sorts, so that it may begin anew.
        name = FileName(self._trust.device_id, number % (MAX_NUMBER + 1), checkpoint.nonce, Kind.BATCH)
        return Exported(name, body, len(rows), reached)

    def bring(self, receipt: bytes) -> ReceiptTaken:
        """Take one receipt over; the same door as a round's.

        Raises
        ------
        ReceiptError
            Not a receipt of head office: nothing changed.
        StickUnanswerableError
            Genuine perhaps, but for an export nobody here remembers: nothing changed.
        """
        said = read_receipt(receipt)
        if said.device_id != self._trust.device_id:
            return ReceiptTaken(Brought.OTHER_DEVICE)
        verified = verify_receipt(receipt, self._trust.receipt_keys, self._trust.device_id, said.nonce)
        known = self._database.read("SELECT number, answered_at_ms FROM stick_exports WHERE nonce = ?", (said.nonce,))
        if not known:
            raise StickUnanswerableError("this receipt answers an export that is no longer remembered")
        # Custody first: were the mark lost, the same receipt would be taken once more and change nothing.
        answer = self._take(verified, known[0]["number"])
        self._mark_answered(said.nonce)
        again = known[0]["answered_at_ms"] is not None and not (answer.settlement.acked or answer.settlement.dead)
        return ReceiptTaken(Brought.KNOWN if again else Brought.SETTLED, answer)

    def _remember(self, nonce: bytes, packets: int) -> int:
        """Keep the nonce of an export, and forget the oldest; gives its running number."""
        now_ms = milliseconds(self._clock.utc())

        def insert(tx: Transaction) -> int:
            number = tx.execute(
                "INSERT INTO stick_exports (nonce, exported_at_ms, packets) VALUES (?, ?, ?)", (nonce, now_ms, packets)
            ).lastrowid
            assert number is not None
            tx.execute("DELETE FROM stick_exports WHERE number <= ?", (number - EXPORTS_KEPT,))
            return number

        # A full disk is a reason to export, not to refuse it.
        return self._database.drain(insert)

    def _mark_answered(self, nonce: bytes) -> None:
        now_ms = milliseconds(self._clock.utc())
        self._database.drain(
            lambda tx: tx.execute("UPDATE stick_exports SET answered_at_ms = ? WHERE nonce = ?", (now_ms, nonce))
        )

    def _waiting(self, after: Position) -> tuple[list[bytes], Position]:
        """Envelopes behind ``after`` in order, core first, as many as one file takes; at least one if any waits."""
        reached = dict(after)
        chosen: list[bytes] = []
        room = BATCH_BYTES
        for lane in Lane:
            for row in self._outbox.waiting(lane, reached.get(lane, 0), MAX_PACKETS - len(chosen)):
                if chosen and row.size > room:
                    return chosen, reached
                reached[lane] = row.id
                envelope = self._outbox.envelope(row.id)
                if envelope is not None:  # receipted and purged while we looked
                    room -= row.size
                    chosen.append(envelope)
            if len(chosen) == MAX_PACKETS:
                break
        return chosen, reached


def position_from_text(text: str) -> Position:
    """A position as :func:`position_as_text` writes it. Raises ValueError."""
    reached: dict[Lane, int] = {}
    for part in filter(None, text.split(",")):
        lane, _, row = part.partition(":")
        if not row.isascii() or not row.isdecimal() or len(row) > 18:
            raise ValueError("not a position in the queue")
        reached[Lane(lane)] = int(row)
    return reached


def position_as_text(position: Position) -> str:
    """``core:12,documents:7``."""
    return ",".join(f"{lane.value}:{row}" for lane, row in position.items())
