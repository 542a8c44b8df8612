"""A device for load: real keys, real envelopes in a real chain, the real protocol over TLS, and none of the agent.

It does what the uploader does where the wire is concerned: one batch at a time, the same packets again until a verified
receipt names them, a fresh nonce for each request. It is a coroutine, so that one process can be two hundred of them.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import KeyRequest
from sync.checkpoint import Checkpoint, LaneState, sign_batch
from sync.enrolment import CONTENT_TYPE, Site, SiteType
from sync.envelope import FIRST_SEQ, NO_HASH, Created, Header, Lane, envelope_digest, seal
from sync.errors import ReceiptError
from sync.keys import PrivateKey, PublicKey, SoftwareSigner
from sync.receipt import Receipt, Verdict, verify_receipt
from sync.recipients import Recipient

SITE = Site(branch_code="ZZ01", kanwil_code="ZZ", partner_code=None, site_type=SiteType.BRANCH)
BOOT = bytes(range(16))
REQUEST_S = 40.0  # Longer than any outage that passes: who gives up sooner measures the patience, not the service.


@dataclass(frozen=True, slots=True)
class Packet:
    """One sealed packet, and when it was sealed."""

    seq: int
    envelope: bytes = field(repr=False)
    digest: bytes


@dataclass
class Account:
    """What a device can swear to afterwards."""

    captured: dict[int, bytes] = field(default_factory=dict)
    """Sequence number → digest of everything sealed."""
    acked: dict[int, tuple[bytes, float]] = field(default_factory=dict)
    """Sequence number → digest in the verified verdict of custody, and when (monotonic seconds)."""
    refused: list[str] = field(default_factory=list)
    """Verdicts that are no custody and no reason to wait."""
    failures: int = 0
    requests: int = 0


class LoadDevice:
    """Keys, certificate, one lane of packets."""

    def __init__(
        self, registry: DeviceRegistry, recipients: Sequence[Recipient], trust: dict[bytes, PublicKey]
    ) -> None:
        self._tls_key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
        signing: PrivateKey = ed25519.Ed25519PrivateKey.generate()
        self._signer, self._recipients, self._trust = SoftwareSigner(signing), list(recipients), trust
        token, _ = registry.issue_token(SITE, by="bench")
        enrolled = registry.enrol(
            token, "LOAD", KeyRequest.parse(_request(self._tls_key)), KeyRequest.parse(_request(signing))
        )
        self.device_id, self._certificate = enrolled.device_id, enrolled.tls_certificate
        self.epoch = os.urandom(16)
        self._next_seq, self._head = FIRST_SEQ, NO_HASH
        self.waiting: deque[Packet] = deque()
        self.account = Account()

    def capture(self, size: int) -> None:
        """Seal one more packet of ``size`` bytes into the queue."""
        header = Header(
            version=1,
            device_id=self.device_id,
            lane=Lane.CORE,
            epoch=self.epoch,
            seq=self._next_seq,
            prev_hash=self._head,
            created=Created(datetime.now(UTC).replace(microsecond=0), time.monotonic_ns(), BOOT, 0, 100),
        )
        envelope = seal(os.urandom(size), header, self._signer, self._recipients)
        digest = envelope_digest(envelope)
        self.waiting.append(Packet(self._next_seq, envelope, digest))
        self.account.captured[self._next_seq] = digest
        self._next_seq, self._head = self._next_seq + 1, digest

    def batch(self, most: int) -> tuple[bytes, bytes]:
        """A request body with the oldest ``most`` packets, and its nonce."""
        nonce = os.urandom(16)
        state = LaneState(
            lane=Lane.CORE,
            epoch=self.epoch,
            next_seq=self._next_seq,
            head_hash=self._head,
            depth=len(self.waiting),
            oldest_age_s=0,
        )
        checkpoint = Checkpoint(
            device_id=self.device_id,
            nonce=nonce,
            boot_id=BOOT,
            wall_utc=datetime.now(UTC),
            monotonic_ns=time.monotonic_ns(),
            lanes=(state,),
            free_disk_bytes=1 << 30,
            versions={"agent": "bench"},
        )
        packets = [packet.envelope for _, packet in zip(range(most), self.waiting, strict=False)]
        return sign_batch(checkpoint, packets, self._signer), nonce

    def settle(self, reply: bytes, nonce: bytes) -> Receipt:
        """Take over a receipt as a device does. Raises ReceiptError."""
        receipt = verify_receipt(reply, self._trust, self.device_id, nonce).content
        now = time.monotonic()
        by_seq = {verdict.seq: verdict for verdict in receipt.verdicts if verdict.epoch == self.epoch}
        left: deque[Packet] = deque()
        for packet in self.waiting:
            verdict = by_seq.get(packet.seq)
            if verdict is not None and verdict.digest == packet.digest and verdict.verdict.in_custody:
                self.account.acked[packet.seq] = (packet.digest, now)
                if verdict.verdict is Verdict.QUARANTINED:
                    self.account.refused.append(f"{packet.seq} {verdict.reason}")
                continue
            left.append(packet)
        self.waiting = left
        return receipt

    def tls(self, folder: Path, ca_file: Path) -> ssl.SSLContext:
        """The device's end of TLS; its key passes through a file, because OpenSSL's door in Python wants one."""
        file = folder / f"{self.device_id}.pem"
        key = self._tls_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate = x509.load_der_x509_certificate(self._certificate).public_bytes(serialization.Encoding.PEM)
        file.touch(mode=0o600)
        file.write_bytes(key + certificate)
        context = ssl.create_default_context(cafile=str(ca_file))
        context.load_cert_chain(file)
        file.unlink()
        return context


class Line:
    """One kept-alive HTTPS connection of a device; made anew when it broke."""

    def __init__(self, url: str, tls: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host, self._port, self._tls = parts.hostname, parts.port or 443, tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the reply. Raises OSError or TimeoutError; then the line is closed."""
        try:
            async with asyncio.timeout(REQUEST_S):
                return await self._post(path, body)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise ConnectionError(type(error).__name__) from error

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        reader, writer = self._streams
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = next(int(line[15:]) for line in answer.split("\r\n") if line.startswith("content-length:"))
        reply = await reader.readexactly(length)
        if "connection: close" in answer:
            self.close()
        return int(answer[9:12]), reply

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._streams is not None:
            with contextlib.suppress(OSError, RuntimeError):  # it may be closed already
                self._streams[1].close()
            self._streams = None


async def run_device(
    device: LoadDevice,
    line: Line,
    *,
    every_s: float,
    size: int,
    draw: Callable[[], float],
    go_on: Callable[[], bool],
    again_s: float = 0.5,
) -> None:
    """Capture and send until ``go_on`` says no more, then send what is left.

    ``again_s`` is the pause after a failure, drawn between half and all of it: far shorter than a real device's, so
    that what is measured is the service and not the devices' manners.
    """
    await asyncio.sleep(every_s * draw())
    while go_on() or device.waiting:
        if go_on():
            device.capture(size)
        body, nonce = device.batch(20)
        device.account.requests += 1
        try:
            status, reply = await line.post("/v1/sync", body)
            if status != 200:
                raise ConnectionError(str(status))  # noqa: TRY301 - answered below like a line that broke
            device.settle(reply, nonce)
        except (ConnectionError, ReceiptError):
            device.account.failures += 1
            await asyncio.sleep(again_s * (0.5 + draw() / 2))
            continue
        await asyncio.sleep(every_s * (0.5 + draw()))
    line.close()


def _request(key: PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "device")])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, digest)
    return signed.public_bytes(serialization.Encoding.DER)
