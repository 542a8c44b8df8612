"""This device's bond with head office: identity from enrolment, and what is made of it to seal and to send."""

import contextlib
import logging
import tempfile
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path

from mpos_agent.errors import AlreadyEnrolledError, NotEnrolledError, NotSetUpError, PacketsWaitingError
from mpos_agent.identity_keeper import IdentityKeeper
from mpos_agent.log import happening
from sync.checkpoint import StorageMark
from sync.edge import enrolment
from sync.edge.breaker import Breaker
from sync.edge.clock import Clock, HeadOfficeTime
from sync.edge.database import Database
from sync.edge.head_office_client import HeadOfficeClient, Timeouts
from sync.edge.identity import Identity
from sync.edge.outbox import Outbox
from sync.edge.receipts import Receipts
from sync.edge.sealing import Sealer
from sync.edge.stick import Stick
from sync.edge.uploader import RoundResult, Uploader
from sync.errors import AuthorityFileError
from sync.trust import VERSIONS_KEY

_log = logging.getLogger(__name__)


class HeadOfficeLink:
    """Before enrolment there is nothing of it; afterwards everything is made once and kept."""

    def __init__(
        self,
        *,
        keeper: IdentityKeeper,
        receipts: Receipts,
        url: str | None,
        ca_file: Path | None,
        timeouts: Timeouts,
        device_serial: str,
        outbox: Outbox,
        clock: Clock,
        head_office_time: HeadOfficeTime,
        breaker: Breaker,
        free_disk_bytes: Callable[[], int],
        versions: MutableMapping[str, str],
        draw: Callable[[], float],
        storage: Callable[[], StorageMark] = lambda: StorageMark.OK,
        take_up: Callable[[str], object] | None = None,
    ) -> None:
        """``url`` and ``ca_file`` stand in for what enrolment pinned, where head office has moved.

        ``take_up`` is told who this device is before anything is sealed or sent as it; None: the queue itself.
        """
        self._keeper, self._receipts = keeper, receipts
        self._url, self._ca_file, self._timeouts = url, ca_file, timeouts
        self._device_serial, self._outbox, self._clock = device_serial, outbox, clock
        self._head_office_time, self._breaker = head_office_time, breaker
        self._free_disk_bytes, self._versions, self._draw = free_disk_bytes, versions, draw
        self._storage = storage
        self._take_up = outbox.take_up if take_up is None else take_up
        self._taken_up: str | None = None
        self._making = threading.Lock()
        self._made: tuple[Identity, HeadOfficeClient, Uploader] | None = None

    def identity(self) -> Identity | None:
        """None before enrolment; IdentityError or DeviceKeyError when what is there cannot be trusted or reached."""
        return self._keeper.identity()

    def sealer(self) -> Sealer:
        """Signs as this device, encrypts to head office. Raises NotEnrolledError."""
        identity = self._required()
        return Sealer(identity.device_id, identity.signer, identity.facts.recipients, self._head_office_time)

    def uploader(self) -> Uploader:
        """Makes the rounds; for the sync thread alone, which keeps its connection. Raises NotEnrolledError.

        Another one, with a new connection, as soon as the identity has changed.
        """
        identity = self._required()
        with self._making:
            if self._made is None or self._made[0] is not identity:
                if self._made is not None:
                    self._made[1].close()
                client = self._client(identity)
                self._made = (identity, client, self._uploader(identity, client))
            return self._made[2]

    def after_round(self, result: RoundResult) -> None:
        """Look after the identity; on the sync thread, raises nothing."""
        self._keeper.after_round(result, self._client)

    def _client(self, identity: Identity) -> HeadOfficeClient:
        return HeadOfficeClient(
            self._url or identity.facts.url,
            self._ca_file or identity.ca_certificate,
            identity.tls_certificate,
            identity.tls_key,
            self._timeouts,
        )

    def _uploader(self, identity: Identity, client: HeadOfficeClient) -> Uploader:
        return Uploader(
            self._outbox,
            client,
            identity.signer,
            identity.trust,
            self._clock,
            breaker=self._breaker,
            head_office_time=self._head_office_time,
            free_disk_bytes=self._free_disk_bytes,
            # Seen through: what the wiring changes in its own shows in the next checkpoint.
            versions=ChainMap({VERSIONS_KEY: str(identity.facts.trust_serial)}, self._versions),
            draw=self._draw,
            receipts=self._receipts,
            storage=self._storage,
        )

    def stick(self, database: Database) -> Stick:
        """Batches out and receipts in by stick, as rounds make and take them. Raises NotEnrolledError."""
        identity, uploader = self._required(), self.uploader()
        return Stick(
            database,
            self._outbox,
            identity.signer,
            identity.trust,
            self._clock,
            checkpoint=lambda: uploader.checkpoint(self._clock.utc()),
            take=uploader.receipts.take,
        )

    def enrol(
        self, url: str, token: str, ca_pem: str | None, *, again: bool = False, leave_waiting: bool = False
    ) -> None:
        """Turn a one-time token into the identity.

        ``again`` puts it in the place of the one there is, which is kept beside it; the queue goes on with new chains.
        ``leave_waiting`` does so although packets wait that only the one before can deliver.

        Raises
        ------
        AlreadyEnrolledError
            There is one, and ``again`` was not said: a second would orphan what is queued.
        PacketsWaitingError
            Something is queued that it would orphan.
        NotSetUpError
            No certificate authority was given, and none is set.
        AddressError, EnrolmentTokenError, AuthorityFileError, DeviceSerialError
            What was given cannot be right; nothing was sent.
        HeadOfficeError, IdentityError
            By cause.
        """
        there = self._keeper.folder.exists()
        if there and not again:
            raise AlreadyEnrolledError(str(self._keeper.folder))
        waiting = sum(lane.ready - lane.former for lane in self._outbox.counts())
        if waiting and not leave_waiting:
            raise PacketsWaitingError(f"{waiting} in the queue")
        aside = self._keeper.stepping_aside() if there else contextlib.nullcontext()
        with self._authority(ca_pem) as ca_file, aside:
            enrolment.enrol(
                url=url,
                token=token,
                ca_file=ca_file,
                device_serial=self._device_serial,
                folder=self._keeper.folder,
                now=self._clock.utc(),
                stores=self._keeper.stores,
                connect=lambda address, authority: HeadOfficeClient(address, authority, timeouts=self._timeouts),
            )
        self._required()
        happening(_log, logging.INFO, "enrolled", url=url, again=there)

    def _required(self) -> Identity:
        identity = self.identity()
        if identity is None:
            raise NotEnrolledError
        if identity.device_id != self._taken_up:
            # The folder of an identity may have been put there by hand, or just before the power went.
            self._take_up(identity.device_id)
            self._taken_up = identity.device_id
        return identity

    @contextlib.contextmanager
    def _authority(self, ca_pem: str | None) -> Iterator[Path]:
        """The certificate authority as a file, which is what the HTTP client takes."""
        if ca_pem is None:
            if self._ca_file is None:
                raise NotSetUpError("upload.ca_file, or --ca-file")
            yield self._ca_file
            return
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(ca_pem.encode())
            file.flush()
            try:
                yield Path(file.name)
            except AuthorityFileError as error:
                # Nobody knows the name of our copy.
                raise AuthorityFileError("--ca-file", error.cause) from error
