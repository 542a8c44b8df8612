"""A device as head office sees one: it enrols, seals packets into chains and sends batches.

Made of the wire format only, so that the tests of head office do not lean on the agent's queue.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import KeyRequest
from sync import enrolment, packet
from sync.checkpoint import Checkpoint, LaneState, sign_batch
from sync.enrolment import EnrolReply, EnrolRequest, Site, SiteType
from sync.envelope import FIRST_SEQ, NO_HASH, Created, Header, Lane, envelope_digest, seal
from sync.keys import PrivateKey, Signer, SoftwareSigner, load_spki
from sync.packet import ClaimPacket
from sync.receipt import Receipt, verify_receipt
from sync.recipients import Recipient

SITE = Site(branch_code="KC01", kanwil_code="DKI", partner_code=None, site_type=SiteType.BRANCH)
BOOT = bytes(range(16))


def claim_packet(device_id: str, number: int = 1, **changes: Any) -> ClaimPacket:
    """A complete claim of a made-up person; ``number`` tells one from another."""
    made = ClaimPacket(
        packet_id=packet.new_packet_id(1_790_000_000_000 + number, os.urandom(10)),
        device_id=device_id,
        branch_code=SITE.branch_code,
        kanwil_code=SITE.kanwil_code,
        site_type=SITE.site_type,
        operator_id="petugas-1",
        captured_at=datetime(2026, 1, 5, 3, 4, 5, tzinfo=UTC),
        tz=packet.TimeZone.WIB,
        clock_trust=packet.ClockTrust.TRUSTED,
        programme=packet.Programme.JHT,
        reason_code="RESIGNED",
        segment=packet.Segment.PU,
        relation=packet.Relation.SELF,
        claimant=packet.Person(nik=f"99{number:014d}", name="PESERTA UJI SATU"),
        identity_source=packet.IdentitySource.CHIP,
        chip_auth=packet.ChipAuth.OK,
        kpj=f"99ZZ{number:07d}",
        npp="ZZ0Z0001",
        company_name="PT CONTOH UJI",
        bio=packet.Bio(
            modality=packet.Modality.FINGER,
            finger_position=2,
            attempts=(packet.Attempt(finger=2, quality=80, outcome=packet.AttemptOutcome.MATCH, ms=900),),
            outcome=packet.BioOutcome.MATCH,
            score_band="HIGH",
            threshold_id="FMR_0.01%",
            matcher_version="1",
        ),
        consent=packet.Consent(
            text_version="1",
            hash=hashlib.sha256(b"text").digest(),
            basis=packet.Basis.EXPLICIT_CONSENT,
            given=True,
            method=packet.ConsentMethod.ON_SCREEN,
            at=datetime(2026, 1, 5, 3, 0, tzinfo=UTC),
        ),
        contact=packet.Contact(phone="080000000001"),
        npwp=packet.Npwp(answer=packet.NpwpAnswer.NOT_ASKED),
        declaration=packet.Declaration.CONFIRMED_ON_SCREEN,
        audit_head=bytes(32),
        tables_version="1",
        agent_version="0.1.0",
    )
    return replace(made, **changes)


def key_request(key: PrivateKey) -> bytes:
    """A PKCS#10 request signed by ``key``."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


@dataclass
class Chain:
    """One lane of the device's queue."""

    epoch: bytes
    next_seq: int = FIRST_SEQ
    head: bytes = NO_HASH


@dataclass
class Device:
    """Keys, what enrolment gave, and the heads of its chains."""

    serial: str = "SN-0001"
    tls_key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    signing_key: PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        self.signer = SoftwareSigner(self.signing_key)
        self.chains = {lane: Chain(os.urandom(16)) for lane in Lane}
        self.device_id = ""
        self.tls_certificate = b""
        self.recipients: tuple[Recipient, ...] = ()
        self.receipt_keys: dict[bytes, Any] = {}
        self.last_nonce = b""

    # Enrolment

    def enrol_request(self, token: str) -> bytes:
        return enrolment.encode(
            EnrolRequest(
                token=token,
                device_serial=self.serial,
                tls_csr=key_request(self.tls_key),
                signing_csr=key_request(self.signing_key),
            )
        )

    def keep(self, reply: EnrolReply) -> None:
        self.device_id, self.tls_certificate = reply.device_id, reply.tls_certificate
        self.recipients = reply.recipients
        self.receipt_keys = {key.kid: load_spki(key.spki) for key in reply.receipt_keys}

    def enrol_directly(self, registry: DeviceRegistry, recipients: Sequence[Recipient], receipt: Signer) -> None:
        """The same without HTTP."""
        token, _ = registry.issue_token(SITE, by="test")
        enrolled = registry.enrol(
            token,
            self.serial,
            KeyRequest.parse(key_request(self.tls_key)),
            KeyRequest.parse(key_request(self.signing_key)),
        )
        self.device_id, self.tls_certificate = enrolled.device_id, enrolled.tls_certificate
        self.recipients = tuple(recipients)
        self.receipt_keys = {receipt.kid: receipt.public_key}

    # Packets

    def header(self, lane: Lane = Lane.CORE, **changes: Any) -> Header:
        chain = self.chains[lane]
        made = Header(
            version=1,
            device_id=self.device_id,
            lane=lane,
            epoch=chain.epoch,
            seq=chain.next_seq,
            prev_hash=chain.head,
            created=Created(datetime(2026, 1, 5, 3, 5, tzinfo=UTC), 5_000_000_000, BOOT, 120, 400),
        )
        return replace(made, **changes)

    def seal(self, content: bytes | None = None, *, number: int = 1, lane: Lane = Lane.CORE, **changes: Any) -> bytes:
        """Seal one claim (or ``content``) as the next packet of its chain."""
        body = claim_packet(self.device_id, number, **changes).encode() if content is None else content
        envelope = seal(body, self.header(lane), self.signer, self.recipients)
        chain = self.chains[lane]
        chain.next_seq, chain.head = chain.next_seq + 1, envelope_digest(envelope)
        return envelope

    def new_epoch(self, lane: Lane = Lane.CORE) -> None:
        self.chains[lane] = Chain(os.urandom(16))

    def checkpoint(self, **changes: Any) -> Checkpoint:
        made = Checkpoint(
            device_id=self.device_id,
            nonce=os.urandom(16),
            boot_id=BOOT,
            wall_utc=datetime(2026, 1, 5, 3, 6, tzinfo=UTC),
            monotonic_ns=6_000_000_000,
            lanes=tuple(
                LaneState(
                    lane=lane,
                    epoch=chain.epoch,
                    next_seq=chain.next_seq,
                    head_hash=chain.head,
                    depth=max(1, chain.next_seq - FIRST_SEQ),  # it keeps no receipts: all of it may wait
                    oldest_age_s=5,
                )
                for lane, chain in self.chains.items()
            ),
            free_disk_bytes=1 << 30,
            versions={"agent": "0.1.0"},
        )
        made = replace(made, **changes)
        self.last_nonce = made.nonce
        return made

    def batch(
        self, *packets: bytes, checkpoint: Checkpoint | None = None, signer: SoftwareSigner | None = None
    ) -> bytes:
        return sign_batch(checkpoint or self.checkpoint(), packets, signer or self.signer)

    def verified(self, reply: bytes) -> Receipt:
        """The receipt, checked as a device checks it."""
        return verify_receipt(reply, self.receipt_keys, self.device_id, self.last_nonce).content

    # Over TLS

    def save_certificate(self, folder: Path) -> tuple[str, str]:
        """Certificate and key as files for the TLS library."""
        certificate, key = folder / f"{self.device_id}.crt", folder / f"{self.device_id}.key"
        certificate.write_bytes(
            x509.load_der_x509_certificate(self.tls_certificate).public_bytes(serialization.Encoding.PEM)
        )
        key.write_bytes(
            self.tls_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(certificate), str(key)


@dataclass
class Link:
    """TLS to a running head office, as a device or as a stranger."""

    url: str
    ca_file: Path
    certificate: tuple[str, str] | None = None

    def post(self, path: str, body: bytes, **more: Any) -> requests.Response:
        # Ten seconds: the service under test answers in milliseconds, a slow machine in a second or two.
        return requests.post(
            self.url + path,
            data=body,
            verify=str(self.ca_file),
            cert=self.certificate,
            headers={"Content-Type": enrolment.CONTENT_TYPE},
            timeout=10,
            **more,
        )

    def enrol(self, device: Device, token: str) -> None:
        reply = self.post("/v1/enrol", device.enrol_request(token))
        assert reply.status_code == 200, enrolment.decode_error(reply.content)
        device.keep(enrolment.decode_reply(reply.content))

    def sync(self, device: Device, *packets: bytes) -> Receipt:
        reply = self.post("/v1/sync", device.batch(*packets))
        assert reply.status_code == 200, enrolment.decode_error(reply.content)
        return device.verified(reply.content)
