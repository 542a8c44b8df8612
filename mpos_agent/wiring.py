"""Settings → real objects. The only file that names concrete drivers."""

import contextlib
import dataclasses
import functools
import os
import random
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from config.schema import CardTransport, KeyAlgorithm, Settings
from config.tables import Text
from drivers.card.base import CardReader
from drivers.card.discovery import ReaderFinder
from drivers.card.ektp.sam_secrets import SamSecrets
from drivers.card.recorder import Recorder
from drivers.card.socket_reader import SocketReader
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerSource
from drivers.scanner.calibration import Calibration
from drivers.scanner.calibration import load as load_calibration
from drivers.scanner.calibration import save as save_calibration
from drivers.scanner.discovery import Wanted, find_scanners
from mpos_agent import __version__
from mpos_agent.agent import Agent, Parts, Station, Watch
from mpos_agent.audit import Act, AuditLog
from mpos_agent.capture.auto_capture import AutoCapture
from mpos_agent.capture.memory import PictureMemory, in_a_thread
from mpos_agent.claim.counter import Counter, FingerPrompt, Site
from mpos_agent.claim.document_store import DocumentStore
from mpos_agent.claim.draft_store import DraftKey, DraftStore
from mpos_agent.claim.local_matcher import LocalMatcher
from mpos_agent.claim.session import ClaimDesk
from mpos_agent.claim.steps.seal import part_into, queue_into, state_in
from mpos_agent.claim_answers import ClaimAnswers
from mpos_agent.clock import AgentClock
from mpos_agent.damage import Damage
from mpos_agent.devices import CardStation, FingerStation
from mpos_agent.errors import FolderError, NotSetUpError
from mpos_agent.events import EventHub
from mpos_agent.head_office_link import HeadOfficeLink
from mpos_agent.identity_keeper import IdentityKeeper
from mpos_agent.people import People
from mpos_agent.queue_keeper import QueueKeeper
from mpos_agent.reader_board import ReaderBoard
from mpos_agent.rules import Rules
from mpos_agent.scanner_watch import ScannerWatch
from mpos_agent.sign_in import SignIns
from mpos_agent.sync_worker import SyncWorker
from mpos_agent.workshop import Workshop
from sync.commands import CommandName
from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime, SystemClock
from sync.edge.commands import Commands
from sync.edge.database import Database, by_errno
from sync.edge.device_key import KeyStore
from sync.edge.frozen_lanes import FrozenLanes
from sync.edge.head_office_client import Timeouts
from sync.edge.identity_orders import IdentityOrders
from sync.edge.key_stores import KeyStores
from sync.edge.marks import Marks, RoomWatch
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import OutboxRow
from sync.edge.receipts import Receipts
from sync.edge.reserve import Reserve
from sync.edge.sealed_key import Seal
from sync.envelope import Lane
from sync.errors import StorageFullError, StorageReadOnlyError
from sync.keys import Algorithm
from sync.packet import TimeZone

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
    reserve = Reserve(settings.reserve_file)
    database = Database(settings.database_file, reserve=reserve)
    try:
        return _build(settings, database, reserve)
    except BaseException:
        database.close()
        raise


def _build(settings: Settings, database: Database, reserve: Reserve) -> Agent:
    device_clock = SystemClock()
    head_office_time = HeadOfficeTime(database, device_clock)
    clock = AgentClock(device_clock, head_office_time)
    audit, people = AuditLog(database, clock), People(database, clock)

    def settled(row: OutboxRow) -> None:
        assert row.verdict is not None, "what settles a packet is its verdict"
        # A part of a document is no claim; its digest tells which it is.
        claim_id = str(row.packet_id) if row.lane is Lane.CORE else None
        audit.record(Act.PACKET_SETTLED, claim_id=claim_id, digest=row.digest, verdict=row.verdict)

    outbox = Outbox(database, device_clock, on_settled=settled)
    days = settings.upload.retention_days
    queue = QueueKeeper(
        database,
        outbox,
        audit,
        RoomWatch(database, reserve, _marks(settings)),
        None if days is None else timedelta(days=days),
    )
    matcher = LocalMatcher(settings.matcher.network_file)
    rules = Rules(
        database,
        device_clock,
        audit,
        folder=settings.claim.tables_dir,
        site={
            "capture_timeout_s": settings.scanner.capture_timeout_s,
            "send_chip_photo": settings.claim.send_chip_photo,
            "draft_lifetime_h": settings.claim.draft_lifetime_h,
            "accept_test_identities": settings.agent.accept_test_identities,
        },
        threshold=matcher.threshold,
    )
    answers = ClaimAnswers(database, audit, sent_from_here=lambda packet_id: outbox.find(packet_id) is not None)
    orders = IdentityOrders(database, device_clock)
    keeper = IdentityKeeper(
        settings.agent.state_dir / IDENTITY_FOLDER, key_stores(settings), orders, device_clock.utc, random.random
    )
    commands = Commands(
        database,
        device_clock,
        {
            CommandName.POLICY: rules.take_policy,
            CommandName.TABLES: rules.take_tables,
            CommandName.SUPPLEMENT: answers.take_supplement,
            CommandName.DECISION: answers.take_decision,
            CommandName.ROTATE_KEYS: orders.rotate_keys,
            CommandName.DENY: orders.deny,
            CommandName.MOVE: keeper.move,
            **queue.handlers(),
        },
    )
    # Read anew for every checkpoint: the tables change while the program runs.
    versions = {"agent": __version__, "sqlite": database.engine_version, "tables": rules.now.tables.version}
    receipts = Receipts(outbox, frozen=FrozenLanes(database, device_clock), commands=commands, on_trust=keeper.learn)
    link = HeadOfficeLink(
        keeper=keeper,
        url=settings.upload.url,
        ca_file=settings.upload.ca_file,
        timeouts=Timeouts(connect_s=settings.upload.connect_timeout_s, read_s=settings.upload.read_timeout_s),
        device_serial=settings.agent.device_serial or socket.gethostname(),
        outbox=outbox,
        clock=device_clock,
        head_office_time=head_office_time,
        breaker=Breaker(database, random.random),
        free_disk_bytes=reserve.free_bytes,
        storage=queue.mark,
        versions=versions,
        draw=random.random,
        receipts=receipts,
        take_up=queue.take_up,
    )
    closing = threading.Event()
    events = EventHub()
    board = ReaderBoard(events)
    sam_secrets = _SamSecretsOnDemand(settings)
    pair, alone = _recorded(settings, *_reader_finders(settings), utc=device_clock.utc)
    finger = FingerStation(
        _scanner_finder(settings),
        AutoCapture(matcher.quality, PictureMemory(in_a_thread), clock.monotonic),
        closing,
    )

    def sentence(key: str) -> Text:
        # Of the tables that apply now: head office may send newer ones while the program runs.
        return rules.now.tables.text(key)

    def keep_calibration(driver: str, serial: str | None, found: Calibration) -> None:
        # What is measured is the scale; the part of the picture that is used was set by hand and stays.
        before = load_calibration(settings.calibration_dir, driver, serial)
        crop = None if before is None else before.crop
        save_calibration(settings.calibration_dir, driver, serial, dataclasses.replace(found, crop=crop))

    workshop = Workshop(
        finger=finger,
        events=events,
        audit=audit,
        judge=matcher.quality,
        keep=keep_calibration,
        text=sentence,
        today=lambda: clock.now().date(),
        timeout_s=settings.scanner.capture_timeout_s,
        closing=closing,
    )
    card = CardStation(pair=pair, alone=alone, secrets=sam_secrets.get, wait_s=settings.card.wait_s, closing=closing)

    def site() -> Site | None:
        identity = link.identity()
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

    def capture(prompt: FingerPrompt, timeout_s: float, stop: threading.Event) -> FingerImage | PlaceAgain:
        guide = functools.partial(workshop.guide, prompt.claim_id)
        return finger.capture(timeout_s, stop, guide, finger=prompt.finger)

    draft_key = DraftKey.create_or_load(settings.agent.state_dir / DRAFT_KEY)
    desk = ClaimDesk(
        Counter(
            read_card=card.read,
            read_passport=card.read_passport,
            capture=capture,
            matcher=matcher,
            store=DraftStore(database, draft_key),
            documents=DocumentStore(database, draft_key),
            audit=audit,
            people=people,
            outbox_put=queue_into(outbox, link.sealer),
            part_put=part_into(outbox, link.sealer),
            claim_row=state_in(outbox),
            site=site,
            clock=clock,
            tables=rules.now.tables,
            policy=rules.now.policy,
            agent_version=__version__,
            random=secrets.token_bytes,
        )
    )

    def tidy() -> None:
        changed = rules.changed()
        if changed is not None:
            desk.use(tables=changed.tables, policy=changed.policy)
            versions["tables"] = changed.tables.version
        desk.expire()
        desk.pack()
        queue.tidy(head_office_time.at_least(), device_clock.utc())

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
            scanner_watch=ScannerWatch(finger.found, events),
            workshop=workshop,
            database=database,
            damage=Damage(database, outbox).told,
            outbox=outbox,
            queue=queue,
            audit=audit,
            people=people,
            desk=desk,
            answers=answers,
            receipts=receipts,
            sync=SyncWorker(
                uploader=link.uploader,
                tidy=tidy,
                utc=device_clock.utc,
                poll_s=settings.upload.poll_s,
                after_round=link.after_round,
            ),
            keeper=keeper,
            site=site,
            enrol=link.enrol,
            stick=lambda: link.stick(database),
            warm_up=matcher.warm_up,
            events=events,
            sign_ins=SignIns(idle_s=settings.api.sign_in_idle_s, monotonic=clock.monotonic),
            clock=clock,
            closing=closing,
        )
    )


def key_stores(settings: Settings) -> KeyStores:
    """Where this machine's keys are made, and how they are reached."""
    section = settings.identity
    return KeyStores(
        signing=KeyStore(section.key_store.value),
        tls=KeyStore(section.tls_store.value),
        algorithm=Algorithm.ES256 if section.algorithm is KeyAlgorithm.ES256 else Algorithm.EDDSA,
        seal=Seal(section.seal_file),
        pkcs11_module=section.pkcs11_module,
        token_label=section.token_label,
        pin_file=section.pin_file,
    )


def make_folder(folder: Path, mode: int) -> None:
    """Under systemd it is there already, with the right owner; started by hand it is made.

    Raises FolderError, StorageFullError, StorageReadOnlyError.
    """
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        told = by_errno(error, folder, "make")
        raise told if isinstance(told, StorageFullError) else FolderError(f"{folder}: {error.strerror}") from error
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        # Linux makes a disk read-only when it fails; rights do not show it.
        raise StorageReadOnlyError(folder, "write", "the file system is read-only")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise FolderError(f"{folder}: this user may not write there")


# --- while no daemon runs ---


def enrol_at_rest(
    settings: Settings, url: str, token: str, ca_pem: str | None, *, again: bool, leave_waiting: bool
) -> Site:
    """Enrol while no daemon runs, under the database's lock.

    Raises
    ------
    AlreadyEnrolledError, PacketsWaitingError, NotSetUpError, HeadOfficeError, SyncError
    """
    make_folder(settings.agent.state_dir, 0o700)
    agent = build(settings)
    try:
        return agent.enrol(url, token, ca_pem, again=again, leave_waiting=leave_waiting)
    finally:
        agent.close()


@contextlib.contextmanager
def people_at_rest(settings: Settings) -> Iterator[People]:
    """The people of this machine while no daemon runs, under the database's lock. Raises StorageInUseError."""
    make_folder(settings.agent.state_dir, 0o700)
    with Database(settings.database_file) as database:
        device_clock = SystemClock()
        yield People(database, AgentClock(device_clock, HeadOfficeTime(database, device_clock)))


def _marks(settings: Settings) -> Marks:
    section = settings.storage
    return Marks(
        warn_free=section.warn_free_bytes,
        stop_documents_free=section.stop_documents_free_bytes,
        stop_claims_free=section.stop_claims_free_bytes,
        warn_queue=section.warn_queue_bytes,
        stop_documents_queue=section.stop_documents_queue_bytes,
        stop_claims_queue=section.stop_claims_queue_bytes,
    )


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


def _reader_finders(
    settings: Settings,
) -> tuple[Callable[[], tuple[CardReader, CardReader]], Callable[[], CardReader]]:
    """How card and SAM are found, and how a reader is found for cards that need no SAM."""
    section = settings.card
    if section.transport is CardTransport.SOCKET:

        def socket_of(path: Path | None) -> CardReader:
            if path is None:
                raise NotSetUpError("card.card_socket and card.sam_socket")
            return SocketReader(path)

        return (
            lambda: (socket_of(section.card_socket), socket_of(section.sam_socket)),
            lambda: socket_of(section.card_socket),
        )

    # Loading pyscard opens the PC/SC library; a machine with transport "socket" may have none.
    from drivers.card.pcsc import PcscSlots  # noqa: PLC0415

    finder = ReaderFinder(
        PcscSlots(),
        card_pattern=section.card_reader,
        sam_pattern=section.sam_reader,
        slot_switch=section.slot_switch,
    )
    return finder.pair, finder.card_alone


def _recorded(
    settings: Settings,
    pair: Callable[[], tuple[CardReader, CardReader]],
    alone: Callable[[], CardReader],
    *,
    utc: Callable[[], datetime],
) -> tuple[Callable[[], tuple[CardReader, CardReader]], Callable[[], CardReader]]:
    """The same readers, with everything masked written down where the settings name a folder."""
    if settings.card.record_dir is None:
        return pair, alone
    recorder = Recorder(settings.card.record_dir, utc)
    return lambda: recorder.pair(*pair()), lambda: recorder.alone(alone())


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
    wanted = Wanted(
        driver=section.driver.value,
        calibrations=functools.partial(load_calibration, settings.calibration_dir),
        virtual_socket=section.socket,
        uru4000_response_key=section.uru4000.response_key_file,
        zfm_port=section.zfm.port,
        zfm_password_file=section.zfm.password_file,
        uvc_device=section.uvc.device,
        sbi_ports=(section.sbi.first_port, section.sbi.last_port),
        sbi_roots=section.sbi.roots_dir,
        sbi_environment=section.sbi.environment,
        vendor_library=section.vendor.library,
    )
    return functools.partial(find_scanners, wanted)
