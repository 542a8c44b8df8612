"""Renewal and rotation: new certificates for the same two keys, or for two new ones, without a moment in between.

    write down which keys are meant -> make them, if new -> write down the signed request -> send it
    -> write the certificates beside the old ones -> identity.cbor names the new ones: the switch -> tidy up

Until the switch, which is one rename, the old identity works; from it on the new one does. The request is kept until
then and sent again byte for byte, so that head office, whose reply was lost, gives the same answer again.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, Self

from cryptography import x509

from sync import cbor
from sync import renewal as wire
from sync.edge.device_key import DeviceKey, KeyPlace
from sync.edge.enrolment import TLS_ALGORITHM, checked_certificate
from sync.edge.files import flush_folder, read_plain, write_whole
from sync.edge.head_office_client import Reply
from sync.edge.identity import CA_CERTIFICATE, PENDING, Identity, tidy, write_facts
from sync.edge.key_request import request_for
from sync.edge.key_stores import SIGNING, TLS, KeyStores
from sync.errors import Cause, DeviceKeyError, HeadOfficeError, IdentityError, RenewalError, WireError
from sync.keys import KEY_ID_BYTES
from sync.records import Blob, Nested, Record, Whole

RENEW_BEFORE = timedelta(days=60)
"""Of 90 days: from day 30 on, so that a device that is seldom online has two months to find head office."""
WARN_BEFORE = timedelta(days=14)
"""A person is told: renewal has failed for six weeks by then."""
EXPIRED = "client_certificate_expired"
"""Head office's word; it knows the time better than a laptop with a flat battery."""
KEEP_ASKING = frozenset({"device_blocked", "client_certificate_required"})
"""Refusals that end when a person or a proxy is put right; the same request is good afterwards."""


class Client(Protocol):
    """What a renewal needs of the head-office client."""

    def post(self, path: str, body: bytes) -> Reply:
        """Raises HeadOfficeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending(Record):
    """What ``renewal.cbor`` holds: a renewal that was begun."""

    refuse: ClassVar[type[WireError]] = RenewalError

    version: Annotated[int, Whole(1, 1)] = 1
    signed_by: Annotated[bytes, Blob(KEY_ID_BYTES)]
    """The signing key it was begun with: after a switch it is void."""
    signing_key: Annotated[KeyPlace, Nested(KeyPlace)]
    tls_key: Annotated[KeyPlace, Nested(KeyPlace)]
    request: Annotated[bytes | None, Blob(wire.MAX_REQUEST_BYTES, least=1)] = None
    """None until the keys are made."""

    @classmethod
    def read(cls, identity: Identity) -> Self | None:
        """The renewal that waits for its answer; None when there is none, or none of this key's."""
        path = identity.folder / PENDING
        if not path.exists():
            return None
        try:
            kept = cls.from_map(cbor.decode(read_plain(path), max_bytes=2 * wire.MAX_REQUEST_BYTES))
        except WireError as error:
            raise IdentityError(path, str(error)) from error
        return kept if kept.signed_by == identity.signer.kid else None

    def write(self, identity: Identity) -> None:
        """Whole, or not at all."""
        write_whole(identity.folder / PENDING, cbor.encode(self.to_map()))


def is_due(identity: Identity, now: datetime) -> bool:
    """Whether it is time by this machine's clock; too early costs a request, too late head office says EXPIRED."""
    return identity.expires_at - now <= RENEW_BEFORE


def renew(
    identity: Identity,
    client: Client,
    stores: KeyStores,
    *,
    new_keys: Collection[str] = (),
    random: Callable[[int], bytes] = os.urandom,
) -> Identity:
    """New certificates from head office; the identity that counts from now on.

    A renewal that was begun earlier and not answered is finished first, and is the answer when it is what was asked.

    Parameters
    ----------
    new_keys
        Rotation: which of SIGNING and TLS are made anew, each in the store of the one it replaces.

    Raises
    ------
    HeadOfficeError
        By cause; the old identity goes on.
    KeyStoreError, DeviceKeyError
        A key's store is not there.
    IdentityError
        What head office gave does not fit what was asked.
    """
    pending = Pending.read(identity)
    if pending is not None:
        made = {purpose for purpose, place, held in _places(identity, pending) if place != held}
        identity = _finish(identity, client, stores, pending, random)
        new_keys = set(new_keys) - made
        if made or not new_keys:
            return identity if not new_keys else renew(identity, client, stores, new_keys=new_keys, random=random)
    return _finish(identity, client, stores, _begin(identity, stores, new_keys, random), random)


def _places(identity: Identity, pending: Pending) -> list[tuple[str, KeyPlace, KeyPlace]]:
    """(purpose, place meant, place in use) of both keys."""
    return [
        (SIGNING, pending.signing_key, identity.facts.signing_key),
        (TLS, pending.tls_key, identity.facts.tls_key),
    ]


def _begin(identity: Identity, stores: KeyStores, new_keys: Collection[str], random: Callable[[int], bytes]) -> Pending:
    facts = identity.facts
    # What an earlier try left beside the identity would be in the way of nothing, but keys are not left lying about.
    (identity.folder / PENDING).unlink(missing_ok=True)
    tidy(identity.folder, stores)
    mark = random(8).hex()
    meant = {SIGNING: facts.signing_key, TLS: facts.tls_key}
    for purpose, wanted, setting in (
        (SIGNING, stores.signing, "identity.key_store"),
        (TLS, stores.tls, "identity.tls_key_store"),
    ):
        if purpose not in new_keys:
            continue
        if meant[purpose].store is not wanted:
            # A changed setting is no order to move a key, and least of all out of a token.
            raise DeviceKeyError(
                setting,
                f"says {wanted.value}, and this device's key is in {meant[purpose].store.value};"
                " set it back, or enrol anew to move",
            )
        meant[purpose] = stores.new_place(purpose, mark)
    pending = Pending(signed_by=identity.signer.kid, signing_key=meant[SIGNING], tls_key=meant[TLS])
    pending.write(identity)
    return pending


def _finish(
    identity: Identity, client: Client, stores: KeyStores, pending: Pending, random: Callable[[int], bytes]
) -> Identity:
    folder, facts = identity.folder, identity.facts
    signing_key: DeviceKey = identity.signer
    tls_key: DeviceKey = identity.tls
    if pending.signing_key != facts.signing_key:
        signing_key = stores.create_or_open(pending.signing_key, folder, identity.signer.algorithm)
    if pending.tls_key != facts.tls_key:
        tls_key = stores.create_or_open(pending.tls_key, folder, TLS_ALGORITHM)
    if pending.request is None:
        request = wire.RenewRequest(
            device_id=identity.device_id,
            nonce=random(wire.NONCE_BYTES),
            tls_csr=request_for(tls_key, facts.device_serial),
            signing_csr=request_for(signing_key, facts.device_serial),
        )
        pending = replace(pending, request=wire.sign_request(request, identity.signer))
        pending.write(identity)
    assert pending.request is not None, "made a line above"
    try:
        reply = wire.decode_reply(_asked(identity, client, stores, pending, pending.request))
        if reply.device_id != identity.device_id:
            raise HeadOfficeError(Cause.BROKEN_REPLY, "certificates of another device")
    except WireError as error:
        raise HeadOfficeError(Cause.BROKEN_REPLY, str(error)) from error
    authority = identity.certificate(CA_CERTIFICATE)
    names = []
    for purpose, der, key in ((SIGNING, reply.signing_certificate, signing_key), (TLS, reply.tls_certificate, tls_key)):
        pem = checked_certificate(der, key, authority, folder / f"{purpose}.crt")
        names.append(f"{purpose}-{x509.load_pem_x509_certificate(pem).serial_number:x}.crt")
        write_whole(folder / names[-1], pem)
    switched = replace(
        facts,
        signing_key=pending.signing_key,
        tls_key=pending.tls_key,
        signing_certificate=names[0],
        tls_certificate=names[1],
        retired=(*facts.retired, *(held for _, meant, held in _places(identity, pending) if meant != held)),
    )
    write_facts(folder, switched)
    # From here on the new one counts. A crash before the next line costs one request more, with the same answer.
    (folder / PENDING).unlink()
    flush_folder(folder)
    return settle(folder, stores)


def _asked(identity: Identity, client: Client, stores: KeyStores, pending: Pending, request: bytes) -> bytes:
    try:
        return client.post(wire.PATH, request).body
    except HeadOfficeError as error:
        if error.cause is Cause.REFUSED and error.refused_as not in KEEP_ASKING:
            # It would be refused again for ever; the next try begins afresh.
            for _, meant, held in _places(identity, pending):
                if meant != held:
                    stores.remove(meant, identity.folder)
            (identity.folder / PENDING).unlink(missing_ok=True)
            flush_folder(identity.folder)
        raise


def settle(folder: Path, stores: KeyStores) -> Identity:
    """The identity that counts, after what no longer does was cleared away; call it at every start.

    Raises what :meth:`Identity.load` does.
    """
    identity = Identity.load(folder, stores)
    if Pending.read(identity) is not None:
        return identity
    (folder / PENDING).unlink(missing_ok=True)
    flush_folder(folder)
    tidy(folder, stores)
    return Identity.load(folder, stores)
