"""A device put together as the agent does it: queue, identity keeper and link, against a real head office."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import Authority, KeyRequest
from head_office.keys.trust import ReceiptKeys, trusted_at_enrolment
from head_office.ledger.sqlite import SqliteLedger
from mpos_agent.head_office_link import HeadOfficeLink
from mpos_agent.identity_keeper import IdentityKeeper
from sync import enrolment as wire
from sync.commands import CommandName
from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime, SystemClock
from sync.edge.commands import Commands
from sync.edge.database import Database
from sync.edge.enrolment import enrol
from sync.edge.head_office_client import HeadOfficeClient, Reply, Timeouts
from sync.edge.identity_orders import IdentityOrders
from sync.edge.key_stores import KeyStores
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import OutboxRow
from sync.edge.receipts import Receipts
from sync.edge.uploader import RoundResult
from sync.enrolment import EnrolReply
from sync.envelope import Lane
from sync.errors import Cause, HeadOfficeError
from sync.packet import new_packet_id
from tests.head_office.conftest import Service
from tests.head_office.device import SITE
from tests.sync.people import matched_claim


@dataclass
class Laptop:
    """One device; its wall clock can be set forward for the keeper."""

    folder: Path
    stores: KeyStores = field(default_factory=KeyStores)
    ahead: timedelta = timedelta()

    def start(self) -> "Laptop":
        """Open everything; the identity is there or not."""
        clock = SystemClock()
        self.database = Database(self.folder / "agent.db")
        self.outbox = Outbox(self.database, clock)
        self.orders = IdentityOrders(self.database, clock)
        self.keeper = IdentityKeeper(
            self.folder / "identity", self.stores, self.orders, lambda: datetime.now(UTC) + self.ahead, lambda: 0.0
        )
        commands = Commands(
            self.database,
            clock,
            {
                CommandName.ROTATE_KEYS: self.orders.rotate_keys,
                CommandName.DENY: self.orders.deny,
                CommandName.MOVE: self.keeper.move,
            },
        )
        self.link = HeadOfficeLink(
            keeper=self.keeper,
            receipts=Receipts(self.outbox, commands=commands, on_trust=self.keeper.learn),
            url=None,
            ca_file=None,
            timeouts=Timeouts(),
            device_serial="SN-0042",
            outbox=self.outbox,
            clock=clock,
            head_office_time=HeadOfficeTime(self.database, clock),
            breaker=Breaker(self.database, lambda: 0.0),
            free_disk_bytes=lambda: 10**9,
            versions={"agent": "0.1.0"},
            draw=lambda: 0.0,
        )
        return self

    def stop(self) -> None:
        self.database.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def device_id(self) -> str:
        return str(self.identity.device_id)

    @property
    def identity(self) -> Any:
        found = self.keeper.identity()
        assert found is not None
        return found

    def claim(self, number: int) -> OutboxRow:
        """Queue a claim of a made-up person."""
        claim = replace(
            matched_claim(new_packet_id(1_790_000_000_000 + number, os.urandom(10))),
            device_id=self.device_id,
            kpj=f"99ZZ{number:07d}",
        )
        return self.outbox.put(claim.packet_id, Lane.CORE, self.link.sealer().sealed(claim.encode()))

    def round(self) -> RoundResult:
        """One turn of the sync thread: a round, then a look at the identity."""
        result = self.link.uploader().round(now_please=True)
        self.link.after_round(result)
        return result

    def enrol(self, service: Service) -> "Laptop":
        """With a token, over TLS."""
        self.link.enrol(service.url, service.token(), service.home.ca_certificate.read_text())
        return self

    def enrol_in_the_past(self, service: Service, ago: timedelta) -> "Laptop":
        """As if it had happened then, and the certificates had the dates of then."""
        made_at = datetime.now(UTC) - ago
        ledger = SqliteLedger(service.home.ledger)
        registry = DeviceRegistry(ledger, Authority.load(service.home), clock=lambda: made_at)
        token, _ = registry.issue_token(SITE, by="test")
        office = _OfficeOfThen(service, registry)
        with contextlib.closing(ledger):
            enrol(
                url=service.url,
                token=token,
                ca_file=service.home.ca_certificate,
                device_serial="SN-0042",
                folder=self.folder / "identity",
                now=made_at,
                stores=self.stores,
                connect=lambda _url, _ca: office,
            )
        return self


class _OfficeOfThen(HeadOfficeClient):
    """Answers enrolment in this process, with a clock of its own."""

    def __init__(self, service: Service, registry: DeviceRegistry) -> None:
        super().__init__(service.url, service.home.ca_certificate)
        self._service, self._registry = service, registry

    def post(self, path: str, body: bytes) -> Reply:
        assert path == "/v1/enrol"
        asked = wire.decode_request(body)
        made = self._registry.enrol(
            asked.token, asked.device_serial, KeyRequest.parse(asked.tls_csr), KeyRequest.parse(asked.signing_csr)
        )
        trusted = trusted_at_enrolment(ReceiptKeys(self._service.home), ())
        authority = Authority.load(self._service.home).certificate
        reply = EnrolReply(
            device_id=made.device_id,
            tls_certificate=made.tls_certificate,
            signing_certificate=made.signing_certificate,
            ca_certificate=authority.public_bytes(serialization.Encoding.DER),
            receipt_keys=trusted.receipt_keys,
            recipients=trusted.recipients,
            site=made.site,
        )
        return Reply(wire.encode(reply), 0, 1)


@contextlib.contextmanager
def losing_replies(laptop: Laptop, path: str) -> Iterator[list[bytes]]:
    """While it lasts, replies to ``path`` are lost after head office gave them; gives the bodies that were sent."""
    sent: list[bytes] = []
    original = HeadOfficeClient.post

    def post(self: HeadOfficeClient, to: str, body: bytes) -> Reply:
        reply = original(self, to, body)
        if to == path:
            sent.append(body)
            raise HeadOfficeError(Cause.UNREACHABLE)
        return reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeadOfficeClient, "post", post)
        yield sent
