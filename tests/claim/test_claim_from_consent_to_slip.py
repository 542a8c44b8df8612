"""Whole claims at a counter with fake devices: what an operator sees and what head office gets."""

import dataclasses
import datetime
import threading
from pathlib import Path
from typing import Any

import pytest

from config.tables import load_tables
from drivers.card.ektp.record import CardRecord
from drivers.card.errors import CardRemovedError, ChipAuthenticationError, ChipDataError, NoCardError
from drivers.errors import DeviceRemovedError
from drivers.scanner.base import PlaceAgain
from mpos_agent.claim import session
from mpos_agent.claim.counter import CardProgress
from mpos_agent.claim.draft import Attempt, FallbackCode, WithdrawReason
from mpos_agent.claim.errors import NotNowError
from mpos_agent.claim.happened import Refused
from mpos_agent.claim.policy import Policy, TryFinger, comparisons_allowed, next_try
from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim.states import State
from mpos_agent.errors import ClaimBusyError
from sync.enrolment import SiteType
from sync.errors import NotEnrolledError
from sync.packet import (
    AttemptOutcome,
    BioOutcome,
    ChipAuth,
    ConsentMethod,
    IdentitySource,
    NameMatch,
    PhotoCompare,
    Relation,
    Segment,
    TimeZone,
)
from tests.claim.desk import (
    FORM,
    LEFT,
    NIK,
    OTHER_NIK,
    PHOTO,
    PIN,
    RIGHT,
    SITE,
    SUPERVISOR_PIN,
    WORKER,
    Bench,
    FakeMatcher,
    FakeScore,
    bench,
    card,
    holder,
    picture,
)


def codes(findings: Any) -> list[str]:
    return [item.code for item in findings]


def countersign(claim: ClaimSession, code: FallbackCode, reason: str, **changes: Any) -> Any:
    chosen: dict[str, Any] = {
        "code": code,
        "reason": reason,
        "supervisor_id": "sup1",
        "pin": SUPERVISOR_PIN,
        "photo_compare": PhotoCompare.SAME,
    }
    return claim.fallback(**{**chosen, **changes})


def test_finger_that_matches_gives_a_queued_packet_and_a_slip(at_counter: Bench) -> None:
    """From consent to slip: the packet says what happened, the draft is gone, nothing biometric is left."""
    claim = at_counter.filled()
    summary = claim.summary()
    assert summary["claimant"]["nik"] == "************0001"
    outcome = claim.confirm(member_confirms=True)

    assert (outcome.happened, claim.state) == ("PACKET_STORED", State.QUEUED)
    (packet,) = at_counter.packets()
    assert str(packet.packet_id) == claim.claim_id
    assert packet.claimant.nik == NIK
    assert packet.claimant.name == "PESERTA UJI SATU"
    assert packet.bio.outcome is BioOutcome.MATCH
    assert [(tried.finger, tried.quality, tried.ms) for tried in packet.bio.attempts] == [(2, 80, 1500)]
    assert (packet.bio.score_band, packet.bio.threshold_id) == ("FMR_0.001%", "FMR_0.01%/28")
    assert (packet.bio.matcher_version, packet.bio.parameter_digest) == ("fake-1", "00ff")
    assert packet.fallback is None
    assert packet.photo_compare is PhotoCompare.SAME
    assert packet.photo_face is not None
    assert packet.photo_face.content == PHOTO
    assert packet.chip_auth is ChipAuth.OK
    assert packet.bank is not None
    assert packet.bank.name_match is NameMatch.MATCH
    assert packet.consent.hash.hex() == at_counter.counter.tables.consent.sha256
    assert packet.missing_documents == ()
    assert packet.warnings == ()
    assert at_counter.desk.open_claims() == ()
    assert at_counter.leftovers() == []
    assert at_counter.counter.audit.verify().holds


def test_slip_says_where_and_what_next_but_not_who(at_counter: Bench) -> None:
    """Reference, local time, place, the legal clock and 175; no identity number, no name."""
    claim = at_counter.filled()
    claim.confirm(member_confirms=True)
    slip = claim.slip
    assert slip is not None
    assert (slip.captured_at, slip.device_id, slip.branch_code) == ("20-NOV-2026 09:00 WIB", "dev-uji-1", "ZZ01")
    assert "5 hari kerja" in slip.next.id
    assert "175" in slip.next.en
    printed = str(slip.as_json())
    assert NIK not in printed
    assert NIK[-4:] not in printed
    assert "PESERTA" not in printed
    remembered = at_counter.desk.captured(claim.claim_id)
    assert remembered is not None
    assert remembered.slip == slip.as_json()


def test_other_finger_of_the_two_is_accepted(at_counter: Bench) -> None:
    """A member who places the left index when the right one is asked for has shown who they are."""
    claim = at_counter.identified()
    at_counter.glass.append(picture(LEFT))
    outcome = claim.capture_finger()
    assert outcome.happened == "FINGER_MATCHES"
    assert (outcome.details["asked"], outcome.details["finger"]) == (2, 7)


def test_four_attempts_per_finger_then_the_other_then_a_second_person(at_counter: Bench) -> None:
    """Eight attempts that differ lead to the supervisor, never to a refusal; the packet tells all of them."""
    claim = at_counter.identified()
    asked = []
    for _ in range(8):
        assert claim.next_prompt.step == "capture_finger"
        asked.append(claim.next_prompt.facts["finger"])
        at_counter.glass.append(picture(b"somebody else's finger, not on this card"))
        assert claim.capture_finger().accepted
    assert asked == [2, 2, 2, 2, 7, 7, 7, 7]
    assert claim.next_prompt.step == "fallback"
    assert claim.next_prompt.facts["code"] == "NO_MATCH_MANUAL"
    assert at_counter.leftovers() == []
    with pytest.raises(NotNowError):
        claim.capture_finger()

    assert countersign(claim, FallbackCode.NO_MATCH_MANUAL, "DIFFERS").accepted
    claim.documents([{"type": "KPJ_CARD"}, {"type": "PAKLARING"}])
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.bio.outcome is BioOutcome.NO_MATCH
    assert len(packet.bio.attempts) == 8
    assert packet.fallback is not None
    assert (packet.fallback.code, packet.fallback.reason) == ("NO_MATCH_MANUAL", "DIFFERS")
    assert (packet.operator_id, packet.supervisor_id) == ("op1", "sup1")


def test_poor_pictures_do_not_use_up_the_attempts_of_a_good_finger(at_counter: Bench) -> None:
    """Three dry pictures, then a clear one: still the first compared attempt of that finger, and it matches."""
    claim = at_counter.identified()
    for _ in range(3):
        at_counter.glass.append(picture(b"smear of a finger on the glass", quality=5))
        outcome = claim.capture_finger()
        assert outcome.happened == "FINGER_UNCLEAR"
        assert [hint["code"] for hint in outcome.details["hints"]] == ["too_dry"]
        assert claim.next_prompt.code == "FINGER_CLEAR"
        assert claim.next_prompt.facts["attempt"] == 1
    at_counter.glass.append(picture(RIGHT))
    assert claim.capture_finger().happened == "FINGER_MATCHES"


def test_worn_finger_that_matches_in_a_poor_picture_matches(at_counter: Bench) -> None:
    """Quality is blamed only when there is no match."""
    claim = at_counter.identified()
    at_counter.glass.append(picture(RIGHT, quality=3))
    assert claim.capture_finger().happened == "FINGER_MATCHES"


def test_only_poor_pictures_end_in_the_code_for_poor_pictures(at_counter: Bench) -> None:
    """Nothing was compared well enough to say "differs", so nobody says it."""
    claim = at_counter.identified()
    for _ in range(8):
        at_counter.glass.append(picture(b"x", quality=0))
        claim.capture_finger()
    assert claim.next_prompt.facts["code"] == "QUALITY_LOW"
    assert countersign(claim, FallbackCode.NO_MATCH_MANUAL, "DIFFERS").accepted is False
    assert countersign(claim, FallbackCode.QUALITY_LOW, "SKIN_WORN").accepted


def test_nobody_placing_a_finger_is_no_attempt(at_counter: Bench) -> None:
    """The prompt stays at attempt 1 and says what to do."""
    claim = at_counter.identified()
    at_counter.glass.append(PlaceAgain.NO_FINGER)
    outcome = claim.capture_finger()
    assert outcome.happened == "FINGER_MISSED"
    assert outcome.text is not None
    assert "Belum ada jari" in outcome.text.id
    assert claim.next_prompt.facts["attempt"] == 1


def test_restart_resumes_at_the_last_finished_step(at_counter: Bench) -> None:
    """After each finished step the program dies; the claim goes on where it was."""
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    assert claim.next_prompt.step == "read_card"
    at_counter.cards.append(card())
    claim.read_card()
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    assert (claim.state, claim.next_prompt.code) == (State.IDENTIFIED, "CARD_SAME")
    outcome = claim.capture_finger()
    assert codes(outcome.blocks) == ["TEMPLATES_GONE"]
    at_counter.cards.append(card())
    claim.read_card()
    at_counter.glass.append(picture(RIGHT))
    assert claim.capture_finger().happened == "FINGER_MATCHES"
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    assert claim.next_prompt.step == "photo_check"
    assert claim.photo() == PHOTO
    claim.photo_check(PhotoCompare.SAME)
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    claim.documents([{"type": "KPJ_CARD"}, {"type": "PAKLARING"}])
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    claim.form(FORM)
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    assert claim.confirm(member_confirms=True).accepted
    assert len(at_counter.packets()) == 1


def test_attempts_survive_a_restart(at_counter: Bench) -> None:
    """Switching the machine off and on does not buy new attempts."""
    claim = at_counter.identified()
    for _ in range(3):
        at_counter.glass.append(picture(b"somebody else's finger"))
        claim.capture_finger()
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    at_counter.cards.append(card())
    claim.read_card()
    assert claim.next_prompt.facts["attempt"] == 4


def test_another_persons_card_cannot_continue_a_claim(at_counter: Bench) -> None:
    """After a restart the same NIK is required; the other card's templates are wiped."""
    claim = at_counter.identified()
    at_counter.restart()
    claim = at_counter.desk.resume(claim.claim_id)
    at_counter.cards.append(card(holder(OTHER_NIK, sex="LAKI-LAKI", birth_date=datetime.date(1990, 3, 2))))
    outcome = claim.read_card()
    assert codes(outcome.blocks) == ["CARD_OF_ANOTHER_PERSON"]
    assert claim.next_prompt.code == "CARD_SAME"
    at_counter.desk.close()
    assert [left for left in at_counter.leftovers() if "card 1" in left] == []


def test_card_pulled_out_midway_leaves_the_claim_resumable(at_counter: Bench) -> None:
    """The cause is told, the tap is counted, and the next tap works."""
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.READ_ALOUD)
    at_counter.cards += [CardRemovedError("reader", "read biodata"), card()]
    with pytest.raises(CardRemovedError):
        claim.read_card()
    assert (claim.next_prompt.code, claim.next_prompt.facts["taps"]) == ("CARD_AGAIN", 1)
    assert claim.read_card().happened == "CARD_READ"


def test_no_card_in_time_is_no_tap(at_counter: Bench) -> None:
    """Nobody laid a card down: nothing was said about the chip."""
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.READ_ALOUD)
    at_counter.cards.append(NoCardError("reader", "wait for a card"))
    with pytest.raises(NoCardError):
        claim.read_card()
    assert claim.next_prompt.code == "CARD"


def test_chip_unreadable_after_three_taps_goes_on_by_hand(at_counter: Bench) -> None:
    """Three taps that fail open the manual path; before that it stays closed. Unreadable never means false."""
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.READ_ALOUD)
    for _ in range(3):
        assert codes(claim.give_chip_up(FallbackCode.CHIP_UNREADABLE).blocks) == ["FALLBACK_NOT_OPEN"]
        at_counter.cards.append(ChipDataError("chip", "read biodata"))
        with pytest.raises(ChipDataError):
            claim.read_card()
    assert claim.next_prompt.code == "CARD_OR_IDENTITY"
    assert claim.give_chip_up(FallbackCode.CHIP_UNREADABLE).accepted
    person = {"nik": NIK, "name": "PESERTA UJI SATU", "birth_date": "1985-07-01", "sex": "PEREMPUAN"}
    assert claim.identity_by_hand(IdentitySource.KTP_MANUAL, person).accepted
    assert countersign(claim, FallbackCode.CHIP_UNREADABLE, "CARD_DAMAGED").accepted
    outcome = claim.documents([{"type": "KPJ_CARD"}])
    assert codes(outcome.cautions) == ["DOCUMENTS_MISSING"]
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.fallback is not None
    assert packet.fallback.code == "CHIP_UNREADABLE"
    assert (packet.identity_source, packet.chip_auth) == (IdentitySource.KTP_MANUAL, ChipAuth.NONE)
    assert packet.bio.outcome is BioOutcome.NOT_DONE
    assert set(packet.missing_documents) == {"ID_CARD", "KK", "PERSON_PHOTO", "PAKLARING"}


def test_chip_that_does_not_prove_itself_is_recorded_as_that(at_counter: Bench) -> None:
    """The code says authentication, the packet says FAIL, and a person at head office judges."""
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.READ_ALOUD)
    for _ in range(3):
        at_counter.cards.append(ChipAuthenticationError("chip", "authenticate", 0x6300))
        with pytest.raises(ChipAuthenticationError):
            claim.read_card()
    assert claim.give_chip_up(FallbackCode.CHIP_UNREADABLE).accepted is False
    assert claim.give_chip_up(FallbackCode.CHIP_AUTH_FAIL).accepted
    claim.identity_by_hand(IdentitySource.KTP_MANUAL, {"nik": NIK, "name": "PESERTA UJI SATU"})
    countersign(claim, FallbackCode.CHIP_AUTH_FAIL, "CHIP_NOT_PROVEN")
    claim.documents([])
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    assert at_counter.packets()[0].chip_auth is ChipAuth.FAIL


def test_consent_refused_still_leads_to_a_claim(at_counter: Bench) -> None:
    """No card is read and no finger taken; two people check the papers."""
    claim = at_counter.start()
    claim.consent(given=False, method=ConsentMethod.READ_ALOUD)
    assert claim.next_prompt.step == "identity_by_hand"
    assert codes(claim.read_card().blocks) == ["CONSENT_NEEDED"]
    claim.identity_by_hand(IdentitySource.KTP_MANUAL, {"nik": NIK, "name": "PESERTA UJI SATU"})
    countersign(claim, FallbackCode.NO_CONSENT, "MEMBER_REFUSES")
    claim.documents([])
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.consent.given is False
    assert packet.fallback is not None
    assert packet.fallback.code == "NO_CONSENT"
    assert packet.bio.attempts == ()


def test_an_answer_that_changes_nothing_is_not_asked_for_again(at_counter: Bench) -> None:
    """Refusing twice, or agreeing once more after the card was read, is refused as a step and changes nothing."""
    claim = at_counter.start()
    claim.consent(given=False, method=ConsentMethod.ON_SCREEN)
    with pytest.raises(NotNowError):
        claim.consent(given=False, method=ConsentMethod.ON_SCREEN)
    assert claim.consent(given=True, method=ConsentMethod.ON_SCREEN).accepted
    at_counter.cards.append(card())
    claim.read_card()
    with pytest.raises(NotNowError):
        claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    assert claim.next_prompt.step == "capture_finger"


def test_member_who_stops_at_the_finger_goes_on_with_a_second_person(at_counter: Bench) -> None:
    """Consent withdrawn after the card and one attempt: templates wiped, code NO_CONSENT, attempt kept as it was."""
    claim = at_counter.identified()
    at_counter.glass.append(picture(b"somebody else's finger"))
    claim.capture_finger()
    claim.consent(given=False, method=ConsentMethod.READ_ALOUD)
    assert at_counter.leftovers() == []
    assert claim.next_prompt.facts["code"] == "NO_CONSENT"
    countersign(claim, FallbackCode.NO_CONSENT, "MEMBER_REFUSES")
    claim.documents([])
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert [tried.outcome for tried in packet.bio.attempts] == [AttemptOutcome.NO_MATCH]
    assert packet.bio.outcome is BioOutcome.NOT_DONE


def test_heir_claims_with_their_own_card_and_finger(at_counter: Bench) -> None:
    """The heir is verified, the dead member is typed, and head office sees that."""
    claim = at_counter.filled(programme="JKM", reason="DEATH", relation=Relation.CHILD)
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.claimant.nik == NIK
    assert packet.worker is not None
    assert packet.worker.nik == OTHER_NIK
    assert "HEIR" in packet.warnings
    assert "DEATH_CERTIFICATE" in packet.missing_documents


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"programme": "JKP", "reason": "PHK"}, "PROGRAMME_ELSEWHERE"),
        ({"programme": "XXX"}, "PROGRAMME_UNKNOWN"),
        ({"reason": "XXX"}, "REASON_UNKNOWN"),
        ({"programme": "JKM", "reason": "RESIGN"}, "REASON_NOT_OF_PROGRAMME"),
        ({"reason": "RESIGN", "relation": Relation.CHILD}, "RELATION_NEEDS_DEATH_OR_GUARDIAN"),
        ({"reason": "DEATH", "relation": Relation.SELF}, "DEATH_NEEDS_HEIR"),
        ({"operator_id": "nobody"}, "OPERATOR_UNKNOWN"),
    ],
)
def test_a_claim_that_does_not_fit_is_not_opened(at_counter: Bench, choices: dict[str, Any], expected: str) -> None:
    """What does not fit together is said before the member tells anything; nothing is stored."""
    chosen: dict[str, Any] = {"operator_id": "op1", "programme": "JHT", "reason": "RESIGN", "segment": Segment.PU}
    refused = at_counter.desk.start(**{**chosen, **choices})
    assert isinstance(refused, Refused)
    assert codes(refused.blocks) == [expected]
    assert at_counter.desk.open_claims() == ()


def test_job_loss_benefit_is_sent_to_its_own_portal(at_counter: Bench) -> None:
    """The refusal says where to go instead."""
    refused = at_counter.desk.start(operator_id="op1", programme="JKP", reason="PHK", segment=Segment.PU)
    assert isinstance(refused, Refused)
    assert refused.elsewhere is not None
    assert "SIAPkerja" in refused.elsewhere.id


def test_guardian_may_claim_for_a_living_member(at_counter: Bench) -> None:
    """Relation GUARDIAN fits any reason."""
    claim = at_counter.filled(relation=Relation.GUARDIAN)
    assert claim.confirm(member_confirms=True).accepted


def test_a_device_that_is_not_enrolled_opens_no_claim(tmp_path: Path) -> None:
    """Nobody could receive it."""
    with bench(tmp_path, site=None) as counter, pytest.raises(NotEnrolledError):
        counter.start()


def test_nobody_countersigns_their_own_claim(at_counter: Bench) -> None:
    """Supervisor and operator must differ, however the id is written, and the PIN is not even looked at."""
    claim = at_counter.identified(operator_id="sup1")
    for own in ("sup1", "SUP1"):
        outcome = countersign(claim, FallbackCode.FINGER_EXEMPT, "MISSING", supervisor_id=own)
        assert codes(outcome.blocks) == ["SUPERVISOR_IS_OPERATOR"]
    assert claim.state is State.IDENTIFIED


def test_an_operator_is_no_second_person(at_counter: Bench) -> None:
    """Right PIN, wrong role; and wrong PIN; and somebody unknown: the claim stays where it is."""
    claim = at_counter.identified(operator_id="sup1")
    for supervisor, pin in (("op1", PIN), ("op1", "000001"), ("nobody", PIN)):
        outcome = countersign(claim, FallbackCode.FINGER_EXEMPT, "MISSING", supervisor_id=supervisor, pin=pin)
        assert codes(outcome.blocks) == ["SUPERVISOR_REFUSED"]
    assert claim.state is State.IDENTIFIED


def test_repeated_wrong_pins_lock_the_second_person(at_counter: Bench) -> None:
    """After five the right PIN does not help until the time is over; the operator is told until when."""
    claim = at_counter.identified()
    for _ in range(5):
        outcome = countersign(claim, FallbackCode.FINGER_EXEMPT, "MISSING", pin="000001")
    assert codes(outcome.blocks) == ["SUPERVISOR_LOCKED"]
    outcome = countersign(claim, FallbackCode.FINGER_EXEMPT, "MISSING")
    assert codes(outcome.blocks) == ["SUPERVISOR_LOCKED"]
    assert outcome.details["locked_until"] is not None
    at_counter.clock.pass_time(15 * 60)
    assert countersign(claim, FallbackCode.FINGER_EXEMPT, "MISSING").accepted


def test_a_reason_must_belong_to_its_code(at_counter: Bench) -> None:
    """Coded reasons are compared between branches: they have to mean one thing."""
    claim = at_counter.identified()
    outcome = countersign(claim, FallbackCode.FINGER_EXEMPT, "SCANNER_BROKEN")
    assert codes(outcome.blocks) == ["FALLBACK_REASON"]


def test_suspected_impersonation_is_reviewed_and_never_named_to_the_member(at_counter: Bench) -> None:
    """The code goes to head office; prompt and slip stay neutral."""
    claim = at_counter.identified()
    outcome = countersign(
        claim, FallbackCode.SUSPECTED_IMPERSONATION, "TO_BE_REVIEWED", photo_compare=PhotoCompare.NOT_SAME
    )
    assert outcome.accepted
    claim.documents([])
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.fallback is not None
    assert packet.fallback.code == "SUSPECTED_IMPERSONATION"
    assert "PHOTO_NOT_SAME" in packet.warnings
    assert "IMPERSON" not in str(claim.slip)


def test_broken_scanner_opens_the_manual_path_up_to_a_daily_limit(tmp_path: Path) -> None:
    """Not before the scanner failed once, and only so often a day; the next day counts anew."""
    with bench(tmp_path, degraded_per_day=1) as counter:
        for expected in (True, False):
            counter.cards.append(card())
            claim = counter.identified()
            assert countersign(claim, FallbackCode.DEVICE_DEGRADED, "SCANNER_BROKEN").accepted is False
            counter.glass.append(DeviceRemovedError("scanner", "capture"))
            with pytest.raises(DeviceRemovedError):
                claim.capture_finger()
            outcome = countersign(claim, FallbackCode.DEVICE_DEGRADED, "SCANNER_BROKEN")
            assert outcome.accepted is expected
            if expected:
                claim.documents([])
                claim.form(FORM)
                claim.confirm(member_confirms=True)
        assert codes(outcome.blocks) == ["DEGRADED_LIMIT"]
        counter.clock.pass_time(24 * 3600)
        assert countersign(claim, FallbackCode.DEVICE_DEGRADED, "SCANNER_BROKEN").accepted


def test_in_the_field_a_claim_may_wait_for_the_second_person(tmp_path: Path) -> None:
    """Nobody there to countersign: pending in the packet, never shown as verified. At a branch this is refused."""
    with bench(tmp_path, site=dataclasses.replace(SITE, site_type=SiteType.FIELD)) as counter:
        claim = counter.identified()
        assert countersign(claim, FallbackCode.FINGER_EXEMPT, "INJURED", supervisor_id=None).accepted
        claim.documents([])
        claim.form(FORM)
        claim.confirm(member_confirms=True)
        (packet,) = counter.packets()
    assert packet.fallback is not None
    assert packet.fallback.pending_supervisor is True
    assert packet.supervisor_id is None
    assert packet.bio.outcome is BioOutcome.EXEMPT


def test_at_a_branch_nothing_waits_for_a_second_person(at_counter: Bench) -> None:
    """There is one to call."""
    claim = at_counter.identified()
    outcome = countersign(claim, FallbackCode.FINGER_EXEMPT, "INJURED", supervisor_id=None)
    assert codes(outcome.blocks) == ["SUPERVISOR_REFUSED"]


def test_chip_without_fingerprints_goes_to_the_second_person(at_counter: Bench) -> None:
    """Amputees and people whose fingers were unreadable at enrolment: exempt, with dignity, at once."""
    at_counter.cards.append(card(templates=()))
    claim = at_counter.identified()
    assert claim.next_prompt.step == "fallback"
    assert claim.next_prompt.facts["code"] == "FINGER_EXEMPT"
    assert countersign(claim, FallbackCode.FINGER_EXEMPT, "NO_TEMPLATE_ON_CHIP").accepted


def test_finger_is_named_by_the_card_not_assumed(at_counter: Bench) -> None:
    """Where the template does not say, the biodata field does: here a right thumb."""
    at_counter.cards.append(card(holder(right_finger=1), templates=(b"template that names no finger",)))
    claim = at_counter.identified()
    assert claim.next_prompt.facts["finger"] == 1
    assert "ibu jari kanan" in claim.next_prompt.text.id


def test_one_broken_template_leaves_the_other_finger(at_counter: Bench) -> None:
    """What does not decode is wiped and left out; the claim goes on with what there is."""
    at_counter.cards.append(card(templates=(b"broken", LEFT)))
    claim = at_counter.identified()
    assert claim.next_prompt.facts["finger"] == 7


def test_typed_number_must_be_the_cards(at_counter: Bench) -> None:
    """A typing error is caught before it is sealed; the form stays open."""
    claim = at_counter.verified()
    claim.photo_check(PhotoCompare.SAME)
    claim.documents([])
    outcome = claim.form({**FORM, "nik": OTHER_NIK})
    assert codes(outcome.blocks) == ["NIK_NOT_OF_CARD"]
    assert claim.form(FORM).accepted


def test_second_claim_of_the_same_member_is_noticed_and_goes_on(at_counter: Bench) -> None:
    """The device knows its own earlier claim by a keyed hash only; a person at head office judges."""
    at_counter.filled().confirm(member_confirms=True)
    at_counter.cards.append(card())
    claim = at_counter.filled()
    assert "ALREADY_CAPTURED" in claim.view()["cautions"]
    assert claim.confirm(member_confirms=True).accepted
    assert NIK.encode() not in (at_counter.folder / "agent.db").read_bytes()


def test_missing_papers_make_a_claim_incomplete_not_refused(at_counter: Bench) -> None:
    """The slip names what is still needed."""
    claim = at_counter.verified()
    claim.photo_check(PhotoCompare.SAME)
    outcome = claim.documents([{"type": "KPJ_CARD"}])
    assert outcome.details["missing"][0]["type"] == "PAKLARING"
    claim.form(FORM)
    claim.confirm(member_confirms=True)
    assert at_counter.packets()[0].missing_documents == ("PAKLARING",)
    assert claim.slip is not None
    assert "paklaring" in claim.slip.next.id


def test_photo_stays_here_where_policy_says_so(tmp_path: Path) -> None:
    """A partner leaves the photo out; after the comparison it is gone from the draft as well."""
    with bench(tmp_path, send_chip_photo=False) as counter:
        claim = counter.filled()
        assert claim.photo() is None
        claim.confirm(member_confirms=True)
        assert counter.packets()[0].photo_face is None


def test_nothing_is_sealed_that_the_member_did_not_confirm(at_counter: Bench) -> None:
    """The claim waits; nothing is queued."""
    claim = at_counter.filled()
    outcome = claim.confirm(member_confirms=False)
    assert codes(outcome.blocks) == ["MEMBER_HAS_NOT_CONFIRMED"]
    assert at_counter.packets() == []
    assert claim.confirm(member_confirms=True).accepted


def test_withdrawn_claim_leaves_nothing_but_its_audit_rows(at_counter: Bench) -> None:
    """Draft, photo and templates are gone; what was done is still told."""
    claim = at_counter.identified()
    claim.withdraw(WithdrawReason.MEMBER_CHANGED_MIND)
    assert claim.next_prompt.code == "WITHDRAWN"
    assert at_counter.desk.open_claims() == ()
    assert at_counter.leftovers() == []
    assert at_counter.acts(claim.claim_id)[-1] == "WITHDRAWN"
    with pytest.raises(NotNowError):
        claim.consent(given=True, method=ConsentMethod.ON_SCREEN)


def test_forgotten_draft_expires(at_counter: Bench) -> None:
    """Personal data of a claim nobody came back to do not stay; a fresh one stays."""
    old = at_counter.identified()
    at_counter.clock.pass_time(24 * 3600 + 1)
    fresh = at_counter.start()
    at_counter.restart()
    assert at_counter.desk.expire() == 1
    assert [claim.claim_id for claim in at_counter.desk.open_claims()] == [fresh.claim_id]
    assert at_counter.acts(old.claim_id)[-1] == "EXPIRED"


def test_steps_out_of_order_are_refused_and_change_nothing(at_counter: Bench) -> None:
    """A front end that skips a step is told so."""
    claim = at_counter.start()
    for call in (
        claim.read_card,
        lambda: claim.photo_check(PhotoCompare.SAME),
        lambda: claim.documents([]),
        lambda: claim.form(FORM),
        claim.summary,
        lambda: claim.confirm(member_confirms=True),
    ):
        with pytest.raises(NotNowError):
            call()
    assert claim.state is State.DRAFT


def test_doubtful_clock_is_a_flag_not_a_stop(at_counter: Bench) -> None:
    """A laptop that was never online still takes claims."""
    at_counter.clock.trusted = False
    claim = at_counter.filled()
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.clock_trust.value == "DOUBTFUL"
    assert "CLOCK_DOUBTFUL" in packet.warnings


def test_passport_holder_claims_without_a_chip(at_counter: Bench) -> None:
    """A foreigner has no e-KTP: passport number, second person, no NIK anywhere."""
    claim = at_counter.start(reason="LEAVE_WNA")
    claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    assert claim.give_chip_up(FallbackCode.NO_CHIP).accepted
    outcome = claim.identity_by_hand(IdentitySource.KTP_MANUAL, {"identity_no": "X0000001", "name": "PESERTA UJI DUA"})
    assert codes(outcome.blocks) == ["IDENTITY_NUMBER_MISSING"]
    assert claim.identity_by_hand(
        IdentitySource.PASSPORT, {"identity_no": "X0000001", "name": "PESERTA UJI DUA", "nationality": "UTOPIA"}
    ).accepted
    countersign(claim, FallbackCode.NO_CHIP, "FOREIGNER")
    claim.documents([{"type": "PASSPORT"}])
    assert claim.form({key: value for key, value in FORM.items() if key != "nik"}).accepted
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.claimant.nik is None
    assert packet.claimant.identity_no == "X0000001"


def test_a_test_identity_is_refused_at_a_real_counter(tmp_path: Path) -> None:
    """Province 99 is nobody's: only demonstration and drill accept it."""
    with bench(tmp_path, accept_test_identities=False) as counter:
        claim = counter.start()
        claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
        counter.cards.append(card())
        assert codes(claim.read_card().blocks) == ["NIK_TEST"]
        assert counter.leftovers() == []


def test_worker_of_an_heir_must_be_somebody_else(at_counter: Bench) -> None:
    """The heir's own number in the member's place is a typing error."""
    claim = at_counter.filled(programme="JKM", reason="DEATH", relation=Relation.SPOUSE)
    outcome = claim.form({**FORM, "worker": {**WORKER, "nik": NIK}})
    assert codes(outcome.blocks) == ["WORKER_IS_CLAIMANT"]
    assert codes(claim.form(FORM).blocks) == ["WORKER_MISSING"]


def test_a_withdrawal_that_came_too_early_leaves_the_claim_usable(
    at_counter: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that does not end in time keeps the claim; the next wait for a card is not stopped before it began."""
    monkeypatch.setattr(session, "_STEP_ENDS_S", 0.01)
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    stopped: list[bool] = []

    def read_card(progress: CardProgress, stop: threading.Event) -> CardRecord:
        if not stopped:
            with pytest.raises(ClaimBusyError):
                claim.withdraw(WithdrawReason.MEMBER_LEFT)
        stopped.append(stop.is_set())
        return card()

    claim._counter = dataclasses.replace(at_counter.counter, read_card=read_card)
    claim.read_card()
    claim.read_card()
    assert stopped == [False, False]


def test_every_further_touch_is_asked_for_with_lifting_first(at_counter: Bench) -> None:
    """After a finger that differs the prompt says to lift it; one that was not lifted counts nothing."""
    claim = at_counter.identified()
    assert claim.next_prompt.code == "FINGER"
    at_counter.glass.append(picture(b"another person's finger"))
    claim.capture_finger()
    assert claim.next_prompt.code == "FINGER_AGAIN"
    assert claim.next_prompt.text.id.startswith("Angkat jari, lalu letakkan lagi")
    at_counter.glass.append(PlaceAgain.LIFT_FIRST)
    outcome = claim.capture_finger()
    assert outcome.text is not None
    assert "belum diangkat" in outcome.text.id
    assert outcome.next.facts["attempt"] == 2
    at_counter.glass += [picture(b"another person's finger") for _ in range(3)]
    for _ in range(3):
        claim.capture_finger()
    assert claim.next_prompt.code == "FINGER_OTHER"
    assert claim.next_prompt.text.id.startswith("Angkat jari")


@pytest.mark.parametrize(("value", "state"), [(54.0, State.IDENTIFIED), (55.0, State.VERIFIED)])
def test_trying_often_makes_no_stranger_likelier_to_match(
    at_counter: Bench, monkeypatch: pytest.MonkeyPatch, value: float, state: State
) -> None:
    """28 comparisons may be made: each has to be 10 log10 28 = 14.5 better than the one the threshold 40 speaks of."""
    monkeypatch.setattr(FakeMatcher, "compare", lambda *_: FakeScore(value, 20, "FMR_0.001%"))
    claim = at_counter.identified()
    at_counter.glass.append(picture(RIGHT))
    claim.capture_finger()
    assert claim.state is state


@pytest.mark.parametrize("first", [AttemptOutcome.NO_MATCH, AttemptOutcome.QUALITY_LOW])
def test_no_order_of_outcomes_gives_more_pictures_than_the_rate_is_shared_among(first: AttemptOutcome) -> None:
    """However poor pictures and other fingers take turns, a claim never comes to more comparisons than it pays for."""
    policy = Policy.of(load_tables().policy)
    other = AttemptOutcome.QUALITY_LOW if first is AttemptOutcome.NO_MATCH else AttemptOutcome.NO_MATCH
    attempts: list[Attempt] = []
    while isinstance(following := next_try((2, 7), attempts, policy), TryFinger):
        made = sum(attempt.finger == following.finger for attempt in attempts)
        outcome = first if made < 3 else other
        attempts.append(Attempt(finger=following.finger, quality=50, outcome=outcome, ms=1))
    assert 2 * len(attempts) == comparisons_allowed((2, 7), 2, policy) == 28


@pytest.mark.parametrize(
    ("zone", "began"), [(TimeZone.WIB, "19T17:00"), (TimeZone.WITA, "20T16:00"), (TimeZone.WIT, "20T15:00")]
)
def test_a_day_begins_at_midnight_of_the_counter(tmp_path: Path, zone: TimeZone, began: str) -> None:
    """At 23:30 in Jakarta it is tomorrow already further east: the allowance of a day is the one people live in."""
    with bench(tmp_path, site=dataclasses.replace(SITE, zone=zone)) as counter:
        counter.clock.wall = datetime.datetime(2026, 11, 20, 16, 30, tzinfo=datetime.UTC)
        assert counter.counter.day_began().isoformat().startswith(f"2026-11-{began}")
