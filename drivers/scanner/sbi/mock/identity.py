"""Keys and certificates of a pretended maker: made anew at every start, kept nowhere, vouching for nothing real."""

import base64
import datetime
import functools
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import RSAKey

from drivers.scanner.sbi.trust import FTM_FOLDER

PROVIDER = "CONTOH UJI"
DEVICE_DAYS, FTM_DAYS, ROOT_DAYS = 30, 7300, 7300
"""As the interface rotates them: device keys by the month, those of the secure chip never."""


@dataclass(frozen=True, repr=False)
class Keyed:
    """A private key and the certificate somebody gave it."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @functools.cached_property
    def signer(self) -> RSAKey:
        """The key as the JOSE library wants it: it checks its primes, which takes longer than signing."""
        return RSAKey.import_key(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def self_signed(name: str, now: datetime.datetime) -> Keyed:
    """A root."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Keyed(key, _certificate(name, key.public_key(), issuer=None, signer=key, now=now, days=ROOT_DAYS))


def issued(name: str, by: Keyed, now: datetime.datetime, days: int, key: rsa.RSAPrivateKey | None = None) -> Keyed:
    """A key, its own or a given one, with a certificate of ``by``; starts an hour before ``now``."""
    key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Keyed(key, _certificate(name, key.public_key(), issuer=by.certificate, signer=by.key, now=now, days=days))


def _certificate(
    name: str,
    public: rsa.RSAPublicKey,
    *,
    issuer: x509.Certificate | None,
    signer: rsa.RSAPrivateKey,
    now: datetime.datetime,
    days: int,
) -> x509.Certificate:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, PROVIDER), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


@dataclass(slots=True, repr=False)
class MockIdentity:
    """Everything a pretended device signs with."""

    now: datetime.datetime
    device_root: Keyed = field(init=False)
    ftm_root: Keyed = field(init=False)
    device: Keyed = field(init=False)
    ftm: Keyed = field(init=False)
    head_office: Keyed = field(init=False)
    """Whom the pictures of purpose Auth are encrypted to."""
    stranger: Keyed = field(init=False)
    """Of a root nobody trusts."""

    def __post_init__(self) -> None:
        self.device_root = self_signed("Mock device root", self.now)
        self.ftm_root = self_signed("Mock FTM root", self.now)
        self.device = issued("Mock device key", self.device_root, self.now, DEVICE_DAYS)
        self.ftm = issued("Mock secure chip", self.ftm_root, self.now, FTM_DAYS)
        self.head_office = issued("Mock head office", self.device_root, self.now, 365)
        self.stranger = issued("Mock device key", self_signed("Mock device root", self.now), self.now, DEVICE_DAYS)

    def rotate(self) -> None:
        """A new device key, as every month."""
        self.device = issued("Mock device key", self.device_root, self.now, DEVICE_DAYS)

    def dated(self, days: int) -> Keyed:
        """The device key with a certificate that began ``days`` from now (negative: that ended long ago)."""
        then = self.now + datetime.timedelta(days=days)
        return issued("Mock device key", self.device_root, then, DEVICE_DAYS, self.device.key)

    def write_roots(self, folder: Path) -> Path:
        """The certificates a client has to trust, as files; certificates alone, no key."""
        (folder / FTM_FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / "mock-device-root.pem").write_bytes(self.device_root.certificate.public_bytes(Encoding.PEM))
        (folder / FTM_FOLDER / "mock-ftm-root.pem").write_bytes(self.ftm_root.certificate.public_bytes(Encoding.PEM))
        return folder


def signed(payload: Mapping[str, Any] | bytes, by: Keyed, **changed: Any) -> str:
    """A compact JWS. ``changed`` replaces header fields; None takes one away."""
    header = {"alg": "RS256", "typ": "JWT", "x5c": [base64.b64encode(_der(by)).decode("ascii")]} | changed
    protected = {key: value for key, value in header.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
    registry.max_header_length, registry.max_payload_length = 1 << 20, 1 << 24
    content = payload if isinstance(payload, bytes) else as_json(payload)
    if protected.get("alg") != "RS256":
        # None, or keyed with what everybody knows: the certificate itself.
        bare = f"{base64url(as_json(protected))}.{base64url(content)}"
        keyed = hmac.digest(_der(by), bare.encode("ascii"), "sha256") if protected.get("alg") == "HS256" else b""
        return f"{bare}.{base64url(keyed)}"
    return jws.serialize_compact(protected, content, by.signer, registry=registry)


def as_json(value: Any) -> bytes:
    """As services write it: UTF-8, nothing escaped that need not be."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def base64url(content: bytes) -> str:
    """Without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _der(by: Keyed) -> bytes:
    return by.certificate.public_bytes(Encoding.DER)
