"""The device's private keys, each in a file only its owner may read."""

from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sync.edge.files import read_private, write_whole
from sync.errors import DeviceKeyError, KeyFormatError
from sync.keys import Algorithm, PrivateKey, SoftwareSigner


class FileDeviceKey(SoftwareSigner):
    """A signing key in a PKCS#8 PEM file of mode 0600."""

    def __init__(self, path: Path, private_key: PrivateKey) -> None:
        super().__init__(private_key)
        self.path = path

    @classmethod
    def create(cls, path: Path, algorithm: Algorithm = Algorithm.EDDSA) -> Self:
        """Make a new key and its file. Raises DeviceKeyError when there is one: keys are never overwritten."""
        if path.exists():
            raise DeviceKeyError(path, "exists already")
        key: PrivateKey = (
            ed25519.Ed25519PrivateKey.generate()
            if algorithm is Algorithm.EDDSA
            else ec.generate_private_key(ec.SECP256R1())
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_whole(path, pem)
        return cls(path, key)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key. Raises DeviceKeyError: missing, readable by others, damaged, or of another kind."""
        return cls(path, read_private_key(path))


def read_private_key(path: Path) -> PrivateKey:
    """The Ed25519 or P-256 key of a file of mode 0600. Raises DeviceKeyError."""
    try:
        key = serialization.load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DeviceKeyError(path, "not an unencrypted PEM private key") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
        raise DeviceKeyError(path, "neither Ed25519 nor P-256")
    try:
        SoftwareSigner(key)
    except KeyFormatError as error:
        raise DeviceKeyError(path, "neither Ed25519 nor P-256") from error
    return key
