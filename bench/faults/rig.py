"""One branch device and head office, made of the real parts on real disks, for tools that hurt them.

A :class:`Build` says of which classes they are made: the real ones, or one deliberately wrong (wrong_builds.py). What
happened is written as marks, one line each, so that a child process that dies leaves its part of the history behind.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bench.faults.history import Fault, Violation
from bench.faults.marks import Listener
from head_office.clusters import Clusters
from head_office.device_registry import DeviceRegistry
from head_office.errors import HeadOfficeError as OfficeError
from head_office.giving_up import MissingPlaces
from head_office.hand_over import hand_over
from head_office.ingest import Ingest
from head_office.keys.authority import Authority, KeyRequest
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.keys.receipt_key import load_receipt_signer
from head_office.keys.recipients import load_recipients
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import Clock as OfficeClock
from head_office.moment import utc_now
from head_office.renewal import Renewals
from sync.commands import CommandName, Move
from sync.edge.breaker import Breaker
from sync.edge.clock import Clock, HeadOfficeTime, SystemClock
from sync.edge.commands import Commands
from sync.edge.database import Database
from sync.edge.frozen_lanes import FrozenLanes
from sync.edge.head_office_client import Reply
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import ChainPosition, OutboxRow
from sync.edge.queue_orders import QueueOrders
from sync.edge.receipts import Receipts
from sync.edge.reserve import Reserve
from sync.edge.sealing import Sealer
from sync.edge.stick import Stick
from sync.edge.uploader import Client, RoundOutcome, RoundResult, Trust, Uploader
from sync.enrolment import Site, SiteType
from sync.envelope import Lane
from sync.errors import Cause, HeadOfficeError
from sync.keys import PrivateKey, PublicKey, Signer, SoftwareSigner
from sync.recipients import Recipient
from sync.renewal import RenewRequest, decode_reply, sign_request

SITE = Site(branch_code="KC01", kanwil_code="DKI", partner_code=None, site_type=SiteType.BRANCH)
SMALL_RESERVE = 4 * 1024 * 1024
"""The agent keeps 16 MB for packets of up to 400 kB; those of these tools are smaller."""
LATER = datetime(2200, 1, 1, tzinfo=UTC)
FAILURES = 15
"""Rounds in a row that may fail on a line that is good again: a loaded machine is slow, but not for a minute."""
MOST_ROUNDS = 400
"""To drain a queue of a few hundred packets, whatever the batch size; more means that it does not drain."""


def with_reserve(path: Path) -> Database:
    """As the agent opens it; a small reserve, because it is made and flushed at every start."""
    return Database(path, reserve=Reserve(path.with_name("reserve"), SMALL_RESERVE))


@dataclass(frozen=True, slots=True)
class Build:
    """Which classes the two programs are made of."""

    name: str = "as it is"
    database: Callable[[Path], Database] = with_reserve
    outbox: Callable[[Database], Outbox] = Outbox
    uploader: Callable[..., Uploader] = Uploader
    ledger: Callable[[Path], Any] = SqliteLedger
    ingest: Callable[..., Ingest] = Ingest
    hand_over: Callable[..., Iterable[str]] = hand_over
    places: Callable[..., MissingPlaces] = MissingPlaces
    wrong: str = ""
    """What is wrong with it, in words; empty for the real build."""
    shows: frozenset[Fault] = frozenset()
    """What must be found in it, for it to count as caught: falling over by something else proves nothing."""

    def is_caught_by(self, found: Iterable[Violation]) -> bool:
        """Whether what was found is what is wrong with it."""
        return any(one.fault in self.shows for one in found)


AS_IT_IS = Build()


@dataclass(frozen=True, slots=True)
class Identity:
    """What enrolment gives a device, with its keys in memory."""

    device_id: str
    signer: Signer
    receipt_keys: dict[bytes, PublicKey]
    recipients: tuple[Recipient, ...]
    tls_certificate: bytes = b""
    url: str = ""
    """Of the cluster it goes to, where there are several."""


class Office:
    """Head office in this process: everything but HTTP, TLS and the opening of packets."""

    def __init__(
        self,
        folder: Path,
        build: Build = AS_IT_IS,
        clock: OfficeClock = utc_now,
        clusters: Clusters | None = None,
    ) -> None:
        self.home, self._clock, self._build, self._clusters = Home(folder), clock, build, clusters
        self.open()

    def open(self) -> None:
        """As the service starts: the whole file is checked."""
        self.ledger = self._build.ledger(self.home.ledger)
        self.ledger.check()
        self.signer = load_receipt_signer(self.home)
        self.registry = DeviceRegistry(
            self.ledger, Authority.load(self.home), clock=self._clock, clusters=self._clusters
        )
        self.ingest = self._build.ingest(
            self.ledger,
            self.registry,
            self.signer,
            self._clock,
            poll_s=60,
            on_stored=lambda: None,
            clusters=self._clusters,
        )

    def close(self) -> None:
        self.ingest.close()
        self.ledger.close()

    def enrol(self, serial: str = "SN-0001") -> Identity:
        """A new device, keys in memory."""
        signing, tls = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
        token, _ = self.registry.issue_token(SITE, by="bench")
        enrolled = self.registry.enrol(
            token, serial, KeyRequest.parse(certificate_request(tls)), KeyRequest.parse(certificate_request(signing))
        )
        return Identity(
            enrolled.device_id,
            SoftwareSigner(signing),
            {self.signer.kid: self.signer.public_key},
            tuple(load_recipients(self.home)),
            enrolled.tls_certificate,
            "" if self._clusters is None else self._clusters.own.url,
        )

    def renew(self, identity: Identity) -> Identity:
        """New keys and certificates for it. The first reply is lost: the same request brings the same answer."""
        signing, tls = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
        request = RenewRequest(
            device_id=identity.device_id,
            nonce=os.urandom(16),
            tls_csr=certificate_request(tls),
            signing_csr=certificate_request(signing),
        )
        body = sign_request(request, identity.signer)
        renewals = Renewals(self.ledger, self.registry, clock=self._clock)
        first = renewals.renew(identity.tls_certificate, body)
        if renewals.renew(identity.tls_certificate, body) != first:
            raise ValueError("the same request was answered in two ways")
        certificate = decode_reply(first).tls_certificate
        return replace(identity, signer=SoftwareSigner(signing), tls_certificate=certificate)

    def line(self, identity: Identity) -> "DirectLine":
        """A client for that device, without a network."""
        return DirectLine(self, identity)


@dataclass
class DirectLine:
    """What the uploader takes for a client: a call in this process."""

    office: Office
    identity: Identity

    def post(self, _path: str, body: bytes) -> Reply:
        """Head office's refusals arrive as they do over HTTP."""
        try:
            return Reply(self.office.ingest.receive(self.identity.tls_certificate, body), 0, 1)
        except OfficeError as error:
            raise HeadOfficeError(Cause.REFUSED, refused_as=error.code) from error


class Nobody:
    """A line nobody answers on."""

    def post(self, _path: str, _body: bytes) -> Reply:
        raise HeadOfficeError(Cause.UNREACHABLE)


class Device:
    """One branch device: its database and all that hangs on it."""

    def __init__(
        self,
        path: Path,
        identity: Identity,
        client: Client,
        *,
        build: Build = AS_IT_IS,
        marks: Listener | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.path, self.identity, self.client, self._build, self._marks = path, identity, client, build, marks
        self.clock = SystemClock() if clock is None else clock
        self.open()

    def open(self) -> None:
        """As the agent starts."""
        self.database = self._build.database(self.path)
        try:
            self.outbox = self._build.outbox(self.database)
            self.outbox.take_up(self.identity.device_id)
            orders = QueueOrders(self.outbox, on_resent=_unheard, on_new_epoch=_unheard)
            time = HeadOfficeTime(self.database, self.clock)
            self._sealer = Sealer(self.identity.device_id, self.identity.signer, self.identity.recipients, time)
            self.uploader = self._build.uploader(
                self.outbox,
                self.client,
                self.identity.signer,
                Trust(self.identity.device_id, self.identity.receipt_keys),
                self.clock,
                breaker=Breaker(self.database, lambda: 0.5),
                head_office_time=time,
                free_disk_bytes=lambda: 10**9,
                versions={"agent": "0.1.0"},
                draw=lambda: 0.5,
                receipts=Receipts(
                    self.outbox,
                    frozen=FrozenLanes(self.database, self.clock),
                    commands=Commands(self.database, self.clock, {**orders.handlers(), CommandName.MOVE: self._move}),
                ),
            )
            self.stick = Stick(
                self.database,
                self.outbox,
                self.identity.signer,
                Trust(self.identity.device_id, self.identity.receipt_keys),
                self.clock,
                checkpoint=lambda: self.uploader.checkpoint(self.clock.utc()),
                take=self.uploader.receipts.take,
            )
        except BaseException:
            self.database.close()
            raise

    def close(self) -> None:
        self.database.close()

    def _move(self, order: Move) -> None:
        self.identity = replace(self.identity, url=order.url)

    def put(self, number: int, *, lane: Lane = Lane.CORE, size: int = 600) -> OutboxRow:
        """Queue packet ``number`` and tell the user so."""
        packet = packet_id(number)
        content = b"packet %d " % number
        sealed = self._sealer.sealed(content + os.urandom(max(0, size - len(content))))

        def seal(position: ChainPosition) -> bytes:
            envelope = sealed(position)
            if self._marks is not None:
                self._marks.captured(packet, self.identity.device_id, position, envelope)
            return envelope

        row = self.outbox.put(packet, lane, seal)
        if self._marks is not None:
            self._marks.promised(row.digest)
        return row

    def round(self) -> RoundResult:
        """One round, whatever the pauses; the user is told of what was acknowledged."""
        result = self.uploader.round(now_please=True)
        for row in result.acked:
            if self._marks is not None:
                self._marks.acknowledged(row.digest)
        return result

    def bring(self, receipt: bytes) -> None:
        """A receipt that came back on a stick."""
        answer = self.stick.bring(receipt).answer
        for row in answer.settlement.acked if answer is not None else ():
            if self._marks is not None:
                self._marks.acknowledged(row.digest)

    def drain(self) -> None:
        """Rounds until nothing waits, or nothing moves."""
        still = 0
        for _ in range(MOST_ROUNDS):
            result = self.round()
            if not self.waiting():
                return
            still = 0 if result.acked else still + 1
            if still >= (FAILURES if result.outcome is RoundOutcome.FAILED else 3):
                return

    def waiting(self) -> int:
        """Packets this device can deliver as who it is now."""
        return sum(counts.ready - counts.former for counts in self.outbox.counts())

    def become(self, identity: Identity) -> None:
        """Start again as another device, or as itself with other keys."""
        self.close()
        self.identity = identity
        self.open()

    def purge_all(self) -> int:
        """Drop the bytes of everything acknowledged, as retention does when its time has come."""
        gone = 0
        while some := self.outbox.purge(LATER):
            gone += some
        return gone


def _unheard(*_: object) -> None:
    """The agent writes it into its audit record; there is none here."""


def packet_id(number: int) -> UUID:
    """The id of the packet with that number."""
    return UUID(int=(0x7 << 76) | (0x2 << 62) | number)


def found_office(folder: Path) -> Home:
    """A new head office's folder, keys and all."""
    home = Home(folder)
    set_up(home, ["localhost", "127.0.0.1"], utc_now())
    return home


def certificate_request(key: PrivateKey) -> bytes:
    """A PKCS#10 request signed by the key, DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)
