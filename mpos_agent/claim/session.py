"""One claim at one counter: runs a step, then moves the state, saves the draft and writes the audit row.

The step runs with no transaction open; what it tells is then saved in one short transaction, so that a power
cut resumes at the last finished step. Only this file calls :func:`~mpos_agent.claim.states.next_state`.

    desk = ClaimDesk(counter)
    claim = desk.start(operator_id=…, programme="JHT", reason="RESIGN", segment=Segment.PU)
    claim.consent(given=True, method=ConsentMethod.READ_ALOUD)
    claim.read_card(progress)
    claim.capture_finger(progress)      # again as long as claim.next_prompt.step says so
    claim.photo_check(PhotoCompare.SAME)
    claim.documents([{"type": "KPJ_CARD"}])
    claim.form({"kpj": …})
    claim.summary()
    claim.confirm(member_confirms=True)  # sealed, queued, draft deleted: one commit

Every step gives a :class:`StepOutcome`. What the person can put right is in ``outcome.blocks``; what a device
did raises DeviceError once it is recorded; a step that is not possible now raises NotNowError.
"""

import contextlib
import datetime
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from config.tables import Tables
from mpos_agent.audit import Act, Fact
from mpos_agent.claim.counter import CardProgress, Counter, FingerProgress, PassportProgress
from mpos_agent.claim.document_store import Sent
from mpos_agent.claim.draft import ClaimDraft, FallbackCode, TrailEntry, WithdrawReason
from mpos_agent.claim.draft_store import Captured
from mpos_agent.claim.errors import DraftUnreadableError, NotNowError
from mpos_agent.claim.findings import Block, Caution, Found, Told, blocks, told
from mpos_agent.claim.happened import Happened, OpenClaim, Prompt, Refused, Slip, StepOutcome
from mpos_agent.claim.held_biometrics import HeldBiometrics, Schedule, threading_schedule
from mpos_agent.claim.policy import CallSecondPerson, Policy, TryFinger, next_try
from mpos_agent.claim.procedure import BY_NAME, next_prompt
from mpos_agent.claim.states import FINAL, Event, State, can_happen, next_state
from mpos_agent.claim.steps import (
    attach,
    confirm,
    consent,
    documents,
    fallback,
    form,
    identify,
    passport,
    photo_check,
    seal,
    start,
    supplement,
    verify,
)
from mpos_agent.claim.steps.slip import slip_of
from mpos_agent.claim.view import view_of
from mpos_agent.errors import ClaimBusyError, NotFoundError
from mpos_agent.log import happening
from sync.errors import NotEnrolledError, StorageFullError
from sync.packet import (
    ConsentMethod,
    Declaration,
    IdentitySource,
    PhotoCompare,
    Purpose,
    Relation,
    Segment,
)

_log = logging.getLogger(__name__)

# A waiting device looks at the stop event several times a second; a read in progress takes ten seconds.
_STEP_ENDS_S: Final = 15.0
# So that the slip of a claim that was just queued can still be shown.
_FINISHED_KEPT: Final = 20


def pack_documents(counter: Counter) -> None:
    """Put the parts of confirmed documents into the queue. One that cannot be read is told and keeps no other back."""
    site = counter.site()
    if site is None:
        return

    def is_ours(claim_id: str) -> bool:
        # What was made under a former enrolment waits for that one, as its claim does.
        captured = counter.store.captured(claim_id)
        return captured is None or captured.slip["device_id"] == site.device_id

    for claim_id in counter.documents.pack(site.device_id, counter.part_put, is_ours):
        counter.audit.record(Act.DOCUMENTS_UNREADABLE, claim_id=claim_id)
        happening(_log, logging.ERROR, "documents_unreadable", claim=claim_id)
    counter.documents.sweep()


def _unwatched(_: object) -> None:
    """Progress nobody looks at."""


class ClaimSession:
    """One claim, made by :class:`ClaimDesk`. Any thread may call; a second call meanwhile is told to wait."""

    def __init__(self, draft: ClaimDraft, counter: Counter, held: HeldBiometrics) -> None:
        self._draft, self._counter, self._held = draft, counter, held
        self._working = threading.Lock()
        self._stop = threading.Event()
        self._slip: Slip | None = None

    @property
    def claim_id(self) -> str:
        """UUID, time-ordered; also the packet's id."""
        return self._draft.claim_id

    @property
    def state(self) -> State:
        """What is already true of the claim."""
        return self._draft.state

    @property
    def operator_id(self) -> str:
        """Who opened it."""
        return self._draft.operator_id

    @property
    def next_prompt(self) -> Prompt:
        """What is to be done next, with the words to say."""
        return self._prompt(self._draft)

    @property
    def slip(self) -> Slip | None:
        """The member's slip, once the claim is queued."""
        return self._slip

    # --- the steps, in the order of procedure.py ---

    def consent(self, *, given: bool, method: ConsentMethod) -> StepOutcome:
        """Record the member's answer to the notice (``tables.consent``); it may be changed until the finger matched."""
        return self._run(
            "consent",
            lambda draft: consent.run(draft, self._counter, given=given, method=method),
            needs=Event.CONSENT_GIVEN if given else Event.CONSENT_REFUSED,
        )

    def read_card(self, progress: CardProgress = _unwatched) -> StepOutcome:
        """Wait for a card and read it. Raises DeviceError by cause, after the tap was counted."""
        return self._run(
            "read_card",
            lambda draft: identify.read_chip(draft, self._counter, self._held, progress=progress, stop=self._stop),
        )

    def give_chip_up(self, code: FallbackCode) -> StepOutcome:
        """Go on without the chip: NO_CHIP at once; CHIP_UNREADABLE or CHIP_AUTH_FAIL after the allowed taps;
        DEVICE_DEGRADED after the reader failed. Then :meth:`identity_by_hand`."""
        return self._run("give_chip_up", lambda draft: identify.give_chip_up(draft, self._counter, code=code))

    def identity_by_hand(self, source: IdentitySource, fields: Mapping[str, Any]) -> StepOutcome:
        """Identity from papers: ``nik`` or ``identity_no``, ``name``, ``birth_place``, ``birth_date``, ``sex``,
        ``address``, ``nationality``. A second person follows."""

        def typed(draft: ClaimDraft) -> Happened:
            self._refuse_after_chip("identity_by_hand", draft)
            happened = identify.typed(draft, self._counter, source=source, fields=fields)
            if happened.event is not None:
                # A passport's photo is of whoever its chip named, not of whoever is typed.
                self._held.wipe(self.claim_id)
            return happened

        return self._run("identity_by_hand", typed)

    def read_passport(self, fields: Mapping[str, Any], progress: PassportProgress = _unwatched) -> StepOutcome:
        """Wait for a passport and read it: ``mrz`` (the printed zone, typed or scanned), or ``document_number``,
        ``birth_date`` and ``expiry_date`` from its data page. A second person follows. Raises DeviceError by cause."""

        def read(draft: ClaimDraft) -> Happened:
            self._refuse_after_chip("read_passport", draft)
            return passport.run(draft, self._counter, self._held, fields=fields, progress=progress, stop=self._stop)

        return self._run("read_passport", read)

    @staticmethod
    def _refuse_after_chip(name: str, draft: ClaimDraft) -> None:
        """Attempts and photo of a claim are of the card that was read; another person is another claim."""
        if draft.identity_source is IdentitySource.CHIP:
            raise NotNowError(name, f"{draft.state.value}, with a card read")

    def capture_finger(self, progress: FingerProgress = _unwatched) -> StepOutcome:
        """One attempt with the finger the prompt names. Raises DeviceError when the scanner fails; what was
        held of the card is wiped then, and the same card is asked for again."""

        def attempt(draft: ClaimDraft) -> Happened:
            following = next_try(draft.chip.fingers if draft.chip else (), draft.attempts, self._policy)
            if not isinstance(following, TryFinger):
                raise NotNowError("capture_finger", f"{draft.state.value}, with every finger tried")
            return verify.run(draft, self._counter, self._held, asked=following, progress=progress, stop=self._stop)

        return self._run("capture_finger", attempt)

    def fallback(
        self, *, code: FallbackCode, reason: str, supervisor_id: str | None, pin: str, photo_compare: PhotoCompare
    ) -> StepOutcome:
        """A second person countersigns with their own PIN. ``supervisor_id`` None: pending, field sites only."""
        return self._run(
            "fallback",
            lambda draft: fallback.run(
                draft,
                self._counter,
                code=code,
                reason=reason,
                supervisor_id=supervisor_id,
                pin=pin,
                photo_compare=photo_compare,
                shown=self._photo_was_shown(),
            ),
        )

    def photo_check(self, answer: PhotoCompare) -> StepOutcome:
        """The operator's comparison of chip photo (:meth:`photo`) and person."""
        return self._run(
            "photo_check", lambda draft: photo_check.run(draft, answer=answer, shown=self._photo_was_shown())
        )

    def attach(self, number: int, content: bytes) -> StepOutcome:
        """Keep a scanned file as number ``number`` of this claim; see ``steps/attach.py``."""
        outcome = self._run("attach", lambda draft: attach.run(draft, self._counter, number=number, content=content))
        self._drop_unnamed()
        return outcome

    def documents(self, listed: Sequence[Mapping[str, Any]]) -> StepOutcome:
        """Replace the list of documents; see ``steps/documents.py`` for the fields."""
        outcome = self._run("documents", lambda draft: documents.run(draft, self._counter, listed=listed))
        self._drop_unnamed()
        return outcome

    def _drop_unnamed(self) -> None:
        """Erase boxes the saved draft does not name: of files that were replaced, or cut off while they came."""
        if self.state not in FINAL:
            self._counter.documents.drop_others(self.claim_id, [one.box for one in self._draft.attachments])

    def form(self, fields: Mapping[str, Any]) -> StepOutcome:
        """Replace the claim form; see ``steps/form.py`` for the fields."""
        return self._run("form", lambda draft: form.run(draft, self._counter, fields=fields))

    def summary(self) -> dict[str, Any]:
        """What is read back to the member before :meth:`confirm`."""
        self._check_possible("confirm")
        self._record(Act.SUMMARY_SHOWN, {})
        return confirm.summary(self._draft, self._counter.tables)

    def confirm(
        self, *, member_confirms: bool, declaration: Declaration = Declaration.CONFIRMED_ON_SCREEN
    ) -> StepOutcome:
        """Seal and queue; the slip is in ``outcome.details["slip"]`` and :attr:`slip`.

        Packet stored, draft gone, audit rows: one commit. Whatever goes wrong leaves the claim as it was.
        """
        with self._one_at_a_time("confirm"):
            if not member_confirms:
                return self._settle(
                    Happened(
                        event=None,
                        draft=self._draft,
                        act=Act.STEP_BLOCKED,
                        facts={"blocks": 1},
                        found=(Found(Block.MEMBER_HAS_NOT_CONFIRMED),),
                    )
                )
            return self._seal(declaration)

    def withdraw(self, reason: WithdrawReason) -> StepOutcome:
        """The member takes the claim back: the draft is deleted. Ends a running wait for card or finger first."""
        self._stop.set()
        if not self._working.acquire(timeout=_STEP_ENDS_S):
            # The claim stays: its next wait for card or finger must not end before it began.
            self._stop.clear()
            raise ClaimBusyError("the running step does not end")
        try:
            self._check_possible("withdraw")
            return self._settle(
                Happened(event=Event.WITHDRAWN, draft=self._draft, act=Act.WITHDRAWN, facts={"reason": reason})
            )
        finally:
            self._stop.clear()
            self._working.release()

    def expire(self) -> StepOutcome:
        """Nobody came back in time: the draft is deleted."""
        with self._one_at_a_time("expire"):
            return self._settle(Happened(event=Event.TIME_RAN_OUT, draft=self._draft, act=Act.EXPIRED))

    # --- looking ---

    def photo(self) -> bytes | None:
        """The chip's photo (JPEG) for the comparison; None when there is none (any more)."""
        photo = self._counter.store.photo(self.claim_id)
        if photo is None:
            photo = self._held.photo(self.claim_id)
        if photo is not None:
            self._record(Act.PHOTO_SHOWN, {})
        return photo

    def view(self) -> dict[str, Any]:
        """The claim as screens show it: identity number masked, no photo, nothing biometric."""
        return view_of(self._draft, self._counter.tables, self.next_prompt, self._slip)

    def _photo_was_shown(self) -> bool:
        return self._counter.audit.has(Act.PHOTO_SHOWN, self.claim_id)

    # --- how every step is run ---

    @property
    def _policy(self) -> Policy:
        return self._counter.policy

    def _run(self, name: str, step: Callable[[ClaimDraft], Happened], needs: Event | None = None) -> StepOutcome:
        with self._one_at_a_time(name, needs):
            try:
                happened = step(self._draft)
            except BaseException:
                self._held.wipe(self.claim_id)
                raise
            return self._settle(happened)

    @contextlib.contextmanager
    def _one_at_a_time(self, name: str, needs: Event | None = None) -> Iterator[None]:
        if not self._working.acquire(blocking=False):
            raise ClaimBusyError("another step of this claim is running")
        try:
            self._check_possible(name, needs)
            yield
        finally:
            self._working.release()

    def _check_possible(self, name: str, needs: Event | None = None) -> None:
        """Whether the step can lead anywhere now; ``needs``: whether that one event can happen."""
        possible = can_happen(self.state, needs) if needs else BY_NAME[name].possible(self.state)
        if not possible:
            raise NotNowError(name, self.state.value)

    def _settle(self, happened: Happened) -> StepOutcome:
        """Move, save and audit in one transaction; then wipe what is no longer needed; then tell."""
        try:
            draft = self._saved(happened)
        except BaseException:
            self._held.wipe(self.claim_id)
            raise
        self._draft = draft
        self._wipe_when_done(draft)
        if happened.failure is not None:
            raise happened.failure
        return self._outcome(happened)

    def _saved(self, happened: Happened) -> ClaimDraft:
        store = self._counter.store
        if happened.event is None:
            self._record(happened.act, happened.facts)
            return self._draft
        draft = self._moved(happened.draft, happened.event)
        with store.transaction():
            if draft.state in FINAL:
                store.delete(draft.claim_id)
                self._counter.documents.forget(draft.claim_id)
            else:
                store.save(draft, happened.photo)
                if draft.photo_check is not None and not self._policy.send_chip_photo:
                    # It was only needed for that comparison.
                    store.drop_photo(draft.claim_id)
            self._record(happened.act, {**happened.facts, "state": draft.state})
        if draft.state in FINAL:
            # No key opens them any more; erasing them may take as many transactions as it needs.
            self._counter.documents.sweep()
        return draft

    def _record(self, act: Act, facts: Mapping[str, Fact]) -> bytes:
        return self._counter.audit.record(act, facts, claim_id=self.claim_id, person_id=self.operator_id)

    def _moved(self, draft: ClaimDraft, event: Event) -> ClaimDraft:
        state = next_state(self._draft.state, event)
        entry = TrailEntry(event=event, at=self._counter.clock.now(), state=state)
        return replace(draft, state=state, revision=self._draft.revision + 1, trail=(*draft.trail, entry))

    def _seal(self, declaration: Declaration) -> StepOutcome:
        counter, store = self._counter, self._counter.store
        site = counter.site()
        if site is None:
            raise NotEnrolledError("this device", "nothing can be sealed before it is enrolled")
        at = counter.clock.now()
        sealed = self._moved(self._draft, Event.MEMBER_CONFIRMED)
        slip = slip_of(sealed, site, counter.tables, at)
        photo = store.photo(self.claim_id)
        with store.transaction():
            head = self._record(Act.CONFIRMED, {"state": sealed.state, "missing": len(sealed.missing_documents)})
            packet = seal.packet_of(sealed, counter, site, declaration=declaration, at=at, audit_head=head, photo=photo)
            queued = counter.outbox_put(packet)
            state = next_state(sealed.state, Event.PACKET_STORED)
            member = sealed.worker or sealed.claimant
            assert member is not None, "identified"
            store.remember(
                sealed,
                number=member.nik or member.identity_no or "",
                reference=slip.reference,
                at=at,
                slip=slip.as_json(),
            )
            store.delete(self.claim_id)
            # Not the files themselves: 20 MB in one transaction are 40 MB of log, more than a nearly full disk has.
            counter.documents.promise(self.claim_id, self.claim_id, seal.promised_of(sealed))
            self._record(
                Act.PACKET_QUEUED,
                {"state": state, "size": queued.size_bytes, "seq": queued.seq, "digest": queued.digest},
            )
        # Only after the commit: until then the claim is what it was.
        self._draft = replace(sealed, state=state)
        self._slip = slip
        self._held.wipe(self.claim_id)
        with contextlib.suppress(StorageFullError):
            # What does not fit now goes when there is room: it is promised, and tidied up after each round.
            pack_documents(counter)
        return self._outcome(
            Happened(
                event=Event.PACKET_STORED,
                draft=self._draft,
                act=Act.PACKET_QUEUED,
                details={
                    "slip": slip.as_json(),
                    "packet_id": queued.packet_id,
                    "lane": queued.lane,
                    "seq": queued.seq,
                    "size_bytes": queued.size_bytes,
                    "digest": queued.digest.hex(),
                    "documents": len(counter.documents.sent(self.claim_id)),
                },
            )
        )

    def _wipe_when_done(self, draft: ClaimDraft) -> None:
        """Templates stay only while a finger is to be compared with them, a passport's photo until it was compared."""
        finger_next = draft.state is State.IDENTIFIED and not isinstance(
            next_try(draft.chip.fingers if draft.chip else (), draft.attempts, self._policy), CallSecondPerson
        )
        if draft.state is State.STATED:
            self._held.wipe_fingers(draft.claim_id)
        elif not finger_next:
            self._held.wipe(draft.claim_id)

    def _outcome(self, happened: Happened) -> StepOutcome:
        tables = self._counter.tables
        return StepOutcome(
            happened=happened.event.value if happened.event else "BLOCKED",
            state=self.state,
            blocks=told(blocks(happened.found), tables),
            cautions=told((item for item in happened.found if isinstance(item.what, Caution)), tables),
            text=tables.text(f"happened.{happened.say}") if happened.say else None,
            details=happened.details,
            next=self.next_prompt,
        )

    def _prompt(self, draft: ClaimDraft) -> Prompt:
        return next_prompt(
            draft,
            templates_held=bool(self._held.fingers(draft.claim_id)),
            policy=self._policy,
            tables=self._counter.tables,
        )


class ClaimDesk:
    """Opens claims, finds open ones again after a restart, and holds what is biometric for all of them."""

    def __init__(self, counter: Counter, schedule: Schedule = threading_schedule) -> None:
        # Checked once here, not at the first finger: a threshold nobody knows is a wrong setting.
        counter.matcher.threshold(counter.policy.threshold_id)
        self._counter = counter
        self._held = HeldBiometrics(counter.policy.hold_templates_s, schedule)
        self._sessions: dict[str, ClaimSession] = {}
        self._lock = threading.Lock()
        # When expire() last looked (wall and monotonic clock), and which drafts lay there.
        self._looked: tuple[datetime.datetime, float] | None = None
        self._watched: frozenset[str] = frozenset()

    @property
    def tables(self) -> Tables:
        """The tables that apply to claims opened from now on."""
        return self._counter.tables

    def use(self, *, tables: Tables, policy: Policy) -> None:
        """Other rules from now on: for claims that are opened, or resumed after a restart. Open ones keep theirs."""
        self._counter.matcher.threshold(policy.threshold_id)
        self._counter = replace(self._counter, tables=tables, policy=policy)

    def start(
        self,
        *,
        operator_id: str,
        programme: str,
        reason: str,
        segment: Segment,
        relation: Relation = Relation.SELF,
        ticket: str | None = None,
        purpose: Purpose = Purpose.CLAIM,
    ) -> ClaimSession | Refused:
        """Open a claim, or say what keeps it from being one. Raises NotEnrolledError before enrolment."""
        counter = self._counter
        if counter.site() is None:
            raise NotEnrolledError("this device", "nothing can be sealed before it is enrolled")
        draft, found = start.run(
            counter,
            operator_id=operator_id,
            programme=programme,
            reason=reason,
            segment=segment,
            relation=relation,
            ticket=ticket,
            purpose=purpose,
        )
        refused = blocks(found)
        if refused:
            person = counter.people.find(operator_id)
            counter.audit.record(Act.CLAIM_REFUSED, person_id=person.person_id if person else None, blocks=len(refused))
            row = counter.tables.programmes.get(programme)
            return Refused(blocks=told(refused, counter.tables), elsewhere=row.elsewhere if row else None)
        with counter.store.transaction():
            counter.store.save(draft)
            if counter.clock.trusted:
                counter.store.confirm_time(draft.claim_id, counter.clock.now())
            counter.audit.record(
                Act.CLAIM_OPENED, claim_id=draft.claim_id, person_id=operator_id, state=draft.state, purpose=purpose
            )
        return self._kept(draft)

    def get(self, claim_id: str) -> ClaimSession:
        """A claim that is open, or was opened since the start; resumed from disk where need be.

        Raises
        ------
        NotFoundError
            No such claim (any more).
        DraftUnreadableError
            It is there but does not decrypt.
        """
        with self._lock:
            known = self._sessions.get(claim_id)
        return known or self.resume(claim_id)

    def resume(self, claim_id: str) -> ClaimSession:
        """Take an open claim up again at its last finished step; raises as :meth:`get`."""
        with self._lock:
            if claim_id in self._sessions:
                return self._sessions[claim_id]
        draft = self._counter.store.load(claim_id)
        if draft is None:
            raise NotFoundError(f"there is no open claim {claim_id}")
        self._counter.audit.record(
            Act.CLAIM_RESUMED, claim_id=draft.claim_id, person_id=draft.operator_id, state=draft.state
        )
        return self._kept(draft)

    def open_claims(self) -> tuple[OpenClaim, ...]:
        """Every open claim, oldest first, without personal data; one that does not decrypt says so."""
        claims = []
        for claim_id in self._counter.store.open_ids():
            with self._lock:
                known = self._sessions.get(claim_id)
            try:
                draft = known._draft if known else self._counter.store.load(claim_id)  # noqa: SLF001 - same story
            except DraftUnreadableError:
                claims.append(OpenClaim(claim_id=claim_id, readable=False))
                continue
            if draft is not None:
                claims.append(
                    OpenClaim(
                        claim_id=claim_id,
                        state=draft.state.value,
                        programme=draft.programme,
                        opened_at=draft.opened_at.isoformat(timespec="seconds"),
                        operator_id=draft.operator_id,
                        ticket=draft.ticket,
                    )
                )
        return tuple(claims)

    def captured(self, claim_id: str) -> Captured | None:
        """What is remembered of a claim that was queued here: reference and slip, for printing again."""
        return self._counter.store.captured(claim_id)

    def supplement(
        self, claim_id: str, *, operator_id: str, paper: supplement.Paper, content: bytes
    ) -> tuple[Told, ...] | dict[str, Any]:
        """Add a document to a claim that was sent from here; gives what blocks, or the facts of what will be sent.

        Raises NotFoundError, NotNowError.
        """
        done = supplement.run(self._counter, claim_id=claim_id, operator_id=operator_id, paper=paper, content=content)
        if isinstance(done, tuple):
            return told(done, self._counter.tables)
        with contextlib.suppress(StorageFullError):
            pack_documents(self._counter)
        return done

    def sent_documents(self, claim_id: str) -> tuple[Sent, ...]:
        """The documents of a claim that were queued here, or are about to be."""
        return self._counter.documents.sent(claim_id)

    def unqueued_parts(self) -> int:
        """Parts of confirmed documents that are not in the queue yet: the disk has no room for them."""
        return self._counter.documents.unpacked()

    def pack(self) -> None:
        """Queue what confirmed claims still hold, and erase what no claim holds any more: called now and then."""
        with contextlib.suppress(StorageFullError):
            pack_documents(self._counter)

    def expire(self) -> int:
        """Drop drafts nobody came back to; gives how many. Called now and then by the agent.

        A draft ages by what is certain: the monotonic clock between two calls of this, and the time between two
        moments head office confirmed. A wall clock that is set right makes no draft old.
        """
        counter, lifetime_s = self._counter, self._counter.policy.draft_lifetime_h * 3600
        now, monotonic = counter.clock.now(), counter.clock.monotonic()
        jumped = self._watch(now, monotonic, lifetime_s)
        if jumped:
            happening(_log, logging.WARNING, "clock_jumped", open_claims=len(self._watched))
            return 0
        dropped = 0
        for claim_id, age_s in counter.store.ages_s(now if counter.clock.trusted else None).items():
            if age_s <= lifetime_s:
                continue
            try:
                session = self.get(claim_id)
            except DraftUnreadableError:
                # Evidence of a lost key or a damaged disk: a technician decides, not a timer.
                continue
            except NotFoundError:
                continue
            try:
                session.expire()
            except (ClaimBusyError, NotNowError):
                continue
            happening(_log, logging.WARNING, "claim_expired", id=claim_id, age_h=round(age_s / 3600))
            dropped += 1
        return dropped

    def _watch(self, now: datetime.datetime, monotonic: float, lifetime_s: float) -> bool:
        """Let every draft that was there the last time grow older; whether the wall clock jumped since then."""
        store, clock = self._counter.store, self._counter.clock
        before, elapsed = self._looked, 0.0
        if before is not None:
            elapsed = monotonic - before[1]
        with store.transaction():
            there = store.open_ids()
            for claim_id in there:
                # One that was opened since the last look is younger than that: a lid may have been shut for days.
                if claim_id in self._watched:
                    store.watched(claim_id, elapsed)
                if clock.trusted:
                    store.confirm_time(claim_id, now)
        self._looked, self._watched = (now, monotonic), frozenset(there)
        return before is not None and abs((now - before[0]).total_seconds() - elapsed) > lifetime_s

    def close(self) -> None:
        """Wipe what is held. Open claims stay on disk."""
        self._held.wipe_all()

    def _kept(self, draft: ClaimDraft) -> ClaimSession:
        with self._lock:
            for claim_id in [key for key, session in self._sessions.items() if session.state in FINAL]:
                if len(self._sessions) > _FINISHED_KEPT:
                    del self._sessions[claim_id]
            return self._sessions.setdefault(draft.claim_id, ClaimSession(draft, self._counter, self._held))
