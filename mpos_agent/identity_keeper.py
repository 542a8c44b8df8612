"""Looks after this device's identity: opens it, renews it in time, changes its keys when told, learns head office's.

Used by the sync thread, which alone talks to head office; any thread may ask what the identity is.
"""

import contextlib
import dataclasses
import datetime
import itertools
import logging
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from mpos_agent.log import happening
from mpos_agent.outcomes import outcome_of
from sync import trust
from sync.commands import Move
from sync.edge import renewal
from sync.edge.commands import CommandRefusedError
from sync.edge.files import flush_folder
from sync.edge.identity import Identity, read_facts
from sync.edge.identity_orders import IdentityOrders
from sync.edge.key_stores import SIGNING, TLS, KeyStores
from sync.edge.renewal import Client
from sync.edge.uploader import RoundResult
from sync.errors import AddressError, SyncError, WireError
from sync.errors import NotEnrolledError as NoIdentityError

_log = logging.getLogger(__name__)

# After a failed renewal there are weeks left; with the certificate run out every round waits for it.
_AGAIN_AFTER = datetime.timedelta(hours=1)
_ONCE_A = datetime.timedelta(days=1)
_AGAIN_SOON = datetime.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IdentityReport:
    """What may be shown of an identity: nothing secret."""

    device_id: str
    device_serial: str
    enrolled_at: datetime.datetime
    key_store: str
    where: str
    algorithm: str
    kid: str
    tls_key_store: str
    expires_at: datetime.datetime
    renews_from: datetime.datetime
    warn: bool
    """It runs out within 14 days, or has: renewal has failed for weeks."""
    trust_serial: int
    receipt_keys: tuple[str, ...]
    recipients: tuple[str, ...]
    rotation_ordered: bool
    problem: SyncError | None
    """Why the last renewal failed."""


class IdentityKeeper:
    """One identity, from its folder."""

    def __init__(
        self,
        folder: Path,
        stores: KeyStores,
        orders: IdentityOrders,
        utc: Callable[[], datetime.datetime],
        draw: Callable[[], float],
    ) -> None:
        """``draw`` gives random numbers in [0, 1): devices enrolled on one day do not renew in one minute."""
        self.folder, self.stores, self.orders = folder, stores, orders
        self._utc, self._draw = utc, draw
        self._lock = threading.Lock()
        self._identity: Identity | None = None
        self._asked: frozenset[str] | None = None
        self._not_before: datetime.datetime | None = None
        self._renewed_at: datetime.datetime | None = None
        self._problem: SyncError | None = None

    def identity(self) -> Identity | None:
        """None before enrolment.

        Raises IdentityError, DeviceKeyError, KeyStoreError when what is there cannot be trusted or reached. It is
        looked for again at the next call, and nothing else is ever put in its place.
        """
        with self._lock:
            if self._identity is None:
                with contextlib.suppress(NoIdentityError):
                    self._identity = renewal.settle(self.folder, self.stores)
            return self._identity

    @contextlib.contextmanager
    def stepping_aside(self) -> Iterator[None]:
        """While it lasts there is no identity, so that another can be asked for; without one it comes back.

        It is kept in either case, as ``identity.former-DEVICE``: with it what was sealed under it can be delivered.
        """
        former = self._free_name(read_facts(self.folder).device_id)
        with self._lock:
            self._identity = None
            self.folder.rename(former)
        try:
            yield
        finally:
            with self._lock:
                self._identity = None
                if not self.folder.exists():
                    former.rename(self.folder)
            flush_folder(self.folder.parent)

    def _free_name(self, device_id: str) -> Path:
        wanted = self.folder.with_name(f"{self.folder.name}.former-{device_id}")
        more = (wanted.with_name(f"{wanted.name}-{number}") for number in itertools.count(2))
        return next(path for path in itertools.chain((wanted,), more) if not path.exists())

    def learn(self, announced: bytes) -> None:
        """Take over head office's keys out of a verified receipt."""
        try:
            trusted = trust.decode(announced)
        except WireError as error:
            # Of a later version, perhaps: what is trusted goes on to be.
            happening(_log, logging.WARNING, "trust_not_understood", reason=error.refusal)
            return
        with self._lock:
            if self._identity is not None and trusted.serial > self._identity.facts.trust_serial:
                self._identity = self._identity.learn(trusted)
                happening(_log, logging.INFO, "trust_learnt", serial=trusted.serial)

    def move(self, asked: Move) -> None:
        """Go to another cluster, as head office commands. Raises CommandRefusedError."""
        with self._lock:
            if self._identity is None:
                raise CommandRefusedError("not_here", "no identity")
            try:
                self._identity = self._identity.at(asked.url)
            except AddressError as error:
                raise CommandRefusedError("unreadable", str(error)) from error
        happening(_log, logging.WARNING, "head_office_moved", url=asked.url)

    def ask(self, new_keys: Collection[str]) -> None:
        """A person wants a renewal with the next round, with new keys for these purposes."""
        with self._lock:
            self._asked, self._problem = frozenset(new_keys), None

    def after_round(
        self, result: RoundResult, client: Callable[[Identity], contextlib.AbstractContextManager[Client]]
    ) -> None:
        """Renew when it is time, when it was ordered or asked for, or when head office says it is too late.

        Raises nothing: what fails is reported and tried again.
        """
        with self._lock:
            identity, asked, self._asked = self._identity, self._asked, None
        if identity is None:
            return
        now = self._utc()
        ordered = self.orders.to_rotate()
        expired = result.refused_as == renewal.EXPIRED
        # A clock weeks ahead makes every certificate look old, also the one of a minute ago.
        fresh = self._renewed_at is not None and now - self._renewed_at < _ONCE_A
        wanted = asked is not None or ordered or expired or (renewal.is_due(identity, now) and not fresh)
        held_back = asked is None and self._not_before is not None and now < self._not_before
        # Where a round just failed for the network, one more request would too.
        unreachable = asked is None and result.cause is not None and not result.refused_as
        if not wanted or held_back or unreachable:
            return
        new_keys = ordered | (asked or frozenset())
        try:
            with client(identity) as line:
                renewed = renewal.renew(identity, line, self.stores, new_keys=new_keys)
        except SyncError as error:
            self._failed(error, now, soon=expired)
            return
        with self._lock:
            self._identity, self._problem, self._not_before = renewed, None, None
            self._renewed_at = now
        if ordered:
            self.orders.rotated()
        happening(_log, logging.INFO, "identity_renewed", kid=renewed.signer.kid.hex()[:8], new_keys=len(new_keys))

    def report(self) -> IdentityReport | None:
        """What may be shown; None before enrolment. Raises like :meth:`identity`."""
        identity = self.identity()
        if identity is None:
            return None
        facts, expires = identity.facts, identity.expires_at
        return IdentityReport(
            device_id=facts.device_id,
            device_serial=facts.device_serial,
            enrolled_at=facts.enrolled_at,
            key_store=facts.signing_key.store.value,
            where=identity.signer.where,
            algorithm=identity.signer.algorithm.name,
            kid=identity.signer.kid.hex(),
            tls_key_store=facts.tls_key.store.value,
            expires_at=expires,
            renews_from=expires - renewal.RENEW_BEFORE,
            warn=expires - self._utc() <= renewal.WARN_BEFORE,
            trust_serial=facts.trust_serial,
            receipt_keys=tuple(key.kid.hex() for key in facts.receipt_keys),
            recipients=tuple(one.kid.hex() for one in facts.recipients),
            rotation_ordered=bool(self.orders.to_rotate()),
            problem=self._problem,
        )

    def problem(self) -> SyncError | None:
        """Why the last renewal failed; None when it did not."""
        with self._lock:
            return self._problem

    def _failed(self, error: SyncError, now: datetime.datetime, *, soon: bool) -> None:
        repeated = self._problem is not None and str(self._problem) == str(error)
        with self._lock:
            self._problem = error
        self._not_before = now + (_AGAIN_SOON if soon else _AGAIN_AFTER) * (1 + self._draw())
        level = logging.DEBUG if repeated else logging.WARNING
        happening(_log, level, "renewal_failed", code=outcome_of(error).code)


BOTH = frozenset({SIGNING, TLS})
"""What a person's ``rotate`` asks for."""
