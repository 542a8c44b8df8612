"""Signature keys as both ends see them: algorithms, public keys, key ids, and what it takes to sign."""

import enum
import hashlib
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from sync.errors import KeyFormatError, Refusal

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

KEY_ID_BYTES = 16
SIGNATURE_BYTES = 64
"""Both algorithms: Ed25519 gives R and S, ES256 gives r and s, 32 bytes each."""
MAX_SPKI_BYTES = 256
"""An Ed25519 SubjectPublicKeyInfo has 44 bytes, a P-256 one 91."""


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256 (SP 800-186, 3.2.1.3)."""


class Algorithm(enum.IntEnum):
    """COSE signature algorithms in use, with their registered numbers (RFC 9053 section 2)."""

    EDDSA = -8
    """Ed25519; the default."""
    ES256 = -7
    """ECDSA on P-256 with SHA-256, for keys in a TPM or token that has no Ed25519."""


class Signer(Protocol):
    """Something that holds a private key and signs with it: a file, a token, a TPM."""

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm of every signature it makes."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""

    @property
    def kid(self) -> bytes:
        """16 bytes, see :func:`key_id`."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes as COSE carries them: for ES256 what :func:`es256` gives, never DER."""


class SoftwareSigner:
    """A signer whose private key lies in this process's memory."""

    def __init__(self, private_key: PrivateKey) -> None:
        self._private_key = private_key
        self.public_key: PublicKey = private_key.public_key()
        self.algorithm = algorithm_of(self.public_key)
        self.kid = key_id(self.public_key)

    def __repr__(self) -> str:
        return f"<{self.algorithm.name} key {self.kid.hex()}>"

    def sign(self, message: bytes) -> bytes:
        """64 bytes; see :class:`Signer`."""
        if isinstance(self._private_key, ed25519.Ed25519PrivateKey):
            return self._private_key.sign(message)
        return es256(*decode_dss_signature(self._private_key.sign(message, ec.ECDSA(hashes.SHA256()))))


def es256(r: int, s: int) -> bytes:
    """An ECDSA signature as it is written here: r and the lower of s and n - s, 32 bytes each.

    Both are good signatures (SEC 1, 4.1.4), so that anybody could make another envelope with another digest out of a
    good one. Only the lower is taken.
    """
    return r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big")


def algorithm_of(public_key: PublicKey) -> Algorithm:
    """The one algorithm a key is used with. Raises KeyFormatError for any other kind of key."""
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return Algorithm.EDDSA
    if isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(public_key.curve, ec.SECP256R1):
        return Algorithm.ES256
    raise KeyFormatError(Refusal.UNKNOWN_ALGORITHM, detail="only Ed25519 and P-256 keys sign here")


def spki(public_key: PublicKey) -> bytes:
    """The key as DER SubjectPublicKeyInfo."""
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_spki(data: bytes) -> PublicKey:
    """Read DER SubjectPublicKeyInfo of an Ed25519 or P-256 key. Raises KeyFormatError."""
    if len(data) > MAX_SPKI_BYTES:
        raise KeyFormatError(Refusal.TOO_LONG, detail=f"at most {MAX_SPKI_BYTES} bytes")
    try:
        key = serialization.load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFormatError(Refusal.BAD_VALUE, detail="not a SubjectPublicKeyInfo") from error
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise KeyFormatError(Refusal.UNKNOWN_ALGORITHM, detail="only Ed25519 and P-256 keys sign here")
    algorithm_of(key)
    if spki(key) != data:
        # One key, one encoding, one key id.
        raise KeyFormatError(Refusal.NOT_DETERMINISTIC, detail="not the plain encoding of this key")
    return key


def key_id(public_key: PublicKey) -> bytes:
    """The first 16 bytes of SHA-256 over the key's SubjectPublicKeyInfo."""
    return hashlib.sha256(spki(public_key)).digest()[:KEY_ID_BYTES]


def is_signature(public_key: PublicKey, algorithm: Algorithm, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` over ``message`` was made by the holder of the key with that algorithm."""
    if len(signature) != SIGNATURE_BYTES or algorithm is not algorithm_of(public_key):
        return False
    try:
        if isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, message)
        else:
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            if s > P256_ORDER // 2:
                return False  # the other half of the same signature: see es256()
            public_key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
