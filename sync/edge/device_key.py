"""The device's private keys: what every store of them can do, and the plainest one, a file of mode 0600.

Which store holds a key is written into the identity when the key is made. The key is looked for there and nowhere
else: a token that is pulled out is a fault to be told, never a reason to go on with some other key.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sync.edge.files import read_private, write_whole
from sync.errors import DeviceKeyError, EnrolmentMessageError, KeyFormatError, Refusal, WireError
from sync.keys import Algorithm, PrivateKey, Signer, SoftwareSigner
from sync.records import Choice, Record, Text


class KeyStore(enum.StrEnum):
    """Where a private key lies. The word stands in settings, in the identity and on screens."""

    FILE = "file"
    """A PEM file of mode 0600 in the identity's folder."""
    SYSTEMD_CREDS = "systemd-creds"
    """A file sealed with a key that systemd's credentials keep; in clear in memory only (``sealed_key``)."""
    PKCS11 = "pkcs11"
    """A token or TPM that signs and never gives the key out (``token_key``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPlace(Record):
    """Where one private key of this device is: written down before the key is made."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    store: Annotated[KeyStore, Choice(KeyStore)]
    name: Annotated[str, Text(64, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*")]
    """A file's name in the identity's folder; in a token the object's id (CKA_ID) in hexadecimal."""
    token: Annotated[str | None, Text(64)] = None
    """The token's label; for PKCS11 only."""

    def check_together(self) -> None:
        """A token's key names its token."""
        if (self.store is KeyStore.PKCS11) != (self.token is not None):
            raise EnrolmentMessageError(Refusal.CONTRADICTION, "token")


class DeviceKey(Signer, Protocol):
    """A private key of this device, wherever it is."""

    @property
    def store(self) -> KeyStore:
        """Which kind of place holds it."""

    @property
    def where(self) -> str:
        """The place in words a technician can follow; nothing secret."""


class TlsKey(DeviceKey, Protocol):
    """A key the HTTP client can use, which takes keys as files and nothing else."""

    @property
    def pem_path(self) -> Path:
        """PEM, readable by this process as long as this object lives."""


class FileDeviceKey(SoftwareSigner):
    """A key in a PKCS#8 PEM file of mode 0600."""

    store = KeyStore.FILE

    def __init__(self, path: Path, private_key: PrivateKey) -> None:
        super().__init__(private_key)
        self.path = path
        self.where = str(path)

    @property
    def pem_path(self) -> Path:
        """The file itself."""
        return self.path

    @classmethod
    def create(cls, path: Path, algorithm: Algorithm = Algorithm.EDDSA) -> Self:
        """Make a new key and its file. Raises DeviceKeyError when there is one: keys are never overwritten."""
        if path.exists():
            raise DeviceKeyError(path, "exists already")
        key = new_private_key(algorithm)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_whole(path, pem)
        return cls(path, key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key. Raises DeviceKeyError: missing, readable by others, damaged, or of another kind."""
        return cls(path, read_private_key(path))


def new_private_key(algorithm: Algorithm) -> PrivateKey:
    """A fresh key in this process's memory."""
    if algorithm is Algorithm.EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def read_private_key(path: Path) -> PrivateKey:
    """The Ed25519 or P-256 key of a file of mode 0600. Raises DeviceKeyError."""
    return parse_private_key(read_private(path), path)


def parse_private_key(pem: bytes, path: Path) -> PrivateKey:
    """The Ed25519 or P-256 key of PEM bytes that came from ``path``. Raises DeviceKeyError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DeviceKeyError(path, "not an unencrypted PEM private key") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise DeviceKeyError(path, "neither Ed25519 nor P-256")
    try:
        SoftwareSigner(key)
    except KeyFormatError as error:
        raise DeviceKeyError(path, "neither Ed25519 nor P-256") from error
    return key
