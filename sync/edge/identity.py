"""Who this device is and whom it trusts: the files enrolment leaves behind.

    identity.cbor   device id, site, head office's address, receipt keys, recipients, and which of the files below count
    signing.key     signs packets and checkpoints          signing.crt   its certificate
    tls.key         the client's end of TLS                tls.crt       its certificate
    ca.crt          the one authority head office's TLS certificate may come from

The folder appears whole or not at all: it is made under another name, flushed, and renamed. Later keys and
certificates are written beside the ones in use, under new names, and count from the moment ``identity.cbor`` names
them: one rename, before which the old identity works and after which the new one does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Self

from cryptography import x509

from sync import cbor
from sync.edge.address import head_office_url
from sync.edge.device_key import DeviceKey, KeyPlace, KeyStore, TlsKey
from sync.edge.files import flush_folder, read_plain, write_whole
from sync.edge.key_stores import KeyStores
from sync.edge.uploader import Trust
from sync.enrolment import MAX_MESSAGE_BYTES, ReceiptKey, Site
from sync.envelope import DEVICE_ID, MAX_RECIPIENTS
from sync.errors import EnrolmentMessageError, IdentityError, NotEnrolledError, WireError
from sync.keys import PublicKey, load_spki
from sync.recipients import Recipient
from sync.records import Instant, Many, Nested, Record, Text, Whole
from sync.trust import FIRST_SERIAL, MAX_RECEIPT_KEYS, MAX_SERIAL, Trusted

FACTS, SIGNING_KEY, SIGNING_CERTIFICATE = "identity.cbor", "signing.key", "signing.crt"
TLS_KEY, TLS_CERTIFICATE, CA_CERTIFICATE = "tls.key", "tls.crt", "ca.crt"
PENDING = "renewal.cbor"
"""A renewal that was begun and not finished (``renewal``)."""
VERSION = 2
FILE_NAME = Text(64, pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIGNING_FILE = KeyPlace(store=KeyStore.FILE, name=SIGNING_KEY)
_TLS_FILE = KeyPlace(store=KeyStore.FILE, name=TLS_KEY)
_FIRST_VERSION = {
    "trust_serial": FIRST_SERIAL,
    "signing_key": _SIGNING_FILE.to_map(),
    "signing_certificate": SIGNING_CERTIFICATE,
    "tls_key": _TLS_FILE.to_map(),
    "tls_certificate": TLS_CERTIFICATE,
    "retired": [],
}
"""What version 1 did not say, because there was nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFacts(Record):
    """What ``identity.cbor`` holds."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    version: Annotated[int, Whole(VERSION, VERSION)] = VERSION
    device_id: Annotated[str, DEVICE_ID]
    device_serial: Annotated[str, Text(64)]
    url: Annotated[str, Text(300, pattern=r"https://[\x21-\x7e]+")]
    enrolled_at: Annotated[datetime, Instant()]
    site: Annotated[Site, Nested(Site)]
    receipt_keys: Annotated[tuple[ReceiptKey, ...], Many(Nested(ReceiptKey), MAX_RECEIPT_KEYS)]
    recipients: Annotated[tuple[Recipient, ...], Many(Nested(Recipient), MAX_RECIPIENTS)]
    trust_serial: Annotated[int, Whole(FIRST_SERIAL, MAX_SERIAL)] = FIRST_SERIAL
    """Which announcement receipt keys and recipients are of."""
    signing_key: Annotated[KeyPlace, Nested(KeyPlace)] = _SIGNING_FILE
    """Where the key is, recorded when it was made: it is looked for there and nowhere else."""
    signing_certificate: Annotated[str, FILE_NAME] = SIGNING_CERTIFICATE
    tls_key: Annotated[KeyPlace, Nested(KeyPlace)] = _TLS_FILE
    tls_certificate: Annotated[str, FILE_NAME] = TLS_CERTIFICATE
    retired: Annotated[tuple[KeyPlace, ...], Many(Nested(KeyPlace), 8)] = ()
    """Keys that were replaced and are still to be destroyed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled device."""

    folder: Path
    facts: IdentityFacts
    signer: DeviceKey
    tls: TlsKey
    expires_at: datetime
    """When the first of the two certificates runs out, UTC."""

    @classmethod
    def load(cls, folder: Path, stores: KeyStores | None = None) -> Self:
        """Read and check the folder; ``stores`` reaches keys that do not lie in plain files.

        Raises
        ------
        NotEnrolledError
            There is none.
        KeyStoreError
            The store a key is recorded in is not there: nothing takes its place.
        IdentityError, DeviceKeyError
            It contradicts itself, or a key is missing, damaged or readable by others.
        """
        stores = KeyStores() if stores is None else stores
        facts = read_facts(folder)
        signer, tls = stores.open(facts.signing_key, folder), stores.open_tls(facts.tls_key, folder)
        held = (
            _certificate_for(folder / facts.signing_certificate, signer.public_key),
            _certificate_for(folder / facts.tls_certificate, tls.public_key),
        )
        return cls(folder, facts, signer, tls, min(one.not_valid_after_utc for one in held))

    @property
    def device_id(self) -> str:
        """As head office named it."""
        return self.facts.device_id

    @property
    def site(self) -> Site:
        """Where it was enrolled for."""
        return self.facts.site

    @property
    def trust(self) -> Trust:
        """For the uploader."""
        keys: Mapping[bytes, PublicKey] = {key.kid: load_spki(key.spki) for key in self.facts.receipt_keys}
        return Trust(self.device_id, keys)

    @property
    def tls_certificate(self) -> Path:
        """PEM."""
        return self.folder / self.facts.tls_certificate

    @property
    def tls_key(self) -> Path:
        """PEM, readable as long as this identity is held."""
        return self.tls.pem_path

    @property
    def ca_certificate(self) -> Path:
        """PEM."""
        return self.folder / CA_CERTIFICATE

    def certificate(self, name: str) -> x509.Certificate:
        """One of the folder's certificates. Raises IdentityError."""
        return _certificate(self.folder / name)

    def at(self, url: str) -> "Identity":
        """Find head office there from now on, as a signed command says. Raises AddressError."""
        facts = replace(self.facts, url=head_office_url(url))
        write_facts(self.folder, facts)
        return replace(self, facts=facts)

    def learn(self, trusted: Trusted) -> "Identity":
        """Trust what a verified receipt announced, from now on; an older announcement changes nothing."""
        if trusted.serial <= self.facts.trust_serial:
            return self
        facts = replace(
            self.facts,
            trust_serial=trusted.serial,
            receipt_keys=trusted.receipt_keys,
            recipients=trusted.recipients,
        )
        write_facts(self.folder, facts)
        return replace(self, facts=facts)


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(read_plain(path))
    except (ValueError, x509.InvalidVersion) as error:
        raise IdentityError(path, "not a certificate") from error


def _certificate_for(path: Path, key: PublicKey) -> x509.Certificate:
    certificate = _certificate(path)
    if certificate.public_key() != key:
        raise IdentityError(path, "belongs to another key")
    return certificate


def read_facts(folder: Path) -> IdentityFacts:
    """Read ``identity.cbor``. Raises NotEnrolledError or IdentityError."""
    path = folder / FACTS
    if not path.exists():
        raise NotEnrolledError(folder, "this device is not enrolled")
    try:
        value = cbor.decode(read_plain(path), max_bytes=MAX_MESSAGE_BYTES)
        if isinstance(value, dict) and value.get("version") == 1:
            value = {**_FIRST_VERSION, **value, "version": VERSION}
        return IdentityFacts.from_map(value)
    except WireError as error:
        raise IdentityError(path, str(error)) from error


def write_facts(folder: Path, facts: IdentityFacts) -> None:
    """Write ``identity.cbor``, whole."""
    write_whole(folder / FACTS, cbor.encode(facts.to_map()))


def tidy(folder: Path, stores: KeyStores) -> None:
    """Remove what no longer counts: replaced keys, their certificates, half-written files. Safe to repeat.

    Nothing to do while a renewal is pending: its files count as soon as it is answered.
    """
    if (folder / PENDING).exists():
        return
    facts = read_facts(folder)
    for place in facts.retired:
        stores.remove(place, folder)
    named = {FACTS, CA_CERTIFICATE, facts.signing_certificate, facts.tls_certificate}
    named |= {place.name for place in (facts.signing_key, facts.tls_key)}
    for file in folder.iterdir():
        if file.name not in named and file.suffix in {".key", ".sealed", ".crt", ".tmp"}:
            file.unlink()
    flush_folder(folder)
    if facts.retired:
        write_facts(folder, replace(facts, retired=()))
