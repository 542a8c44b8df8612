"""How pictures of purpose Auth are sealed to a head office (section 6 of the interface).

``XOR`` of time stamp and transaction id, the shorter one filled with zero bytes on the left: its last 16 bytes are
authenticated, its last 12 are the nonce.
"""

import secrets
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """What travels in place of a record."""

    content: bytes
    session_key: bytes
    thumbprint: str


def bound_to(timestamp: str, transaction: str) -> tuple[bytes, bytes]:
    """Additional data (16 bytes) and nonce (12 bytes) of one capture."""
    size = max(len(timestamp), len(transaction))
    mixed = bytes(
        a ^ b
        for a, b in zip(
            timestamp.encode("ascii").rjust(size, b"\0"), transaction.encode("ascii").rjust(size, b"\0"), strict=True
        )
    )
    return mixed[-16:], mixed[-12:]


def seal(record: bytes, timestamp: str, transaction: str, certificate: x509.Certificate) -> Sealed:
    """Encrypt a record to the holder of the certificate's key."""
    public = certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    additional, nonce = bound_to(timestamp, transaction)
    key = secrets.token_bytes(32)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_bytes(Encoding.DER))
    return Sealed(
        AESGCM(key).encrypt(nonce, record, additional), public.encrypt(key, oaep), digest.finalize().hex().upper()
    )
