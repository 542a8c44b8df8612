"""Who this device is and whom it trusts: the files enrolment leaves behind.

    identity.cbor   device id, site, head office's address, receipt keys, recipients
    signing.key     signs packets and checkpoints          signing.crt   its certificate
    tls.key         the client's end of TLS                tls.crt       its certificate
    ca.crt          the one authority head office's TLS certificate may come from

The folder appears whole or not at all: it is made under another name, flushed, and renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Self

from cryptography import x509

from sync import cbor
from sync.edge.device_key import FileDeviceKey
from sync.edge.files import read_plain, write_whole
from sync.edge.uploader import Trust
from sync.enrolment import MAX_MESSAGE_BYTES, ReceiptKey, Site
from sync.envelope import DEVICE_ID, MAX_RECIPIENTS
from sync.errors import EnrolmentMessageError, IdentityError, NotEnrolledError, WireError
from sync.keys import PublicKey, load_spki
from sync.recipients import Recipient
from sync.records import Instant, Many, Nested, Record, Text, Whole

FACTS, SIGNING_KEY, SIGNING_CERTIFICATE = "identity.cbor", "signing.key", "signing.crt"
TLS_KEY, TLS_CERTIFICATE, CA_CERTIFICATE = "tls.key", "tls.crt", "ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityFacts(Record):
    """What ``identity.cbor`` holds."""

    refuse: ClassVar[type[WireError]] = EnrolmentMessageError

    version: Annotated[int, Whole(1, 1)] = 1
    device_id: Annotated[str, DEVICE_ID]
    device_serial: Annotated[str, Text(64)]
    url: Annotated[str, Text(300, pattern=r"https://[\x21-\x7e]+")]
    enrolled_at: Annotated[datetime, Instant()]
    site: Annotated[Site, Nested(Site)]
    receipt_keys: Annotated[tuple[ReceiptKey, ...], Many(Nested(ReceiptKey), 8)]
    recipients: Annotated[tuple[Recipient, ...], Many(Nested(Recipient), MAX_RECIPIENTS)]


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled device."""

    folder: Path
    facts: IdentityFacts
    signer: FileDeviceKey

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and check the folder.

        Raises
        ------
        NotEnrolledError
            There is none.
        IdentityError, DeviceKeyError
            It contradicts itself, or a key is missing, damaged or readable by others.
        """
        facts_path = folder / FACTS
        if not facts_path.exists():
            raise NotEnrolledError(folder, "this device is not enrolled")
        try:
            facts = IdentityFacts.from_map(cbor.decode(read_plain(facts_path), max_bytes=MAX_MESSAGE_BYTES))
        except WireError as error:
            raise IdentityError(facts_path, str(error)) from error
        identity = cls(folder, facts, FileDeviceKey.load(folder / SIGNING_KEY))
        identity.check_key(SIGNING_CERTIFICATE, identity.signer.public_key)
        identity.check_key(TLS_CERTIFICATE, FileDeviceKey.load(folder / TLS_KEY).public_key)
        return identity

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
        return self.folder / TLS_CERTIFICATE

    @property
    def tls_key(self) -> Path:
        """PEM, 0600."""
        return self.folder / TLS_KEY

    @property
    def ca_certificate(self) -> Path:
        """PEM."""
        return self.folder / CA_CERTIFICATE

    def check_key(self, certificate_name: str, key: PublicKey) -> None:
        """Raises IdentityError when that certificate is for another key."""
        path = self.folder / certificate_name
        try:
            certificate = x509.load_pem_x509_certificate(read_plain(path))
        except ValueError as error:
            raise IdentityError(path, "not a certificate") from error
        held = certificate.public_key()
        if held != key:
            raise IdentityError(path, "belongs to another key")


def write_facts(folder: Path, facts: IdentityFacts) -> None:
    """Write ``identity.cbor``, whole."""
    write_whole(folder / FACTS, cbor.encode(facts.to_map()))
