"""How well a slow line is used, and what a long backlog costs in memory: ``python -m bench link``.

Real head office (the service as it is started), real TLS, real queue and uploader. Goodput is what counts to people:
bytes of sealed packets acknowledged, per second from the first request's handshake to the last receipt, beside what
the line carries. The backlog is ten days of a branch without a network: 800 claims, each with scanned documents.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from bench.faults import own_namespace
from bench.faults.rig import SITE
from bench.report import heading, table
from bench.slow_line import DEVICE_END, OFFICE_END, LineKind, SlowLine
from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import Authority
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import utc_now
from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime, SystemClock
from sync.edge.database import Database
from sync.edge.enrolment import enrol
from sync.edge.head_office_client import HeadOfficeClient
from sync.edge.identity import Identity
from sync.edge.outbox import Outbox
from sync.edge.sealing import Sealer
from sync.edge.uploader import RoundOutcome, Uploader
from sync.envelope import Lane

ROOT = Path(__file__).parents[1]
LEAST_SHARE = 0.85
"""Of the line, in sealed bytes."""
CLAIM_BYTES, PART_BYTES = 8_000, 250_000
"""Noise, so that compression helps nobody; a claim, and a part of a document."""
BRANCH_LINE = LineKind(64_000, 0.6)
LOSSY_LINE = LineKind(512_000, 0.6, 0.05)
FAST_LINE = LineKind(100e6, 0.001)
MOST_AGENT_MB, MOST_OFFICE_MB = 160, 320
"""A backlog of hundreds of megabytes must not show in either: batches are at most 1 MB, replies less."""
STARTS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """One line, used as well as it was."""

    kind: LineKind
    sealed_bytes: int
    seconds: float
    requests: int
    failed: int
    carried: tuple[int, int]
    """IP bytes to head office and back."""
    dropped: int

    @property
    def share(self) -> float:
        """Of the line."""
        return 8 * self.sealed_bytes / self.seconds / self.kind.bits_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """One backlog, gone."""

    packets: int
    sealed_bytes: int
    seconds: float
    agent_mb: float
    """The most memory the device's end ever held, of which ``agent_before_mb`` before the first round."""
    agent_before_mb: float
    office_mb: float
    """The most of any of head office's processes."""
    left: int


class Branch:
    """The device's end: queue and uploader as the agent puts them together."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self.clock = SystemClock()
        self.database = Database(folder / "agent.db")
        self.outbox = Outbox(self.database, self.clock)
        office_time = HeadOfficeTime(self.database, self.clock)
        self.sealer = Sealer(identity.device_id, identity.signer, identity.facts.recipients, office_time)
        self.client = HeadOfficeClient(
            identity.facts.url, identity.ca_certificate, identity.tls_certificate, identity.tls_key
        )
        self.uploader = Uploader(
            self.outbox,
            self.client,
            identity.signer,
            identity.trust,
            self.clock,
            breaker=Breaker(self.database, random.random),
            head_office_time=office_time,
            free_disk_bytes=lambda: 1 << 30,
            versions={"agent": "bench"},
            draw=random.random,
        )

    def queue(self, number: int, lane: Lane, size: int) -> int:
        """Queue one packet of noise; gives its sealed size."""
        packet_id = UUID(int=(0x7 << 76) | (0x2 << 62) | number)
        return self.outbox.put(packet_id, lane, self.sealer.sealed(os.urandom(size))).size

    def drain(self) -> tuple[int, int, float]:
        """Make rounds until nothing waits; gives requests, those that failed, and seconds."""
        requests = failed = 0
        began = time.monotonic()
        while any(counts.ready for counts in self.outbox.counts()):
            result = self.uploader.round()
            if result.outcome in (RoundOutcome.DELIVERED, RoundOutcome.FAILED):
                requests += 1
                failed += result.outcome is RoundOutcome.FAILED
            if result.outcome is not RoundOutcome.DELIVERED or not result.acked:
                # As the agent's sync thread waits.
                pause = (result.next_at - self.clock.utc()).total_seconds()
                time.sleep(min(5.0, max(0.05, pause)))
        return requests, failed, time.monotonic() - began

    def close(self) -> None:
        self.client.close()
        self.database.close()


def goodput(kind: LineKind, sealed_bytes: int) -> Goodput:
    """Send so many bytes of claims and documents over such a line. Needs root; in a namespace of its own."""
    return own_namespace.run_apart(own_namespace.NETWORK, lambda: _goodput(kind, sealed_bytes))


def _goodput(kind: LineKind, sealed_bytes: int) -> Goodput:
    with tempfile.TemporaryDirectory() as name, SlowLine(FAST_LINE) as line:
        folder = Path(name)
        home = _home(folder, OFFICE_END)
        with _office(home, f"{OFFICE_END}:8443", lambda command: line.office(command, str(ROOT))) as (_, url):
            branch = Branch(folder, _enrolled(home, url, folder / "device"))
            queued = number = 0
            while queued < sealed_bytes:
                number += 1
                # One claim in four: a claim, then a document's parts, as a day at a branch goes.
                core = number % 4 == 1
                queued += branch.queue(number, Lane.CORE if core else Lane.DOCUMENTS, CLAIM_BYTES if core else 40_000)
            line.kind = kind
            before = line.carried, line.dropped
            requests, failed, seconds = branch.drain()
            after = line.carried, line.dropped
            line.kind = FAST_LINE
            branch.close()
    return Goodput(
        kind=kind,
        sealed_bytes=queued,
        seconds=seconds,
        requests=requests,
        failed=failed,
        carried=(after[0][0] - before[0][0], after[0][1] - before[0][1]),
        dropped=after[1] - before[1],
    )


def backlog(claims: int, parts: int) -> Drained:
    """Queue so many claims with so many parts of documents each, then drain them over loopback."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = _home(folder, "127.0.0.1")
        with _office(home, "127.0.0.1:0", _started) as (process, url):
            identity = _enrolled(home, url, folder / "device")
            branch = Branch(folder, identity)
            sealed, number = 0, 0
            for _ in range(claims):
                for lane, size in ((Lane.CORE, CLAIM_BYTES), *((Lane.DOCUMENTS, PART_BYTES),) * parts):
                    number += 1
                    sealed += branch.queue(number, lane, size)
            branch.close()
            # A process of its own, so that what filling the queue took is not counted.
            told = json.loads(
                subprocess.run(
                    [sys.executable, "-m", "bench.link", "--drain", str(folder)],
                    cwd=ROOT,
                    check=True,
                    stdout=subprocess.PIPE,
                    timeout=3600,
                ).stdout
            )
            office = max(_peak_mb(number) for number in (process.pid, *_children(process.pid)))
    return Drained(packets=number, sealed_bytes=sealed, office_mb=office, **told)


def _drain(folder: Path) -> dict[str, Any]:
    branch = Branch(folder, Identity.load(folder / "device"))
    before = _peak_mb(os.getpid())
    _, _, seconds = branch.drain()
    left = sum(counts.ready for counts in branch.outbox.counts())
    branch.close()
    return {"seconds": seconds, "agent_mb": _peak_mb(os.getpid()), "agent_before_mb": before, "left": left}


def _home(folder: Path, name: str) -> Home:
    home = Home(folder / "head-office")
    set_up(home, [name], utc_now())
    return home


def _started(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@contextmanager
def _office(
    home: Home, listen: str, start: Callable[[list[str]], "subprocess.Popen[str]"]
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Head office as an administrator starts it, and its address."""
    log: IO[str]
    with (home.folder.parent / "serve.log").open("w", encoding="utf-8") as log:
        process = start(
            [
                "sh",
                "-c",
                'exec "$@" 2>>"$0"',
                log.name,
                sys.executable,
                "-m",
                "head_office.cli",
                "serve",
                "--home",
                str(home.folder),
                "--listen",
                listen,
            ]
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "listens on" not in line:
                raise RuntimeError(Path(log.name).read_text(encoding="utf-8")[-2000:])
            yield process, line.split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STARTS_WITHIN_S)
            assert process.stdout is not None
            process.stdout.close()


def _enrolled(home: Home, url: str, folder: Path) -> Identity:
    ledger = SqliteLedger(home.ledger)
    token, _ = DeviceRegistry(ledger, Authority.load(home)).issue_token(SITE, by="bench")
    ledger.close()
    return enrol(
        url=url,
        token=token,
        ca_file=home.ca_certificate,
        device_serial="SN-BENCH",
        folder=folder,
        now=datetime.now(UTC),
    )


def _peak_mb(process: int) -> float:
    """The most memory a process ever held."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text(encoding="ascii").split()]


def main(arguments: Sequence[str]) -> int:
    """Measure; 1 when a limit is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench link", description=__doc__)
    parser.add_argument("--kilobytes", type=int, default=1000, help="sealed bytes over the slow line, in 1000")
    parser.add_argument("--claims", type=int, default=800, help="claims of the backlog")
    parser.add_argument("--parts", type=int, default=2, help="parts of documents with each")
    parser.add_argument("--only", choices=("slow", "lossy", "backlog"), help="one of the three")
    parser.add_argument("--drain", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.drain is not None:
        print(json.dumps(_drain(chosen.drain)))
        return 0
    print(heading("A slow line and a long backlog"))
    missed: list[str] = []
    lines = [] if chosen.only == "backlog" else _lines(chosen.only)
    reason = own_namespace.missing(own_namespace.NETWORK) if lines else ""
    if reason:
        print(f"the lines are not measured: {reason}")
    else:
        measured = [goodput(kind, chosen.kilobytes * 1000) for kind in lines]
        if measured:
            print(f"\nSealed bytes acknowledged, device at {DEVICE_END}, head office at {OFFICE_END}:\n")
            print(_goodput_table(measured))
        missed += [
            f"{one.kind}: {one.share:.0%} of the line, {LEAST_SHARE:.0%} is the limit"
            for one in measured
            if one.kind == BRANCH_LINE and one.share < LEAST_SHARE
        ]
    if chosen.only in (None, "backlog"):
        drained = backlog(chosen.claims, chosen.parts)
        print("\n" + _backlog_table(drained))
        if drained.left:
            missed.append(f"{drained.left} packets are left")
        if drained.agent_mb > MOST_AGENT_MB or drained.office_mb > MOST_OFFICE_MB:
            missed.append(f"memory: {MOST_AGENT_MB} MB at the device and {MOST_OFFICE_MB} at head office are the limit")
    for line in missed:
        print(f"MISSED {line}")
    return 1 if missed else 0


def _lines(only: str | None) -> list[LineKind]:
    return {"slow": [BRANCH_LINE], "lossy": [LOSSY_LINE]}.get(only or "", [BRANCH_LINE, LOSSY_LINE])


def _goodput_table(measured: Sequence[Goodput]) -> str:
    return table(
        ("line", "sent", "time", "goodput", "of the line", "requests (failed)", "IP up / down", "dropped"),
        [
            (
                str(one.kind),
                f"{one.sealed_bytes / 1000:.0f} kB",
                f"{one.seconds:.1f} s",
                f"{8 * one.sealed_bytes / one.seconds / 1000:.1f} kbit/s",
                f"{one.share:.1%}",
                f"{one.requests} ({one.failed})",
                f"{one.carried[0] / 1000:.0f} / {one.carried[1] / 1000:.0f} kB",
                str(one.dropped),
            )
            for one in measured
        ],
    )


def _backlog_table(drained: Drained) -> str:
    return table(
        ("backlog", "drained in", "device, peak (before)", "head office, peak", "left"),
        [
            (
                f"{drained.packets} packets, {drained.sealed_bytes / 1e6:.0f} MB",
                f"{drained.seconds:.0f} s",
                f"{drained.agent_mb:.0f} ({drained.agent_before_mb:.0f}) MB",
                f"{drained.office_mb:.0f} MB",
                str(drained.left),
            )
        ],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
