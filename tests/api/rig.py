"""A whole agent on virtual devices, listening on a real Unix socket and a real loopback port."""

import contextlib
import dataclasses
import datetime
import unittest.mock
from pathlib import Path
from typing import Any

import argon2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from config.load import settings_from
from config.schema import Settings
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.invented import CONFIG, PCID
from drivers.card.virtual.person import VirtualPerson, synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import SocketSlot
from drivers.scanner.virtual_server import VirtualScannerServer
from mpos_agent import wiring
from mpos_agent.agent import Agent
from mpos_agent.api.callers import Callers, Scope
from mpos_agent.api.client import AgentClient
from mpos_agent.api.server import application
from mpos_agent.people import Role
from sync.edge import identity
from sync.edge.device_key import FileDeviceKey, read_private_key
from sync.enrolment import ReceiptKey, Site, SiteType
from sync.keys import Algorithm
from sync.recipients import RecipientPrivateKey, Suite
from tests.api.serving import Served, free_port, served

OPERATOR, SUPERVISOR, TECHNICIAN = ("op1", "482913"), ("sup1", "739146"), ("tek1", "604815")
WISH = {"programme": "JHT", "reason_code": "RESIGN", "segment": "PU"}
FORM = {"kpj": "99ZZ0000001", "npp": "ZZ0Z0001", "company_name": "PT CONTOH UJI", "phone": "080000000001"}
NOW = datetime.datetime(2026, 1, 15, 8, 0, tzinfo=datetime.UTC)
# Nobody listens on the discard port: head office is "away" at once, without a time-out.
NOBODY = "https://127.0.0.1:9"


@dataclasses.dataclass
class Rig:
    """What a test holds: the agent from inside, its devices, and the way to call it."""

    folder: Path
    settings: Settings
    agent: Agent
    where: Served
    callers: Callers
    card: SocketSlot
    sam: SocketSlot
    scanner: VirtualScannerServer

    def client(self, name: str = "counter", scope: Scope = Scope.COUNTER) -> AgentClient:
        """A caller of its own, over the Unix socket."""
        return AgentClient(self.where.socket, self.callers.add(name, scope, NOW))

    def operator(self, name: str = "desk", who: tuple[str, str] = OPERATOR) -> AgentClient:
        """A counter application with somebody signed in."""
        client = self.client(name)
        client.sign_in_token(client.post("/v1/sign-in", {"person_id": who[0], "pin": who[1]})["operator"])
        return client


def settings_for(folder: Path, **sections: dict[str, Any]) -> Settings:
    """Settings of an agent that keeps everything in ``folder``."""
    content: dict[str, dict[str, Any]] = {
        "agent": {"state_dir": "state", "run_dir": "run", "accept_test_identities": True},
        "site": {"station": "LOKET UJI"},
        "card": {
            "transport": "socket",
            "card_socket": "card.sock",
            "sam_socket": "sam.sock",
            "sam_secrets_file": "sam-secrets",
            "wait_s": 1.0,
        },
        "scanner": {"socket": "scanner.sock", "capture_timeout_s": 1.0},
        "api": {"port": 0},
    }
    for name, values in sections.items():
        content.setdefault(name, {}).update(values)
    return settings_from(content, folder / "agent.toml")


def enrol_by_hand(settings: Settings, url: str = NOBODY) -> None:
    """The identity that enrolment leaves behind, without a head office."""
    folder = settings.agent.state_dir / wiring.IDENTITY_FOLDER
    folder.mkdir(mode=0o700, parents=True)
    signing = FileDeviceKey.create(folder / identity.SIGNING_KEY)
    tls = FileDeviceKey.create(folder / identity.TLS_KEY, Algorithm.ES256)
    for key, name in ((signing, identity.SIGNING_CERTIFICATE), (tls, identity.TLS_CERTIFICATE)):
        (folder / name).write_bytes(_certificate(key))
    (folder / identity.CA_CERTIFICATE).write_bytes(_certificate(tls))
    office = ed25519.Ed25519PrivateKey.generate().public_key()
    spki = office.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    facts = identity.IdentityFacts(
        device_id="dev-000001",
        device_serial="uji",
        url=url,
        enrolled_at=NOW,
        site=Site(branch_code="KC01", kanwil_code="DKI", partner_code=None, site_type=SiteType.BRANCH),
        receipt_keys=(ReceiptKey(kid=digest.finalize()[:16], spki=spki),),
        recipients=(RecipientPrivateKey.generate(Suite.X25519).public,),
    )
    identity.write_facts(folder, facts)


def _certificate(key: FileDeviceKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "uji")])
    private = read_private_key(key.path)
    digest = hashes.SHA256() if isinstance(private, ec.EllipticCurvePrivateKey) else None
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private.public_key(),
        serial_number=1,
        not_valid_before=NOW,
        not_valid_after=NOW + datetime.timedelta(days=3650),
    )
    return builder.sign(private, digest).public_bytes(serialization.Encoding.PEM)


def quick_hasher() -> argon2.PasswordHasher:
    """The same hash, made in a millisecond: what it costs an attacker is not what these tests are about."""
    return argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


class Rigs:
    """Puts an agent together and takes it down again; use ``with``."""

    def __init__(
        self, folder: Path, *, enrolled: bool = True, person: VirtualPerson | None = None, **sections: dict[str, Any]
    ) -> None:
        self._folder, self._enrolled, self._sections = folder, enrolled, sections
        self._person = person or synthetic_person(1, None, None)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as going_up:
            rig = self._build(going_up)
            self._open = going_up.pop_all()
        return rig

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _build(self, opened: contextlib.ExitStack) -> Rig:
        folder = self._folder
        settings = settings_for(folder, **self._sections)
        settings.agent.state_dir.mkdir(mode=0o700, exist_ok=True)
        settings.agent.run_dir.mkdir(mode=0o750, exist_ok=True)
        secrets = folder / "sam-secrets"
        secrets.touch(mode=0o600)
        secrets.write_bytes(PCID + CONFIG)
        if self._enrolled and not (settings.agent.state_dir / wiring.IDENTITY_FOLDER).exists():
            enrol_by_hand(settings)
        card = SocketSlot(VirtualEktp(self._person), folder / "card.sock")
        opened.callback(card.close)
        sam = SocketSlot(VirtualSam(), folder / "sam.sock")
        opened.callback(sam.close)
        card.insert()
        sam.insert()
        scanner = opened.enter_context(VirtualScannerServer(folder / "scanner.sock"))
        with unittest.mock.patch("mpos_agent.people.PasswordHasher", quick_hasher):
            agent = wiring.build(settings)
        opened.callback(agent.close)
        for (person_id, pin), role in (
            (OPERATOR, Role.OPERATOR),
            (SUPERVISOR, Role.SUPERVISOR),
            (TECHNICIAN, Role.TECHNICIAN),
        ):
            agent.add_person(person_id, pin, {role}, f"PETUGAS UJI {person_id.upper()}")
        callers = Callers(settings.callers_file)
        port = free_port()
        app = application(agent, callers, port=port, limit_bytes=settings.api.request_limit_bytes)
        where = opened.enter_context(served(app, settings.agent.run_dir, port))
        agent.start()
        opened.callback(agent.stop)
        return Rig(folder, settings, agent, where, callers, card, sam, scanner)


def start_claim(client: AgentClient) -> str:
    """Open a claim and record consent; gives its id."""
    claim_id = str(client.post("/v1/claims", WISH)["claim_id"])
    client.post(f"/v1/claims/{claim_id}/consent", {"given": True, "method": "ON_SCREEN"})
    return claim_id


def countersigned(client: AgentClient, claim_id: str) -> dict[str, Any]:
    """The second person's signature for a member whose card holds no finger."""
    return client.post(
        f"/v1/claims/{claim_id}/fallback",
        {
            "code": "FINGER_EXEMPT",
            "reason": "NO_TEMPLATE_ON_CHIP",
            "supervisor_id": SUPERVISOR[0],
            "pin": SUPERVISOR[1],
            "photo_compare": "SAME",
        },
    )


def up_to_summary(client: AgentClient) -> str:
    """A claim by card and second person, ready to be confirmed; gives its id."""
    claim_id = start_claim(client)
    client.post(f"/v1/claims/{claim_id}/card")
    countersigned(client, claim_id)
    client.post(f"/v1/claims/{claim_id}/documents", {"documents": [{"type": "KPJ_CARD"}]})
    client.post(f"/v1/claims/{claim_id}/form", {"fields": FORM})
    return claim_id
