"""Who a packet is encrypted to: HPKE suites, recipients' public keys, and the private halves head office keeps."""

import enum
import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from sync import cbor
from sync.errors import CborError, EnvelopeError, KeyFormatError, Refusal, WireError
from sync.keys import KEY_ID_BYTES
from sync.records import Blob, Choice, Record, Whole

X25519_BYTES, MLKEM768_PUBLIC_BYTES, MLKEM768_SEED_BYTES = 32, 1184, 64


class Suite(enum.StrEnum):
    """HPKE (RFC 9180) in COSE's key-encryption mode, by the name that travels in configuration and enrolment."""

    X25519 = "HPKE-3-KE"
    """DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM: COSE algorithm 49 of draft-ietf-cose-hpke-23."""
    MLKEM768_X25519 = "MLKEM768-X25519-KE"
    """The hybrid of ML-KEM-768 and X25519 with SHAKE256 and AES-256-GCM; the default.

    Stored personal data are what "harvest now, decrypt later" waits for. No COSE number is assigned yet:
    the private-use one below stands until then.
    """

    @property
    def cose_algorithm(self) -> int:
        """The number in the recipient's protected header."""
        return _NUMBERS[self]

    @property
    def public_key_bytes(self) -> int:
        """Length of a raw public key of this suite."""
        return X25519_BYTES if self is Suite.X25519 else MLKEM768_PUBLIC_BYTES + X25519_BYTES

    @property
    def encapsulated_bytes(self) -> int:
        """Length of the encapsulated key that goes with each message."""
        return _PARTS[self][0].enc_length()


_NUMBERS = {Suite.X25519: 49, Suite.MLKEM768_X25519: -70_101}
_PARTS = {
    Suite.X25519: (hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_128_GCM),
    Suite.MLKEM768_X25519: (hpke.KEM.MLKEM768_X25519, hpke.KDF.SHAKE256, hpke.AEAD.AES_256_GCM),
}
SUITE_OF_ALGORITHM = {number: suite for suite, number in _NUMBERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient(Record):
    """The public key of somebody who may open packets."""

    refuse: ClassVar[type[WireError]] = KeyFormatError

    kid: Annotated[bytes, Blob(KEY_ID_BYTES)]
    suite: Annotated[Suite, Choice(Suite)]
    public_key: Annotated[bytes, Blob(2048, least=X25519_BYTES)]

    @classmethod
    def of(cls, suite: Suite, public_key: bytes) -> Self:
        """A recipient with the key id that belongs to its key."""
        return cls(kid=recipient_key_id(suite, public_key), suite=suite, public_key=public_key)

    def check_together(self) -> None:
        """The key has its suite's length and the key id is its own."""
        if len(self.public_key) != self.suite.public_key_bytes:
            raise KeyFormatError(Refusal.BAD_VALUE, "public_key", f"not a key of {self.suite.value}")
        if self.kid != recipient_key_id(self.suite, self.public_key):
            raise KeyFormatError(Refusal.CONTRADICTION, "kid", "belongs to another key")

    def wrap(self, key: bytes, info: bytes) -> tuple[bytes, bytes]:
        """Encrypt a content key to this recipient: (encapsulated key, ciphertext)."""
        sealed = hpke.Suite(*_PARTS[self.suite]).encrypt(key, _public(self.suite, self.public_key), info=info)
        length = self.suite.encapsulated_bytes
        return sealed[:length], sealed[length:]


def recipient_key_id(suite: Suite, public_key: bytes) -> bytes:
    """The first 16 bytes of SHA-256 over the CBOR array [suite name, raw public key]."""
    return hashlib.sha256(cbor.encode([suite.value, public_key])).digest()[:KEY_ID_BYTES]


class RecipientPrivateKey:
    """The private half; head office's opening process alone holds it."""

    def __init__(self, suite: Suite, secret: bytes) -> None:
        self.suite = suite
        self._secret = secret
        self._key = _private(suite, secret)
        self.public = Recipient.of(suite, _raw_public(suite, secret))
        self.kid = self.public.kid

    def __repr__(self) -> str:
        return f"<{self.suite.value} private key {self.kid.hex()}>"

    @classmethod
    def generate(cls, suite: Suite) -> Self:
        """A new key from the operating system's randomness."""
        secret = x25519.X25519PrivateKey.generate().private_bytes_raw()
        if suite is Suite.MLKEM768_X25519:
            secret = mlkem.MLKEM768PrivateKey.generate().private_bytes_raw() + secret
        return cls(suite, secret)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of :meth:`to_bytes`. Raises KeyFormatError."""
        try:
            stored = _StoredPrivateKey.from_map(cbor.decode(data, max_bytes=256))
        except CborError as error:
            raise KeyFormatError(error.refusal, detail="not a stored recipient key") from error
        return cls(stored.suite, stored.secret)

    def to_bytes(self) -> bytes:
        """For a file only its owner may read: CBOR {version, suite, secret}."""
        return cbor.encode(_StoredPrivateKey(version=1, suite=self.suite, secret=self._secret).to_map())

    def unwrap(self, encapsulated: bytes, ciphertext: bytes, info: bytes) -> bytes:
        """The content key. Raises EnvelopeError NOT_OPENED."""
        try:
            return hpke.Suite(*_PARTS[self.suite]).decrypt(encapsulated + ciphertext, self._key, info=info)
        except InvalidTag as error:
            raise EnvelopeError(Refusal.NOT_OPENED, "recipients") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredPrivateKey(Record):
    refuse: ClassVar[type[WireError]] = KeyFormatError

    version: Annotated[int, Whole(1, 1)]
    suite: Annotated[Suite, Choice(Suite)]
    secret: Annotated[bytes, Blob(MLKEM768_SEED_BYTES + X25519_BYTES, least=X25519_BYTES)]


def _public(suite: Suite, raw: bytes) -> x25519.X25519PublicKey | hpke.MLKEM768X25519PublicKey:
    try:
        if suite is Suite.X25519:
            return x25519.X25519PublicKey.from_public_bytes(raw)
        return hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(raw[:MLKEM768_PUBLIC_BYTES]),
            x25519.X25519PublicKey.from_public_bytes(raw[MLKEM768_PUBLIC_BYTES:]),
        )
    except ValueError as error:
        raise KeyFormatError(Refusal.BAD_VALUE, "public_key", f"not a key of {suite.value}") from error


def _halves(secret: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(secret[:MLKEM768_SEED_BYTES]),
        x25519.X25519PrivateKey.from_private_bytes(secret[MLKEM768_SEED_BYTES:]),
    )


def _private(suite: Suite, secret: bytes) -> x25519.X25519PrivateKey | hpke.MLKEM768X25519PrivateKey:
    wanted = X25519_BYTES if suite is Suite.X25519 else MLKEM768_SEED_BYTES + X25519_BYTES
    if len(secret) != wanted:
        raise KeyFormatError(Refusal.BAD_VALUE, "secret", f"{suite.value} has {wanted} bytes")
    if suite is Suite.X25519:
        return x25519.X25519PrivateKey.from_private_bytes(secret)
    return hpke.MLKEM768X25519PrivateKey(*_halves(secret))


def _raw_public(suite: Suite, secret: bytes) -> bytes:
    if suite is Suite.X25519:
        return x25519.X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    lattice, curve = _halves(secret)
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
