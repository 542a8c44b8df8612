"""``POST /v1/renew``: new certificates for a device that has some, for the same keys or for new ones.

Two proofs are asked: the TLS connection with the device's certificate, which may have run out but not be blocked, and
the request's signature by the signing key the device has now. The reply to a request is kept, and given again to the
same bytes: a device whose reply was lost repeats it. Keys that were replaced stay known for what they signed; they
sign no renewal and hold no connection from the moment the device has been seen with the new ones.
"""

import hashlib

from cryptography import x509

from head_office import audit
from head_office.authenticity import refused
from head_office.device_registry import DeviceRegistry, DeviceState
from head_office.errors import BadKeyRequestError, DeviceBlockedError, RenewalRefusedError
from head_office.keys.authority import KeyRequest, Purpose
from head_office.ledger.base import Ledger, Row, Transaction
from head_office.moment import Clock, to_ms, utc_now
from sync import renewal as wire
from sync.errors import WireError
from sync.keys import load_spki
from sync.renewal import RenewReply, RenewRequest, SignedRequest


class Renewals:
    """Answers renewals. Any thread may call it."""

    def __init__(self, ledger: Ledger, registry: DeviceRegistry, *, clock: Clock = utc_now) -> None:
        self._ledger, self._registry, self._clock = ledger, registry, clock

    def renew(self, tls_certificate: bytes, body: bytes) -> bytes:
        """The reply body. Raises a RefusedError, or a LedgerError when nothing could be stored."""
        try:
            asked = wire.read_request(body)
        except WireError as error:
            raise refused(error) from error
        device_id = self._registry.device_of_certificate(tls_certificate, expired_too=True)
        digest = hashlib.sha256(body).digest()
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            row = tx.lock_device(device_id)
            if row is None or row["state"] != DeviceState.ACTIVE:
                raise DeviceBlockedError(device_id)
            before = tx.execute(
                "SELECT tls_certificate, signing_certificate FROM renewals WHERE device_id = ? AND digest = ?",
                (device_id, digest),
            )
            if before:
                # Asked for once by who held the key then; these bytes can buy nothing else.
                return _reply(device_id, bytes(before[0][0]), bytes(before[0][1]))
            request = self._authentic(tx, device_id, asked)
            tls, signing = KeyRequest.parse(request.tls_csr), KeyRequest.parse(request.signing_csr)
            self._acceptable(tx, device_id, tls, signing)
            reply = self._certify(tx, device_id, tls, signing)
            tx.execute(
                "INSERT INTO renewals (device_id, digest, tls_certificate, signing_certificate, at)"
                " VALUES (?, ?, ?, ?, ?)",
                (device_id, digest, *reply, now_ms),
            )
            audit.record(
                tx, at_ms=now_ms, who="renewal", act="device_renewed", device=device_id,
                tls_expires=_not_after(reply[0]), signing_kid=x509_kid(signing),
            )  # fmt: skip
        return _reply(device_id, *reply)

    def _authentic(self, tx: Transaction, device_id: str, asked: SignedRequest) -> RenewRequest:
        rows: list[Row] = tx.execute(
            "SELECT spki FROM certificates WHERE device_id = ? AND purpose = ? AND kid = ? AND superseded_at IS NULL",
            (device_id, Purpose.SIGNING, asked.signed.kid),
        )
        if asked.claimed.device_id != device_id or not rows:
            raise RenewalRefusedError(f"{device_id}: not signed with the device's present key")
        try:
            return asked.verified(load_spki(bytes(rows[0]["spki"])))
        except WireError as error:
            raise RenewalRefusedError(f"{device_id}: {error}") from error

    def _acceptable(self, tx: Transaction, device_id: str, tls: KeyRequest, signing: KeyRequest) -> None:
        """Raises BadKeyRequestError for a key that is somebody else's, for another purpose, or was given up."""
        if tls.spki == signing.spki:
            raise BadKeyRequestError("one key for both purposes")
        for purpose, request in ((Purpose.TLS, tls), (Purpose.SIGNING, signing)):
            held = tx.execute(
                "SELECT device_id, purpose, superseded_at FROM certificates WHERE kid = ? AND spki = ?",
                (self._registry.kid_of(request), request.spki),
            )
            for row in held:
                if (row["device_id"], row["purpose"]) != (device_id, purpose) or row["superseded_at"] is not None:
                    raise BadKeyRequestError("the key is known already, and not as this one")

    def _certify(self, tx: Transaction, device_id: str, tls: KeyRequest, signing: KeyRequest) -> tuple[bytes, bytes]:
        now = self._clock()
        return (
            self._registry.certify(tx, device_id, Purpose.TLS, tls, now),
            self._registry.certify(tx, device_id, Purpose.SIGNING, signing, now),
        )


def x509_kid(request: KeyRequest) -> str:
    """For the record of acts."""
    return DeviceRegistry.kid_of(request).hex()


def _not_after(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).not_valid_after_utc.isoformat(timespec="seconds")


def _reply(device_id: str, tls: bytes, signing: bytes) -> bytes:
    return wire.encode_reply(RenewReply(device_id=device_id, tls_certificate=tls, signing_certificate=signing))
