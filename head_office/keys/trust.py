"""Which of head office's keys devices are to trust, and which of its receipt keys signs for whom.

``trust.cbor`` lists the receipt keys and recipients in force under a serial number that grows with each change. Every
receipt brings the list to a device that has an older one, signed with a key of the list that device has: the newest
of those it knows. So any number of receipt keys are valid at once, a rotation needs no day on which all change, and a
device that was away for a year is brought up to date by its first receipt.

A running service looks at the file before each receipt and reads it anew when it has changed; so a rotation by the
command takes effect at once, in every process on the folder.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from cryptography.hazmat.primitives.asymmetric import ed25519

from head_office.errors import HomeError
from head_office.keys.authority import pem_of
from head_office.keys.home import Home, read_public, replace_public, write_new
from head_office.keys.receipt_key import load_signer
from head_office.keys.recipients import create_recipients, load_recipients
from sync import cbor, trust
from sync.enrolment import ReceiptKey
from sync.envelope import MAX_RECIPIENTS
from sync.errors import TrustError, WireError
from sync.keys import Algorithm, PublicKey, Signer, SoftwareSigner, spki
from sync.recipients import Recipient
from sync.records import Many, Nested, Record, Whole
from sync.trust import FIRST_SERIAL, MAX_RECEIPT_KEYS, MAX_SERIAL, Trusted

log = logging.getLogger(__name__)

LARGEST_FILE = 64 << 10


class KeysError(HomeError):
    """A rotation that cannot be done; nothing was changed."""

    code = "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Since(Record):
    """A receipt key, and the serial of the first list it stood in."""

    refuse: ClassVar[type[WireError]] = TrustError

    key: Annotated[ReceiptKey, Nested(ReceiptKey)]
    since: Annotated[int, Whole(FIRST_SERIAL, MAX_SERIAL)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce(Record):
    """What ``trust.cbor`` holds."""

    refuse: ClassVar[type[WireError]] = TrustError

    version: Annotated[int, Whole(1, 1)] = 1
    serial: Annotated[int, Whole(FIRST_SERIAL, MAX_SERIAL)]
    receipt_keys: Annotated[tuple[Since, ...], Many(Nested(Since), MAX_RECEIPT_KEYS)]
    """Oldest first."""
    recipients: Annotated[tuple[Recipient, ...], Many(Nested(Recipient), MAX_RECIPIENTS)]
    """What devices encrypt to from this serial on. What was encrypted before is opened with keys kept for it."""

    @property
    def trusted(self) -> Trusted:
        """As devices are told."""
        return Trusted(
            serial=self.serial, receipt_keys=tuple(one.key for one in self.receipt_keys), recipients=self.recipients
        )


def in_force(home: Home) -> InForce:
    """The list as it stands. Raises HomeError."""
    if not home.trust.exists():
        # Set up before there was a list: one receipt key, and the recipients of then.
        first = load_signer(home.receipt_key)
        key = ReceiptKey(kid=first.kid, spki=spki(first.public_key))
        return InForce(
            serial=FIRST_SERIAL,
            receipt_keys=(Since(key=key, since=FIRST_SERIAL),),
            recipients=tuple(load_recipients(home)),
        )
    try:
        return InForce.from_map(cbor.decode(read_public(home.trust), max_bytes=LARGEST_FILE))
    except WireError as error:
        raise HomeError(f"{home.trust} is damaged", "restore it from the backup") from error


def rotate_receipt(home: Home) -> InForce:
    """A new receipt key beside the old ones; each device's receipts change to it as soon as the device knows it."""
    with _alone(home):
        now = in_force(home)
        if len(now.receipt_keys) >= MAX_RECEIPT_KEYS:
            raise KeysError(f"{MAX_RECEIPT_KEYS} receipt keys are in force", "retire one: `keys retire KID`")
        private_key = ed25519.Ed25519PrivateKey.generate()
        made = SoftwareSigner(private_key)
        # The key first: a list that names a key which is not there would leave receipts unsigned.
        write_new(home.receipt_key_file(made.kid), pem_of(private_key), private=True)
        key = ReceiptKey(kid=made.kid, spki=spki(made.public_key))
        return _write(home, replace(now, receipt_keys=(*now.receipt_keys, Since(key=key, since=now.serial + 1))))


def rotate_recipients(home: Home) -> InForce:
    """New keys to encrypt to; the old private halves stay, for what is stored and what is still queued in the field."""
    with _alone(home):
        return _write(home, replace(in_force(home), recipients=tuple(create_recipients(home))))


def retire_receipt(home: Home, kid: bytes) -> InForce:
    """Take a receipt key out of the list; devices that know no other will refuse every receipt. Raises KeysError."""
    with _alone(home):
        now = in_force(home)
        left = tuple(one for one in now.receipt_keys if one.key.kid != kid)
        if len(left) == len(now.receipt_keys):
            raise KeysError(f"no receipt key in force is {kid.hex()}", "`keys list` shows them")
        if not left:
            raise KeysError("it is the only receipt key", "rotate first: `keys rotate receipt`")
        return _write(home, replace(now, receipt_keys=left))


def _write(home: Home, changed: InForce) -> InForce:
    changed = replace(changed, serial=changed.serial + 1)
    replace_public(home.trust, cbor.encode(changed.to_map()))
    return changed


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One rotation at a time on this folder."""
    handle = os.open(home.ca_key.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class ReceiptKeys:
    """The receipt keys with their private halves, as the folder has them now. Any thread may ask.

    By itself it signs as the oldest of them, which every device knows.
    """

    def __init__(self, home: Home) -> None:
        """Raises HomeError when a key is missing, damaged or not private."""
        self._home, self._lock = home, threading.Lock()
        self._seen = _mark(home.trust)
        self._now, self._signers = _load(home)

    def trusted(self) -> Trusted:
        """The list in force, for a device that enrols."""
        return self._current()[0].trusted

    def for_serial(self, serial: int) -> tuple[Signer, bytes | None]:
        """For a device with that list: the newest key it knows, or the oldest there is when it knows none; and the
        list, when that of the device is older.
        """
        now, signers = self._current()
        known = [one for one in now.receipt_keys if one.since <= serial]
        signer = signers[(known[-1] if known else now.receipt_keys[0]).key.kid]
        return signer, trust.encode(now.trusted) if serial < now.serial else None

    @property
    def algorithm(self) -> Algorithm:
        return self.for_serial(FIRST_SERIAL)[0].algorithm

    @property
    def public_key(self) -> PublicKey:
        return self.for_serial(FIRST_SERIAL)[0].public_key

    @property
    def kid(self) -> bytes:
        return self.for_serial(FIRST_SERIAL)[0].kid

    def sign(self, message: bytes) -> bytes:
        return self.for_serial(FIRST_SERIAL)[0].sign(message)

    def _current(self) -> tuple[InForce, Mapping[bytes, SoftwareSigner]]:
        with self._lock:
            mark = _mark(self._home.trust)
            if mark != self._seen:
                self._seen = mark
                try:
                    self._now, self._signers = _load(self._home)
                    log.info("trust list %d is in force", self._now.serial)
                except HomeError:
                    # What was in force goes on: devices need receipts more than they need the newest key.
                    log.exception("the changed trust list cannot be used")
            return self._now, self._signers


def for_device(signer: Signer, versions: Mapping[str, str]) -> tuple[Signer, bytes | None]:
    """Who signs the receipt of a device whose checkpoint named those versions, and what it is to be told.

    A single ``signer`` signs for everybody and announces nothing.
    """
    if not isinstance(signer, ReceiptKeys):
        return signer, None
    return signer.for_serial(trust.serial_of(versions))


def trusted_at_enrolment(signer: Signer, recipients: Sequence[Recipient]) -> Trusted:
    """What a device that enrols now is to trust."""
    if isinstance(signer, ReceiptKeys):
        return signer.trusted()
    key = ReceiptKey(kid=signer.kid, spki=spki(signer.public_key))
    return Trusted(serial=FIRST_SERIAL, receipt_keys=(key,), recipients=tuple(recipients))


def _load(home: Home) -> tuple[InForce, Mapping[bytes, SoftwareSigner]]:
    now = in_force(home)
    signers = {}
    for one in now.receipt_keys:
        file = home.receipt_key_file(one.key.kid)
        signer = load_signer(file if file.exists() else home.receipt_key)
        if signer.kid != one.key.kid:
            raise HomeError(f"{file} is missing", "restore it from the backup, or retire its key")
        signers[signer.kid] = signer
    return now, signers


def _mark(file: Path) -> tuple[int, int]:
    """Changes when the file is replaced."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return (0, 0)
    return facts.st_ino, facts.st_mtime_ns
