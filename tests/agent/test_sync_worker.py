"""The thread that carries the queue: woken at once, patient after failures, never ended by one."""

import dataclasses
import datetime
import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from mpos_agent.sync_worker import SyncWorker
from sync.edge.outbox_row import OutboxRow
from sync.edge.uploader import RoundOutcome, RoundResult
from sync.errors import Cause, NotEnrolledError, StorageFullError

NOW = datetime.datetime(2026, 11, 20, 3, 0, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(hours=1)
# The thread answers in milliseconds; a loaded machine gets this long before a test gives up.
PATIENCE_S = 20.0
IDLE = RoundResult(outcome=RoundOutcome.IDLE, next_at=LATER)
DELIVERED = RoundResult(outcome=RoundOutcome.DELIVERED, next_at=LATER, sent=1)
REFUSED = RoundResult(outcome=RoundOutcome.FAILED, next_at=LATER, cause=Cause.CONNECTION_REFUSED, sent=1)


class Rounds:
    """An uploader whose rounds end as told; the last way is kept."""

    def __init__(self, *ways: RoundResult | Exception) -> None:
        self.ways = list(ways)
        self.asked: list[bool] = []
        self.made = threading.Semaphore(0)

    def round(self, *, now_please: bool = False) -> RoundResult:
        self.asked.append(now_please)
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        self.made.release()
        if isinstance(way, Exception):
            raise way
        return way

    def wait(self) -> None:
        """Until one more round has begun."""
        assert self.made.acquire(timeout=PATIENCE_S), "no round was made"


Start = Callable[..., SyncWorker]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers that look at the queue every hour only, and stops them again."""
    workers: list[SyncWorker] = []

    def started(rounds: Rounds, tidy: Callable[[], None] = lambda: None) -> SyncWorker:
        worker = SyncWorker(uploader=lambda: rounds, tidy=tidy, utc=lambda: NOW, poll_s=3600)
        worker.start()
        workers.append(worker)
        rounds.wait()
        return worker

    yield started
    for worker in workers:
        assert worker.stop(PATIENCE_S)
        assert not worker.alive()


def test_a_round_is_made_at_start_and_another_as_soon_as_something_is_queued(start: Start) -> None:
    """With an hour to the next look, waking makes the round now."""
    rounds = Rounds(IDLE)
    worker = start(rounds)
    worker.wake()
    rounds.wait()
    assert rounds.asked == [False, False]


def test_a_packet_that_is_held_is_not_counted_as_accepted(start: Start) -> None:
    """One of two is in quarantine: the round tells both numbers."""
    rows: tuple[OutboxRow, ...] = (cast("OutboxRow", object()), cast("OutboxRow", object()))
    delivered = dataclasses.replace(DELIVERED, sent=2, acked=rows, quarantined=1)
    last = start(Rounds(delivered)).round_now(PATIENCE_S)
    assert (last.sent, last.accepted, last.held) == (2, 1, 1)


def test_a_round_that_somebody_asks_for_goes_ahead_of_every_pause(start: Start) -> None:
    """`outbox --send` waits for the round's end and is told what came of it."""
    rounds = Rounds(IDLE, REFUSED)
    last = start(rounds).round_now(PATIENCE_S)
    assert rounds.asked == [False, True]
    assert last.problem is not None
    assert (last.outcome, last.problem.code) == (RoundOutcome.FAILED, "head_office_connection_refused")


def test_no_failure_of_any_kind_ends_the_thread(start: Start) -> None:
    """A full disk, a missing identity, even a bug of ours: the next round is made all the same."""
    rounds = Rounds(
        StorageFullError("agent.db", "write"), NotEnrolledError("identity", "none"), ZeroDivisionError(), DELIVERED
    )
    worker = start(rounds)
    codes = [worker.round_now(PATIENCE_S).problem for _ in range(2)]
    assert [problem.code for problem in codes if problem] == ["not_enrolled", "internal"]
    assert worker.round_now(PATIENCE_S).outcome is RoundOutcome.DELIVERED
    assert worker.alive()


def test_every_round_that_reached_the_network_is_told_on(start: Start) -> None:
    """Receipts and causes reach the events; looks at an empty queue do not."""
    rounds = Rounds(IDLE, DELIVERED, REFUSED)
    worker = start(rounds)
    told: list[RoundResult] = []
    worker.tell(told.append)
    worker.round_now(PATIENCE_S)
    worker.round_now(PATIENCE_S)
    assert told == [DELIVERED, REFUSED]


def test_what_was_last_known_stays_through_idle_looks(start: Start) -> None:
    """The status still shows the last real round after many looks at an empty queue."""
    rounds = Rounds(DELIVERED, IDLE)
    worker = start(rounds)
    worker.round_now(PATIENCE_S)
    assert worker.last().outcome is RoundOutcome.DELIVERED
    assert worker.last().sent == 1


def test_what_is_over_is_tidied_even_while_head_office_is_away(start: Start) -> None:
    """Expired drafts and receipts past retention go on schedule, line or no line."""
    tidied = threading.Semaphore(0)
    rounds = Rounds(REFUSED)
    worker = start(rounds, tidied.release)
    worker.round_now(PATIENCE_S)
    assert tidied.acquire(timeout=PATIENCE_S)
    assert tidied.acquire(timeout=PATIENCE_S)


def test_stopping_twice_or_before_starting_is_harmless() -> None:
    """An agent that never came up goes down the same way."""
    worker = SyncWorker(uploader=lambda: Rounds(IDLE), tidy=lambda: None, utc=lambda: NOW, poll_s=3600)
    assert worker.stop(1)
    assert worker.stop(1)
