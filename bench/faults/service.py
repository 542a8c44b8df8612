"""Head office with HTTP and TLS in a child process of its own, of any build, and a device that calls it."""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.faults.rig import AS_IT_IS, SITE, Build, Identity
from bench.faults.traced import allow_tracing, wait_for
from head_office import office as office_module
from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import Clock, utc_now
from sync.edge.enrolment import enrol
from sync.edge.head_office_client import HeadOfficeClient, Timeouts
from sync.edge.identity import Identity as EnrolledIdentity

LOCAL = "127.0.0.1"
STOPS_WITHIN_S = 40.0
"""The service itself allows its last requests 20 s."""


class _NoOpening:
    """Packets stay sealed: their content is noise here, and a second process would only take time."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self) -> None:
        pass

    def wake(self) -> None:
        pass

    def stop(self) -> None:
        pass


class Service:
    """The running service; started and killed as often as one likes."""

    def __init__(self, home: Home, build: Build = AS_IT_IS, *, clock: Clock = utc_now) -> None:
        self.home, self._build, self._clock = home, build, clock
        self.port = 0
        self.process = 0

    @property
    def url(self) -> str:
        return f"https://{LOCAL}:{self.port}"

    def start(self) -> None:
        """Fork it and wait until it listens, on the same port each time. Raises RuntimeError."""
        said, says = os.pipe()
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            os.close(said)
            self._serve(says)
        os.close(says)
        with os.fdopen(said) as told:
            line = told.readline()
        if not line:
            wait_for(self.process)
            self.process = 0
            raise RuntimeError((self.home.folder.parent / "service.log").read_text(encoding="utf-8")[-2000:])
        self.port = int(line)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it, in order or not; it may be dead already."""
        if self.process:
            os.kill(self.process, number)
            wait_for(self.process, STOPS_WITHIN_S)
            self.process = 0

    def is_dead(self) -> bool:
        """Whether it has died; then it is waited for."""
        done, _ = os.waitpid(self.process, os.WNOHANG)
        if done:
            self.process = 0
        return bool(done)

    def _serve(self, says: int) -> None:
        status = 1
        try:
            allow_tracing()
            log = os.open(self.home.folder.parent / "service.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 2)
            logging.basicConfig(level=logging.WARNING, force=True)

            def listening(_host: str, port: int) -> None:
                os.write(says, f"{port}\n".encode("ascii"))
                os.close(says)

            with (
                patch.object(office_module, "OpeningWorker", _NoOpening),
                patch.object(office_module, "open_ledger", lambda home, *_: self._build.ledger(home.ledger)),
                patch.object(office_module, "Ingest", self._build.ingest),
            ):
                status = office_module.serve(self.home, LOCAL, self.port, clock=self._clock, on_listening=listening)
        except BaseException:  # noqa: BLE001 - the child ends here
            traceback.print_exc()
        finally:
            os._exit(status)


@contextmanager
def running(home: Home, build: Build = AS_IT_IS, **more: Any) -> Iterator[Service]:
    """A service for the length of a block."""
    service = Service(home, build, **more)
    service.start()
    try:
        yield service
    finally:
        service.stop()


def enrol_over_tls(service: Service, folder: Path) -> EnrolledIdentity:
    """A device with its keys and certificates in ``folder``, as a technician makes one."""
    ledger = SqliteLedger(service.home.ledger)
    token, _ = DeviceRegistry(ledger, Authority.load(service.home)).issue_token(SITE, by="bench")
    ledger.close()
    return enrol(
        url=service.url,
        token=token,
        ca_file=service.home.ca_certificate,
        device_serial="SN-0001",
        folder=folder,
        now=datetime.now(UTC),
    )


def as_identity(enrolled: EnrolledIdentity) -> Identity:
    """The same for the rig."""
    trust = enrolled.trust
    return Identity(enrolled.device_id, enrolled.signer, dict(trust.receipt_keys), enrolled.facts.recipients)


def tls_line(
    enrolled: EnrolledIdentity, url: str, timeouts: Timeouts | None = None, ca_file: Path | None = None
) -> HeadOfficeClient:
    """A connection as the agent makes it."""
    return HeadOfficeClient(
        url, ca_file or enrolled.ca_certificate, enrolled.tls_certificate, enrolled.tls_key, timeouts
    )


Connect = Callable[[], HeadOfficeClient]
