"""The device's queue: what putting a packet costs beside bare SQLite, and what a long queue costs beside a short one.

All sides of the first table flush every commit (WAL, FULL) and store the same bytes, in turns within one run, each
time another one first. The bare sides have nothing else set: SQLite's own page size, vacuum and locks.

- *bare table*: a plain table of numbered blobs, one INSERT per packet: what the disk and SQLite cost, and no queue;
- *bare queue*: one plain table with what any queue of sealed packets keeps (id, place, digest, state, times), unique
  ids and places and an index to claim by; the digest and one INSERT per packet: what "by hand" would be;
- *ours*: ``Outbox.put`` whole, with the envelope sealed beforehand.

Run it on a quiet machine, on the kind of disk it is about (``--folder``). As root, ``--alone`` keeps other programs off
the processor while a packet is measured; where several share it, a commit otherwise measures their time slices.
"""

import argparse
import contextlib
import hashlib
import itertools
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from bench.report import heading, table
from sync import cbor, receipt
from sync.edge.database import Database
from sync.edge.outbox import PURGE_AT_ONCE, Outbox
from sync.edge.outbox_row import ChainPosition
from sync.envelope import Lane, envelope_digest
from sync.keys import Algorithm, SoftwareSigner
from sync.receipt import PacketVerdict, Receipt, Verdict, VerifiedReceipt
from tests.sync.conftest import a_signer

PUT_LIMIT = 1.25
"""Ours beside the bare queue, medians."""
FLAT_LIMIT = 1.2
"""The next batch, longest queue beside shortest."""
BLOCK = 50
"""Packets of one side before it is the other's turn: caches are warm for each, and the disk's mood is shared."""
SIZES = ((10_000, 2_000), (60_000, 600))
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
SMALL = 1_000
"""Bytes of a packet in a long queue."""
BATCH = 50
NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class StillClock:
    """No time passes."""

    boot_id: bytes = bytes(16)

    def utc(self) -> datetime:
        return NOW

    def monotonic_ns(self) -> int:
        return 0


def main(arguments: Sequence[str]) -> int:
    """Both parts; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench outbox", description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary folder's")
    parser.add_argument("--most", type=int, default=LENGTHS[-1], choices=LENGTHS, help="longest queue")
    parser.add_argument("--alone", action="store_true", help="with real-time priority; needs root")
    given = parser.parse_args(arguments)
    if given.alone:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(heading("Queue"), f", SQLite {sqlite3.sqlite_version}\n", sep="")
        cheap = [_enqueue(Path(folder), size, count) for size, count in SIZES]
        flat = _lengths(Path(folder), [length for length in LENGTHS if length <= given.most])
    return 0 if all(cheap) and flat else 1


# --- putting one packet ---


def _enqueue(folder: Path, size: int, count: int) -> bool:
    with contextlib.ExitStack() as opened:
        database = opened.enter_context(Database(folder / f"ours-{size}.db"))
        outbox = Outbox(database, StillClock())
        bare, queue = _bare(folder / f"bare-{size}.db"), _bare(folder / f"queue-{size}.db")
        opened.callback(bare.close)
        opened.callback(queue.close)
        _make_queue(queue)
        sealed, ids = Sealed(size), [_packet_id(number) for number in range(count)]
        sides: dict[str, Callable[[int], None]] = {
            "bare table": lambda n: _insert_blob(bare, sealed.made(n)),
            "bare queue": lambda n: _insert_row(queue, n, ids[n], sealed.made(n)),
            "ours": lambda n: sealed.put_made(outbox, n, ids[n]),
        }
        taken = _in_turns(sides, count, lambda: sealed.seal_ahead(outbox, BLOCK))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    rows = [
        [
            name,
            f"{medians[name]:.3f}",
            f"{sorted(times)[len(times) * 99 // 100]:.3f}",
            f"{1000 / medians[name]:.0f}",
            f"{medians[name] / medians['bare table']:.2f}",
            f"{medians[name] / medians['bare queue']:.2f}",
        ]
        for name, times in taken.items()
    ]
    print(f"One packet of {size // 1000} kB, put and flushed, {count} each:\n")
    print(table(["", "p50 ms", "p99 ms", "per s", "to table", "to queue"], rows))
    ratio = medians["ours"] / medians["bare queue"]
    print(f"\nOurs to bare queue {ratio:.2f}, limit {PUT_LIMIT}: {_said(ratio <= PUT_LIMIT)}\n")
    return ratio <= PUT_LIMIT


def _in_turns(
    sides: dict[str, Callable[[int], None]], count: int, seal_ahead: Callable[[], None]
) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides.items())
    for first in range(0, count, BLOCK):
        seal_ahead()
        order.append(order.pop(0))
        for name, act in order:
            for number in range(first, first + BLOCK):
                began = time.perf_counter_ns()
                act(number)
                taken[name].append((time.perf_counter_ns() - began) / 1e6)
    return taken


class Sealed:
    """Envelopes around noise, each naming its place as real ones do, made before the clock runs."""

    def __init__(self, size: int) -> None:
        self._noise = os.urandom(size)
        self._filler = b"\xd2\x84\x58\xf0" + bytes(32)
        self._chain: dict[int, bytes] = {}
        self._next: ChainPosition | None = None

    def seal_ahead(self, outbox: Outbox, count: int) -> None:
        """The next ``count`` envelopes of the core lane."""
        core = outbox.counts()[0]
        place = self._next or ChainPosition(Lane.CORE, core.epoch, core.next_seq, core.head_hash)
        for _ in range(count):
            self._chain[place.seq] = packet = self.into(place)
            place = ChainPosition(Lane.CORE, place.epoch, place.seq + 1, envelope_digest(packet))
        self._next = place

    def made(self, number: int) -> bytes:
        """The packet of that number, for whoever stores it without a chain."""
        return self._chain[number + 1]

    def put_made(self, outbox: Outbox, number: int, packet_id: UUID) -> None:
        """Into the queue; the sealing is a look into a table."""
        outbox.put(packet_id, Lane.CORE, lambda place: self._chain[place.seq])

    def put(self, outbox: Outbox, number: int) -> None:
        """Into the queue, sealed on the way."""
        outbox.put(_packet_id(number), Lane.CORE, self.into)

    def into(self, position: ChainPosition) -> bytes:
        """What a sealer does, without the cryptography."""
        place = cbor.encode([position.lane.value, position.epoch, position.seq, position.prev_hash])
        return self._filler + place + self._noise[len(place) :]


def _packet_id(number: int) -> UUID:
    # Ordered by time, as the ids of claims are.
    return UUID(int=(number << 76) | (0x7 << 76) % (1 << 76) | (0x2 << 62) | (number * 0x9E3779B97F4A7C15) % (1 << 62))


def _bare(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("CREATE TABLE packets (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)")
    return connection


def _insert_blob(connection: sqlite3.Connection, packet: bytes) -> None:
    connection.execute("INSERT INTO packets (bytes) VALUES (?)", (packet,))


def _make_queue(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE queue (id INTEGER PRIMARY KEY, packet_id BLOB NOT NULL UNIQUE, lane TEXT NOT NULL,"
        " epoch BLOB NOT NULL, seq INTEGER NOT NULL, state TEXT NOT NULL, next_at INTEGER NOT NULL,"
        " attempts INTEGER NOT NULL, last_error TEXT, digest BLOB NOT NULL, prev_hash BLOB NOT NULL,"
        " size INTEGER NOT NULL, queued_at INTEGER NOT NULL, bytes BLOB NOT NULL, UNIQUE (lane, epoch, seq))"
    )
    connection.execute("CREATE INDEX next_to_send ON queue (state, next_at, seq)")


def _insert_row(connection: sqlite3.Connection, number: int, packet_id: UUID, packet: bytes) -> None:
    digest = hashlib.sha256(packet).digest()
    connection.execute(
        "INSERT INTO queue (packet_id, lane, epoch, seq, state, next_at, attempts, digest, prev_hash, size, queued_at,"
        " bytes) VALUES (?, 'core', ?, ?, 'READY', ?, 0, ?, ?, ?, ?, ?)",
        (
            packet_id.bytes,
            digest[:16],
            number,
            NOW_MS + number,
            digest,
            digest,
            len(packet),
            NOW_MS,
            packet,
        ),
    )


# --- a long queue ---


def _lengths(folder: Path, lengths: Sequence[int]) -> bool:
    signer = a_signer(Algorithm.EDDSA)
    path, sealed = folder / "long.db", Sealed(SMALL)
    rows: list[list[str]] = []
    claims: list[float] = []
    numbers = itertools.count()
    for length in lengths:
        measured = _Long(path, signer, sealed, numbers, length)
        rows.append([f"{length:,}", *measured.row])
        claims.append(measured.claim_ms)
    print(f"A queue of so many packets of {SMALL} bytes, in ms (medians):\n")
    columns = ["waiting", "MB", "put", f"next {BATCH}", "counts", f"settle {BATCH}", f"purge {PURGE_AT_ONCE}", "chain"]
    print(table([*columns, "open"], rows))
    ratio = max(claims) / min(claims)
    print(f"\nNext batch, dearest to cheapest {ratio:.2f}, limit {FLAT_LIMIT}: {_said(ratio <= FLAT_LIMIT)}\n")
    return ratio <= FLAT_LIMIT


class _Long:
    """What a queue of one length costs."""

    def __init__(self, path: Path, signer: SoftwareSigner, sealed: Sealed, numbers: Iterator[int], length: int) -> None:
        with Database(path) as database:
            outbox = Outbox(database, StillClock())
            _fill(database, outbox, sealed, numbers, length)
            self.claim_ms = _median(lambda: outbox.due(NOW, BATCH * SMALL))
            costs = [
                _median(lambda: sealed.put(outbox, next(numbers)), 200),
                self.claim_ms,
                _median(outbox.counts),
                _median_over(outbox.settle, _receipts(outbox, signer)),
                _median(lambda: outbox.purge(NOW + timedelta(days=1)), 20),
                _seconds(outbox.check_chain) * 1000,
            ]
            size = database.size_bytes()
        opening = _seconds(lambda: Database(path).close()) * 1000
        self.row = [f"{size / 1e6:.0f}", *(f"{cost:.2f}" for cost in costs), f"{opening:.0f}"]


def _fill(database: Database, outbox: Outbox, sealed: Sealed, numbers: Iterator[int], length: int) -> None:
    missing = length - sum(counts.ready for counts in outbox.counts())
    while missing > 0:
        with database.transaction():
            for _ in range(min(missing, 5_000)):
                sealed.put(outbox, next(numbers))
        missing -= 5_000
    database.give_back_space(0)


def _receipts(outbox: Outbox, signer: SoftwareSigner) -> list[VerifiedReceipt]:
    """One for each of the next twenty batches."""
    stubs = outbox.waiting(Lane.CORE, most=20 * BATCH)
    keys = {signer.kid: signer.public_key}
    made = []
    for first in range(0, len(stubs), BATCH):
        verdicts = tuple(
            PacketVerdict(
                lane=row.lane,
                epoch=row.epoch,
                seq=row.seq,
                digest=row.digest,
                verdict=Verdict.ACCEPTED,
                receipt_no=f"R-{row.seq}",
                stored_at=NOW,
            )
            for row in stubs[first : first + BATCH]
        )
        said = Receipt(device_id="dev-1", nonce=bytes(16), server_time=NOW, verdicts=verdicts, next_poll_s=60)
        made.append(receipt.verify_receipt(receipt.sign(said, signer), keys, "dev-1", bytes(16)))
    return made[:-1]


def _median(act: Callable[[], object], times: int = 100) -> float:
    act()
    return statistics.median(_seconds(act) for _ in range(times)) * 1000


def _median_over(act: Callable[[VerifiedReceipt], object], each: Sequence[VerifiedReceipt]) -> float:
    return statistics.median(_seconds(lambda one=one: act(one)) for one in each) * 1000  # type: ignore[misc]


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _said(kept: bool) -> str:
    return "kept" if kept else "MISSED"
