"""What devices say of themselves: kept with each batch; after an idle poll noted in memory and written in bulk.

A device that only asks would otherwise cost a flush a minute, and a million of them more than all claims together.
"""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from head_office.ledger.base import Ledger, Transaction
from head_office.moment import to_ms
from sync.checkpoint import Checkpoint
from sync.receipt import PacketVerdict

WRITE_EVERY_MS = 60_000  # "Last seen" is at most this old when somebody looks, or when the process is killed.
CLOCK_ASTRAY_MS = 24 * 3_600_000  # No time zone mistake is larger; a flat clock battery is.
MOST_WAITING = 5_000  # A few MB; at a thousand polls a second five seconds' worth.

UPDATE = (
    "UPDATE devices SET last_seen_at = ?, last_checkpoint = ?, clock_offset_ms = ?"
    " WHERE device_id = ? AND (last_seen_at IS NULL OR last_seen_at <= ?)"
)


@dataclass(frozen=True, slots=True)
class Note:
    """One checkpoint as it is kept."""

    device_id: str
    at_ms: int
    facts: str
    clock_offset_ms: int

    def values(self) -> tuple[int, str, int, str, int]:
        """For :data:`UPDATE`."""
        return self.at_ms, self.facts, self.clock_offset_ms, self.device_id, self.at_ms


def note_of(checkpoint: Checkpoint, verdicts: Sequence[PacketVerdict], now_ms: int) -> Note:
    """What the device says of itself, and how much of that is left to come after this batch.

    The clock is recorded and never used to order anything.
    """
    # Its depth was counted before the batch left, and counts the batch.
    taken = {(verdict.lane, verdict.epoch, verdict.seq) for verdict in verdicts if verdict.verdict.in_custody}
    settled = Counter((lane, epoch) for lane, epoch, _ in taken)
    wall_ms = to_ms(checkpoint.wall_utc)
    facts = {
        "boot_id": checkpoint.boot_id.hex(),
        "monotonic_ns": checkpoint.monotonic_ns,
        "wall_ms": wall_ms,
        "free_disk_bytes": checkpoint.free_disk_bytes,
        "storage": checkpoint.storage.value,
        "versions": checkpoint.versions,
        "lanes": [
            {"lane": s.lane.value, "epoch": s.epoch.hex(), "next_seq": s.next_seq, "depth": s.depth,
             "left": max(0, s.depth - settled[s.lane, s.epoch]), "oldest_age_s": s.oldest_age_s}
            for s in checkpoint.lanes
        ],
    }  # fmt: skip
    return Note(checkpoint.device_id, now_ms, json.dumps(facts), now_ms - wall_ms)


def is_newer(checkpoint: Checkpoint, kept: str | None) -> bool:
    """Whether a checkpoint was made after the one that is kept: of the same boot, or by its wall clock."""
    if kept is None:
        return True
    facts = json.loads(kept)
    if facts["boot_id"] == checkpoint.boot_id.hex():
        return checkpoint.monotonic_ns > int(facts["monotonic_ns"])
    return to_ms(checkpoint.wall_utc) > int(facts["wall_ms"])


def is_same_boot(checkpoint: Checkpoint, kept: str | None, now_ms: int) -> bool:
    """Whether the device has been up since the checkpoint that is kept, unchanged, with its clock as sane as then."""
    if kept is None:
        return False
    facts = json.loads(kept)
    astray = abs(now_ms - to_ms(checkpoint.wall_utc)) > CLOCK_ASTRAY_MS
    news = facts["versions"] != checkpoint.versions  # An update, or the key list it has: people wait for both.
    return facts["boot_id"] == checkpoint.boot_id.hex() and not astray and not news


def write(tx: Transaction, note: Note) -> None:
    """Keep a note in the transaction of the batch it came with."""
    tx.write(UPDATE, [note.values()])


class Heard:
    """Notes of idle polls that wait to be written. Any thread may call it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._waiting: dict[str, Note] = {}
        self._since_ms: int | None = None

    def note(self, note: Note) -> None:
        """Keep in memory; write what waits once the oldest is a minute old."""
        with self._lock:
            self._since_ms = note.at_ms if self._since_ms is None else self._since_ms
            self._waiting[note.device_id] = note
            due = note.at_ms - self._since_ms >= WRITE_EVERY_MS or len(self._waiting) >= MOST_WAITING
        if due:
            self.flush()

    def forget(self, device_id: str) -> None:
        """A batch of the device has just written something newer."""
        with self._lock:
            self._waiting.pop(device_id, None)

    def flush(self) -> None:
        """Write what waits, all of it in one transaction. Raises LedgerError; then the notes are lost, no packet is."""
        with self._lock:
            notes, self._waiting, self._since_ms = list(self._waiting.values()), {}, None
        if notes:
            # In one order everywhere: two processes that write at once must not wait for each other in a circle.
            rows = [note.values() for note in sorted(notes, key=lambda note: note.device_id)]
            self._ledger.together(lambda tx: tx.execute_many(UPDATE, rows))
