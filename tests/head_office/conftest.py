"""Head office for tests: in this process without TLS, or as the real service on loopback."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from head_office import claims, custody
from head_office.device_registry import DeviceRegistry
from head_office.ingest import Ingest
from head_office.keys.authority import Authority
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.keys.recipients import load_private_keys, load_recipients
from head_office.keys.trust import ReceiptKeys
from head_office.ledger.choice import LedgerChoice, open_ledger, write_choice
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import utc_now
from head_office.opening import Opener
from head_office.renewal import Renewals
from sync.receipt import Receipt, Verdict
from tests.head_office.cluster import cluster, new_ledger_address
from tests.head_office.device import SITE, Device, Link

__all__ = ["cluster", "new_ledger_address"]  # fixtures of this folder

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class TestClock:
    """A clock that stands still until it is moved."""

    __test__ = False

    now: datetime = datetime(2026, 1, 5, 3, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Office:
    """Head office in this process: everything but HTTP and TLS."""

    home: Home
    ledger_kind: type[SqliteLedger] | None = None
    """A wrong build to put in place of the folder's own ledger."""
    clock: TestClock = field(default_factory=TestClock)

    def __post_init__(self) -> None:
        self.ledger = open_ledger(self.home) if self.ledger_kind is None else self.ledger_kind(self.home.ledger)
        self.signer = ReceiptKeys(self.home)
        self.registry = DeviceRegistry(self.ledger, Authority.load(self.home), clock=self.clock)
        self.renewals = Renewals(self.ledger, self.registry, clock=self.clock)
        self.wakes = 0
        self.ingest = self.ingest_with(self.signer)
        self.opener = Opener(self.ledger, load_private_keys(self.home), clock=self.clock)

    def ingest_with(self, signer: Any) -> Ingest:
        return Ingest(self.ledger, self.registry, signer, self.clock, poll_s=60, on_stored=self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def device(self, serial: str = "SN-0001") -> Device:
        device = Device(serial)
        device.enrol_directly(self.registry, load_recipients(self.home), self.signer)
        return device

    def receive(self, device: Device, *packets: bytes) -> Receipt:
        return device.verified(self.ingest.receive(device.tls_certificate, device.batch(*packets)))

    def verdicts(self, device: Device, *packets: bytes) -> list[tuple[Verdict, str | None]]:
        return [(v.verdict, v.reason) for v in self.receive(device, *packets).verdicts]

    def stored(self) -> list[bytes]:
        return [bytes(row["envelope"]) for row in self.ledger.read("SELECT envelope FROM packets ORDER BY receipt_no")]

    def claims(self) -> list[Any]:
        while self.opener.open_waiting():
            pass
        return self.ledger.read("SELECT * FROM claims ORDER BY agenda_no")

    def alarm_kinds(self) -> list[str]:
        return [row["kind"] for row in reversed(custody.alarms(self.ledger))]

    def lose_to_disk(self) -> list[bytes]:
        """What somebody who opens the ledger afterwards finds in it."""
        self.ledger.close()
        self.ledger = open_ledger(self.home)
        return self.stored()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "head-office")
    set_up(made, ["localhost", "127.0.0.1"], utc_now())
    return made


@pytest.fixture
def office(home: Home, new_ledger_address: Callable[[], str | None]) -> Iterator[Office]:
    """On each engine."""
    address = new_ledger_address()
    if address is not None:
        write_choice(home, LedgerChoice(address=address))
    made = Office(home)
    yield made
    made.ledger.close()


@dataclass
class Service:
    """The real program in a process of its own, on loopback with TLS."""

    home: Home
    module: str = "head_office.cli"
    before: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    python: str = sys.executable
    process_options: dict[str, Any] = field(default_factory=dict)
    """For the new process: its user, groups, umask, environment."""

    def start(self, port: int = 0, *, listen: str = "") -> Link:
        """``listen`` in place of a port of this machine."""
        arguments = ("serve", "--home", str(self.home.folder), "--listen", listen or f"127.0.0.1:{port}")
        self.log = (self.home.folder.parent / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [self.python, "-m", self.module, *self.before, *arguments, *self.options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            **{"env": {**os.environ, "PYTHONUNBUFFERED": "1"}, **self.process_options},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "listens on" not in line:
            self.stop(signal.SIGKILL)
            raise AssertionError((self.home.folder.parent / "serve.log").read_text())
        self.url = line.split()[-1]
        return Link(self.url, self.home.ca_certificate)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; twenty seconds is what the service allows itself."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()
        return status

    def token(self) -> str:
        """A token made beside the running service, as the admin command makes it."""
        ledger = open_ledger(self.home)
        token, _expires = DeviceRegistry(ledger, Authority.load(self.home)).issue_token(SITE, by="test")
        ledger.close()
        return token

    def enrol(self, link: Link, folder: Path) -> tuple[Device, Link]:
        """A new device, and its own line to the service."""
        device = Device()
        link.enrol(device, self.token())
        return device, Link(link.url, link.ca_file, device.save_certificate(folder))

    def claims(self, count: int) -> list[Any]:
        """The claims on the desk once there are ``count``; gives the opening worker a minute on a busy machine."""
        deadline = time.monotonic() + 60
        ledger = open_ledger(self.home)
        while len(found := claims.all_claims(ledger)) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        ledger.close()
        return found

    def run(self, *arguments: str) -> str:
        """An admin command beside the running service."""
        done = subprocess.run(
            [sys.executable, "-m", "head_office.cli", *arguments, "--home", str(self.home.folder)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def service(home: Home) -> Iterator[Service]:
    made = Service(home)
    yield made
    if hasattr(made, "process") and made.process.poll() is None:
        made.stop(signal.SIGKILL)
