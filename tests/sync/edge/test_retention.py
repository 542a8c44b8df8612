"""How long a sealed copy stays: by head office's time, whatever anybody does to this machine's clock."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from sync.checkpoint import sign_batch
from sync.edge.outbox_row import RowState
from sync.edge.retention import Retention
from sync.envelope import Lane
from sync.receipt import verify_receipt
from tests.sync.edge.conftest import START, Desk

DAY = 86_400
KEEP = timedelta(days=30)
DECADE = timedelta(days=3653)


@pytest.fixture
def tidy(desk: Desk) -> Callable[[], int]:
    """What the agent does after each round."""
    retention = Retention(desk.database, desk.outbox, KEEP, lambda _: None)
    return lambda: retention.tidy(desk.time.at_least(), desk.clock.utc())


def deliver(desk: Desk, number: int = 1) -> None:
    desk.put(number)
    assert desk.uploader.round(now_please=True).acked


def both_pass(desk: Desk, seconds: float) -> None:
    """Here and at head office."""
    desk.clock.pass_time(seconds)
    desk.office.now += timedelta(seconds=seconds)


def test_a_wall_clock_set_ten_years_ahead_purges_nothing_early(desk: Desk, tidy: Callable[[], int]) -> None:
    """A hand on the clock a second after the receipt; a month later the copy goes as it should."""
    deliver(desk)
    desk.clock.wall += DECADE
    assert tidy() == 0
    both_pass(desk, 29 * DAY)
    assert tidy() == 0
    both_pass(desk, 2 * DAY)
    assert tidy() == 1


@pytest.mark.parametrize("astray", [DECADE, -DECADE])
def test_a_clock_that_was_wrong_at_the_receipt_keeps_nothing_for_ever(
    desk: Desk, tidy: Callable[[], int], astray: timedelta
) -> None:
    """Ten years ahead or behind when head office took it, and put right a day later: a month, or a year and a month."""
    desk.clock.wall += astray
    deliver(desk)
    both_pass(desk, DAY)
    desk.clock.wall -= astray
    assert tidy() == 0
    both_pass(desk, 30 * DAY)
    assert tidy() == (1 if astray < timedelta() else 0)
    both_pass(desk, 401 * DAY)
    tidy()
    assert [row.state for row in desk.outbox.rows()] == [RowState.PURGED]


def test_after_a_reboot_the_time_stands_still_until_head_office_is_heard_again(
    desk: Desk, tidy: Callable[[], int]
) -> None:
    """How long the machine was off only its wall clock says, and that is not believed."""
    deliver(desk)
    desk.clock.boot_id, desk.clock.monotonic = bytes(16), 1
    both_pass(desk, 40 * DAY)
    assert tidy() == 0
    desk.uploader.round(now_please=True)
    assert tidy() == 1


def test_where_receipts_come_by_stick_alone_the_newest_one_tells_the_time(desk: Desk, tidy: Callable[[], int]) -> None:
    """No round ever reaches head office; each stick that comes back brings its time along."""

    def by_stick(number: int) -> None:
        desk.put(number)
        checkpoint = desk.uploader.checkpoint(desk.clock.utc())
        waiting = [desk.outbox.envelope(row.id) or b"" for row in desk.outbox.waiting(Lane.CORE)]
        raw = desk.office.receive(sign_batch(checkpoint, waiting, desk.keys.device))
        keys = {desk.keys.office.kid: desk.keys.office.public_key}
        desk.outbox.settle(verify_receipt(raw, keys, checkpoint.device_id, checkpoint.nonce), number)

    by_stick(1)
    both_pass(desk, 40 * DAY)
    desk.clock.wall += DECADE
    assert tidy() == 0
    by_stick(2)
    assert tidy() == 1
    assert [row.state for row in reversed(desk.outbox.rows())] == [RowState.PURGED, RowState.ACKED]


def test_the_time_head_office_has_reached_is_never_said_too_late(desk: Desk) -> None:
    """Half the round trip and the crystal's drift are taken off; before any receipt there is none."""
    assert desk.time.at_least() is None
    desk.clock.pass_time(10)
    now = desk.clock.monotonic_ns()
    desk.time.learn(START, now - 2_000_000_000, now)
    desk.clock.pass_time(10_000)
    reached = desk.time.at_least()
    assert reached is not None
    # It was signed up to two seconds ago, give or take; two more are the drift of 10,000.
    assert START + timedelta(seconds=9_990) < reached <= START + timedelta(seconds=10_000 - 1.9)


def test_an_hour_in_which_head_offices_clock_was_ahead_ends_no_retention(desk: Desk, tidy: Callable[[], int]) -> None:
    """A new machine there, with a flat battery: neither then nor once it is right again is anything purged early."""
    right = desk.office.now
    deliver(desk, 1)
    both_pass(desk, DAY)
    desk.office.now = right + timedelta(days=60)
    deliver(desk, 2)
    assert tidy() == 0
    desk.office.now = right + timedelta(days=1, hours=1)
    deliver(desk, 3)
    assert tidy() == 0
    desk.clock.boot_id = bytes(16)
    assert tidy() == 0
    assert [row.state for row in desk.outbox.rows()] == [RowState.ACKED] * 3
    both_pass(desk, 31 * DAY)
    desk.uploader.round(now_please=True)
    assert tidy() == 2


def test_a_head_office_whose_clock_was_years_behind_ends_no_retention(desk: Desk, tidy: Callable[[], int]) -> None:
    """What it took in that time bears a date of long ago; the month runs from when the receipt came."""
    right = desk.office.now
    deliver(desk, 1)
    desk.office.now = right - DECADE
    for number in (2, 3):
        deliver(desk, number)
    desk.office.now = right
    both_pass(desk, 3600)
    deliver(desk, 4)
    assert tidy() == 0
    both_pass(desk, 31 * DAY)
    desk.uploader.round(now_please=True)
    assert tidy() == 4
