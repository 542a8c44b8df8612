"""The agent: owns devices, database, people and open claims. What the local API and the daemon call.

Nothing here knows HTTP, and nothing here names a concrete driver. Every method may be called from any thread;
what waits for a card or a finger ends soon after :meth:`Agent.begin_to_stop`.
"""

import contextlib
import dataclasses
import datetime
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from config.tables import Tables
from drivers.card.ektp.read import ReadStep
from drivers.card.emrtd.read import PassportStep
from drivers.card.errors import SamMissingError
from drivers.errors import DeviceError
from drivers.scanner.base import ScannerInfo
from matcher.errors import MatcherError
from mpos_agent.audit import Act, AuditLog
from mpos_agent.claim.counter import Site
from mpos_agent.claim.document_store import Sent
from mpos_agent.claim.draft_store import Captured
from mpos_agent.claim.findings import Told
from mpos_agent.claim.happened import OpenClaim, Refused, StepOutcome
from mpos_agent.claim.session import ClaimDesk, ClaimSession
from mpos_agent.claim.steps.supplement import Paper
from mpos_agent.claim_answers import ClaimAnswer, ClaimAnswers
from mpos_agent.clock import Clock
from mpos_agent.devices import CardState, CardStation, FingerStation
from mpos_agent.errors import (
    AlreadyEnrolledError,
    DeviceDeniedError,
    NotEnrolledError,
    NotFoundError,
    NotYourClaimError,
    PacketsWaitingError,
    PinLockedError,
    StoppingError,
    WrongPinError,
    WrongRoleError,
)
from mpos_agent.events import EventHub, EventKind
from mpos_agent.identity_keeper import BOTH, IdentityKeeper, IdentityReport
from mpos_agent.log import happening
from mpos_agent.outcomes import Outcome, outcome_of
from mpos_agent.people import People, Person, Refusal, Role, SignIn
from mpos_agent.queue_keeper import QueueKeeper
from mpos_agent.reader_board import ReaderBoard
from mpos_agent.sign_in import SignedIn, SignIns
from mpos_agent.sync_worker import LastRound, SyncWorker
from mpos_agent.workshop import Workshop
from sync.checkpoint import StorageMark
from sync.document_part import FIRST_SUPPLEMENT, packet_id
from sync.edge.database import Database
from sync.edge.frozen_lanes import FrozenLane
from sync.edge.identity_orders import Denied
from sync.edge.marks import Room
from sync.edge.outbox import NewChain, Outbox
from sync.edge.outbox_row import OutboxRow, RowState
from sync.edge.receipts import Receipts
from sync.edge.stick import Exported, Position, ReceiptTaken, Stick
from sync.edge.uploader import RoundResult
from sync.envelope import Lane
from sync.errors import SyncError
from sync.packet import Declaration, Relation, Segment
from sync.receipt import Verdict

_log = logging.getLogger(__name__)

# One round may take a read time-out (60 s by default) when head office hangs; systemd waits 90 s in all.
_LAST_ROUND_S = 70.0
# Loading the network takes a second, on a machine that swaps many.
_LAST_LOADING_S = 30.0
# Somebody waits at a terminal: longer than a slow line's round, shorter than patience.
_ROUND_NOW_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How the queue stands."""

    waiting: int
    accepted: int
    held: int
    """Stored at head office and set apart there, with a reason: on nobody's desk until somebody looks."""
    refused: int
    oldest_waiting_s: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SentDocument:
    """One document of a claim that was sent, and how far its parts have come."""

    sent: Sent
    queued: int
    """Parts in the queue or beyond; the others are still in their boxes."""
    accepted: int
    """Parts head office has signed for."""
    held: int
    """Parts stored at head office and set apart there."""
    refused: int
    """Parts head office did not take and never will as they are; they are kept here."""

    @classmethod
    def of(cls, sent: Sent, rows: Sequence[OutboxRow]) -> "SentDocument":
        """From the rows of those parts that are in the queue."""
        return cls(
            sent=sent,
            queued=len(rows),
            accepted=sum(row.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE) for row in rows),
            held=sum(row.verdict is Verdict.QUARANTINED for row in rows),
            refused=sum(row.state is RowState.DEAD for row in rows),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """Readers and scanners as they are right now."""

    transport: str
    readers: tuple[str, ...]
    card: CardState
    card_present: bool | None
    sam_problem: DeviceError | None
    """The slot is there but nothing answers in it, as far as anybody reports on it."""
    scanners: tuple[ScannerInfo, ...]
    scanner_problem: DeviceError | None


class Watch(Protocol):
    """Something that reports readers and cards from a thread of its own."""

    def start(self) -> None:
        """Begin to report."""

    def stop(self) -> None:
        """End; safe to call twice."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What the settings say of this counter."""

    name: str
    zone: str
    language: str
    transport: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimWish:
    """What a claim is opened for."""

    programme: str
    reason_code: str
    segment: Segment
    relation: Relation = Relation.SELF
    ticket: str | None = None


class Enrol(Protocol):
    """Turns a token into an identity: :meth:`mpos_agent.head_office_link.HeadOfficeLink.enrol`."""

    def __call__(self, url: str, token: str, ca_pem: str | None, *, again: bool, leave_waiting: bool) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an agent is made of; put together in ``wiring``."""

    station: Station
    card: CardStation
    finger: FingerStation
    allow_sam_try: Callable[[], None]
    readers: ReaderBoard
    watch: Watch | None
    """None where nobody reports on readers (sockets instead of the card service)."""
    scanner_watch: Watch
    workshop: Workshop
    database: Database
    damage: Callable[[], tuple[Outcome, ...]]
    """Damage on the disk that is there now."""
    outbox: Outbox
    queue: QueueKeeper
    audit: AuditLog
    people: People
    desk: ClaimDesk
    answers: ClaimAnswers
    receipts: Receipts
    sync: SyncWorker
    keeper: IdentityKeeper
    site: Callable[[], Site | None]
    enrol: Enrol
    stick: Callable[[], Stick]
    """Raises NotEnrolledError until there is an identity."""
    warm_up: Callable[[], None]
    """Loads the matcher's network; MatcherError."""
    events: EventHub
    sign_ins: SignIns
    clock: Clock
    closing: threading.Event
    """Set once, when the agent begins to stop: every wait ends."""


class Agent:
    """One agent. Start it, call it, stop it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.people: People = parts.people
        self.events: EventHub = parts.events
        self.sign_ins: SignIns = parts.sign_ins
        self.workshop: Workshop = parts.workshop
        self.started_at = parts.clock.now()
        self._closed = False
        self._warming = threading.Thread(target=self._warm_up, name="warm-up", daemon=True)
        parts.sync.tell(self.round_ended)

    # --- life ---

    def start(self) -> None:
        """Begin to watch readers and to carry the queue. Missing devices and networks are no reason to fail."""
        parts = self._parts
        # On a full disk, too: the agent starts to deliver what waits.
        parts.database.drain(lambda _: parts.audit.record(Act.STARTED))
        for damage in parts.damage():
            # At every start: what the file holds is lost only when people stop being reminded of it.
            happening(_log, logging.CRITICAL, "damage", code=damage.code)
        if parts.watch is not None:
            parts.watch.start()
        parts.scanner_watch.start()
        parts.sync.start()
        # Loading takes a second: now, not while the first member holds a finger on the glass.
        self._warming.start()

    def begin_to_stop(self) -> None:
        """End every wait for a card or a finger and every event stream; new steps are refused from now on."""
        self._parts.closing.set()
        self.events.close()

    def stop(self) -> None:
        """Let the running round end, stop watching. Nothing is lost when it does not end in time."""
        self.begin_to_stop()
        if not self._parts.sync.stop(_LAST_ROUND_S):
            happening(_log, logging.WARNING, "round_cut_off", after_s=_LAST_ROUND_S)
        if self._parts.watch is not None:
            self._parts.watch.stop()
        self._parts.scanner_watch.stop()
        if self._warming.ident is not None:
            # A library that is still loading while Python goes down aborts the process.
            self._warming.join(_LAST_LOADING_S)

    def close(self) -> None:
        """Wipe what is held, release devices, close the database; safe to call twice."""
        parts = self._parts
        parts.closing.set()
        parts.desk.close()
        parts.finger.close()
        if not self._closed:
            self._closed = True
            with contextlib.suppress(SyncError):
                parts.audit.record(Act.STOPPED)
        parts.database.close()

    def alive(self) -> bool:
        """Whether the threads that must run do run."""
        return self._parts.closing.is_set() or self._parts.sync.alive()

    def storage_trouble(self) -> SyncError | None:
        """Why the database can no longer be trusted until it is opened again; None while it can."""
        try:
            self._parts.database.read("SELECT 1")
        except SyncError as error:
            return error
        return None

    def open_storage_again(self) -> None:
        """After a failed disk: close the database, read it from the disk again, check it; go on, or set it aside.

        Raises StorageError when the disk failed again, or too often: somebody else has to look.
        """
        self._parts.queue.open_again()

    def one_line(self) -> str:
        """For ``systemctl status``."""
        queue, last = self.queue(), self._parts.sync.last()
        told = "-" if last.problem is None else last.problem.code
        line = f"{queue.waiting} waiting, {queue.held} held, {queue.refused} refused, last trouble {told}"
        mark = self._parts.queue.mark()
        room = [] if mark is StorageMark.OK else [f"DISK {mark}"]
        return "; ".join([*(f"DAMAGE {one.code}" for one in self.damage()), *room, line])

    # --- the machine ---

    def damage(self) -> tuple[Outcome, ...]:
        """Damage on the disk that somebody has to see to; nothing when all is well."""
        return self._parts.damage()

    @property
    def site(self) -> Site | None:
        """Where head office says this device stands; None until enrolled."""
        return self._parts.site()

    @property
    def tables(self) -> Tables:
        """The tables that apply to claims opened now."""
        return self._parts.desk.tables

    @property
    def station(self) -> Station:
        """What the settings say of this counter."""
        return self._parts.station

    @property
    def clock_trusted(self) -> bool:
        """Whether head office has confirmed the wall clock."""
        return self._parts.clock.trusted

    def now(self) -> datetime.datetime:
        """Wall time, UTC."""
        return self._parts.clock.now()

    def devices(self) -> DeviceReport:
        """Readers and scanners; opens none."""
        parts = self._parts
        card = parts.card.state()
        scanners: tuple[ScannerInfo, ...] = ()
        problem: DeviceError | None = None
        try:
            scanners = parts.finger.found()
        except DeviceError as error:
            problem = error
        return DeviceReport(
            transport=parts.station.transport,
            readers=tuple(sorted({*parts.readers.names(), *filter(None, (card.card_reader, card.sam_reader))})),
            card=card,
            card_present=parts.readers.card_on(card.card_reader),
            sam_problem=self._sam_problem(card),
            scanners=scanners,
            scanner_problem=problem,
        )

    def _sam_problem(self, card: CardState) -> DeviceError | None:
        # Where one reader switches between card and SAM, what lies in it says nothing of the SAM.
        if card.sam_reader is None or card.sam_reader == card.card_reader:
            return None
        if self._parts.readers.card_on(card.sam_reader) is not False:
            return None
        return SamMissingError(card.sam_reader, "look for the SAM", "the slot is empty")

    def allow_sam_try(self) -> None:
        """The technician's word that SAM and secrets belong together now; DeviceError when they cannot be read."""
        self._parts.allow_sam_try()

    def room(self) -> Room:
        """How much is left on the disk, and what follows from it."""
        return self._parts.queue.room()

    def new_epoch(self, lane: Lane) -> NewChain:
        """Let a lane begin a new chain, after somebody has seen to why head office froze the old one.

        What is sealed stays where it is and is delivered under its own epoch.
        """
        self._refuse_when_stopping()
        begun = self._parts.queue.new_epoch(lane)
        self._parts.sync.wake()
        return begun

    def queue(self) -> QueueCounts:
        """Waiting, accepted, held, refused, and how old the oldest waiting packet is."""
        lanes = self._parts.outbox.counts()
        oldest = min((lane.oldest_ready_at for lane in lanes if lane.oldest_ready_at is not None), default=None)
        return QueueCounts(
            waiting=sum(lane.ready for lane in lanes),
            accepted=sum(lane.acked + lane.purged - lane.held for lane in lanes),
            held=sum(lane.held for lane in lanes),
            refused=sum(lane.dead for lane in lanes),
            oldest_waiting_s=None if oldest is None else max(0.0, (self.now() - oldest).total_seconds()),
        )

    def frozen(self) -> tuple[FrozenLane, ...]:
        """Lanes in which head office accepts nothing more until somebody there has looked."""
        return self._parts.receipts.frozen()

    def answer(self, claim_id: str) -> ClaimAnswer | None:
        """What head office asked for or decided of a claim that was sent from here."""
        return self._parts.answers.of(claim_id)

    def asking(self) -> tuple[ClaimAnswer, ...]:
        """Claims head office waits for documents of, without those whose documents were all sent since."""
        return tuple(answer for answer in self._parts.answers.asking() if self.still_asked(answer))

    def still_asked(self, answer: ClaimAnswer) -> tuple[str, ...]:
        """The documents asked for that were not added to the claim yet, by code."""
        if answer.asked is None:
            return ()
        added = {
            sent.type_code
            for sent in self._parts.desk.sent_documents(answer.claim_id)
            if sent.index >= FIRST_SUPPLEMENT
        }
        return tuple(code for code in answer.asked.documents if code not in added)

    def outbox_rows(self, most: int) -> list[OutboxRow]:
        """The newest rows, without their envelopes."""
        return self._parts.outbox.rows(most=most) if most else []

    def last_round(self) -> LastRound:
        """What the last round with head office came to."""
        return self._parts.sync.last()

    def sync_now(self) -> LastRound:
        """Make a round now and wait for it."""
        self._refuse_when_stopping()
        return self._parts.sync.round_now(_ROUND_NOW_S)

    def next_stick_file(self, after: Position) -> Exported | None:
        """The next file of an export to a stick; None when everything waiting is out. The queue does not change.

        Raises NotEnrolledError, SyncError.
        """
        self._refuse_when_stopping()
        made = self._parts.stick().next_file(after)
        if made is not None:
            self._parts.audit.record(Act.STICK_EXPORTED, packets=made.packets, size=len(made.body))
        return made

    def bring_receipt(self, receipt: bytes) -> ReceiptTaken:
        """Take over a receipt that came back on a stick.

        Raises ReceiptError, StickUnanswerableError, NotEnrolledError, SyncError.
        """
        self._refuse_when_stopping()
        taken = self._parts.stick().bring(receipt)
        if taken.answer is not None:
            settlement = taken.answer.settlement
            self._settled(settlement.acked)
            if settlement.acked or settlement.dead:
                self._queue_changed()
        return taken

    def identity(self) -> IdentityReport | None:
        """What may be shown of this device's identity; None before enrolment.

        Raises IdentityError, DeviceKeyError, KeyStoreError when it cannot be trusted or reached.
        """
        return self._parts.keeper.report()

    def denied(self) -> Denied | None:
        """Why head office lets this device begin no new claim; None when it does."""
        return self._parts.keeper.orders.denied()

    def renew_identity(self, *, new_keys: bool) -> IdentityReport:
        """Renew the certificates now, with new keys where asked, and wait for it.

        Raises
        ------
        NotEnrolledError
            There is no identity.
        HeadOfficeError, SyncError
            Why it did not work; the identity is as it was.
        """
        self._refuse_when_stopping()
        keeper = self._parts.keeper
        if keeper.identity() is None:
            raise NotEnrolledError
        keeper.ask(BOTH if new_keys else frozenset())
        self._parts.sync.round_now(_ROUND_NOW_S)
        if (problem := keeper.problem()) is not None:
            raise problem
        report = keeper.report()
        assert report is not None, "an identity does not go away"
        self._parts.audit.record(Act.IDENTITY_RENEWED)
        return report

    def enrol(
        self, url: str, token: str, ca_pem: str | None, *, again: bool = False, leave_waiting: bool = False
    ) -> Site:
        """Turn a one-time token into this device's identity, with ``again`` into another one.

        Raises
        ------
        AlreadyEnrolledError
            There is one, and ``again`` was not said: a second would orphan what is queued.
        PacketsWaitingError
            Something is queued that it would orphan, and ``leave_waiting`` was not said.
        HeadOfficeError, SyncError
            By cause.
        """
        if not again and self._parts.site() is not None:
            raise AlreadyEnrolledError
        if again and not leave_waiting:
            self._parts.desk.pack()
            unqueued = self._parts.desk.unqueued_parts()
            if unqueued:
                raise PacketsWaitingError(f"{unqueued} parts of documents, not in the queue yet")
        self._parts.enrol(url, token, ca_pem, again=again, leave_waiting=leave_waiting)
        self._parts.audit.record(Act.ENROLLED)
        self._parts.sync.wake()
        site = self._parts.site()
        assert site is not None, "enrolment leaves an identity or raises"
        return site

    # --- people ---

    def add_person(self, person_id: str, pin: str, roles: Collection[Role], name: str) -> Person:
        """Add somebody, or give them a new PIN; PersonError says what is wrong with it."""
        person = self.people.add(person_id, pin, roles, name)
        self._parts.audit.record(Act.PERSON_ADDED, person_id=person.person_id)
        return person

    def remove_person(self, person_id: str) -> Person:
        """Take somebody off this machine; NotFoundError when they are not there."""
        person = self.people.find(person_id)
        if person is None or not self.people.remove(person_id):
            raise NotFoundError(f"there is nobody {person_id}")
        self.sign_ins.forget(person.person_id)
        self._parts.audit.record(Act.PERSON_REMOVED, person_id=person.person_id)
        return person

    def sign_in(self, person_id: str, pin: str, caller: str) -> tuple[str, Person]:
        """Check a PIN; gives the token for later requests.

        Raises
        ------
        WrongPinError, PinLockedError, WrongRoleError
        """
        shown = self.people.authenticate(person_id, pin, Role.OPERATOR)
        known = self.people.find(person_id)
        if shown.person is None:
            assert shown.refusal is not None, "a person or a refusal"
            self._parts.audit.record(
                Act.SIGN_IN_REFUSED, person_id=known.person_id if known else None, refusal=shown.refusal
            )
            raise self._not_let_in(shown)
        person = shown.person
        self._parts.audit.record(Act.SIGNED_IN, person_id=person.person_id)
        return self.sign_ins.enter(SignedIn(person.person_id, caller)), person

    def sign_out(self, token: str, who: SignedIn) -> None:
        """Forget a sign-in."""
        self.sign_ins.leave(token)
        self._parts.audit.record(Act.SIGNED_OUT, person_id=who.person_id)

    # --- claims ---

    def open_claims(self) -> tuple[OpenClaim, ...]:
        """Claims that were begun and not finished; no personal data."""
        return self._parts.desk.open_claims()

    def start_claim(self, who: SignedIn, wish: ClaimWish) -> ClaimSession | Refused:
        """Open a claim, or say what keeps it from being one.

        Raises NotEnrolledError, DeviceDeniedError, StorageLowError.
        """
        self._refuse_when_stopping()
        self._parts.queue.refuse_new_claims()
        if (denied := self.denied()) is not None:
            raise DeviceDeniedError(denied.reason)
        opened = self._parts.desk.start(
            operator_id=who.person_id,
            programme=wish.programme,
            reason=wish.reason_code,
            segment=wish.segment,
            relation=wish.relation,
            ticket=wish.ticket,
        )
        if isinstance(opened, ClaimSession):
            self._moved(opened)
        return opened

    def claim(self, claim_id: str, who: SignedIn, *, supervisor_may: bool = False) -> ClaimSession:
        """A claim that is open, or was queued a moment ago, for looking at it.

        Raises
        ------
        NotFoundError, DraftUnreadableError
        NotYourClaimError
            Somebody else opened it, and ``who`` is no supervisor where that would do.
        """
        session = self._parts.desk.get(claim_id)
        if session.operator_id != who.person_id:
            person = self.people.find(who.person_id)
            if not (supervisor_may and person is not None and person.may(Role.SUPERVISOR)):
                raise NotYourClaimError
        return session

    def step(
        self, claim_id: str, who: SignedIn, act: Callable[[ClaimSession], StepOutcome], *, supervisor_may: bool = False
    ) -> StepOutcome:
        """Do one step of a claim and tell everybody who listens that it moved. Raises what the step raises."""
        self._refuse_when_stopping()
        session = self.claim(claim_id, who, supervisor_may=supervisor_may)
        try:
            return act(session)
        finally:
            self._moved(session)

    def read_card(self, claim_id: str, who: SignedIn) -> StepOutcome:
        """Wait for the member's card and read it. DeviceError by cause."""

        def progress(step: ReadStep) -> None:
            self.events.publish(EventKind.CARD_PROGRESS, claim_id=claim_id, step=step.value, fraction=step.fraction)

        return self.step(claim_id, who, lambda session: session.read_card(progress))

    def read_passport(self, claim_id: str, who: SignedIn, fields: Mapping[str, Any]) -> StepOutcome:
        """Wait for a passport and read it, opened with what ``fields`` say. DeviceError by cause."""

        def progress(step: PassportStep) -> None:
            self.events.publish(EventKind.CARD_PROGRESS, claim_id=claim_id, step=step.value, fraction=step.fraction)

        return self.step(claim_id, who, lambda session: session.read_passport(fields, progress))

    def capture_finger(self, claim_id: str, who: SignedIn) -> StepOutcome:
        """One attempt with the finger the prompt names. DeviceError by cause."""

        def progress(doing: str) -> None:
            self.events.publish(EventKind.FINGER, claim_id=claim_id, doing=doing)

        outcome = self.step(claim_id, who, lambda session: session.capture_finger(progress))
        hints = outcome.details.get("hints", ())
        self.events.publish(
            EventKind.FINGER,
            claim_id=claim_id,
            doing="result",
            happened=outcome.happened,
            quality=outcome.details.get("quality"),
            hints=tuple(hint["code"] for hint in hints),
            text_id=" ".join(hint["id"] for hint in hints) or (outcome.text.id if outcome.text else None),
            text_en=" ".join(hint["en"] for hint in hints) or (outcome.text.en if outcome.text else None),
        )
        return outcome

    def confirm(self, claim_id: str, who: SignedIn, *, member_confirms: bool, declaration: Declaration) -> StepOutcome:
        """Seal and queue, then send it at once where there is a line."""
        outcome = self.step(
            claim_id,
            who,
            lambda session: session.confirm(member_confirms=member_confirms, declaration=declaration),
        )
        if outcome.accepted:
            self._queue_changed()
            self._parts.sync.wake()
        return outcome

    @property
    def document_limit(self) -> int:
        """The largest scanned file, in bytes."""
        return int(self.tables.policy["document_bytes"])

    def attach(self, claim_id: str, who: SignedIn, number: int, content: bytes) -> StepOutcome:
        """Keep a scanned file of an open claim. Raises what a step raises, StorageLowError where no more are taken."""
        self._parts.queue.refuse_new_documents()
        return self.step(claim_id, who, lambda claim: claim.attach(number, content))

    def supplement(
        self, claim_id: str, who: SignedIn, *, paper: Paper, content: bytes
    ) -> tuple[Told, ...] | dict[str, Any]:
        """Add a document to a claim that was sent from here; what blocks, or the facts of what will be sent.

        Raises NotFoundError, NotNowError, StorageLowError.
        """
        self._refuse_when_stopping()
        self._parts.queue.refuse_new_documents()
        done = self._parts.desk.supplement(claim_id, operator_id=who.person_id, paper=paper, content=content)
        self._parts.sync.wake()
        self._queue_changed()
        return done

    def sent_documents(self, claim_id: str) -> tuple[SentDocument, ...]:
        """The documents of a claim that was queued here, and how far each has come; NotFoundError."""
        if self._parts.desk.captured(claim_id) is None:
            raise NotFoundError(f"no claim {claim_id} was queued here")
        return tuple(self._how_far(claim_id, one) for one in self._parts.desk.sent_documents(claim_id))

    def _how_far(self, claim_id: str, one: Sent) -> SentDocument:
        found = [
            self._parts.outbox.find(packet_id(UUID(claim_id), one.index, part)) for part in range(1, one.parts + 1)
        ]
        return SentDocument.of(one, [row for row in found if row is not None])

    def slip(self, claim_id: str) -> tuple[Captured, OutboxRow | None]:
        """The slip of a queued claim, and its row in the queue with the receipt; NotFoundError."""
        captured = self._parts.desk.captured(claim_id)
        if captured is None:
            raise NotFoundError(f"no claim {claim_id} was queued here")
        return captured, self._parts.outbox.find(UUID(claim_id))

    def stop_waiting_for_card(self) -> None:
        """Whoever asked for the card has gone."""
        self._parts.card.interrupt()

    def stop_waiting_for_finger(self) -> None:
        """Whoever asked for the finger has gone."""
        self._parts.finger.interrupt()

    # --- what other threads report ---

    def round_ended(self, result: RoundResult) -> None:
        """Called by the sync thread after a round with head office."""
        self._settled(result.acked)
        cause = result.cause.value if result.cause else None
        self.events.publish(EventKind.SYNC, outcome=result.outcome.value, cause=cause, sent=result.sent)
        if result.acked or result.dead:
            self._queue_changed()

    def _settled(self, rows: Iterable[OutboxRow]) -> None:
        for row in rows:
            self.events.publish(
                EventKind.RECEIPT,
                packet_id=str(row.packet_id),
                receipt_no=row.receipt_no,
                verdict=row.verdict.value if row.verdict else None,
                reason=row.reason,
            )

    def _warm_up(self) -> None:
        try:
            self._parts.warm_up()
        except MatcherError as error:
            # Claims can still be made by hand; the first finger will say it again to the operator.
            happening(_log, logging.ERROR, "matcher_not_loaded", code=outcome_of(error).code)

    def _moved(self, session: ClaimSession) -> None:
        prompt = session.next_prompt
        self.events.publish(
            EventKind.CLAIM,
            claim_id=session.claim_id,
            state=session.state.value,
            next=prompt.step,
            text_id=prompt.text.id,
            text_en=prompt.text.en,
        )
        happening(_log, logging.INFO, "claim", id=session.claim_id, state=session.state, next=prompt.code)

    def _queue_changed(self) -> None:
        queue = self.queue()
        self.events.publish(
            EventKind.QUEUE,
            waiting=queue.waiting,
            accepted=queue.accepted,
            held=queue.held,
            refused=queue.refused,
        )

    def _refuse_when_stopping(self) -> None:
        if self._parts.closing.is_set():
            raise StoppingError

    def _not_let_in(self, shown: SignIn) -> WrongPinError | PinLockedError | WrongRoleError:
        match shown.refusal:
            case Refusal.LOCKED:
                left = (shown.locked_until - self.now()).total_seconds() if shown.locked_until else 0
                return PinLockedError(f"wait {max(left, 0) / 60:.0f} min")
            case Refusal.WRONG_ROLE:
                return WrongRoleError()
            case _:
                return WrongPinError(f"{shown.attempts_left} tries left" if shown.attempts_left else "")
