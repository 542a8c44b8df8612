"""Templates of the card, pictures and minutiae: overwritten on every way out of a claim, provably."""

import contextlib
import dataclasses
import logging
import pickle
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from drivers.card.ektp.record import CardRecord
from drivers.card.errors import NoCardError
from drivers.errors import DeviceRemovedError
from drivers.scanner.base import FingerImage, PlaceAgain
from drivers.sensitive import SensitiveBytes
from mpos_agent.claim.counter import CardProgress, FingerPrompt
from mpos_agent.claim.draft import FallbackCode, WithdrawReason
from mpos_agent.claim.held_biometrics import HeldBiometrics, HeldFinger, Timer, threading_schedule
from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim.states import State
from sync.packet import ConsentMethod, PhotoCompare
from tests.claim.desk import FORM, LEFT, OTHER_NIK, RIGHT, SUPERVISOR_PIN, Bench, card, holder, picture


def a_match(at: Bench, claim: ClaimSession) -> None:
    at.glass.append(picture(RIGHT))
    claim.capture_finger()


def every_try_used_up(at: Bench, claim: ClaimSession) -> None:
    at.glass += [picture(b"another person's finger") for _ in range(8)]
    for _ in range(8):
        claim.capture_finger()


def a_countersigned_fallback(at: Bench, claim: ClaimSession) -> None:
    claim.fallback(
        code=FallbackCode.FINGER_EXEMPT,
        reason="INJURED",
        supervisor_id="sup1",
        pin=SUPERVISOR_PIN,
        photo_compare=PhotoCompare.SAME,
    )


def consent_taken_back(at: Bench, claim: ClaimSession) -> None:
    claim.consent(given=False, method=ConsentMethod.ON_SCREEN)


def withdrawal(at: Bench, claim: ClaimSession) -> None:
    claim.withdraw(WithdrawReason.MEMBER_LEFT)


def expiry(at: Bench, claim: ClaimSession) -> None:
    at.clock.pass_time(25 * 3600)
    at.desk.expire()


def the_scanner_unplugged(at: Bench, claim: ClaimSession) -> None:
    at.glass.append(DeviceRemovedError("scanner", "capture"))
    with contextlib.suppress(DeviceRemovedError):
        claim.capture_finger()


def a_bug_in_the_matcher(at: Bench, claim: ClaimSession) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    vars(at.matcher)["compare"] = broken
    at.glass.append(picture(RIGHT))
    with contextlib.suppress(ZeroDivisionError):
        claim.capture_finger()


def a_full_disk(at: Bench, claim: ClaimSession) -> None:
    def broken(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    vars(at.counter.store)["save"] = broken
    at.glass.append(picture(b"another person's finger"))
    with contextlib.suppress(OSError):
        claim.capture_finger()


def time(at: Bench, claim: ClaimSession) -> None:
    at.timers.go_off()


def another_claim_at_the_same_counter(at: Bench, claim: ClaimSession) -> None:
    other = at.start()
    other.consent(given=True, method=ConsentMethod.ON_SCREEN)
    at.cards.append(card(holder(OTHER_NIK), templates=()))
    other.read_card()


def the_same_card_read_again(at: Bench, claim: ClaimSession) -> None:
    at.cards.append(card(templates=()))
    claim.read_card()


def the_agent_stopping(at: Bench, claim: ClaimSession) -> None:
    at.desk.close()


WAYS_OUT = [
    a_match,
    every_try_used_up,
    a_countersigned_fallback,
    consent_taken_back,
    withdrawal,
    expiry,
    the_scanner_unplugged,
    a_bug_in_the_matcher,
    a_full_disk,
    time,
    another_claim_at_the_same_counter,
    the_same_card_read_again,
    the_agent_stopping,
]


@pytest.mark.parametrize("way_out", WAYS_OUT, ids=lambda way: way.__name__)
def test_nothing_is_left_after(at_counter: Bench, way_out: Callable[[Bench, ClaimSession], None]) -> None:
    """Held while a finger is to be compared, gone after any of these."""
    claim = at_counter.identified()
    assert [left for left in at_counter.leftovers() if left.startswith("template")], "held until now"
    way_out(at_counter, claim)
    assert at_counter.leftovers() == []


@pytest.mark.parametrize("way_out", [the_scanner_unplugged, time, the_agent_stopping], ids=lambda way: way.__name__)
def test_the_claim_goes_on_with_the_same_card(
    at_counter: Bench, way_out: Callable[[Bench, ClaimSession], None]
) -> None:
    """Wiping costs the member one more tap, nothing else."""
    claim = at_counter.identified()
    way_out(at_counter, claim)
    assert claim.next_prompt.code == "CARD_SAME"
    at_counter.cards.append(card())
    claim.read_card()
    at_counter.glass.append(picture(RIGHT))
    assert claim.capture_finger().happened == "FINGER_MATCHES"


def test_between_attempts_only_the_cards_templates_are_held(at_counter: Bench) -> None:
    """The picture and every set of minutiae go at once, match or not."""
    claim = at_counter.identified()
    at_counter.glass += [picture(b"another person's finger"), picture(b"x", quality=0), PlaceAgain.EMPTY]
    for _ in range(3):
        claim.capture_finger()
    assert at_counter.leftovers() == ["template of card 0"]


def test_signature_image_is_gone_right_after_the_read(at_counter: Bench) -> None:
    """No step needs it."""
    at_counter.identified()
    assert not any(bytes(at_counter.seen_cards[0].signature_image.view()))


def test_disk_and_log_hold_no_template(at_counter: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Every file the claim wrote and the log at its most talkative: neither finger is in there, nor the photo."""
    caplog.set_level(logging.DEBUG)
    claim = at_counter.filled()
    claim.confirm(member_confirms=True)
    written = b"".join(file.read_bytes() for file in at_counter.folder.iterdir() if file.is_file())
    for secret in (RIGHT, LEFT, b"photo of a drawing", b"signature drawing"):
        assert secret not in written
        assert secret.decode() not in caplog.text
    assert b"PESERTA UJI" not in written


def test_draft_on_disk_says_nothing_of_the_person(at_counter: Bench) -> None:
    """An open claim is ciphertext: no name, no number."""
    at_counter.identified()
    written = b"".join(file.read_bytes() for file in at_counter.folder.iterdir() if file.is_file())
    for fact in (b"PESERTA", b"9901014107850001", b"JL CONTOH", b"photo of a drawing"):
        assert fact not in written


def test_traceback_of_a_failed_attempt_shows_no_template(at_counter: Bench) -> None:
    """What support gets to see of a crash says lengths, never content."""
    claim = at_counter.identified()

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    vars(at_counter.matcher)["compare"] = broken
    at_counter.glass.append(picture(RIGHT))
    try:
        claim.capture_finger()
    except ZeroDivisionError as error:
        told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "secret" not in told


def test_what_is_held_shows_nothing_and_cannot_be_copied_out() -> None:
    """No useful repr, no pickle."""
    held = HeldBiometrics(300, threading_schedule)
    held.hold("claim", [HeldFinger(2, SensitiveBytes(RIGHT))])
    assert "secret" not in repr(held) + repr(held.fingers("claim"))
    with pytest.raises(TypeError):
        pickle.dumps(held)
    held.wipe_all()


def test_real_timer_wipes() -> None:
    """The clockwork itself: not a fake, but nobody waits for it longer than it takes."""
    done = threading.Event()

    def schedule(seconds: float, act: Callable[[], None]) -> Timer:
        def act_and_tell() -> None:
            act()
            done.set()

        return threading_schedule(seconds, act_and_tell)

    held = HeldBiometrics(0.01, schedule)
    template = SensitiveBytes(RIGHT)
    held.hold("claim", [HeldFinger(2, template)])
    assert done.wait(10)
    assert not any(bytes(template.view()))
    assert held.fingers("claim") == ()


def test_late_timer_of_an_earlier_card_leaves_the_new_one() -> None:
    """A timer that goes off just as another card is read wipes only its own."""
    acts: list[Callable[[], None]] = []

    class Uncancellable:
        def cancel(self) -> None:
            """Too late."""

    def schedule(_: float, act: Callable[[], None]) -> Uncancellable:
        acts.append(act)
        return Uncancellable()

    held = HeldBiometrics(300, schedule)
    held.hold("first", [HeldFinger(2, SensitiveBytes(RIGHT))])
    held.hold("second", [HeldFinger(7, SensitiveBytes(LEFT))])
    acts[0]()
    assert [finger.finger for finger in held.fingers("second")] == [7]
    assert held.fingers("first") == ()


def test_withdrawal_ends_a_running_wait_for_a_card(at_counter: Bench) -> None:
    """Another thread waits at the reader: it is stopped, then the claim is withdrawn."""
    waiting = threading.Event()

    def read_card(progress: CardProgress, stop: threading.Event) -> CardRecord:
        waiting.set()
        assert stop.wait(10)
        raise DeviceRemovedError("reader", "wait for a card", "stopped")

    object.__setattr__(at_counter.counter, "read_card", read_card)
    claim = at_counter.start()
    claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    told: list[str] = []

    def read() -> None:
        try:
            claim.read_card()
        except DeviceRemovedError as error:
            told.append(error.code)

    thread = threading.Thread(target=read)
    thread.start()
    assert waiting.wait(10)
    assert claim.withdraw(WithdrawReason.MEMBER_LEFT).accepted
    thread.join(10)
    assert told == ["device_removed"]


def test_a_filled_claim_holds_no_template_any_more(at_counter: Bench) -> None:
    """Long before it is sealed."""
    claim = at_counter.filled()
    assert claim.form(FORM).accepted
    assert at_counter.leftovers() == []


def test_another_claim_that_only_waits_for_a_card_takes_nothing_away(at_counter: Bench) -> None:
    """A second claim asks for a card while a finger is awaited, and none comes: the finger is compared as always."""
    claim, other = at_counter.identified(), at_counter.start()
    other.consent(given=True, method=ConsentMethod.ON_SCREEN)
    at_counter.cards.append(NoCardError("reader", "wait for a card"))
    with pytest.raises(NoCardError):
        other.read_card()
    a_match(at_counter, claim)
    assert claim.state is State.VERIFIED


@pytest.mark.parametrize("way_out", [time, another_claim_at_the_same_counter], ids=lambda way: way.__name__)
def test_templates_wiped_while_the_finger_is_awaited_are_no_evidence(
    at_counter: Bench, way_out: Callable[[Bench, ClaimSession], None]
) -> None:
    """The right finger, but nothing left to compare it with: the card is asked for again, no attempt is recorded."""
    claim = at_counter.identified()
    lay = at_counter.counter.capture

    def late(prompt: FingerPrompt, timeout_s: float, stop: threading.Event) -> FingerImage | PlaceAgain:
        way_out(at_counter, claim)
        return lay(prompt, timeout_s, stop)

    claim._counter = dataclasses.replace(at_counter.counter, capture=late)
    at_counter.glass.append(picture(RIGHT))
    outcome = claim.capture_finger()
    assert [block.code for block in outcome.blocks] == ["TEMPLATES_GONE"]
    assert claim.view()["attempts"] == []
    assert claim.next_prompt.code == "CARD_SAME"
    assert at_counter.leftovers() == []
