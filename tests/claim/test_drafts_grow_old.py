"""When an open claim is old enough to be dropped: by time that is certain, never by a clock that was set right."""

import datetime
import logging

import pytest

from tests.claim.desk import Bench

HOUR = 3600


def open_ids(at: Bench) -> list[str]:
    return [claim.claim_id for claim in at.desk.open_claims()]


def test_setting_a_wrong_clock_right_drops_no_claim(at_counter: Bench) -> None:
    """The battery was empty, the claim was opened "in 2020"; head office's time arrives: the claim is still there."""
    right = at_counter.clock.wall
    at_counter.clock.wall, at_counter.clock.trusted = right - datetime.timedelta(days=2000), False
    claim = at_counter.start()
    assert at_counter.desk.expire() == 0
    at_counter.clock.pass_time(60)
    at_counter.clock.wall, at_counter.clock.trusted = right, True
    assert at_counter.desk.expire() == 0
    at_counter.clock.pass_time(60)
    assert at_counter.desk.expire() == 0
    at_counter.restart()
    assert at_counter.desk.expire() == 0
    assert open_ids(at_counter) == [claim.claim_id]
    at_counter.clock.pass_time(24 * HOUR + 1)
    assert at_counter.desk.expire() == 1


def test_a_hand_on_the_clock_drops_no_claim(at_counter: Bench) -> None:
    """Somebody sets the clock a month ahead and nobody confirms it: not now, not in the next round."""
    claim = at_counter.start()
    at_counter.desk.expire()
    at_counter.clock.wall += datetime.timedelta(days=30)
    at_counter.clock.trusted = False
    for _ in range(3):
        at_counter.clock.pass_time(60)
        assert at_counter.desk.expire() == 0
    assert open_ids(at_counter) == [claim.claim_id]


def test_a_round_in_which_the_clock_jumped_drops_nothing(at_counter: Bench) -> None:
    """Even a jump head office confirms is looked at once more before anything is deleted."""
    at_counter.start()
    at_counter.desk.expire()
    at_counter.clock.wall += datetime.timedelta(days=30)
    assert at_counter.desk.expire() == 0
    assert at_counter.desk.expire() == 1


def test_a_machine_that_is_never_online_drops_its_claims_too(at_counter: Bench) -> None:
    """Two working days of the agent's own watching, with a night switched off between them."""
    at_counter.clock.trusted = False
    at_counter.start()
    for _ in range(2):
        assert at_counter.desk.expire() == 0
        at_counter.clock.pass_time(11 * HOUR)
        assert at_counter.desk.expire() == 0
        at_counter.restart()
        at_counter.clock.seconds = 5.0
    assert at_counter.desk.expire() == 0
    at_counter.clock.pass_time(3 * HOUR)
    assert at_counter.desk.expire() == 1


def test_a_claim_opened_after_a_long_sleep_is_new(at_counter: Bench) -> None:
    """The lid was shut for three days; a claim opened before the next round did not sleep with it."""
    at_counter.clock.trusted = False
    at_counter.desk.expire()
    at_counter.clock.pass_time(72 * HOUR)
    claim = at_counter.start()
    assert at_counter.desk.expire() == 0
    assert open_ids(at_counter) == [claim.claim_id]


def test_what_was_dropped_is_in_the_log(at_counter: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A technician who is asked for a claim finds its id and age."""
    caplog.set_level(logging.WARNING)
    claim = at_counter.start()
    at_counter.clock.pass_time(30 * HOUR)
    assert at_counter.desk.expire() == 1
    assert f"claim_expired id={claim.claim_id} age_h=30" in caplog.text
