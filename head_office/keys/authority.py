"""The certificate authority of head office: device certificates from requests, and the TLS server's own.

Two certificates per device and two keys: one speaks TLS and may end at a proxy, the other signs packets and
stays end to end. Neither can stand in for the other: their extended key usages differ.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from head_office.errors import BadKeyRequestError, HomeError
from head_office.keys.home import Home, read_private, read_public, write_new
from sync.keys import PublicKey, spki

DEVICE_DAYS = 90  # Short life is the backstop behind the deny list; renewal starts on day 30.
SERVER_DAYS = 397
CA_DAYS = 3650
# A device's clock may be behind ours: certificates begin before they are made.
BACKDATED = timedelta(days=1)
LARGEST_REQUEST = 4096  # A P-256 request is about 300 bytes.
DOCUMENT_SIGNING = ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336


class Purpose(StrEnum):
    """What a device certificate is for."""

    TLS = "tls"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A certificate request whose signature was checked: the holder has the private key."""

    public_key: PublicKey

    @property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo, DER."""
        return spki(self.public_key)

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """Read a PKCS#10 request; the subject and extensions it asks for are ignored.

        Raises BadKeyRequestError when it is malformed, not signed by its own key or of another kind of key.
        """
        if len(der) > LARGEST_REQUEST:
            raise BadKeyRequestError(f"request of {len(der)} bytes")
        try:
            request = x509.load_der_x509_csr(der)
            key = request.public_key()
            if not isinstance(key, ed25519.Ed25519PublicKey) and not (
                isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
            ):
                raise BadKeyRequestError("neither Ed25519 nor P-256")
            valid = request.is_signature_valid
        except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.InvalidVersion) as error:
            raise BadKeyRequestError("not a readable PKCS#10 request") from error
        if not valid:
            raise BadKeyRequestError("not signed by its own key")
        return cls(key)


class Authority:
    """Signs certificates with the key of head office's own CA (P-256: browsers know it too)."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key, self.certificate = key, certificate

    @classmethod
    def create(cls, name: str, now: datetime) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, subject, key.public_key(), now, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signature=False, certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, home: Home) -> Self:
        """Raises HomeError when key or certificate is missing, damaged or not private."""
        try:
            key = serialization.load_pem_private_key(read_private(home.ca_key), None)
            certificate = x509.load_pem_x509_certificate(read_public(home.ca_certificate))
        except ValueError as error:
            raise HomeError(f"the CA in {home.folder} is damaged", "restore it from the backup") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise HomeError(f"{home.ca_key} is not a P-256 key", "restore it from the backup")
        return cls(key, certificate)

    def save(self, home: Home) -> None:
        write_new(home.ca_key, pem_of(self._key), private=True)
        write_new(home.ca_certificate, self.certificate.public_bytes(serialization.Encoding.PEM), private=False)

    def certify_device(self, device_id: str, purpose: Purpose, request: KeyRequest, now: datetime) -> x509.Certificate:
        """A 90-day certificate for one key of one device."""
        names = [
            x509.NameAttribute(NameOID.COMMON_NAME, device_id),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, purpose.value),
        ]
        kind = ExtendedKeyUsageOID.CLIENT_AUTH if purpose is Purpose.TLS else DOCUMENT_SIGNING
        return (
            self._leaf(x509.Name(names), request.public_key, now, DEVICE_DAYS)
            .add_extension(x509.ExtendedKeyUsage([kind]), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:mpos:device:{device_id}")]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )

    def device_of(self, der: bytes) -> str | None:
        """The device a certificate of ours names; None when it is not of this authority. Says nothing of its time."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature, x509.InvalidVersion):
            return None
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if names else None

    def certify_server(self, names: Sequence[str], key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        """The TLS server's certificate for host names and IP addresses."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        return (
            self._leaf(subject, key, now, SERVER_DAYS)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _leaf(self, subject: x509.Name, key: PublicKey, now: datetime, days: int) -> x509.CertificateBuilder:
        issuer_id = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            _builder(subject, self.certificate.subject, key, now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signature=True, certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
                critical=False,
            )
        )


def pem_of(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """A private key as unencrypted PKCS#8 PEM; the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signature: bool, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
