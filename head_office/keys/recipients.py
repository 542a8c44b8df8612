"""The keys packets are encrypted to: public halves for devices, private halves for the opening worker alone."""

from head_office.errors import HomeError
from head_office.keys.home import Home, read_private, read_public, write_new
from sync import cbor
from sync.errors import WireError
from sync.recipients import Recipient, RecipientPrivateKey, Suite

# The hybrid first: devices seal to the first one they can use. X25519 serves those that cannot do ML-KEM.
SUITES = (Suite.MLKEM768_X25519, Suite.X25519)
LARGEST_FILE = 16 << 10


def create_recipients(home: Home) -> list[Recipient]:
    """Make one key pair for each suite and write both halves."""
    keys = [RecipientPrivateKey.generate(suite) for suite in SUITES]
    for key in keys:
        write_new(home.recipient_keys / f"{key.kid.hex()}.key", key.to_bytes(), private=True)
    public = [key.public for key in keys]
    write_new(home.recipients, cbor.encode([recipient.to_map() for recipient in public]), private=False)
    return public


def load_recipients(home: Home) -> list[Recipient]:
    """The public halves, preferred suite first. Raises HomeError."""
    try:
        entries = cbor.decode(read_public(home.recipients), max_bytes=LARGEST_FILE)
        if not isinstance(entries, list):
            raise HomeError(f"{home.recipients} is damaged", "restore it from the backup")
        return [Recipient.from_map(entry) for entry in entries]
    except WireError as error:
        raise HomeError(f"{home.recipients} is damaged", "restore it from the backup") from error


def load_private_keys(home: Home) -> dict[bytes, RecipientPrivateKey]:
    """The private halves by key id; called in the opening worker only. Raises HomeError."""
    keys: dict[bytes, RecipientPrivateKey] = {}
    for path in sorted(home.recipient_keys.glob("*.key")):
        try:
            key = RecipientPrivateKey.from_bytes(read_private(path))
        except WireError as error:
            raise HomeError(f"{path} is damaged", "restore it from the backup") from error
        keys[key.kid] = key
    if not keys:
        raise HomeError(f"{home.recipient_keys} holds no keys", "restore them from the backup")
    return keys
