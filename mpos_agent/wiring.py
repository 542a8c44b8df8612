"""Settings → real objects. The only file that names concrete drivers."""

import contextlib
import logging
import random
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from config.schema import CardTransport, ScannerDriver, Settings, UploadSection
from config.tables import load_tables
from drivers.card.base import CardReader
from drivers.card.ektp.sam_secrets import SamSecrets
from drivers.card.socket_reader import SocketReader
from drivers.errors import DeviceNotFoundError
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerSource
from drivers.scanner.discovery import find_scanners
from mpos_agent import __version__
from mpos_agent.agent import Agent, Parts, Station, Watch
from mpos_agent.audit import Act, AuditLog
from mpos_agent.claim.counter import Counter, FingerPrompt, Queued, Site
from mpos_agent.claim.draft_store import DraftKey, DraftStore
from mpos_agent.claim.local_matcher import LocalMatcher
from mpos_agent.claim.policy import Policy
from mpos_agent.claim.session import ClaimDesk
from mpos_agent.clock import AgentClock
from mpos_agent.devices import CardStation, FingerStation
from mpos_agent.errors import AlreadyEnrolledError, NotEnrolledError, NotSetUpError
from mpos_agent.events import EventHub
from mpos_agent.log import happening
from mpos_agent.people import People
from mpos_agent.reader_board import ReaderBoard
from mpos_agent.sign_in import SignIns
from mpos_agent.sync_worker import SyncWorker
from sync.edge import enrolment
from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime, SystemClock
from sync.edge.database import Database
from sync.edge.head_office_client import HeadOfficeClient, Timeouts
from sync.edge.identity import Identity
from sync.edge.outbox import Outbox
from sync.edge.sealing import Sealer
from sync.edge.uploader import Uploader
from sync.envelope import Lane
from sync.errors import NotEnrolledError as NoIdentityError
from sync.packet import ClaimPacket, TimeZone

_log = logging.getLogger(__name__)

IDENTITY_FOLDER = "identity"
DRAFT_KEY = "drafts.key"
SAM_REFUSED = "sam-refused"


def build(settings: Settings) -> Agent:
    """One agent, not yet started. Takes the database's lock first, so that a second agent stops here.

    Raises
    ------
    StorageInUseError
        Another agent runs on this state folder.
    SyncError, ConfigError, AgentError
        What else is wrong with files this agent owns.
    """
    database = Database(settings.database_file)
    try:
        return _build(settings, database)
    except BaseException:
        database.close()
        raise


def _build(settings: Settings, database: Database) -> Agent:
    device_clock = SystemClock()
    head_office_time = HeadOfficeTime(database, device_clock)
    clock = AgentClock(device_clock, head_office_time)
    outbox = Outbox(database, device_clock)
    audit, people = AuditLog(database, clock), People(database, clock)
    tables = load_tables(settings.claim.tables_dir)
    known = _KnownIdentity(_identity_folder(settings))
    closing = threading.Event()
    events = EventHub()
    board = ReaderBoard(events)
    sam_secrets = _SamSecretsOnDemand(settings)
    card = CardStation(
        pair=_pair_finder(settings), secrets=sam_secrets.get, wait_s=settings.card.wait_s, closing=closing
    )
    finger = FingerStation(_scanner_finder(settings), closing)

    def site() -> Site | None:
        identity = known.get()
        if identity is None:
            return None
        return Site(
            device_id=identity.device_id,
            branch_code=identity.site.branch_code,
            kanwil_code=identity.site.kanwil_code,
            partner_code=identity.site.partner_code,
            site_type=identity.site.site_type,
            zone=TimeZone(settings.site.zone),
            station=settings.site.station,
        )

    def outbox_put(packet: ClaimPacket) -> Queued:
        identity = known.required()
        sealer = Sealer(identity.device_id, identity.signer, identity.facts.recipients, head_office_time)
        row = outbox.put(packet.packet_id, Lane.CORE, sealer.sealed(packet.encode()))
        return Queued(
            packet_id=str(row.packet_id), lane=row.lane.value, seq=row.seq, size_bytes=row.size, digest=row.digest
        )

    def capture(_prompt: FingerPrompt, timeout_s: float, stop: threading.Event) -> FingerImage | PlaceAgain:
        return finger.capture(timeout_s, stop)

    policy = Policy.of(
        tables.policy,
        capture_timeout_s=settings.scanner.capture_timeout_s,
        send_chip_photo=settings.claim.send_chip_photo,
        draft_lifetime_h=settings.claim.draft_lifetime_h,
        accept_test_identities=settings.agent.accept_test_identities,
    )
    draft_key = DraftKey.create_or_load(settings.agent.state_dir / DRAFT_KEY)
    desk = ClaimDesk(
        Counter(
            read_card=card.read,
            capture=capture,
            matcher=LocalMatcher(settings.matcher.network_file),
            store=DraftStore(database, draft_key),
            audit=audit,
            people=people,
            outbox_put=outbox_put,
            site=site,
            clock=clock,
            tables=tables,
            policy=policy,
            agent_version=__version__,
            random=secrets.token_bytes,
        )
    )

    def tidy() -> None:
        desk.expire()
        _purge(settings.upload.retention_days, database, outbox, audit, device_clock)

    def enrol(url: str, token: str, ca_pem: str | None) -> None:
        _enrol(settings, url, token, ca_pem, device_clock)

    breaker = Breaker(database, random.random)
    rounds = _RoundsOnDemand(
        known.required,
        lambda identity: Uploader(
            outbox,
            _client(settings.upload, identity),
            identity.signer,
            identity.trust,
            device_clock,
            breaker=breaker,
            head_office_time=head_office_time,
            free_disk_bytes=lambda: shutil.disk_usage(settings.agent.state_dir).free,
            versions={"agent": __version__, "tables": tables.version},
            draw=random.random,
        ),
    )
    return Agent(
        Parts(
            station=Station(
                name=settings.site.station,
                zone=settings.site.zone.value,
                language=settings.agent.language.value,
                transport=settings.card.transport.value,
            ),
            card=card,
            finger=finger,
            allow_sam_try=lambda: sam_secrets.get().allow_another_try(),
            readers=board,
            watch=_watch(settings, board),
            database=database,
            outbox=outbox,
            audit=audit,
            people=people,
            desk=desk,
            tables=tables,
            sync=SyncWorker(
                uploader=rounds.get,
                tidy=tidy,
                utc=device_clock.utc,
                poll_s=settings.upload.poll_s,
            ),
            site=site,
            enrol=enrol,
            events=events,
            sign_ins=SignIns(idle_s=settings.api.sign_in_idle_s, monotonic=clock.monotonic),
            clock=clock,
            closing=closing,
        )
    )


# --- identity and head office ---


class _KnownIdentity:
    """The device's identity, read once and again after enrolment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._identity: Identity | None = None

    def get(self) -> Identity | None:
        """None before enrolment; IdentityError when what is there contradicts itself."""
        with self._lock:
            if self._identity is None:
                with contextlib.suppress(NoIdentityError):
                    self._identity = Identity.load(self._folder)
            return self._identity

    def required(self) -> Identity:
        """Raises NotEnrolledError before enrolment."""
        identity = self.get()
        if identity is None:
            raise NotEnrolledError
        return identity


class _RoundsOnDemand:
    """The uploader, made at the first round after enrolment and kept with its connection."""

    def __init__(self, identity: Callable[[], Identity], make: Callable[[Identity], Uploader]) -> None:
        self._identity, self._make = identity, make
        self._uploader: Uploader | None = None

    def get(self) -> Uploader:
        """Called by the sync thread alone. Raises NotEnrolledError."""
        if self._uploader is None:
            self._uploader = self._make(self._identity())
        return self._uploader


def enrol_at_rest(settings: Settings, url: str, token: str, ca_pem: str | None) -> Site:
    """Enrol while no daemon runs, under the database's lock.

    Raises
    ------
    AlreadyEnrolledError, NotSetUpError, HeadOfficeError, SyncError
    """
    agent = build(settings)
    try:
        return agent.enrol(url, token, ca_pem)
    finally:
        agent.close()


def _enrol(settings: Settings, url: str, token: str, ca_pem: str | None, clock: SystemClock) -> None:
    folder = _identity_folder(settings)
    if folder.exists():
        raise AlreadyEnrolledError(str(folder))
    with _ca_file(settings.upload, ca_pem) as ca_file:
        enrolment.enrol(
            url=url,
            token=token,
            ca_file=ca_file,
            device_serial=settings.agent.device_serial or socket.gethostname(),
            folder=folder,
            now=clock.utc(),
            connect=lambda address, authority: HeadOfficeClient(
                address, authority, timeouts=_timeouts(settings.upload)
            ),
        )
    happening(_log, logging.INFO, "enrolled", url=url)


@contextlib.contextmanager
def _ca_file(upload: UploadSection, ca_pem: str | None) -> Iterator[Path]:
    """The authority as a file, which is what the HTTP client takes."""
    if ca_pem is None:
        if upload.ca_file is None:
            raise NotSetUpError("upload.ca_file, or --ca-file")
        yield upload.ca_file
        return
    with tempfile.NamedTemporaryFile("w", suffix=".pem", encoding="ascii") as file:
        file.write(ca_pem)
        file.flush()
        yield Path(file.name)


def _client(upload: UploadSection, identity: Identity) -> HeadOfficeClient:
    return HeadOfficeClient(
        upload.url or identity.facts.url,
        upload.ca_file or identity.ca_certificate,
        identity.tls_certificate,
        identity.tls_key,
        _timeouts(upload),
    )


def _timeouts(upload: UploadSection) -> Timeouts:
    return Timeouts(connect_s=upload.connect_timeout_s, read_s=upload.read_timeout_s)


def _identity_folder(settings: Settings) -> Path:
    return settings.agent.state_dir / IDENTITY_FOLDER


def _purge(retention_days: int | None, database: Database, outbox: Outbox, audit: AuditLog, clock: SystemClock) -> None:
    """Erase sealed copies whose receipt is older than the retention; with no days set, nothing is ever erased."""
    if retention_days is None:
        return
    before = clock.utc() - timedelta(days=retention_days)
    while True:
        with database.transaction():
            gone = outbox.purge(before)
            if not gone:
                return
            audit.record(Act.PACKET_PURGED, packets=gone)


# --- people ---


@contextlib.contextmanager
def people_at_rest(settings: Settings) -> Iterator[People]:
    """The people of this machine while no daemon runs, under the database's lock. Raises StorageInUseError."""
    settings.agent.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Database(settings.database_file) as database:
        device_clock = SystemClock()
        yield People(database, AgentClock(device_clock, HeadOfficeTime(database, device_clock)))


# --- devices ---


class _SamSecretsOnDemand:
    """The SAM's secrets, read when a card is first read: a machine without them still starts."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.card.sam_secrets_file
        self._refusal_file = settings.agent.state_dir / SAM_REFUSED
        self._lock = threading.Lock()
        self._secrets: SamSecrets | None = None

    def get(self) -> SamSecrets:
        """Raises NotSetUpError, SamSecretsError."""
        with self._lock:
            if self._secrets is None:
                if self._file is None:
                    raise NotSetUpError("card.sam_secrets_file")
                self._secrets = SamSecrets.from_file(self._file, self._refusal_file)
            return self._secrets


def _pair_finder(settings: Settings) -> Callable[[], tuple[CardReader, CardReader]]:
    section = settings.card
    if section.transport is CardTransport.SOCKET:

        def sockets() -> tuple[CardReader, CardReader]:
            if section.card_socket is None or section.sam_socket is None:
                raise NotSetUpError("card.card_socket and card.sam_socket")
            return SocketReader(section.card_socket), SocketReader(section.sam_socket)

        return sockets

    # Loading pyscard opens the PC/SC library; a machine with transport "socket" may have none.
    from drivers.card.pcsc import list_readers, match_reader, open_pair  # noqa: PLC0415

    def readers() -> tuple[CardReader, CardReader]:
        pattern = section.card_reader
        if not pattern:
            names = list_readers()
            sam = match_reader(names, section.sam_reader)
            pattern = match_reader([name for name in names if name != sam], "")
        return open_pair(pattern, section.sam_reader, section.slot_switch)

    return readers


def _watch(settings: Settings, board: ReaderBoard) -> Watch | None:
    if settings.card.transport is CardTransport.SOCKET:
        return None
    from drivers.card.pcsc import ReaderEvent, ReaderEventKind, ReaderWatch  # noqa: PLC0415 - as above

    def take(event: ReaderEvent) -> None:
        match event.kind:
            case ReaderEventKind.SERVICE_UP | ReaderEventKind.SERVICE_DOWN:
                board.service(up=event.kind is ReaderEventKind.SERVICE_UP)
            case ReaderEventKind.READER_ADDED | ReaderEventKind.READER_REMOVED:
                board.reader(event.reader, there=event.kind is ReaderEventKind.READER_ADDED)
            case ReaderEventKind.CARD_INSERTED | ReaderEventKind.CARD_REMOVED:
                board.card(event.reader, there=event.kind is ReaderEventKind.CARD_INSERTED)

    return ReaderWatch(take)


def _scanner_finder(settings: Settings) -> Callable[[], Sequence[ScannerSource]]:
    section = settings.scanner
    match section.driver:
        case ScannerDriver.VIRTUAL:

            def virtual() -> Sequence[ScannerSource]:
                if section.socket is None:
                    raise DeviceNotFoundError("scanner", "look for a scanner", "scanner.socket is not set")
                return find_scanners(virtual_sockets=[section.socket])

            return virtual
