"""A TLS server on loopback that answers as a test says: head office, a captive portal, or a broken machine."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sync.keys import PublicKey

VALID_FROM = datetime.now(UTC) - timedelta(days=1)
YEARS = timedelta(days=3650)


@dataclass
class Authority:
    """A certificate authority of its own; files lie in ``folder``."""

    folder: Path
    name: str = "Test CA"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self.certificate = (
            self._builder(self.subject, self.key.public_key(), VALID_FROM)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = self.folder / f"{self.name.replace(' ', '-')}.crt"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, public_key: PublicKey, *, valid_from: datetime = VALID_FROM) -> x509.Certificate:
        """A certificate for 127.0.0.1 or a device."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName(
            [x509.IPAddress(ip_address(name))] if name[0].isdigit() else [x509.DNSName(name)]
        )
        builder = self._builder(subject, public_key, valid_from).add_extension(names, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        return builder.sign(self.key, hashes.SHA256())

    def identity(self, name: str, *, valid_from: datetime = VALID_FROM) -> tuple[Path, Path]:
        """Certificate and key files."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(name, key.public_key(), valid_from=valid_from)
        paths = self.folder / f"{self.name}-{name}.crt", self.folder / f"{self.name}-{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return paths

    def _builder(self, subject: x509.Name, public_key: PublicKey, valid_from: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid_from)
            .not_valid_after(valid_from + YEARS)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )


Answer = Callable[[str, bytes, ssl.SSLSocket], None]
"""Is given the request's path, its body and the connection to write to."""


def http(status: str, content_type: str, body: bytes, *, headers: str = "", announce: int | None = None) -> bytes:
    """A whole response as bytes."""
    length = len(body) if announce is None else announce
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}\r\n"
    return head.encode() + body


class TlsServer:
    """One request per connection; ``answer`` may be changed at any time."""

    def __init__(self, certificate: tuple[Path, Path], answer: Answer, client_ca: Path | None = None) -> None:
        self.answer = answer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        if client_ca is not None:
            self._context.load_verify_locations(client_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.release = threading.Event()
        """Set at the end: an answer that stalls waits for it."""
        self._thread = threading.Thread(target=self._serve)
        self.requests: list[tuple[str, bytes]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        # Wakes accept(); a closed listener alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return  # the test is over
            with plain:
                plain.settimeout(20)  # a client that never speaks must not hang the test
                self._one(plain)

    def _one(self, plain: socket.socket) -> None:
        with self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as connection:
            try:
                connection.do_handshake()
                path, body = _read_request(connection)
                self.requests.append((path, body))
                self.answer(path, body, connection)
            except OSError:
                # What the client makes of it is what the test looks at. Let it read our alert before the line is cut.
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_WR)
                    while socket.socket.recv(connection, 65536):
                        continue


def _read_request(connection: ssl.SSLSocket) -> tuple[str, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            raise ConnectionResetError
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next(int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return lines[0].split(" ")[1], body
