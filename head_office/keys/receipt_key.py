"""The key head office signs receipts with (Ed25519)."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from head_office.errors import HomeError
from head_office.keys.authority import pem_of
from head_office.keys.home import Home, read_private, write_new
from sync.keys import SoftwareSigner


def create_receipt_key(home: Home) -> None:
    write_new(home.receipt_key, pem_of(ed25519.Ed25519PrivateKey.generate()), private=True)


def load_receipt_signer(home: Home) -> SoftwareSigner:
    """The first receipt key. Raises HomeError when it is missing, damaged or not private."""
    return load_signer(home.receipt_key)


def load_signer(file: Path) -> SoftwareSigner:
    """Raises HomeError when the key is missing, damaged or not private."""
    try:
        key = serialization.load_pem_private_key(read_private(file), None)
    except ValueError as error:
        raise HomeError(f"{file} is damaged", "restore it from the backup") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise HomeError(f"{file} is not an Ed25519 key", "restore it from the backup")
    return SoftwareSigner(key)
