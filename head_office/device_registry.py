"""Which devices there are, how they became ours, which keys they hold and which are blocked.

A device enrols once: a token of 24 hours, bound to a branch, buys two certificates for two keys. The token is
spent in the same transaction that writes the device, and asking again with the same token and the same two keys
gives the same certificates, so that a reply lost on the way costs nothing.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NoReturn

from cryptography.hazmat.primitives import hashes, serialization

from head_office import audit, clones
from head_office.clusters import Clusters
from head_office.custody import Alarm
from head_office.errors import (
    BadKeyRequestError,
    CertificateExpiredError,
    CertificateRefusedError,
    CertificateSupersededError,
    DeviceBlockedError,
    HeadOfficeError,
    OtherClusterError,
    RefusedError,
    TokenRefusedError,
)
from head_office.keys.authority import Authority, KeyRequest, Purpose
from head_office.ledger.base import Ledger, Question, Row, Transaction
from head_office.moment import Clock, to_ms, utc_now
from head_office.signing_keys import read, write_bounds
from head_office.tokens import ALPHABET, new_token, token_hash
from sync.checkpoint import Checkpoint
from sync.enrolment import Site, SiteType
from sync.keys import PublicKey, key_id

TOKEN_LIFE = timedelta(hours=24)


class DeviceState(StrEnum):
    """Whether a device's requests are served."""

    ACTIVE = "ACTIVE"
    BLOCKED = "BLOCKED"
    MOVED = "MOVED"
    """Handed over to another cluster, named in the reason: answered, and nothing more is stored."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What a device is given: its name and place, and a DER certificate for each of its two keys."""

    device_id: str
    site: Site
    tls_certificate: bytes
    signing_certificate: bytes


class NoSuchDeviceError(HeadOfficeError):
    """An admin named a device that is not there."""

    code = "no_such_device"

    def __init__(self, device_id: str) -> None:
        super().__init__(f"no device is called {device_id}; `mpos-head-office devices list` shows them")
        self.device_id = device_id


class DeviceMovedError(HeadOfficeError):
    """An admin wants something of a device that another cluster looks after now."""

    code = "device_moved"

    def __init__(self, device_id: str, cluster: str) -> None:
        super().__init__(f"{device_id} moved to the cluster {cluster}; ask there")
        self.device_id, self.cluster = device_id, cluster


class DeviceRegistry:
    """The registry's tables, and the rules on them."""

    def __init__(
        self, ledger: Ledger, authority: Authority, *, clock: Clock = utc_now, clusters: Clusters | None = None
    ) -> None:
        self._ledger, self._authority, self._clock, self._clusters = ledger, authority, clock, clusters

    def issue_token(self, site: Site, *, serial: str | None = None, by: str) -> tuple[str, datetime]:
        """Make a token for one device at ``site``; returns it, for the only time, and when it ends."""
        token, now = new_token(), self._clock()
        expires = now + TOKEN_LIFE
        with self._ledger.transaction() as tx:
            tx.execute(
                "INSERT INTO tokens (token_hash, branch_code, kanwil_code, partner_code, site_type, serial,"
                " issued_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    token_hash(token),
                    site.branch_code,
                    site.kanwil_code,
                    site.partner_code,
                    site.site_type,
                    serial,
                    to_ms(now),
                    to_ms(expires),
                ),
            )
            audit.record(tx, at_ms=to_ms(now), who=by, act="token_issued", branch=site.branch_code)
        return token, expires

    def enrol(self, token: str, serial: str, tls: KeyRequest, signing: KeyRequest) -> Enrolled:
        """Spend a token. Raises TokenRefusedError, or BadKeyRequestError when both purposes share one key."""
        if tls.spki == signing.spki:
            raise BadKeyRequestError("one key for both purposes")
        now = self._clock()
        with self._ledger.transaction() as tx:
            rows = tx.execute("SELECT * FROM tokens WHERE token_hash = ?", (token_hash(token),))
            if not rows or rows[0]["expires_at"] <= to_ms(now) or rows[0]["serial"] not in (None, serial):
                raise TokenRefusedError("unknown, expired or for another device")
            row = rows[0]
            site = _site(row)
            if row["used_at"] is not None:
                return self._again(tx, row["device_id"], site, tls, signing)
            device_id = self._new_device_id()
            tx.execute(
                "INSERT INTO devices (device_id, serial, branch_code, kanwil_code, partner_code, site_type, state,"
                " enrolled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    device_id,
                    serial,
                    site.branch_code,
                    site.kanwil_code,
                    site.partner_code,
                    site.site_type,
                    DeviceState.ACTIVE,
                    to_ms(now),
                ),
            )
            enrolled = Enrolled(
                device_id,
                site,
                self.certify(tx, device_id, Purpose.TLS, tls, now),
                self.certify(tx, device_id, Purpose.SIGNING, signing, now),
            )
            tx.execute(
                "UPDATE tokens SET used_at = ?, device_id = ? WHERE token_hash = ?",
                (to_ms(now), device_id, token_hash(token)),
            )
            audit.record(tx, at_ms=to_ms(now), who="enrolment", act="device_enrolled", device=device_id)
        return enrolled

    def _new_device_id(self) -> str:
        """A name at random; with several clusters one whose hash leads here, so that the device is at home at once."""
        while True:
            device_id = "D-" + "".join(secrets.choice(ALPHABET) for _ in range(12))
            if self._clusters is None or self._clusters.home_of(device_id) == self._clusters.own:
                return device_id

    def certify(self, tx: Transaction, device_id: str, purpose: Purpose, request: KeyRequest, now: datetime) -> bytes:
        """A certificate (DER) for one key of a device, entered. A key that is new to it gets the next number."""
        certificate = self._authority.certify_device(device_id, purpose, request, now)
        der = certificate.public_bytes(serialization.Encoding.DER)
        tx.execute(
            "INSERT INTO certificates (fingerprint, device_id, purpose, kid, spki, certificate, not_before, not_after,"
            " key_no) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                certificate.fingerprint(hashes.SHA256()),
                device_id,
                purpose,
                key_id(request.public_key),
                request.spki,
                der,
                to_ms(certificate.not_valid_before_utc),
                to_ms(certificate.not_valid_after_utc),
                _key_no(tx, device_id, purpose, request.spki),
            ),
        )
        return der

    @staticmethod
    def kid_of(request: KeyRequest) -> bytes:
        """The id of the key a certificate is asked for."""
        return key_id(request.public_key)

    def _again(self, tx: Transaction, device_id: str, site: Site, tls: KeyRequest, signing: KeyRequest) -> Enrolled:
        rows = tx.execute("SELECT * FROM certificates WHERE device_id = ?", (device_id,))
        held = {(row["purpose"], row["spki"]): row["certificate"] for row in rows}
        try:
            return Enrolled(device_id, site, held[Purpose.TLS, tls.spki], held[Purpose.SIGNING, signing.spki])
        except KeyError as error:
            raise TokenRefusedError("used for other keys") from error

    @staticmethod
    def certificate_question(der: bytes) -> Question:
        """Asks what is known of a TLS client certificate; :meth:`admit` reads the answer."""
        return (
            "SELECT c.device_id, c.kid, c.key_no, c.superseded_at, c.not_before, c.not_after, d.state,"
            " EXISTS (SELECT 1 FROM certificates o WHERE o.device_id = c.device_id AND o.purpose = c.purpose"
            " AND o.key_no < c.key_no AND o.superseded_at IS NULL) AS replaces"
            " FROM certificates c JOIN devices d ON d.device_id = c.device_id"
            " WHERE c.fingerprint = ? AND c.purpose = ?",
            (hashlib.sha256(der).digest(), Purpose.TLS),
        )

    def device_of_certificate(self, der: bytes, *, expired_too: bool = False) -> str:
        """The device a TLS client certificate was given to, if it may be served now; raises like :meth:`admit`.

        ``expired_too`` is for renewal.
        """
        return self.admit(der, self._ledger.read(*self.certificate_question(der)), expired_too=expired_too)

    def admit(self, der: bytes, rows: Sequence[Row], *, expired_too: bool = False) -> str:
        """The device a TLS client certificate was given to, if it may be served now.

        Looked up for each request, whatever connection or resumed TLS session it comes on, so that blocking a device
        counts at once. Raises CertificateRefusedError, CertificateExpiredError, CertificateSupersededError or
        DeviceBlockedError. TLS has already checked that the certificate is ours and that the peer holds its key.
        """
        if not rows:
            raise self._unknown(der)
        row, now_ms = rows[0], to_ms(self._clock())
        if row["state"] == DeviceState.BLOCKED:
            raise DeviceBlockedError(row["device_id"])
        device_id = str(row["device_id"])
        if row["superseded_at"] is not None:
            with self._ledger.transaction() as tx:
                clones.whole_device_alarm(tx, Alarm.OLD_KEYS, device_id, bytes(row["kid"]), now_ms)
            raise CertificateSupersededError(device_id)
        if row["replaces"]:
            with self._ledger.transaction() as tx:
                _supersede(tx, device_id, Purpose.TLS, row["key_no"], now_ms)
        if not expired_too and not row["not_before"] <= now_ms <= row["not_after"]:
            raise CertificateExpiredError(device_id)
        return device_id

    def seen_with_key(self, checkpoint: Checkpoint, kid: bytes) -> None:
        """The device has signed with this key: those before it are kept for what they signed until now."""
        device_id = checkpoint.device_id
        with self._ledger.transaction() as tx:
            device = tx.lock_device(device_id)
            (own,) = tx.execute(
                "SELECT max(key_no) AS no FROM certificates WHERE device_id = ? AND purpose = ? AND kid = ?",
                (device_id, Purpose.SIGNING, kid),
            )
            before = tx.execute(
                "SELECT 1 FROM certificates WHERE device_id = ? AND purpose = ? AND key_no < ?"
                " AND superseded_at IS NULL",
                (device_id, Purpose.SIGNING, own["no"]),
            )
            if device is not None and before:
                _supersede(tx, device_id, Purpose.SIGNING, own["no"], to_ms(self._clock()))
                write_bounds(tx, checkpoint, own["no"], device["last_checkpoint"])

    def refuse_replaced(self, device_id: str, kid: bytes) -> NoReturn:
        """Somebody signed a checkpoint on the line with a key the device has replaced. CertificateSupersededError."""
        with self._ledger.transaction() as tx:
            clones.whole_device_alarm(tx, Alarm.OLD_KEYS, device_id, kid, to_ms(self._clock()))
        raise CertificateSupersededError(device_id)

    def _unknown(self, der: bytes) -> RefusedError:
        """Why a certificate that is not in the registry is refused: it may be of another cluster's device."""
        device_id = self._authority.device_of(der)
        if self._clusters is not None and device_id is not None:
            home = self._clusters.home_of(device_id)
            if home != self._clusters.own:
                return OtherClusterError(device_id, home.name, home.url)
        return CertificateRefusedError("certificate not in the registry")

    def devices(self) -> list[Row]:
        """All devices with what was last heard of them, newest first."""
        return self._ledger.read(
            "SELECT d.*, (SELECT count(*) FROM packets p WHERE p.device_id = d.device_id) AS packets,"
            " (SELECT count(*) FROM lanes l WHERE l.device_id = d.device_id AND l.frozen_reason IS NOT NULL)"
            " AS frozen_lanes, (SELECT count(*) FROM alarms a WHERE a.device_id = d.device_id) AS alarms,"
            " (SELECT max(c.not_after) FROM certificates c WHERE c.device_id = d.device_id AND c.purpose = 'tls'"
            " AND c.superseded_at IS NULL) AS tls_expires FROM devices d ORDER BY d.enrolled_at DESC"
        )

    def block(self, device_id: str, reason: str, *, by: str) -> None:
        """Put a device on the deny list; it counts from the next request. Raises NoSuchDeviceError."""
        self._set_state(device_id, DeviceState.BLOCKED, reason, by=by)

    def release(self, device_id: str, *, by: str) -> None:
        """Take a device off the deny list. Raises NoSuchDeviceError."""
        self._set_state(device_id, DeviceState.ACTIVE, None, by=by)

    def _set_state(self, device_id: str, state: DeviceState, reason: str | None, *, by: str) -> None:
        with self._ledger.transaction() as tx:
            row = tx.lock_device(device_id)
            if row is None:
                raise NoSuchDeviceError(device_id)
            if row["state"] == DeviceState.MOVED:
                # Released here, it would have two ledgers; blocked here, it would go on there.
                raise DeviceMovedError(device_id, row["state_reason"])
            tx.execute("UPDATE devices SET state = ?, state_reason = ? WHERE device_id = ?", (state, reason, device_id))
            audit.record(tx, at_ms=to_ms(self._clock()), who=by, act=f"device_{state.lower()}", device=device_id)


def signing_keys(ledger: Ledger, device_id: str) -> dict[bytes, PublicKey]:
    """Every key the device was ever certified to sign with, by key id; how far each counts: signing_keys.py."""
    return read(ledger, device_id).public


def _key_no(tx: Transaction, device_id: str, purpose: Purpose, spki: bytes) -> int:
    """The number of a key among the device's keys for that purpose: a later one is the one that replaces."""
    rows = tx.execute(
        "SELECT key_no, spki FROM certificates WHERE device_id = ? AND purpose = ? ORDER BY key_no",
        (device_id, purpose),
    )
    for row in rows:
        if bytes(row["spki"]) == spki:
            return int(row["key_no"])
    return int(rows[-1]["key_no"]) + 1 if rows else 1


def _supersede(tx: Transaction, device_id: str, purpose: Purpose, key_no: int, now_ms: int) -> None:
    tx.execute(
        "UPDATE certificates SET superseded_at = ? WHERE device_id = ? AND purpose = ? AND key_no < ?"
        " AND superseded_at IS NULL",
        (now_ms, device_id, purpose, key_no),
    )


def _site(row: Row) -> Site:
    return Site(
        branch_code=row["branch_code"],
        kanwil_code=row["kanwil_code"],
        partner_code=row["partner_code"],
        site_type=SiteType(row["site_type"]),
    )
