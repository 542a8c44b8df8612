"""Whatever is done at the counter in whatever order: a claim keeps its promises."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.card.ektp.record import CardRecord
from drivers.card.emrtd.errors import MrzMismatchError
from drivers.card.errors import CardRemovedError, ChipAuthenticationError, ChipDataError, NoCardError
from drivers.card.virtual.passport import synthetic_holder
from drivers.errors import DeviceError, DeviceRemovedError, ServiceDownError
from drivers.scanner.base import FingerImage, PlaceAgain
from mpos_agent.claim.draft import FallbackCode, WithdrawReason
from mpos_agent.claim.errors import NotNowError
from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim.states import FINAL, State
from sync.packet import AttemptOutcome, BioOutcome, ConsentMethod, IdentitySource, PhotoCompare
from tests.claim.desk import (
    FORM,
    IN_MEMORY,
    LEFT,
    NIK,
    OTHER_NIK,
    RIGHT,
    SUPERVISOR_PIN,
    Bench,
    bench,
    card,
    holder,
    picture,
)
from tests.claim.test_foreign_worker_with_a_passport import record

CARDS: dict[str, Callable[[], CardRecord | DeviceError]] = {
    "mine": card,
    "one finger": lambda: card(templates=(LEFT,)),
    "no finger": lambda: card(templates=()),
    "somebody else's": lambda: card(holder(OTHER_NIK)),
    "impossible number": lambda: card(holder("9901018507850001")),
    "pulled out": lambda: CardRemovedError("reader", "read"),
    "unreadable": lambda: ChipDataError("chip", "read"),
    "not proven": lambda: ChipAuthenticationError("chip", "authenticate", 0x6300),
    "none": lambda: NoCardError("reader", "wait"),
    "reader gone": lambda: ServiceDownError("pcscd", "connect"),
}
GLASS: dict[str, Callable[[], FingerImage | PlaceAgain | DeviceError]] = {
    "right": lambda: picture(RIGHT),
    "left": lambda: picture(LEFT),
    "stranger": lambda: picture(b"a stranger's finger"),
    "smear": lambda: picture(b"smear", quality=4),
    "nothing": lambda: picture(b"", quality=0),
    "nobody": lambda: PlaceAgain.NO_FINGER,
    "unplugged": lambda: DeviceRemovedError("scanner", "capture"),
}


PASSPORTS: dict[str, Callable[[], Any]] = {
    "mine": record,
    "torn off": lambda: CardRemovedError("reader", "sending a command"),
    "not mine": lambda: MrzMismatchError("reader", "opening the chip", 0x6300),
}


class Counter(RuleBasedStateMachine):
    """One claim at one counter, with restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="counter", dir=IN_MEMORY))
        self.exit = contextlib.ExitStack()
        self.at: Bench = self.exit.enter_context(bench(self.folder))
        self.claim: ClaimSession = self.at.start()
        self.matched = False

    def teardown(self) -> None:
        self.at.desk.close()
        assert self.at.leftovers() == []
        self.exit.close()
        shutil.rmtree(self.folder)

    def attempt(self, step: Any) -> Any:
        """Do a step; not possible now, or a device's failure, are fine: nothing else is."""
        before = self.claim.state
        try:
            return step()
        except NotNowError:
            assert self.claim.state is before
        except DeviceError:
            assert self.claim.state is before
        finally:
            self.at.cards.clear()
            self.at.glass.clear()
        return None

    @rule(given=st.booleans())
    def consent(self, given: bool) -> None:
        self.attempt(lambda: self.claim.consent(given=given, method=ConsentMethod.ON_SCREEN))

    @rule(kind=st.sampled_from(sorted(CARDS)))
    def tap(self, kind: str) -> None:
        self.at.cards.append(CARDS[kind]())
        self.attempt(self.claim.read_card)

    @rule(kind=st.sampled_from(sorted(GLASS)))
    def finger(self, kind: str) -> None:
        self.at.glass.append(GLASS[kind]())
        outcome = self.attempt(self.claim.capture_finger)
        if outcome is not None and outcome.happened == "FINGER_MATCHES":
            assert kind in ("right", "left")
            self.matched = True

    @rule(code=st.sampled_from(FallbackCode))
    def leave_the_chip(self, code: FallbackCode) -> None:
        self.attempt(lambda: self.claim.give_chip_up(code))

    @rule()
    def type_identity(self) -> None:
        person = {"nik": NIK, "name": "PESERTA UJI SATU"}
        self.attempt(lambda: self.claim.identity_by_hand(IdentitySource.KTP_MANUAL, person))

    @rule(kind=st.sampled_from(sorted(PASSPORTS)))
    def passport(self, kind: str) -> None:
        self.at.passports.append(PASSPORTS[kind]())
        try:
            outcome = self.attempt(lambda: self.claim.read_passport({"mrz": synthetic_holder(1).zone}))
        finally:
            self.at.passports.clear()
        assert outcome is None or outcome.happened in ("PASSPORT_READ", "BLOCKED")

    @rule(code=st.sampled_from(FallbackCode), own=st.booleans())
    def second_person(self, code: FallbackCode, own: bool) -> None:
        reason = self.at.counter.tables.fallbacks[code].reasons[0]
        outcome = self.attempt(
            lambda: self.claim.fallback(
                code=code,
                reason=reason,
                supervisor_id="op1" if own else "sup1",
                pin=SUPERVISOR_PIN,
                photo_compare=PhotoCompare.UNSURE,
            )
        )
        assert outcome is None or not (own and outcome.accepted)

    @rule(answer=st.sampled_from(PhotoCompare))
    def photo(self, answer: PhotoCompare) -> None:
        self.attempt(lambda: self.claim.photo_check(answer))

    @rule(fine=st.booleans())
    def papers(self, fine: bool) -> None:
        self.attempt(lambda: self.claim.documents([{"type": "KPJ_CARD" if fine else "NOTHING"}]))

    @rule(fine=st.booleans())
    def fill(self, fine: bool) -> None:
        self.attempt(lambda: self.claim.form(FORM if fine else {**FORM, "kpj": "?"}))

    @precondition(lambda self: self.claim.state is State.FILLED)
    @rule(member=st.booleans())
    def confirm(self, member: bool) -> None:
        self.attempt(lambda: self.claim.confirm(member_confirms=member))

    @rule(follow=st.integers(1, 9))
    def go_the_usual_way(self, follow: int) -> None:
        """Do what the prompt says, a few times: random order alone seldom gets far."""
        for _ in range(follow):
            match self.claim.next_prompt.step:
                case "consent":
                    self.consent(given=True)
                case "read_card":
                    self.tap("mine")
                case "capture_finger":
                    self.finger("right")
                case "identity_by_hand":
                    self.type_identity()
                case "fallback":
                    self.second_person(FallbackCode(self.claim.next_prompt.facts["code"]), own=False)
                case "photo_check":
                    self.photo(PhotoCompare.SAME)
                case "documents":
                    self.papers(fine=True)
                case "form":
                    self.fill(fine=True)

    @precondition(lambda self: self.claim.state not in FINAL)
    @rule()
    def power_cut(self) -> None:
        """Memory is gone; what is on disk is what was last told."""
        told = self.claim._draft
        self.at.desk.close()
        self.at.restart()
        self.claim = self.at.desk.resume(told.claim_id)
        assert self.claim._draft == told

    @rule()
    def time_is_over(self) -> None:
        self.at.timers.go_off()

    @precondition(lambda self: self.claim.state in FINAL)
    @rule()
    def next_member(self) -> None:
        self.claim = self.at.start()
        self.matched = False

    @rule(reason=st.sampled_from(WithdrawReason))
    @precondition(lambda self: self.claim.state is State.STATED)
    def withdraw(self, reason: WithdrawReason) -> None:
        self.attempt(lambda: self.claim.withdraw(reason))

    @invariant()
    def templates_are_held_only_while_a_finger_is_next(self) -> None:
        if self.claim.next_prompt.step != "capture_finger":
            assert self.at.leftovers() == []

    @invariant()
    def there_is_always_a_way_on(self) -> None:
        prompt = self.claim.next_prompt
        assert (prompt.step is None) == (self.claim.state in FINAL)
        assert "{" not in prompt.text.id

    @invariant()
    def draft_or_packet_never_both_never_none(self) -> None:
        drafts = len(self.at.counter.store.open_ids())
        packets = self.at.database.read("SELECT count(*) FROM outbox_rows")[0][0]
        withdrawn = self.at.acts().count("WITHDRAWN")
        opened = self.at.acts().count("CLAIM_OPENED")
        assert drafts + packets + withdrawn == opened
        assert drafts == (0 if self.claim.state in FINAL else 1)

    @invariant()
    def verified_means_a_finger_matched(self) -> None:
        if self.claim.state in (State.VERIFIED, State.PHOTO_CHECKED):
            assert self.matched
        draft = self.claim._draft
        if draft.bio is not None and draft.bio.outcome is BioOutcome.MATCH:
            assert AttemptOutcome.MATCH in [attempt.outcome for attempt in draft.attempts]

    @precondition(lambda self: self.claim.state in FINAL)
    @invariant()
    def what_was_queued_says_what_happened(self) -> None:
        for packet in self.at.packets():
            assert (packet.bio.outcome is BioOutcome.MATCH) == (packet.fallback is None)
            if packet.fallback is not None:
                assert packet.supervisor_id not in (None, packet.operator_id)

    @invariant()
    def audit_chain_holds(self) -> None:
        assert self.at.counter.audit.verify().holds


Counter.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    # Without the phase that explains a failure: it traces every line, and a claim has many.
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnyOrderOfEvents = Counter.TestCase
