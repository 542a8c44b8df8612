"""Puts, rounds, lost replies, duplicates, refusals, restarts, clock jumps and purges in any order.

What must hold at every step: each packet put is either still here or stored at head office with equal bytes,
head office has each once and in order, and nothing is acknowledged here that is not stored there.
"""

import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sync.edge.outbox_row import RowState
from sync.edge.uploader import RoundOutcome
from sync.envelope import Lane, envelope_digest
from sync.errors import Cause, HeadOfficeError
from sync.keys import Algorithm
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import Desk, DeviceKeys

KEYS = DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519))


class QueueAndOffice(RuleBasedStateMachine):
    """One device and one head office; the model is the list of everything that was put."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.desk = Desk(Path(self.folder.name) / "agent.db", KEYS)
        self.put_digests: list[bytes] = []
        self.seen_request = b""

    def teardown(self) -> None:
        self.desk.database.close()
        self.folder.cleanup()

    @rule(lane=st.sampled_from(list(Lane)), size=st.integers(1, 40_000))
    def put(self, lane: Lane, size: int) -> None:
        self.put_digests.append(self.desk.put(len(self.put_digests), lane, size).digest)

    @rule()
    def put_the_last_one_again(self) -> None:
        if self.put_digests:
            row = self.desk.put(len(self.put_digests) - 1)
            assert row.digest == self.put_digests[-1]

    @rule(now_please=st.booleans())
    def round(self, *, now_please: bool) -> None:
        self.desk.uploader.round(now_please=now_please)

    @rule()
    def round_whose_reply_is_lost(self) -> None:
        self.desk.office.lose_replies = 1
        result = self.desk.uploader.round(now_please=True)
        assert result.outcome is RoundOutcome.FAILED

    @rule(cause=st.sampled_from(list(Cause)))
    def round_that_is_refused(self, cause: Cause) -> None:
        self.desk.office.refuse = HeadOfficeError(cause)
        result = self.desk.uploader.round(now_please=True)
        self.desk.office.refuse = None
        assert (result.outcome, result.cause) == (RoundOutcome.FAILED, cause)

    @rule()
    def round_that_is_put_off(self) -> None:
        self.desk.office.retry_later = True
        self.desk.uploader.round(now_please=True)
        self.desk.office.retry_later = False

    @precondition(lambda self: self.put_digests)
    @rule(data=st.data())
    def find_fault_with_a_packet(self, data: st.DataObject) -> None:
        self.desk.office.quarantine.add(data.draw(st.sampled_from(self.put_digests)))

    @rule(seconds=st.integers(1, 2000))
    def time_passes(self, seconds: int) -> None:
        self.desk.clock.pass_time(seconds)

    @rule(days=st.sampled_from([-3650, -1, 1, 3650]))
    def somebody_sets_the_clock(self, days: int) -> None:
        self.desk.clock.wall += timedelta(days=days)

    @rule()
    def restart(self) -> None:
        self.desk.restart()

    @rule()
    def purge(self) -> None:
        self.desk.outbox.purge(self.desk.clock.utc())

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        rows = self.desk.outbox.rows(most=10_000)
        stored = [envelope_digest(envelope) for envelope in self.desk.office.everything()]
        assert sorted(row.digest for row in rows) == sorted(self.put_digests)
        assert len(stored) == len(set(stored))
        assert set(stored) <= set(self.put_digests)
        for row in rows:
            if row.state in (RowState.ACKED, RowState.PURGED):
                assert row.digest in stored
        assert RowState.DEAD not in {row.state for row in rows}

    @invariant()
    def the_chain_is_whole_on_both_sides(self) -> None:
        assert self.desk.outbox.check_chain() == len(self.put_digests)
        for lane in Lane:
            ours = [row.digest for row in reversed(self.desk.outbox.rows(most=10_000)) if row.lane is lane]
            theirs = [
                envelope_digest(envelope)
                for (name, _), chain in self.desk.office.stored.items()
                if name == lane
                for envelope in chain
            ]
            assert theirs == ours[: len(theirs)]

    @rule()
    def once_the_trouble_is_over_the_queue_drains(self) -> None:
        for _ in range(3 * len(self.put_digests) + 5):
            result = self.desk.uploader.round(now_please=True)
            assert result.outcome is RoundOutcome.DELIVERED
            if not any(counts.ready for counts in self.desk.outbox.counts()):
                break
            self.desk.clock.pass_time(1000)
        assert sum(counts.ready for counts in self.desk.outbox.counts()) == 0
        assert len(self.desk.office.everything()) == len(self.put_digests)


QueueAndOffice.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


TestQueueAndOffice = QueueAndOffice.TestCase
