"""Make head office's folder, once: authority, TLS certificate, receipt key, recipients."""

from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from head_office.errors import HomeError
from head_office.keys.authority import Authority, pem_of
from head_office.keys.home import Home, write_new
from head_office.keys.receipt_key import create_receipt_key
from head_office.keys.recipients import create_recipients


def set_up(home: Home, names: Sequence[str], now: datetime) -> None:
    """Write every key and certificate; ``names`` are the host names and addresses devices will call.

    Raises HomeError when the folder holds keys already: they are never overwritten.
    """
    if not names:
        raise ValueError("the server needs at least one name")
    if home.ca_key.exists():
        raise HomeError(f"{home.folder} is set up already", "keys are never overwritten; choose another folder")
    home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.folder.chmod(0o700)
    authority = Authority.create("MPOS head office CA", now)
    create_receipt_key(home)
    create_recipients(home)
    certify_server(home, authority, names, now)
    # Last: its presence says that everything else is there.
    authority.save(home)


def certify_server(home: Home, authority: Authority, names: Sequence[str], now: datetime) -> None:
    """A key and certificate for the TLS listener."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.certify_server(names, key.public_key(), now)
    write_new(home.server_key, pem_of(key), private=True)
    write_new(home.server_certificate, certificate.public_bytes(serialization.Encoding.PEM), private=False)
