"""Signing keys in a PKCS#11 token (smart card, HSM, TPM); the only importer of ``pkcs11``.

Tried with SoftHSM 2.6. The token signs; the key never leaves it. ES256 works wherever there is P-256, EdDSA needs a
token that has Ed25519. A token that is pulled out is looked for anew at the next signature.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import pkcs11
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass

from sync.edge.device_key import KeyPlace, KeyStore
from sync.edge.files import read_private
from sync.errors import DeviceKeyError, KeyStoreError, TokenPinError
from sync.keys import Algorithm, PublicKey, es256, key_id

LABEL = "mpos-agent"
PIN_CREDENTIAL = "mpos-agent-pin"
"""The PIN's name in ``$CREDENTIALS_DIRECTORY``."""
KEY_ID_BYTES = 16
P256 = bytes.fromhex("06082a8648ce3d030107")
ED25519 = bytes.fromhex("06032b6570")
"""DER object identifiers of the two curves, as CKA_EC_PARAMS takes them."""
_OCTETS = 0x04
_PIN_CAUSES = (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked, pkcs11.PinExpired)

Given = TypeVar("Given")


@dataclass(slots=True)
class Token:
    """One token, by its label, and the one session this process has with it. Any thread; one call at a time."""

    module: Path
    """The PKCS#11 library, as the settings name it."""
    label: str
    pin_file: Path | None
    """0600; None: the PIN is the credential PIN_CREDENTIAL, which systemd hands over."""
    _session: Any = field(default=None, repr=False)
    _refused_pin: tuple[int, int] | None = field(default=None, repr=False)

    # The library has one state for the whole process, whatever tokens it serves.
    _lock: ClassVar[threading.RLock] = threading.RLock()
    _in_use: ClassVar[set[Path]] = set()

    def use(self, act: Callable[[Any], Given]) -> Given:
        """Call ``act`` with the session, a second time with a new one when the first is of a token that was away.

        Raises KeyStoreError or TokenPinError with cause and cure.
        """
        with self._lock:
            if self._session is not None:
                try:
                    return act(self._session)
                except pkcs11.PKCS11Error:
                    # Pulled out, or exchanged meanwhile: what was agreed with it is void.
                    self._session = None
            with self._told("use the key"):
                session = self._opened()
                result = act(session)
            self._session = session
            return result

    def _opened(self) -> Any:
        pin = self._pin()
        try:
            library = pkcs11.lib(str(self.module))
            if self.module in self._in_use:
                # From the start: libraries list their slots once, and a token that came back is a new one to them.
                library.reinitialize()
            self._in_use.add(self.module)
        except (RuntimeError, OSError) as error:
            raise self._away(f"the module cannot be loaded: {error}", "install the token's software") from error
        found = list(library.get_tokens(token_label=self.label))
        if len(found) != 1:
            raise self._away(
                "no token of that label" if not found else f"{len(found)} tokens of that label",
                "plug in the token this device was enrolled with",
            )
        try:
            return found[0].open(rw=True, user_pin=pin)
        except _PIN_CAUSES as error:
            self._refused_pin = self._pin_age()
            raise TokenPinError(
                self._where, f"the token refused its PIN ({type(error).__name__})", "correct the PIN file, try once"
            ) from error

    def _pin(self) -> str:
        if self._refused_pin is not None and self._refused_pin == self._pin_age():
            raise TokenPinError(
                self._where, "the token refused this PIN and is not asked again", "correct the PIN file, try once"
            )
        file = self._pin_path()
        try:
            # systemd's own folder is for this service alone, whatever the modes look like.
            held = read_private(file) if self.pin_file is not None else file.read_bytes()
            return held.decode("ascii").strip()
        except (OSError, UnicodeDecodeError, DeviceKeyError) as error:
            raise TokenPinError(
                self._where, f"no PIN: {error}", "put it into the file of identity.pin_file, mode 0600"
            ) from error

    def _pin_path(self) -> Path:
        return self.pin_file or Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / PIN_CREDENTIAL

    def _pin_age(self) -> tuple[int, int]:
        try:
            facts = self._pin_path().stat()
        except OSError:
            return (0, 0)
        return facts.st_mtime_ns, facts.st_ino

    @property
    def _where(self) -> str:
        return f"token {self.label}"

    def _away(self, cause: str, cure: str) -> KeyStoreError:
        return KeyStoreError(self._where, cause, cure)

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """The library's exceptions by cause."""
        try:
            yield
        except pkcs11.NoSuchKey:
            raise
        except pkcs11.PKCS11Error as error:
            what = f"{type(error).__name__} {error}".strip()
            raise self._away(f"could not {doing}: {what}", "plug in the token and look at its software") from error


class TokenDeviceKey:
    """A signing key inside a token."""

    store = KeyStore.PKCS11

    def __init__(self, token: Token, object_id: bytes, public_key: PublicKey, algorithm: Algorithm) -> None:
        self._token, self._id = token, object_id
        self.public_key, self.algorithm = public_key, algorithm
        self.kid = key_id(public_key)
        self.where = f"token {token.label}, object {object_id.hex()}"

    def __repr__(self) -> str:
        return f"<{self.algorithm.name} key {self.kid.hex()} in {self.where}>"

    @classmethod
    def create(cls, token: Token, object_id: bytes, algorithm: Algorithm) -> Self:
        """Have the token make a key. Raises KeyStoreError; DeviceKeyError when it has one of that id."""

        def make(session: Any) -> None:
            if list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: object_id})):
                raise DeviceKeyError(f"token {token.label}", f"has an object {object_id.hex()} already")
            kind, curve, mechanism = (
                (KeyType.EC, P256, Mechanism.EC_KEY_PAIR_GEN)
                if algorithm is Algorithm.ES256
                else (KeyType.EC_EDWARDS, ED25519, Mechanism.EC_EDWARDS_KEY_PAIR_GEN)
            )
            parameters = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
            parameters.generate_keypair(
                mechanism=mechanism,
                store=True,
                label=LABEL,
                id=object_id,
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )

        token.use(make)
        return cls.load(token, object_id)

    @classmethod
    def load(cls, token: Token, object_id: bytes) -> Self:
        """Find a key. Raises KeyStoreError for the token, DeviceKeyError when it has no such key."""

        def find(session: Any) -> tuple[PublicKey, Algorithm]:
            session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=object_id)
            held = session.get_key(object_class=ObjectClass.PUBLIC_KEY, id=object_id)
            return _public(held[Attribute.KEY_TYPE], held[Attribute.EC_POINT])

        with _no_such_key(token, object_id):
            public_key, algorithm = token.use(find)
        return cls(token, object_id, public_key, algorithm)

    def sign(self, message: bytes) -> bytes:
        """64 bytes; see Signer. Raises KeyStoreError when the token is not there, and works again when it is back."""

        def make(session: Any) -> bytes:
            key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=self._id)
            if self.algorithm is Algorithm.EDDSA:
                return bytes(key.sign(message, mechanism=Mechanism.EDDSA))
            made = bytes(key.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))
            return es256(int.from_bytes(made[:32], "big"), int.from_bytes(made[32:], "big"))

        with _no_such_key(self._token, self._id):
            return self._token.use(make)


def destroy(token: Token, object_id: bytes) -> None:
    """Remove a key that was replaced; nothing to do when it is gone. Raises KeyStoreError."""

    def remove(session: Any) -> None:
        for held in list(session.get_objects({Attribute.ID: object_id, Attribute.LABEL: LABEL})):
            held.destroy()

    token.use(remove)


def object_id(place: KeyPlace) -> bytes:
    """The object's id a place names. Raises DeviceKeyError."""
    try:
        return bytes.fromhex(place.name)
    except ValueError as error:
        raise DeviceKeyError(place.name, "not the id of an object in a token") from error


@contextmanager
def _no_such_key(token: Token, wanted: bytes) -> Iterator[None]:
    try:
        yield
    except pkcs11.NoSuchKey as error:
        raise DeviceKeyError(
            f"token {token.label}", f"holds no key {wanted.hex()}; it is another token, or was made anew"
        ) from error


def _public(kind: KeyType, point: bytes) -> tuple[PublicKey, Algorithm]:
    """The public half of CKA_EC_POINT, which is the point inside a DER octet string of less than 128 bytes."""
    if len(point) < 2 or point[0] != _OCTETS or point[1] != len(point) - 2:
        raise DeviceKeyError("token", "a public key in a form we do not know")
    try:
        if kind is KeyType.EC_EDWARDS:
            return ed25519.Ed25519PublicKey.from_public_bytes(point[2:]), Algorithm.EDDSA
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[2:]), Algorithm.ES256
    except (ValueError, UnsupportedAlgorithm) as error:
        raise DeviceKeyError("token", "a public key that is neither Ed25519 nor P-256") from error
