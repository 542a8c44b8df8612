"""The thread that carries the queue to head office: woken at once after a claim, patient after a failure.

When a round is worth making is written in the database (pauses after failures, the next poll that head office
asked for), so that a restart changes nothing; here is only the thread that looks.
"""

import dataclasses
import datetime
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from mpos_agent.errors import NotEnrolledError
from mpos_agent.log import happening
from mpos_agent.outcomes import Outcome, outcome_of
from sync.edge.uploader import RoundOutcome, RoundResult
from sync.errors import HeadOfficeError, SyncError
from sync.errors import NotEnrolledError as NoIdentityError

_log = logging.getLogger(__name__)


class Rounds(Protocol):
    """What makes rounds: the uploader."""

    def round(self, *, now_please: bool = False) -> RoundResult:
        """One round; SyncError only for trouble of this machine's own."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LastRound:
    """What the last round came to. ``outcome`` is None before the first one."""

    at: datetime.datetime | None = None
    outcome: RoundOutcome | None = None
    problem: Outcome | None = None
    sent: int = 0
    accepted: int = 0
    held: int = 0
    left: int = 0
    """Of what was sent, what head office did not take: it is still here and goes again."""
    next_at: datetime.datetime | None = None


def _nobody(_result: RoundResult) -> None:
    """Nobody asked to be told."""


class SyncWorker:
    """One thread, one round at a time."""

    def __init__(
        self,
        *,
        uploader: Callable[[], Rounds],
        tidy: Callable[[], None],
        utc: Callable[[], datetime.datetime],
        poll_s: float,
        after_round: Callable[[RoundResult], None] | None = None,
    ) -> None:
        """``uploader`` raises NotEnrolledError until there is an identity; ``tidy`` drops what is over.

        ``after_round`` looks after the identity, on this thread, before the next round.
        """
        self._uploader, self._tidy, self._utc, self._poll_s = uploader, tidy, utc, poll_s
        self._after_round = after_round or _nobody
        self._on_round: Callable[[RoundResult], None] = _nobody
        self._changed = threading.Condition()
        self._stopping = False
        self._woken = False
        self._asked = self._answered = 0
        self._last = LastRound()
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def tell(self, on_round: Callable[[RoundResult], None]) -> None:
        """Who is told of every round that went to head office; before :meth:`start`."""
        self._on_round = on_round

    def start(self) -> None:
        """Begin; the first round is made at once."""
        self._thread.start()

    def wake(self) -> None:
        """Something was queued: a round is worth making now, unless a pause after a failure says otherwise."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def round_now(self, timeout_s: float) -> LastRound:
        """Make a round although a pause is not over, wait for it, and tell what it came to."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= mine or self._stopping, timeout_s)
            return self._last

    def last(self) -> LastRound:
        """What the last round came to."""
        with self._changed:
            return self._last

    def alive(self) -> bool:
        """The thread runs, as it must between start and stop."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> bool:
        """End after the running round; False when that is not over in time. Safe to call twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                mine, self._woken = self._asked, False
                now_please = mine > self._answered
            last = self._round(now_please=now_please)
            with self._changed:
                self._last, self._answered = last, mine
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._stopping or self._woken or self._asked > self._answered, self._pause_s(last)
                )

    def _pause_s(self, last: LastRound) -> float:
        """Until the next round is due, but never so long that a clock set back would silence the device."""
        if last.next_at is None:
            return self._poll_s
        return min(self._poll_s, max(0.1, (last.next_at - self._utc()).total_seconds()))

    def _round(self, *, now_please: bool) -> LastRound:
        before = self._last
        try:
            result = self._uploader().round(now_please=now_please)
            if result.outcome in {RoundOutcome.DELIVERED, RoundOutcome.FAILED}:
                self._on_round(result)
            self._after_round(result)
            self._tidy()
        except (NotEnrolledError, NoIdentityError) as error:
            return LastRound(problem=outcome_of(error))
        except SyncError as error:
            return self._trouble(before, error)
        except Exception as error:  # noqa: BLE001 - the daemon's loop: a bug costs one round, not the queue
            _log.exception("a round with head office ended in a bug")
            return self._trouble(before, error)
        if result.outcome in {RoundOutcome.IDLE, RoundOutcome.WAITING}:
            return dataclasses.replace(before, next_at=result.next_at)
        return self._told(before, result)

    def _told(self, before: LastRound, result: RoundResult) -> LastRound:
        problem = None
        if result.cause is not None:
            problem = outcome_of(HeadOfficeError(result.cause, result.detail, refused_as=result.refused_as))
        last = LastRound(
            at=self._utc(),
            outcome=result.outcome,
            problem=problem,
            sent=result.sent,
            accepted=len(result.acked) - result.quarantined,
            held=result.quarantined,
            left=result.left,
            next_at=result.next_at,
        )
        repeated = problem is not None and before.problem is not None and before.problem.code == problem.code
        happening(
            _log,
            # The first failure is loud, repeats are quiet.
            logging.DEBUG if repeated else logging.WARNING if problem else logging.INFO,
            "round",
            outcome=result.outcome,
            cause=result.cause,
            sent=result.sent,
            bytes=result.sent_bytes,
            accepted=last.accepted,
            quarantined=result.quarantined,
            left=result.left,
            refused=result.dead,
        )
        return last

    def _trouble(self, before: LastRound, error: Exception) -> LastRound:
        problem = outcome_of(error)
        if before.problem is None or before.problem.code != problem.code:
            happening(_log, logging.ERROR, "round_impossible", code=problem.code)
        return LastRound(at=self._utc(), outcome=RoundOutcome.FAILED, problem=problem)
