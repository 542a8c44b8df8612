"""Several epochs in one lane, and packets that head office asks for again."""

import os
import sqlite3

import pytest

from sync.edge.outbox import Resent
from sync.edge.outbox_row import RowState
from sync.envelope import FIRST_SEQ, MAX_SEQ, NO_HASH, Lane, read_header
from sync.errors import ChainError
from sync.receipt import LaneHead, Verdict
from tests.sync.edge.conftest import Desk
from tests.sync.edge.test_outbox import due, rot, settle, states, verdict_on


def test_a_new_epoch_begins_a_chain_and_leaves_the_old_one_to_be_delivered(desk: Desk) -> None:
    """What is sealed names its epoch and cannot be sealed anew: it goes under the old one, what follows the new."""
    old = [desk.put(1), desk.put(2)]
    begun = desk.outbox.new_epoch(Lane.CORE)
    assert begun is not None
    assert (begun.ended, begun.last_seq, begun.still_ready) == (old[0].epoch, 2, 2)
    new = desk.put(3)
    assert (new.seq, new.prev_hash, new.epoch) == (FIRST_SEQ, NO_HASH, begun.begun)
    headers = [read_header(row.envelope) for row in due(desk)]
    assert [(header.epoch, header.seq) for header in headers] == [(begun.ended, 1), (begun.ended, 2), (begun.begun, 1)]
    (core, _) = desk.outbox.counts()
    assert (core.epoch, core.next_seq, core.ready, core.chains) == (begun.begun, 2, 3, 2)
    assert desk.outbox.check_chain() == 3
    settle(desk, *(verdict_on(row) for row in (*old, new)))
    assert states(desk) == [RowState.ACKED] * 3


def test_both_chains_reach_head_office_by_themselves(desk: Desk) -> None:
    """In ordinary rounds, with a head office that takes every chain in order."""
    desk.put(1)
    desk.outbox.new_epoch(Lane.CORE)
    desk.put(2)
    result = desk.uploader.round(now_please=True)
    assert len(result.acked) == 2
    assert sorted(len(chain) for chain in desk.office.stored.values()) == [1, 1]


def test_an_old_chain_that_has_to_wait_does_not_hold_up_the_new_one(desk: Desk) -> None:
    """Head office takes each chain by itself."""
    old = desk.put(1)
    desk.outbox.new_epoch(Lane.CORE)
    new = desk.put(2)
    desk.outbox.postpone([old], desk.clock.utc().replace(year=2026, hour=4), "retry_later")
    assert [row.id for row in due(desk)] == [new.id]


def test_a_new_epoch_is_begun_once_however_often_it_is_asked_for(desk: Desk) -> None:
    """Head office repeats its command until it hears that it was carried out."""
    epoch = desk.put(1).epoch
    first = desk.outbox.new_epoch(Lane.CORE, epoch)
    assert first is not None
    assert desk.outbox.new_epoch(Lane.CORE, epoch) is None
    assert desk.put(2).epoch == first.begun


def test_a_restart_goes_on_with_the_newest_epoch(desk: Desk) -> None:
    """Of each lane its own."""
    desk.put(1)
    begun = desk.outbox.new_epoch(Lane.CORE)
    assert begun is not None
    documents = desk.put(2, Lane.DOCUMENTS)
    desk.restart()
    assert desk.put(3).epoch == begun.begun
    assert desk.put(4, Lane.DOCUMENTS).epoch == documents.epoch


def test_the_alarm_over_two_histories_ends_with_a_new_epoch(desk: Desk) -> None:
    """The technician has seen to the machine and begun a new chain: the old verdict is no alarm for that one."""
    settled = settle(desk, verdict_on(desk.put(1), Verdict.QUARANTINED, reason="lane_frozen"))
    assert settled.forked == (Lane.CORE,)
    desk.outbox.new_epoch(Lane.CORE)
    assert settle(desk, verdict_on(desk.put(2))).forked == ()


def test_head_office_knowing_more_of_an_ended_chain_than_we_do_is_a_fork_as_well(desk: Desk) -> None:
    """A new epoch hides nothing."""
    old = desk.put(1)
    desk.outbox.new_epoch(Lane.CORE)
    ahead = LaneHead(lane=Lane.CORE, epoch=old.epoch, next_seq=9, head_hash=os.urandom(32))
    assert settle(desk, lanes=(ahead,)).forked == (Lane.CORE,)


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.QUARANTINED, Verdict.NOT_YOURS])
def test_what_head_office_lost_or_misjudged_is_sent_again_when_it_asks(desk: Desk, verdict: Verdict) -> None:
    """Acknowledged or refused, the same bytes wait again, in their old place; its next word counts."""
    row = desk.put(1)
    settle(desk, verdict_on(row, verdict))
    assert desk.outbox.resend(Lane.CORE, row.epoch, 1, 1) == Resent(again=1, waiting=0, gone=0, unknown=0)
    (ready,) = due(desk)
    assert (ready.digest, ready.resends, ready.verdict, ready.receipt_no) == (row.digest, 1, None, None)
    (core, _) = desk.outbox.counts()
    assert (core.ready, core.acked, core.dead, core.held, core.ready_bytes) == (1, 0, 0, 0, row.size)
    (acked,) = settle(desk, verdict_on(row)).acked
    assert (acked.verdict, acked.resends) == (Verdict.ACCEPTED, 1)


def test_what_was_purged_cannot_be_sent_again_and_head_office_is_told_so(desk: Desk) -> None:
    """Gone against a receipt: only head office's own copy is left. The rest of the range is sent."""
    rows = [desk.put(number) for number in range(4)]
    settle(desk, *(verdict_on(row) for row in rows[:3]))
    desk.clock.pass_time(1)
    assert desk.outbox.purge(desk.clock.utc(), most=2) == 2
    resent = desk.outbox.resend(Lane.CORE, rows[0].epoch, 1, 6)
    assert resent == Resent(again=1, waiting=1, gone=2, unknown=2)
    assert [row.seq for row in due(desk)] == [3, 4]
    assert desk.outbox.resend(Lane.CORE, os.urandom(16), 1, 5) == Resent(again=0, waiting=0, gone=0, unknown=5)


def test_packets_sent_again_go_before_the_ones_behind_them(desk: Desk) -> None:
    """Head office takes a chain in order."""
    rows = [desk.put(number) for number in range(3)]
    settle(desk, *(verdict_on(row) for row in rows[:2]))
    desk.outbox.resend(Lane.CORE, rows[0].epoch, 1, 2)
    assert [row.seq for row in due(desk)] == [1, 2, 3]


def test_an_order_for_places_beyond_a_chain_reaches_no_other_chain(desk: Desk) -> None:
    """However far a range goes, and whatever number a verdict names, it stays in the chain it is for."""
    claim, scan = desk.put(1), desk.put(2, Lane.DOCUMENTS)
    beyond = claim.seq + (scan.id - claim.id)
    assert settle(desk, verdict_on(scan, lane=Lane.CORE, epoch=claim.epoch, seq=beyond)).acked == ()
    settle(desk, verdict_on(claim), verdict_on(scan))
    assert desk.outbox.resend(Lane.CORE, claim.epoch, 1, MAX_SEQ).again == 1
    assert [row.id for row in due(desk)] == [claim.id]


def test_a_check_bounded_in_bytes_still_follows_every_link(desk: Desk) -> None:
    """On a long queue the start does not hash gigabytes; a broken link shows all the same."""
    rows = [desk.put(number) for number in range(5)]
    settle(desk, verdict_on(rows[0]))
    rot(desk.database, rows[4].id)
    assert desk.outbox.check_chain(most_bytes=rows[1].size) == 5
    with pytest.raises(ChainError, match="bytes of core 5 have changed"):
        desk.outbox.check_chain()
    with desk.database.transaction() as tx:
        tx.execute("UPDATE outbox_rows SET prev_hash = zeroblob(32) WHERE seq = 3")
    with pytest.raises(ChainError, match="broken at core 3"):
        desk.outbox.check_chain(most_bytes=0)


@pytest.mark.parametrize(("place", "told"), [(1, 2), (3, 4), (5, 5)])
def test_a_link_is_followed_across_the_steps_of_a_check(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, place: int, told: int
) -> None:
    """A long queue is checked piece by piece: a packet that is missing shows wherever a piece ends."""
    monkeypatch.setattr("sync.edge.chains.ROWS_AT_ONCE", 2)
    for number in range(5):
        desk.put(number)
    assert desk.outbox.check_chain() == 5
    with desk.database.transaction() as tx:
        tx.execute("DROP TRIGGER outbox_kept")
        if place == 5:
            tx.execute("UPDATE outbox_rows SET prev_hash = digest WHERE seq = 5")
        else:
            tx.execute("DELETE FROM outbox_rows WHERE seq = ?", (place,))
    with pytest.raises(ChainError, match=f"broken at core {told}"):
        desk.outbox.check_chain()


def test_the_first_packet_of_a_chain_has_nothing_before_it(desk: Desk) -> None:
    """One that names a packet before it is no first one."""
    desk.put(1)
    with desk.database.transaction() as tx:
        tx.execute("UPDATE outbox_rows SET prev_hash = digest")
    with pytest.raises(ChainError, match="broken at core 1"):
        desk.outbox.check_chain()


def test_bytes_that_are_gone_without_a_receipt_are_found(desk: Desk) -> None:
    """A row alone is not a packet."""
    desk.put(1)
    with desk.database.transaction() as tx:
        tx.execute("DROP TRIGGER outbox_held_fast")
        tx.execute("DELETE FROM outbox_envelopes")
    with pytest.raises(ChainError, match="bytes of core 1 are gone"):
        desk.outbox.check_chain()


def test_a_packet_left_behind_by_a_receipt_is_still_found(desk: Desk) -> None:
    """The ones behind it are in custody, it is not: it stays first, and is the next to go."""
    rows = [desk.put(number) for number in range(4)]
    settle(desk, verdict_on(rows[1]), verdict_on(rows[2]))
    assert [row.seq for row in due(desk)] == [1, 4]
    settle(desk, verdict_on(rows[0]))
    assert [row.seq for row in due(desk)] == [4]
    settle(desk, verdict_on(rows[3]))
    assert due(desk) == []
    assert [row.seq for row in (desk.put(9), *due(desk))] == [5, 5]


def test_looking_for_the_next_packet_begins_behind_what_is_settled(desk: Desk) -> None:
    """A million packets in custody are not walked over at every round; one asked for again is looked for anew."""

    def begins_at() -> int:
        return int(desk.database.read("SELECT first_ready FROM outbox_chains WHERE lane = 'core'")[0][0])

    rows = [desk.put(number) for number in range(3)]
    settle(desk, *(verdict_on(row) for row in rows[:2]))
    assert begins_at() == 3
    settle(desk, verdict_on(rows[2]))
    assert begins_at() == 4
    desk.outbox.resend(Lane.CORE, rows[0].epoch, 2, 2)
    assert begins_at() == 2


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.NOT_YOURS])
def test_a_settled_packet_comes_back_by_an_order_and_by_nothing_else(desk: Desk, verdict: Verdict) -> None:
    """The table wants the order counted on the row: a statement that only sets the state is refused."""
    settle(desk, verdict_on(desk.put(1), verdict))
    for statement in ("UPDATE outbox_rows SET state = 'READY'", "UPDATE outbox_rows SET state = 'READY', resends = 2"):
        with pytest.raises(sqlite3.IntegrityError), desk.database.transaction() as tx:
            tx.execute(statement)
    assert due(desk) == []


def test_a_waiting_packet_that_would_not_be_found_is_damage(desk: Desk) -> None:
    """Where looking begins is written down; the check at the start holds it against the rows."""
    desk.put(1)
    with desk.database.transaction() as tx:
        tx.execute("UPDATE outbox_chains SET first_ready = 2")
    with pytest.raises(ChainError, match="never be found"):
        desk.outbox.check_chain()
