"""Which store a key is made in, found in and removed from; the settings' side of ``device_key``.

A key is always looked for where its identity says it is. The settings say how that store is reached, and which one
new keys are made in; they never move a key.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sync.edge.device_key import DeviceKey, FileDeviceKey, KeyPlace, KeyStore, TlsKey
from sync.edge.files import flush_folder
from sync.edge.sealed_key import Seal, SealedDeviceKey
from sync.errors import DeviceKeyError, KeyStoreError
from sync.keys import Algorithm

if TYPE_CHECKING:
    from sync.edge.token_key import Token

SIGNING, TLS = "signing", "tls"
"""What a device has keys for."""


@dataclass(slots=True, kw_only=True)
class KeyStores:
    """The stores this machine has, as set; nothing is opened before a key of it is asked for."""

    signing: KeyStore = KeyStore.FILE
    """Where a new signing key is made."""
    tls: KeyStore = KeyStore.FILE
    """Where a new TLS key is made: a file or a sealed file, because the HTTP client cannot use a token."""
    algorithm: Algorithm = Algorithm.EDDSA
    """Of a new signing key."""
    seal: Seal = field(default_factory=Seal)
    pkcs11_module: Path | None = None
    token_label: str | None = None
    pin_file: Path | None = None
    _tokens: "dict[str, Token]" = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.tls is KeyStore.PKCS11:
            raise ValueError("the TLS key lies in a file or a sealed file")

    def new_place(self, purpose: str, mark: str) -> KeyPlace:
        """Where a new key for ``purpose`` goes; ``mark`` tells it from earlier ones. Raises KeyStoreError.

        Empty for the first: it has the plain name.
        """
        store = self.signing if purpose == SIGNING else self.tls
        if store is KeyStore.PKCS11:
            if self.token_label is None:
                raise KeyStoreError("identity.token_label", "is not set", "name the token in the settings")
            return KeyPlace(store=store, name=os.urandom(16).hex(), token=self.token_label)
        name = f"{purpose}-{mark}" if mark else purpose
        return KeyPlace(store=store, name=f"{name}.{'sealed' if store is KeyStore.SYSTEMD_CREDS else 'key'}")

    def create(self, place: KeyPlace, folder: Path, algorithm: Algorithm) -> DeviceKey:
        """Make the key of a place. Raises KeyStoreError or DeviceKeyError."""
        match place.store:
            case KeyStore.FILE:
                return FileDeviceKey.create(folder / place.name, algorithm)
            case KeyStore.SYSTEMD_CREDS:
                return SealedDeviceKey.create(folder / place.name, self.seal, algorithm)
            case KeyStore.PKCS11:
                token = self._token(place)
                from sync.edge import token_key  # noqa: PLC0415 - only where a token is used is its library there

                return token_key.TokenDeviceKey.create(token, token_key.object_id(place), algorithm)

    def open(self, place: KeyPlace, folder: Path) -> DeviceKey:
        """The key that is there, and never another one. Raises KeyStoreError or DeviceKeyError."""
        match place.store:
            case KeyStore.FILE:
                return FileDeviceKey.load(folder / place.name)
            case KeyStore.SYSTEMD_CREDS:
                return SealedDeviceKey.load(folder / place.name, self.seal)
            case KeyStore.PKCS11:
                token = self._token(place)
                from sync.edge import token_key  # noqa: PLC0415 - as above

                return token_key.TokenDeviceKey.load(token, token_key.object_id(place))

    def create_or_open(self, place: KeyPlace, folder: Path, algorithm: Algorithm) -> DeviceKey:
        """For a place that was written down before its key was made, by a process that may have died between."""
        try:
            found = self.open(place, folder)
        except KeyStoreError:
            raise
        except DeviceKeyError:
            # Not there. What is there and damaged makes create() refuse.
            return self.create(place, folder, algorithm)
        if found.algorithm is not algorithm:
            raise DeviceKeyError(found.where, f"kept from an earlier try with {found.algorithm.name}")
        return found

    def open_tls(self, place: KeyPlace, folder: Path) -> TlsKey:
        """The key the HTTP client uses. Raises KeyStoreError or DeviceKeyError."""
        key = self.open(place, folder)
        if not isinstance(key, FileDeviceKey | SealedDeviceKey):
            raise DeviceKeyError(key.where, "the TLS key lies in a token, which the HTTP client cannot use")
        return key

    def remove(self, place: KeyPlace, folder: Path) -> None:
        """Destroy a key that was replaced; nothing to do when it is gone. Raises KeyStoreError."""
        if place.store is KeyStore.PKCS11:
            token = self._token(place)
            from sync.edge import token_key  # noqa: PLC0415 - as above

            token_key.destroy(token, token_key.object_id(place))
            return
        (folder / place.name).unlink(missing_ok=True)
        flush_folder(folder)

    def _token(self, place: KeyPlace) -> "Token":
        assert place.token is not None, "a place in a token names it"
        if self.pkcs11_module is None:
            raise KeyStoreError(f"token {place.token}", "no PKCS#11 module is set", "name it in identity.pkcs11_module")
        if place.token not in self._tokens:
            try:
                from sync.edge.token_key import Token  # noqa: PLC0415 - as above
            except ImportError as error:
                raise KeyStoreError(
                    f"token {place.token}", "the library for tokens is missing", "install mpos-agent[pkcs11]"
                ) from error
            self._tokens[place.token] = Token(self.pkcs11_module, place.token, self.pin_file)
        return self._tokens[place.token]
