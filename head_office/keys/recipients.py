"""The keys packets are encrypted to: public halves for devices, private halves for the opening worker alone."""

import threading
from collections.abc import Iterator, Mapping

from head_office.errors import HomeError
from head_office.keys.home import Home, read_private, read_public, replace_public, write_new
from sync import cbor
from sync.errors import WireError
from sync.recipients import Recipient, RecipientPrivateKey, Suite

# The hybrid first: devices seal to the first one they can use. X25519 serves those that cannot do ML-KEM.
SUITES = (Suite.MLKEM768_X25519, Suite.X25519)
LARGEST_FILE = 16 << 10


def create_recipients(home: Home) -> list[Recipient]:
    """Make one key pair for each suite, write both halves, and name them as the ones in force."""
    keys = [RecipientPrivateKey.generate(suite) for suite in SUITES]
    for key in keys:
        write_new(home.recipient_keys / f"{key.kid.hex()}.key", key.to_bytes(), private=True)
    public = [key.public for key in keys]
    replace_public(home.recipients, cbor.encode([recipient.to_map() for recipient in public]))
    return public


def load_recipients(home: Home) -> list[Recipient]:
    """The public halves in force, preferred suite first. Raises HomeError."""
    try:
        entries = cbor.decode(read_public(home.recipients), max_bytes=LARGEST_FILE)
        if not isinstance(entries, list):
            raise HomeError(f"{home.recipients} is damaged", "restore it from the backup")
        return [Recipient.from_map(entry) for entry in entries]
    except WireError as error:
        raise HomeError(f"{home.recipients} is damaged", "restore it from the backup") from error


class PrivateKeys(Mapping[bytes, RecipientPrivateKey]):
    """The private halves by key id. One that a rotation made meanwhile is found when it is first asked for."""

    def __init__(self, home: Home) -> None:
        """Raises HomeError."""
        self._home, self._lock = home, threading.Lock()
        self._read_at = 0
        self._keys: dict[bytes, RecipientPrivateKey] = {}
        self._read()
        if not self._keys:
            raise HomeError(f"{home.recipient_keys} holds no keys", "restore them from the backup")

    def __getitem__(self, kid: bytes) -> RecipientPrivateKey:
        with self._lock:
            if kid not in self._keys:
                self._read()
            return self._keys[kid]

    def __iter__(self) -> Iterator[bytes]:
        return iter(dict(self._keys))

    def __len__(self) -> int:
        return len(self._keys)

    def _read(self) -> None:
        folder = self._home.recipient_keys
        if not folder.is_dir():
            return
        changed_at = folder.stat().st_mtime_ns
        if changed_at == self._read_at:
            return
        for path in sorted(folder.glob("*.key")):
            try:
                key = RecipientPrivateKey.from_bytes(read_private(path))
            except WireError as error:
                raise HomeError(f"{path} is damaged", "restore it from the backup") from error
            self._keys[key.kid] = key
        self._read_at = changed_at


def load_private_keys(home: Home) -> PrivateKeys:
    """The private halves by key id; called in the opening worker only. Raises HomeError."""
    return PrivateKeys(home)
