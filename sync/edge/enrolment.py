"""Enrolment: a one-time token and two fresh keys become an identity.

The keys are made here and never leave. They are kept over a failed try, so that a repeated request is the same
request: when the reply was lost after head office had used up the token, it can answer again.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from sync import cbor
from sync import enrolment as wire
from sync.edge import identity
from sync.edge.address import head_office_url
from sync.edge.device_key import DeviceKey, KeyPlace
from sync.edge.files import flush_folder, read_plain, write_whole
from sync.edge.head_office_client import HeadOfficeClient
from sync.edge.identity import Identity, IdentityFacts
from sync.edge.key_request import request_for
from sync.edge.key_stores import SIGNING, TLS, KeyStores
from sync.enrolment import EnrolReply, EnrolRequest
from sync.errors import (
    AuthorityFileError,
    Cause,
    DeviceSerialError,
    EnrolmentMessageError,
    EnrolmentTokenError,
    HeadOfficeError,
    IdentityError,
    WireError,
)
from sync.keys import Algorithm
from sync.trust import FIRST_SERIAL

PATH = "/v1/enrol"
KEPT = "kept.cbor"
"""Where the keys of a try are, in the folder that becomes the identity."""
TLS_ALGORITHM = Algorithm.ES256
"""Proxies on the way may not know Ed25519 certificates."""


def enrol(
    *,
    url: str,
    token: str,
    ca_file: Path,
    device_serial: str,
    folder: Path,
    now: datetime,
    stores: KeyStores | None = None,
    connect: Callable[[str, Path], HeadOfficeClient] = HeadOfficeClient,
) -> Identity:
    """Ask head office for an identity and pin it in ``folder``.

    Parameters
    ----------
    url, ca_file
        Head office's address, and its certificate authority (PEM), which the technician brings: nothing is
        trusted on first sight.
    token
        Shown once by head office.
    device_serial
        The machine's serial number.
    folder
        Must not exist yet; appears whole or not at all.
    now
        Written down as the time of enrolment.
    stores
        Where the two keys are made, and of which kind the signing key is; None: files, Ed25519.

    Raises
    ------
    KeyStoreError, DeviceKeyError
        The store the keys are to be made in is not there: nothing takes its place.
    AddressError, EnrolmentTokenError, AuthorityFileError, DeviceSerialError
        What was given cannot be right; nothing was sent and nothing made.
    HeadOfficeError
        By cause; REFUSED with head office's code for a token that is unknown, used or expired.
    IdentityError
        There is an identity already, or what head office gave does not fit what was asked.
    """
    if folder.exists():
        raise IdentityError(folder, "this device is enrolled already")
    # Before the network: there a wrong file looks like a wrong head office, and a token that was cut off costs a try.
    url, token, brought = head_office_url(url), plain_token(token), authorities(ca_file)
    _check_serial(device_serial)
    pending = folder.with_name(folder.name + ".pending")
    pending.mkdir(mode=0o700, parents=True, exist_ok=True)
    stores = KeyStores() if stores is None else stores
    signing_place, tls_place = _kept_places(pending, stores)
    signing_key = stores.create_or_open(signing_place, pending, stores.algorithm)
    tls_key = stores.create_or_open(tls_place, pending, TLS_ALGORITHM)
    request = EnrolRequest(
        token=token,
        device_serial=device_serial,
        tls_csr=request_for(tls_key, device_serial),
        signing_csr=request_for(signing_key, device_serial),
    )
    with connect(url, ca_file) as client:
        body = client.post(PATH, wire.encode(request)).body
    try:
        reply = wire.decode_reply(body)
        facts = IdentityFacts(
            device_id=reply.device_id,
            device_serial=device_serial,
            url=url,
            enrolled_at=now,
            site=reply.site,
            receipt_keys=reply.receipt_keys,
            recipients=reply.recipients,
            trust_serial=reply.trust_serial or FIRST_SERIAL,
            signing_key=signing_place,
            tls_key=tls_place,
        )
    except WireError as error:
        raise HeadOfficeError(Cause.BROKEN_REPLY, str(error)) from error
    authority = _pinned_authority(reply, brought, ca_file)
    for name, der, key in (
        (identity.TLS_CERTIFICATE, reply.tls_certificate, tls_key),
        (identity.SIGNING_CERTIFICATE, reply.signing_certificate, signing_key),
    ):
        write_whole(pending / name, checked_certificate(der, key, authority, pending / name))
    write_whole(pending / identity.CA_CERTIFICATE, authority.public_bytes(serialization.Encoding.PEM))
    identity.write_facts(pending, facts)
    (pending / KEPT).unlink()
    pending.rename(folder)
    flush_folder(folder.parent)
    return Identity.load(folder, stores)


def _kept_places(pending: Path, stores: KeyStores) -> tuple[KeyPlace, KeyPlace]:
    """Where the signing and the TLS key of this try are: as an earlier one left it, else new, written down first.

    Raises IdentityError when the earlier one used other stores than are set now.
    """
    file = pending / KEPT
    if not file.exists():
        made = stores.new_place(SIGNING, ""), stores.new_place(TLS, "")
        write_whole(file, cbor.encode([place.to_map() for place in made]))
        return made
    try:
        match cbor.decode(read_plain(file), max_bytes=4096):
            case [signing, tls]:
                kept = KeyPlace.from_map(signing), KeyPlace.from_map(tls)
            case _:
                raise IdentityError(file, "not a list of two keys")
    except WireError as error:
        raise IdentityError(file, str(error)) from error
    for place, wanted in zip(kept, (stores.signing, stores.tls), strict=True):
        if place.store is not wanted:
            raise IdentityError(file, f"an earlier try kept its key in {place.store.value}; remove {pending}")
    return kept


def plain_token(typed: str) -> str:
    """A one-time token without the spaces it may have been read out with. Raises EnrolmentTokenError."""
    token = "".join(typed.split())
    try:
        return wire.TOKEN.check(token, EnrolmentMessageError, "token")
    except EnrolmentMessageError as error:
        raise EnrolmentTokenError(error.detail) from error


def authorities(ca_file: Path) -> list[x509.Certificate]:
    """The certificate authority the technician brought. Raises AuthorityFileError."""
    try:
        return x509.load_pem_x509_certificates(read_plain(ca_file))
    except (ValueError, x509.InvalidVersion) as error:
        raise AuthorityFileError(ca_file, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from error
    except IdentityError as error:
        raise AuthorityFileError(ca_file, error.cause) from error


def _check_serial(device_serial: str) -> None:
    try:
        wire.DEVICE_SERIAL.check(device_serial, EnrolmentMessageError, "device_serial")
    except EnrolmentMessageError as error:
        raise DeviceSerialError(error.detail) from error


def _pinned_authority(reply: EnrolReply, brought: Sequence[x509.Certificate], ca_file: Path) -> x509.Certificate:
    """The authority of the reply, which must be the one the technician brought."""
    try:
        given = x509.load_der_x509_certificate(reply.ca_certificate)
    except (ValueError, x509.InvalidVersion) as error:
        raise HeadOfficeError(Cause.BROKEN_REPLY, "an authority that is no certificate") from error
    if given not in brought:
        raise IdentityError(ca_file, "head office names another certificate authority than this one")
    return given


def checked_certificate(der: bytes, key: DeviceKey, authority: x509.Certificate, path: Path) -> bytes:
    """The certificate as PEM, if it is for our key and from that authority.

    Its dates are not looked at: the clock of a laptop may be wrong, and head office judges them anyway.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, x509.InvalidVersion) as error:
        raise IdentityError(path, "not a certificate of the pinned authority") from error
    if certificate.public_key() != key.public_key:
        raise IdentityError(path, "belongs to another key")
    return certificate.public_bytes(serialization.Encoding.PEM)
