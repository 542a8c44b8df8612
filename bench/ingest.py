"""Head office taking in claims, against the least any receiver must do with them, in the same run.

The *floor* checks each envelope's signature and inserts it into the ledger's own table through the bare driver, one
flush for each batch, in as many threads; nothing else: no registry, no chain, no receipt. ``ratio`` is the packets a
second of head office over those of the floor.
"""

import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from head_office.authenticity import Checked
from head_office.custody import INSERT, LaneKey, PacketRow, Place
from head_office.device_registry import DeviceRegistry
from head_office.ingest import Ingest
from head_office.keys.authority import Authority
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.keys.recipients import load_recipients
from head_office.keys.trust import ReceiptKeys
from head_office.ledger.base import Ledger, Value
from head_office.ledger.choice import LedgerChoice, open_ledger
from head_office.ledger.postgres import PostgresLedger, with_places
from head_office.ledger.sqlite import SqliteLedger
from head_office.office import SWITCH_S
from sync import packet
from sync.checkpoint import read_batch
from sync.envelope import verify
from sync.keys import PublicKey
from sync.receipt import Verdict
from tests.head_office.cluster import PROGRAMS, Cluster
from tests.head_office.device import Device, claim_packet

WANTED = 0.8
TURNS = 4
PHOTO_BYTES = 6_000  # With it a claim has about the 8 kB of a real one.
COPIED = ("devices", "certificates")
WHEN = datetime(2026, 1, 5, 3, 6, tzinfo=UTC)  # The devices' own time: a clock astray is an alarm, and costs.


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: for each device its certificate, its key, and request bodies in order."""

    certificates: Sequence[bytes]
    keys: Sequence[PublicKey]
    bodies: Sequence[Sequence[bytes]]
    packets: int

    def part(self, number: int, of: int) -> "Load":
        """One of ``of`` equal parts, in order."""
        bodies = [body[len(body) * number // of : len(body) * (number + 1) // of] for body in self.bodies]
        return Load(self.certificates, self.keys, bodies, self.packets // of)


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds on the wall and of this process's CPU, for a number of packets."""

    wall_s: float
    cpu_s: float
    packets: int

    def __add__(self, other: "Took") -> "Took":
        return Took(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, self.packets + other.packets)

    @property
    def per_s(self) -> float:
        return self.packets / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.packets * 1e6


def make_load(home: Home, ledger: Ledger, *, devices: int, batch: int, rounds: int) -> Load:
    """Enrol devices and seal their packets ahead of the measurement."""
    registry = DeviceRegistry(ledger, Authority.load(home), clock=lambda: WHEN)
    signer, recipients = ReceiptKeys(home), load_recipients(home)
    made, bodies = [], []
    for number in range(devices):
        device = Device(f"BENCH-{number}")
        device.enrol_directly(registry, recipients, signer)
        made.append(device)
        bodies.append(
            [device.batch(*(device.seal(a_claim(device, n + 1)) for n in range(batch))) for _ in range(rounds)]
        )
    return Load(
        [device.tls_certificate for device in made],
        [device.signer.public_key for device in made],
        bodies,
        devices * batch * rounds,
    )


def a_claim(device: Device, number: int) -> bytes:
    """Encoded, with a photo that does not compress, as a JPEG does not."""
    photo = packet.PhotoFace(
        mime=packet.PhotoMime.JPEG, content=b"\xff\xd8\xff\xe0" + os.urandom(PHOTO_BYTES), retention_days=30
    )
    return claim_packet(device.device_id, number, photo_face=photo).encode()


def in_threads(count: int, work: Callable[[int], None]) -> tuple[float, float]:
    """Run ``work(0..count-1)`` at once; wall and CPU seconds."""
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - wall, time.process_time() - cpu


def ingest_of(home: Home, ledger: Ledger) -> Ingest:
    """Head office without TLS and HTTP."""
    registry = DeviceRegistry(ledger, Authority.load(home), clock=lambda: WHEN)
    return Ingest(ledger, registry, ReceiptKeys(home), lambda: WHEN, poll_s=60, on_stored=lambda: None)


def measure_ingest(ingest: Ingest, load: Load) -> Took:
    """The real thing, from a request's bytes to a signed receipt."""

    def work(number: int) -> None:
        for body in load.bodies[number]:
            ingest.receive(load.certificates[number], body)

    wall, cpu = in_threads(len(load.bodies), work)
    return Took(wall, cpu, load.packets)


def rows_of(body: bytes, key: PublicKey, numbers: Iterator[int]) -> list[tuple[Value, ...]]:
    """Each packet proved and ready to be inserted."""
    rows = []
    for envelope in read_batch(body).packets:
        proved = verify(envelope, key)
        header = proved.header
        place = Place(LaneKey(header.device_id, header.lane, header.epoch), header.seq)
        checked = Checked(envelope, proved.digest, header, None, None)
        row = PacketRow(next(numbers), place, checked, in_chain=True, verdict=Verdict.ACCEPTED, reason=None, now_ms=0)
        rows.append(row.values())
    return rows


def floor_sqlite(file: Path, numbers: Iterator[int]) -> Callable[[Load], Took]:
    """One connection behind a lock: SQLite has one writer."""
    lock = threading.Lock()

    def measure(load: Load) -> Took:
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 1000")

        def work(number: int) -> None:
            for body in load.bodies[number]:
                rows = rows_of(body, load.keys[number], numbers)
                with lock:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany(INSERT, rows)
                    connection.execute("COMMIT")

        wall, cpu = in_threads(len(load.bodies), work)
        connection.close()
        return Took(wall, cpu, load.packets)

    return measure


def floor_postgresql(address: str, numbers: Iterator[int]) -> Callable[[Load], Took]:
    """A connection for each thread."""
    insert = with_places(INSERT)

    def measure(load: Load) -> Took:
        connections = [psycopg.connect(address, autocommit=True) for _ in load.bodies]

        def work(number: int) -> None:
            connection = connections[number]
            for body in load.bodies[number]:
                rows = rows_of(body, load.keys[number], numbers)
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(insert, rows)

        wall, cpu = in_threads(len(load.bodies), work)
        for connection in connections:
            connection.close()
        return Took(wall, cpu, load.packets)

    return measure


def copy_devices(source: Ledger, target: Ledger) -> None:
    """The floor's table knows the same devices."""
    for table in COPIED:
        for row in source.read(f"SELECT * FROM {table}"):
            names = ", ".join(row.keys())
            places = ", ".join("?" * len(row))
            with target.transaction() as tx:
                tx.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(row))


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="mpos-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def compare(engine: str, cluster: Cluster | None, *, devices: int, batch: int, rounds: int) -> tuple[Took, Took]:
    """Ingest and floor on fresh ledgers, the same packets through both, by turns, so that what else runs slows both."""
    with folder() as place:
        home = Home(place / "home")
        set_up(home, ["localhost"], WHEN)
        choice = None if cluster is None else LedgerChoice(address=cluster.database(), connections=devices)
        bare = "" if cluster is None else cluster.database()
        ledger = open_ledger(home, choice)
        load = make_load(home, ledger, devices=devices, batch=batch, rounds=rounds)
        other: Ledger = PostgresLedger(bare) if cluster is not None else SqliteLedger(place / "floor.db")
        copy_devices(ledger, other)
        other.close()
        numbers = iter(range(1, load.packets + 1))
        floor = floor_sqlite(place / "floor.db", numbers) if cluster is None else floor_postgresql(bare, numbers)
        ingest = ingest_of(home, ledger)
        nothing = Took(0.0, 0.0, 0)
        took, least = nothing, nothing
        for turn in range(TURNS):
            part = load.part(turn, TURNS)
            least += floor(part)
            took += measure_ingest(ingest, part)
        stored = ledger.read("SELECT count(*) AS n FROM packets")[0]["n"]
        assert stored == load.packets, f"{stored} of {load.packets} stored"
        ledger.close()
        if cluster is not None and choice is not None:
            cluster.give_back(choice.address)
            cluster.give_back(bare)
    return took, least


def run(engines: Sequence[str], *, devices: int, packets: int, batches: Sequence[int]) -> bool:
    """Print the table; whether the largest batch reaches what is wanted on every engine."""
    sys.setswitchinterval(SWITCH_S)  # As the service does; the floor has it, too.
    print(f"{devices} devices at once, about {packets} packets each line; CPU is this process's")
    print(f"{'engine':<12}{'batch':>6}{'floor/s':>10}{'ingest/s':>10}{'floor µs':>10}{'CPU µs':>8}{'ratio':>8}")
    reached = True
    for engine in engines:
        cluster = Cluster() if engine == "postgresql" else None
        try:
            for batch in batches:
                rounds = max(TURNS, packets // (devices * batch) // TURNS * TURNS)
                took, floor = compare(engine, cluster, devices=devices, batch=batch, rounds=rounds)
                ratio = took.per_s / floor.per_s
                print(
                    f"{engine:<12}{batch:>6}{floor.per_s:>10,.0f}{took.per_s:>10,.0f}"
                    f"{floor.cpu_us:>10,.0f}{took.cpu_us:>8,.0f}{ratio:>8.2f}",
                    flush=True,
                )
                reached &= ratio >= WANTED or batch != max(batches)
        finally:
            if cluster is not None:
                cluster.stop()
    print(f"wanted at the largest batch: {WANTED}; {'reached' if reached else 'NOT reached'}")
    return reached


def main(arguments: Sequence[str]) -> int:
    """``python -m bench ingest [sqlite] [postgresql]``."""
    engines = list(arguments) or ["sqlite", *(["postgresql"] if (PROGRAMS / "initdb").exists() else [])]
    return 0 if run(engines, devices=8, packets=3200, batches=(1, 10, 100)) else 1
