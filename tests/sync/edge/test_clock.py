"""Head office's time on a machine whose own clock may be wrong."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.edge.clock import Offset, SystemClock
from tests.sync.edge.conftest import START, Desk

SECOND = 1_000_000_000


def test_before_any_receipt_nothing_is_claimed(desk: Desk) -> None:
    """No offset and no bound: the packet says that its time is the wall clock's word only."""
    created = desk.time.created()
    assert (created.clock_offset_ms, created.clock_error_ms) == (None, None)


def test_half_the_round_trip_bounds_the_error(desk: Desk) -> None:
    """Two seconds there and back: the offset is right to a second and the rounding."""
    desk.clock.pass_time(2)
    now = desk.clock.monotonic_ns()
    learnt = desk.time.learn(START + timedelta(seconds=61), now - 2 * SECOND, now)
    assert learnt == Offset(60_000, 1002)


def test_setting_the_wall_clock_changes_nothing_head_office_said(desk: Desk) -> None:
    """In the boot it was learnt in, the offset follows the monotonic clock: server time stays known."""
    now = desk.clock.monotonic_ns()
    desk.time.learn(START, now, now)
    desk.clock.pass_time(1000)
    desk.clock.wall -= timedelta(days=3650)
    offset = desk.time.offset()
    assert offset is not None
    assert desk.clock.utc() + timedelta(milliseconds=offset.offset_ms) == START + timedelta(seconds=1000)


def test_the_bound_grows_with_what_a_cheap_crystal_drifts(desk: Desk) -> None:
    """A week without contact: two minutes of doubt, honestly said."""
    now = desk.clock.monotonic_ns()
    desk.time.learn(START, now, now)
    desk.clock.pass_time(7 * 86400)
    offset = desk.time.offset()
    assert offset is not None
    assert offset.error_ms is not None
    assert 120_000 < offset.error_ms < 125_000


def test_after_a_reboot_the_offset_is_remembered_and_its_bound_is_not(desk: Desk) -> None:
    """What the clock did while the machine was off nobody knows."""
    now = desk.clock.monotonic_ns()
    desk.time.learn(START + timedelta(minutes=5), now, now)
    desk.clock.boot_id = bytes(16)
    desk.clock.monotonic = 5 * SECOND
    desk.restart()
    assert desk.time.offset() == Offset(300_000, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    ahead_s=st.integers(-300_000_000, 300_000_000),
    round_trip_ms=st.integers(0, 60_000),
    share=st.floats(0, 1),
    later_s=st.integers(0, 10**6),
    drift=st.floats(-190e-6, 190e-6),
)
def test_head_offices_time_lies_within_the_bound(
    desk: Desk, *, ahead_s: int, round_trip_ms: int, share: float, later_s: int, drift: float
) -> None:
    """Whatever the offset, wherever on the way the stamp was made, however the crystal drifts: the bound holds."""
    desk.clock.wall, desk.clock.monotonic = START, SECOND
    sent = desk.clock.monotonic_ns()
    desk.clock.pass_time(round_trip_ms / 1000)
    stamp = START + timedelta(seconds=ahead_s, milliseconds=round_trip_ms * share)
    desk.time.learn(stamp, sent, desk.clock.monotonic_ns())
    desk.clock.pass_time(later_s * (1 + drift))
    really = START + timedelta(seconds=ahead_s + later_s, milliseconds=round_trip_ms)
    offset = desk.time.offset()
    assert offset is not None
    assert offset.error_ms is not None
    believed = desk.clock.utc() + timedelta(milliseconds=offset.offset_ms)
    assert abs((believed - really).total_seconds() * 1000) <= offset.error_ms + 1


def test_this_machine_has_clocks() -> None:
    """The boot id is there, time passes and sleep counts."""
    clock = SystemClock()
    assert len(clock.boot_id) == 16
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert clock.utc().utcoffset() == timedelta(0)
