"""What a handshake, an idle poll and a packet cost head office in processor time, and what that means for many devices.

    python -m bench scale [--devices 40] [--polls 1500] [--handshakes 400] [--batches 60]

The real service (SQLite ledger) in a process of its own, once ending TLS itself and once behind nginx; its processor
time is read from the kernel, so that neither the load generator on the same machine nor a busy one counts. The
arithmetic of docs/scale.md is printed from what was measured.
"""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.datasets import ROOT
from bench.load_device import Line, LoadDevice
from bench.report import heading, table
from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import Authority
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.keys.receipt_key import load_receipt_signer
from head_office.keys.recipients import load_recipients
from head_office.ledger.choice import open_ledger
from head_office.moment import utc_now

PACKET_BYTES = 20_000
BATCH = 20
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PATIENCE_S = 60.0
DEVICES = 1_000_000
CLAIMS_A_YEAR = 100_000_000
WORKING_S = 250 * 10 * 3600  # 250 days of ten hours
PEAK = 10.0  # the busiest minutes against the mean of working time


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Processor milliseconds at head office."""

    where: str
    handshake_ms: float
    poll_ms: float
    packet_ms: float


class Service:
    """Head office, and nginx before it where asked for."""

    def __init__(self, folder: Path, *, behind_nginx: bool) -> None:
        self._folder, self._behind_nginx = folder, behind_nginx
        self.home = Home(folder / "head-office")
        self._processes: list[subprocess.Popen[str]] = []
        self.url = ""

    @contextmanager
    def running(self) -> Iterator["Service"]:
        """Start, and stop at the end."""
        listen = f"unix:{self._folder}/w.sock" if self._behind_nginx else "127.0.0.1:0"
        arguments = ["serve", "--home", str(self.home.folder), "--listen", listen, "--no-opening"]
        try:
            worker = self._start([sys.executable, "-m", "head_office.cli", *arguments])
            assert worker.stdout is not None
            self.url = worker.stdout.readline().split()[-1]
            if self._behind_nginx:
                self.url = self._nginx()
            yield self
        finally:
            for process in reversed(self._processes):
                process.send_signal(signal.SIGTERM)
            for process in self._processes:
                process.wait(PATIENCE_S)

    def cpu_s(self) -> float:
        """User and system time of everything that serves."""
        total = 0.0
        for process in self._processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) * TICK_S
        return total

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._processes.append(process)
        return process

    def _nginx(self) -> str:
        folder = self._folder / "nginx"
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        lines = (ROOT / "deploy" / "nginx" / "head-office.conf").read_text().splitlines()
        text = "\n".join(line for line in lines if "worker-2.sock" not in line)
        for before, now in {
            "listen 8443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/run/mpos-head-office/worker-1.sock": f"{self._folder}/w.sock",
            "/var/lib/mpos-head-office/server.crt": str(self.home.server_certificate),
            "/etc/nginx/mpos-head-office.key": str(self.home.server_key),
        }.items():
            text = text.replace(before, now)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        (folder / "nginx.conf").write_text(
            # One process, so that its time is one process's.
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{temporary}{text}\n}}\n"
        )
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
        self._start([program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")])
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"https://127.0.0.1:{port}"
            if time.monotonic() > deadline:
                raise TimeoutError("nginx does not listen")
            time.sleep(0.05)


async def _measure(
    where: str, service: Service, devices: Sequence[LoadDevice], lines: Sequence[Line], asked: argparse.Namespace
) -> Costs:
    async def post(at: int, most: int) -> None:
        device, line = devices[at % len(devices)], lines[at % len(lines)]
        body, nonce = device.batch(most)
        status, reply = await line.post("/v1/sync", body)
        if status != 200:
            raise ConnectionError(f"status {status}")
        device.settle(reply, nonce)

    async def cost_ms(count: int, act: Callable[[int], Awaitable[None]]) -> float:
        before = service.cpu_s()
        for at in range(count):
            await act(at)
        return (service.cpu_s() - before) * 1000 / count

    async def anew(at: int) -> None:
        lines[at % len(lines)].close()
        await post(at, 0)

    async def packets(at: int) -> None:
        for _ in range(BATCH):
            devices[at % len(devices)].capture(PACKET_BYTES)
        await post(at, BATCH)

    # Once for each device first: what is loaded and noted at a first call is no cost of a poll.
    for at in range(2 * len(devices)):
        await post(at, 0)
    poll = await cost_ms(asked.polls, lambda at: post(at, 0))
    handshake = await cost_ms(asked.handshakes, anew) - poll
    packet = (await cost_ms(asked.batches, packets) - poll) / BATCH
    return Costs(where=where, handshake_ms=handshake, poll_ms=poll, packet_ms=packet)


def _trial(where: str, *, behind_nginx: bool, asked: argparse.Namespace) -> Costs:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mpos-scale-")))
        service = Service(folder, behind_nginx=behind_nginx)
        set_up(service.home, ["127.0.0.1"], utc_now())
        ledger = open_ledger(service.home)
        registry = DeviceRegistry(ledger, Authority.load(service.home))
        signer = load_receipt_signer(service.home)
        trust = {signer.kid: signer.public_key}
        devices = [LoadDevice(registry, load_recipients(service.home), trust) for _ in range(asked.devices)]
        ledger.close()
        stack.enter_context(service.running())
        lines = [Line(service.url, device.tls(folder, service.home.ca_certificate)) for device in devices]
        return asyncio.run(_measure(where, service, devices, lines, asked))


def cores(costs: Costs, poll_s: float, rate: float) -> float:
    """Cores kept busy by a million devices, each connecting anew every ``poll_s``, and ``rate`` packets a second."""
    connections = DEVICES / poll_s
    return (connections * (costs.handshake_ms + costs.poll_ms) + rate * costs.packet_ms) / 1000


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench scale")
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--polls", type=int, default=1500)
    parser.add_argument("--handshakes", type=int, default=400)
    parser.add_argument("--batches", type=int, default=60)
    asked = parser.parse_args(arguments)
    found = [_trial("TLS ends at the worker", behind_nginx=False, asked=asked)]
    if shutil.which("nginx", path="/usr/sbin:/usr/bin"):
        found.append(_trial("behind nginx (both counted)", behind_nginx=True, asked=asked))
    print(heading("Cost at head office"))
    print()
    rows = [[one.where, f"{one.handshake_ms:.2f}", f"{one.poll_ms:.2f}", f"{one.packet_ms:.2f}"] for one in found]
    print(table(["processor ms for one", "handshake", "idle poll", f"packet of {PACKET_BYTES // 1000} kB"], rows))
    mean = CLAIMS_A_YEAR / (365 * 86_400)
    peak = PEAK * CLAIMS_A_YEAR / WORKING_S
    print()
    print(f"{CLAIMS_A_YEAR:,} packets a year: {mean:.1f} a second in the mean, {peak:.0f} at the peak.")
    print(f"{DEVICES:,} devices:")
    print()
    rows = [
        [f"{poll_s // 60} min", *(f"{cores(one, poll_s, peak):.1f}" for one in found)]
        for poll_s in (300, 900, 1800, 3600)
    ]
    print(table(["each connects anew every", *(f"cores, {one.where}" for one in found)], rows))
    return 0
