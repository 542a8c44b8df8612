"""Waiting: long enough to spare a dead server, never in step with everybody else, never for years."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.edge.backoff import LEAST_S, LONGEST_S, delay_s, has_come, poll_s
from sync.edge.batch_size import FIRST_BYTES, LEAST_BYTES, MOST_BYTES, BatchSize
from sync.edge.head_office_client import retry_after_s

draws = st.floats(0, 1, exclude_max=True)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_the_ceiling_doubles_from_five_seconds_to_a_quarter_of_an_hour() -> None:
    """With the highest draw, the waits are the ceilings."""
    almost_one = 1 - 1e-12
    assert [round(delay_s(n, almost_one)) for n in range(1, 11)] == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


@given(st.integers(0, 10_000), draws)
def test_no_wait_is_a_tight_loop_or_longer_than_the_ceiling(failures: int, draw: float) -> None:
    """However often it failed and however the dice fall."""
    assert LEAST_S <= delay_s(failures, draw) <= LONGEST_S


@given(st.integers(1, 20), draws, st.floats(-1e9, 1e9))
def test_what_a_server_asks_for_is_kept_within_reason(failures: int, draw: float, asked: float) -> None:
    """Never earlier than it asked, never silenced for a day by a broken proxy."""
    delay = delay_s(failures, draw, asked)
    assert min(asked, 3600) <= delay <= 3960


@given(st.integers(1, 604_800), draws)
def test_polls_spread_by_a_tenth_either_way(asked: int, draw: float) -> None:
    """A thousand devices that were told the same do not come back together."""
    assert 0.9 * asked <= poll_s(asked, draw) <= max(LEAST_S, 1.1 * asked)


@pytest.mark.parametrize(
    ("ahead", "come"), [(-5, True), (0, True), (1, False), (3600, False), (7200, False), (7201, True), (3e8, True)]
)
def test_a_time_beyond_any_wait_of_ours_has_come(ahead: float, come: bool) -> None:
    """It was written by a clock that has since been set back."""
    assert has_come(NOW + timedelta(seconds=ahead), NOW) is come


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 7 ", 7),
        ("Fri, 20 Nov 2026 00:01:00 GMT", 60),
        ("Thu, 19 Nov 2026 00:00:00 GMT", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1" * 30, None),
        ("Fri, 20 Nov 2026 00:01:00 -0000", None),
    ],
)
def test_retry_after_is_read_as_number_or_date_or_not_at_all(header: str, seconds: int | None) -> None:
    """Whatever a server or proxy writes there, it never breaks the round."""
    assert retry_after_s(header, NOW) == seconds


def test_requests_shrink_on_a_broken_line_and_grow_on_a_good_one() -> None:
    """Halved on failure, a quarter more on success, within fixed limits."""
    size = BatchSize()
    size.failed()
    assert size.bytes == FIRST_BYTES // 2
    for _ in range(10):
        size.failed()
    assert size.bytes == LEAST_BYTES
    for _ in range(40):
        size.sent(size.bytes, 0.1)
    assert size.bytes == MOST_BYTES


def test_on_a_slow_line_a_request_takes_about_twenty_seconds() -> None:
    """56 kbit/s carry 140 kB in that time; small polls say nothing about the line."""
    size = BatchSize()
    for _ in range(20):
        size.sent(size.bytes, size.bytes / 7000)
    assert size.bytes == 140_000
    size.sent(500, 1.2)
    assert size.bytes > 140_000
