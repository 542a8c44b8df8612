"""The database's primary is killed under load: is it back by itself, is anything acknowledged lost, anything twice?

    python -m bench failover [--devices 200] [--rate 40] [--kill primary|node|both] [--quick] [--wrong]

Brings up etcd, three PostgreSQL nodes under Patroni, two ingest workers and nginx on this machine (deploy/cluster.py);
devices with real keys send real envelopes over TLS. Just before the kill the standbys are held back for a moment:
a commit that did not wait for one would be lost for certain. Then the database's log is read, and the history judged.

``--wrong`` runs the same with a cluster that acknowledges on one disk, and succeeds only if that is found out.
"""

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.datasets import ROOT
from bench.faults.history import Captured, Held, History, Place, Violation, violations
from bench.load_device import Line, LoadDevice, run_device
from bench.report import heading, table
from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.keys.receipt_key import load_receipt_signer
from head_office.keys.recipients import load_recipients
from head_office.ledger.choice import open_ledger
from sync.envelope import envelope_digest

LIMIT_S = 30.0
HELD_BACK_S = 2.0  # Below the five seconds after which a standby reconnects.
PACKET_BYTES = 6_000  # A claim without documents.
DRAIN_S = 90.0


class TrialError(Exception):
    """The trial itself did not work."""


class Cluster:
    """deploy/cluster.py as a child: it ends with us, whatever becomes of us."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder, self._options = folder, options

    async def __aenter__(self) -> "Cluster":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "deploy" / "cluster.py"),
            str(self._folder),
            *self._options,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.ready = await self.until("ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def ask(self, word: str, until: str) -> dict[str, Any]:
        """Give a command; the first line of that kind which follows."""
        assert self._process.stdin is not None
        self._process.stdin.write(word.encode() + b"\n")
        await self._process.stdin.drain()
        return await self.until(until)

    async def until(self, what: str) -> dict[str, Any]:
        """Read on to a line of that kind. Raises TrialError when the cluster says that it failed."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = dict(json.loads(line))
            if told["happened"] == "failed":
                raise TrialError(told["because"])
            if told["happened"] == what:
                return told
        raise TrialError(f"the cluster ended before it said {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Killing:
    """One kill and what followed."""

    what: str
    new_primary_s: float
    """From the kill until another node led."""
    outage_s: float
    """From the kill until the first packet that was sealed after it was acknowledged."""
    everybody_s: float
    """From the kill until every device had a packet acknowledged again."""


class Trial:
    """Devices under load on one cluster."""

    def __init__(self, cluster: Cluster, folder: Path, devices: int, rate: float, *, wrong: bool) -> None:
        self.wrong = wrong
        self._cluster, self._folder, self._every_s = cluster, folder, devices / rate
        self._home = Home(Path(cluster.ready["home"]))
        self._random = random.Random(20261120)
        self._loading = True
        ledger = open_ledger(self._home)
        try:
            registry = DeviceRegistry(ledger, Authority.load(self._home))
            signer, recipients = load_receipt_signer(self._home), load_recipients(self._home)
            trust = {signer.kid: signer.public_key}
            self.devices = [LoadDevice(registry, recipients, trust) for _ in range(devices)]
        finally:
            ledger.close()

    async def run(self, kills: Sequence[str], settle_s: float, drain_s: float) -> list[Killing]:
        """Load, one kill after the other, and drain. Raises TimeoutError when it does not drain."""
        lines = [Line(self._cluster.ready["url"], self._tls(device)) for device in self.devices]
        running = [
            asyncio.create_task(
                run_device(
                    device,
                    line,
                    every_s=self._every_s,
                    size=PACKET_BYTES,
                    draw=self._random.random,
                    go_on=lambda: self._loading,
                )
            )
            for device, line in zip(self.devices, lines, strict=True)
        ]
        done = []
        try:
            for what in kills:
                # One failure at a time is what three nodes are for.
                await self._cluster.ask("heal", "healed")
                await asyncio.sleep(settle_s)
                done.append(await self._kill(what))
            self._loading = False
            # A wrong build loses packets, and a device behind a lost one never drains.
            async with asyncio.timeout(drain_s):
                await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
        return done

    def _tls(self, device: LoadDevice) -> Any:
        return device.tls(self._folder, self._home.ca_certificate)

    async def _kill(self, what: str) -> Killing:
        await self._cluster.ask("hold-back", "held-back")
        await asyncio.sleep(HELD_BACK_S)
        before = {device.device_id: max(device.account.captured, default=0) for device in self.devices}
        killed_at = time.monotonic()
        leads = await self._cluster.ask(f"kill-{what}", "leads")
        while not all(self._back(device, before) for device in self.devices):
            await asyncio.sleep(0.1)
            if time.monotonic() - killed_at > (LIMIT_S if self.wrong else DRAIN_S):
                raise TrialError("not every device was served again")
        backs = [self._back(device, before) for device in self.devices]
        times = [at - killed_at for at in backs if at is not None]
        return Killing(what=what, new_primary_s=leads["after_s"], outage_s=min(times), everybody_s=max(times))

    @staticmethod
    def _back(device: LoadDevice, before: dict[str, int]) -> float | None:
        """When a packet sealed after the kill was first acknowledged."""
        later = [at for seq, (_, at) in device.account.acked.items() if seq > before[device.device_id]]
        return min(later, default=None)

    def judge(self) -> list[Violation]:
        """Compare what devices swear to with what stands in the database now."""
        captured, acked, waiting, stored = [], set(), [], []
        for device in self.devices:
            for seq, digest in device.account.captured.items():
                captured.append(Captured(f"{device.device_id} {seq}", _place(device, seq), digest))
            acked |= {digest for digest, _ in device.account.acked.values()}
            waiting += [Held(_place(device, packet.seq), packet.digest) for packet in device.waiting]
        ledger = open_ledger(self._home)
        try:
            for row in ledger.read(
                "SELECT device_id, lane, epoch, seq, envelope, receipt_no FROM packets ORDER BY receipt_no"
            ):
                place = Place(row["device_id"], row["lane"], bytes(row["epoch"]), row["seq"])
                # Of the bytes that are there, not of what was noted beside them.
                stored.append(Held(place, envelope_digest(bytes(row["envelope"])), row["receipt_no"]))
        finally:
            ledger.close()
        return violations(
            History(
                captured=captured,
                promised=frozenset(one.digest for one in captured),
                acknowledged=frozenset(acked),
                waiting=waiting,
                stored=stored,
            )
        )


def _place(device: LoadDevice, seq: int) -> Place:
    return Place(device.device_id, "core", device.epoch, seq)


async def _tried(folder: Path, asked: argparse.Namespace) -> int:
    wrong = ["--asynchronous"] if asked.wrong else []
    kills = ["primary", "node"] if asked.kill == "both" else [asked.kill]
    async with Cluster(folder / "cluster", *wrong) as cluster:
        trial = Trial(cluster, folder, asked.devices, asked.rate, wrong=asked.wrong)
        try:
            killings = await trial.run(kills, asked.settle, 10.0 if asked.wrong else DRAIN_S)
        except (TimeoutError, TrialError):
            if not asked.wrong:
                raise
            # Lost packets leave a gap, and a device behind a gap is never served again.
            killings = []
        found = trial.judge()
    accounts = [device.account for device in trial.devices]
    captured, acked = (sum(len(getattr(one, name)) for one in accounts) for name in ("captured", "acked"))
    print(heading("Primary killed under load"))
    print()
    rows = [
        [
            f"kill -9 of the {one.what}",
            f"{one.new_primary_s:.1f} s",
            f"{one.outage_s:.1f} s",
            f"{one.everybody_s:.1f} s",
        ]
        for one in killings
    ]
    print(table(["what", "another node leads", "first claim served", "all devices served"], rows))
    print()
    print(
        f"{asked.devices} devices, {captured} packets captured, {acked} acknowledged, "
        f"{sum(one.failures for one in accounts)} of {sum(one.requests for one in accounts)} requests failed"
    )
    for kind in sorted({one.fault.value for one in found}):
        of_kind = [one for one in found if one.fault.value == kind]
        print(f"{kind}: {len(of_kind)}, e.g. {of_kind[0].detail}")
    if asked.wrong:
        caught = any(one.fault.value == "lost" for one in found)
        print("The wrong build was " + ("caught." if caught else "NOT caught."))
        return 0 if caught else 1
    slow = [one for one in killings if one.outage_s >= LIMIT_S]
    print(f"lost or doubled: {len(found)}; back within {LIMIT_S:g} s: {'yes' if not slow else 'NO'}")
    return 1 if found or slow else 0


def main(arguments: Sequence[str]) -> int:
    """Run one trial; 0 when nothing was lost or doubled and the service was back in time."""
    parser = argparse.ArgumentParser(prog="python -m bench failover", description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--rate", type=float, default=40.0, help="packets a second, all devices together")
    parser.add_argument("--kill", choices=["primary", "node", "both"], default="both")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds of load before each kill")
    parser.add_argument("--quick", action="store_true", help="20 devices, one kill")
    parser.add_argument("--wrong", action="store_true", help="a cluster that acknowledges on one disk must be caught")
    parser.add_argument("--folder", type=Path, help="keep settings and logs there; every user must be able to enter")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.devices, asked.kill, asked.settle = 20, "primary", 4.0
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="mpos-failover-"))
    folder.mkdir(exist_ok=True)
    # PostgreSQL runs as another user below it when we are root.
    folder.chmod(0o755)
    try:
        return asyncio.run(_tried(folder, asked))
    except TrialError as error:
        print(f"The trial did not work: {error}", file=sys.stderr)
        return 1
    finally:
        if asked.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
