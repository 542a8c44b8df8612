"""A device with its queue, clocks that stand still until moved, and a model of head office."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime
from sync.edge.database import Database
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import OutboxRow
from sync.edge.reserve import Reserve
from sync.edge.sealing import Sealer
from sync.edge.uploader import Client, Trust, Uploader
from sync.envelope import Lane
from sync.keys import Algorithm, SoftwareSigner
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.conftest import a_signer
from tests.sync.edge.model_office import ModelOffice

START = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)
DEVICE_ID = "dev-000001"


@dataclass
class HandClock:
    """Both clocks of a machine, moved by hand."""

    wall: datetime = START
    monotonic: int = 1_000_000_000
    boot_id: bytes = bytes(range(16))

    def utc(self) -> datetime:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.monotonic

    def pass_time(self, seconds: float) -> None:
        """Time goes by, on both."""
        self.wall += timedelta(seconds=seconds)
        self.monotonic += int(seconds * 1e9)


@dataclass(frozen=True)
class DeviceKeys:
    """Made once: making keys is what takes time."""

    device: SoftwareSigner
    office: SoftwareSigner
    recipient: RecipientPrivateKey


@pytest.fixture(scope="session")
def device_keys() -> DeviceKeys:
    return DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519))


@dataclass
class Desk:
    """One device: its database on a real disk, and everything that hangs on it."""

    path: Path
    keys: DeviceKeys
    client: Client | None = None
    clock: Any = field(default_factory=HandClock)
    draw: float = 0.5
    reserve: Reserve | None = None

    def __post_init__(self) -> None:
        self.office = ModelOffice(self.keys.office, self.keys.device.public_key, START)
        self.start()

    def start(self) -> None:
        """Open everything, as the agent does."""
        self.database = Database(self.path, now=self.clock.utc, reserve=self.reserve)
        self.outbox = Outbox(self.database, self.clock)
        self.time = HeadOfficeTime(self.database, self.clock)
        self.sealer = Sealer(DEVICE_ID, self.keys.device, [self.keys.recipient.public], self.time)
        self.breaker = Breaker(self.database, lambda: self.draw)
        self.uploader = Uploader(
            self.outbox,
            self.client or self.office,
            self.keys.device,
            Trust(DEVICE_ID, {self.keys.office.kid: self.keys.office.public_key}),
            self.clock,
            breaker=self.breaker,
            head_office_time=self.time,
            free_disk_bytes=lambda: 10**9,
            versions={"agent": "0.1.0"},
            draw=lambda: self.draw,
        )

    def restart(self) -> None:
        """Close everything and open it again."""
        self.database.close()
        self.start()

    def put(self, number: int, lane: Lane = Lane.CORE, size: int = 100) -> OutboxRow:
        """Queue a packet; its content tells its number, and is as long in the envelope: noise does not compress."""
        content = f"packet {number} ".encode() + random.Random(number).randbytes(size)
        return self.outbox.put(packet_id(number), lane, self.sealer.sealed(content[:size]))


def packet_id(number: int) -> UUID:
    """The id of the packet with that number."""
    return UUID(int=(0x7 << 76) | (0x2 << 62) | number)


@pytest.fixture
def desk(tmp_path: Path, device_keys: DeviceKeys) -> Iterator[Desk]:
    made = Desk(tmp_path / "agent.db", device_keys)
    yield made
    made.database.close()
