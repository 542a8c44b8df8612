"""The queue: an unbroken chain in, nothing out but against head office's receipt."""

import os
import sqlite3
from datetime import timedelta
from typing import Any

import pytest

from sync import receipt
from sync.checkpoint import MAX_BATCH_BYTES
from sync.edge import settlement as settling
from sync.edge.database import Database
from sync.edge.outbox import _NEXT_PLACE, Outbox
from sync.edge.outbox_row import TRANSITIONS, ChainPosition, OutboxRow, RowState
from sync.edge.settlement import Settlement
from sync.envelope import FIRST_SEQ, NO_HASH, Lane, envelope_digest, open_envelope, verify
from sync.errors import ChainError, EnvelopeError, StorageCorruptError
from sync.receipt import LaneHead, PacketVerdict, Receipt, Verdict, VerifiedReceipt
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import DEVICE_ID, START, Desk, packet_id

NONCE = bytes(16)


def due(desk: Desk, limit: int = 10**7, **more: Any) -> list[OutboxRow]:
    return desk.outbox.due(desk.clock.utc(), limit, **more)


def verdict_on(row: OutboxRow, verdict: Verdict = Verdict.ACCEPTED, **changes: Any) -> PacketVerdict:
    facts: dict[str, Any] = {
        "lane": row.lane,
        "epoch": row.epoch,
        "seq": row.seq,
        "digest": row.digest,
        "verdict": verdict,
        "reason": None if verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE) else "a_reason",
        "receipt_no": f"R-{row.seq}" if verdict.in_custody else None,
        "stored_at": START if verdict.in_custody else None,
    }
    return PacketVerdict(**(facts | changes))


def signed(desk: Desk, *verdicts: PacketVerdict, lanes: tuple[LaneHead, ...] = ()) -> VerifiedReceipt:
    """A real receipt of head office with these verdicts."""
    content = Receipt(
        device_id=DEVICE_ID, nonce=NONCE, server_time=START, lanes=lanes, verdicts=verdicts, next_poll_s=60
    )
    keys = {desk.keys.office.kid: desk.keys.office.public_key}
    return receipt.verify_receipt(receipt.sign(content, desk.keys.office), keys, DEVICE_ID, NONCE)


def settle(desk: Desk, *verdicts: PacketVerdict, lanes: tuple[LaneHead, ...] = ()) -> Settlement:
    return desk.outbox.settle(signed(desk, *verdicts, lanes=lanes))


def rot(database: Database, row_id: int | None = None) -> None:
    """What a failing disk does to one packet or all: no statement of ours may."""
    with database.transaction() as tx:
        guard = tx.execute("SELECT sql FROM sqlite_master WHERE name = 'outbox_sealed'").fetchone()[0]
        tx.execute("DROP TRIGGER outbox_sealed")
        tx.execute("UPDATE outbox_envelopes SET bytes = zeroblob(length(bytes)) WHERE id = coalesce(?, id)", (row_id,))
        tx.execute(guard)


def test_a_waiting_packet_without_its_bytes_is_damage_with_a_name(desk: Desk) -> None:
    """No statement of ours takes them away: the file is to be checked and set aside."""
    desk.put(1)
    with desk.database.transaction() as tx:
        tx.execute("DROP TRIGGER outbox_held_fast")
        tx.execute("DELETE FROM outbox_envelopes")
    with pytest.raises(StorageCorruptError, match="without its bytes"):
        desk.outbox.due(desk.clock.utc(), 10_000)


def states(desk: Desk) -> list[RowState]:
    return [row.state for row in reversed(desk.outbox.rows())]


def test_a_receipt_counts_only_together_with_the_record_of_it(desk: Desk) -> None:
    """A power cut between the two would leave packets gone from the queue that no record tells of."""
    told: list[tuple[int, Verdict | None]] = []
    outbox = Outbox(desk.database, desk.clock, on_settled=lambda row: told.append((row.seq, row.verdict)))
    rows = [desk.put(number) for number in (1, 2)]
    receipt = signed(desk, verdict_on(rows[0]), verdict_on(rows[1], Verdict.NOT_YOURS))

    def power_cut(_row: OutboxRow) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Outbox(desk.database, desk.clock, on_settled=power_cut).settle(receipt)
    assert states(desk) == [RowState.READY] * 2
    outbox.settle(receipt)
    assert told == [(1, Verdict.ACCEPTED), (2, Verdict.NOT_YOURS)]


def test_each_lane_is_an_unbroken_chain_from_its_first_packet(desk: Desk) -> None:
    """Numbers without gaps, each packet with its predecessor's digest, one epoch per lane."""
    for number in range(6):
        desk.put(number, Lane.CORE if number % 2 else Lane.DOCUMENTS)
    for lane in Lane:
        rows = [row for row in due(desk) if row.lane is lane]
        assert [row.seq for row in rows] == [FIRST_SEQ, 2, 3]
        assert [row.prev_hash for row in rows] == [NO_HASH, *(envelope_digest(row.envelope) for row in rows[:-1])]
        assert len({row.epoch for row in rows}) == 1
    assert desk.outbox.check_chain() == 6


def test_what_is_queued_is_what_head_office_opens(desk: Desk) -> None:
    """The stored bytes are the sealed packet, header and chain position included."""
    row = desk.put(7)
    (ready,) = due(desk)
    verified = verify(ready.envelope, desk.keys.device.public_key)
    assert (verified.header.seq, verified.header.epoch, verified.digest) == (row.seq, row.epoch, row.digest)
    assert open_envelope(verified, desk.keys.recipient).startswith(b"packet 7 ")


def test_nothing_of_a_packet_stands_readable_in_the_file(desk: Desk) -> None:
    """The stolen laptop: database and log hold no plain text of any packet."""
    desk.put(7)
    for file in desk.path.parent.iterdir():
        assert b"packet 7 " not in file.read_bytes()


def test_putting_a_claim_twice_queues_it_once(desk: Desk) -> None:
    """A confirm pressed twice, or repeated after a crash, gives the same row."""
    first = desk.put(1)
    assert desk.put(1) == first
    assert desk.outbox.check_chain() == 1


def test_a_packet_whose_transaction_fails_leaves_no_gap(desk: Desk) -> None:
    """Draft, audit row and packet are one commit: when it fails, the next packet takes the number."""

    def confirm_and_fail() -> None:
        with desk.database.transaction():
            desk.put(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        confirm_and_fail()
    assert desk.put(2).seq == FIRST_SEQ
    assert desk.outbox.check_chain() == 1


def test_a_seal_for_another_place_is_refused_and_stores_nothing(desk: Desk) -> None:
    """A mistake in sealing can not break the chain."""
    desk.put(1)
    seal = desk.sealer.sealed(b"x")

    def wrong_place(position: ChainPosition) -> bytes:
        return seal(ChainPosition(position.lane, position.epoch, position.seq + 1, position.prev_hash))

    with pytest.raises(ChainError):
        desk.outbox.put(packet_id(2), Lane.CORE, wrong_place)
    with pytest.raises(EnvelopeError):
        desk.outbox.put(packet_id(3), Lane.CORE, lambda _: b"no envelope at all")
    assert desk.outbox.check_chain() == 1


def test_claims_leave_before_documents_and_each_lane_in_order(desk: Desk) -> None:
    """Core first, oldest first, as much as fits, but always one."""
    for number in range(4):
        desk.put(number, Lane.DOCUMENTS if number < 2 else Lane.CORE, size=5000)
    everything = due(desk)
    assert [(row.lane, row.seq) for row in everything] == [
        (Lane.CORE, 1),
        (Lane.CORE, 2),
        (Lane.DOCUMENTS, 1),
        (Lane.DOCUMENTS, 2),
    ]
    assert [row.seq for row in due(desk, limit=2 * everything[0].size)] == [1, 2]
    assert len(due(desk, limit=1)) == 1
    assert len(due(desk, most=3)) == 3


def test_nothing_overtakes_a_packet_that_has_to_wait(desk: Desk) -> None:
    """Head office takes a chain in order only: the lane waits for its oldest, other lanes do not."""
    first, second = desk.put(1), desk.put(2)
    other = desk.put(3, Lane.DOCUMENTS)
    desk.outbox.postpone([first], desk.clock.utc() + timedelta(seconds=60), "timeout")
    assert [row.id for row in due(desk)] == [other.id]
    desk.clock.pass_time(60)
    assert [row.id for row in due(desk)] == [first.id, second.id, other.id]
    assert (due(desk)[0].attempts, due(desk)[0].last_error) == (1, "timeout")


def test_a_clock_set_back_by_years_does_not_silence_the_queue(desk: Desk) -> None:
    """A time to wait for that lies beyond any wait of ours was written by a wrong clock: it is over."""
    row = desk.put(1)
    desk.outbox.postpone([row], desk.clock.utc() + timedelta(seconds=30), "timeout")
    desk.clock.wall -= timedelta(days=3650)
    assert [each.id for each in due(desk)] == [row.id]


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.QUARANTINED])
def test_custody_at_head_office_is_what_acknowledges(desk: Desk, verdict: Verdict) -> None:
    """Accepted, had it already, or set apart there with a reason: the device may let go."""
    row = desk.put(1)
    settlement = settle(desk, verdict_on(row, verdict))
    (acked,) = settlement.acked
    assert (acked.state, acked.verdict, acked.receipt_no) == (RowState.ACKED, verdict, "R-1")
    assert due(desk) == []


def test_a_receipt_over_other_bytes_acknowledges_nothing(desk: Desk) -> None:
    """The digest must be the one of the bytes stored here; the packet is sent again."""
    row = desk.put(1)
    settlement = settle(desk, verdict_on(row, digest=bytes(32)))
    assert (settlement.acked, settlement.left) == ((), {row.id: "other_bytes"})
    assert states(desk) == [RowState.READY]


def test_bytes_that_rot_after_a_lost_reply_are_settled_by_the_digest_that_was_sealed(desk: Desk) -> None:
    """Head office has the packet this row was made of; what rotted here is a copy that nobody needs any more."""
    row = desk.put(1)
    rot(desk.database)
    with pytest.raises(ChainError, match="bytes of core 1 have changed"):
        desk.outbox.check_chain()
    settlement = settle(desk, verdict_on(row, Verdict.DUPLICATE))
    assert [acked.state for acked in settlement.acked] == [RowState.ACKED]
    assert settlement.left == {}


@pytest.mark.parametrize("verdict", [Verdict.RETRY_LATER, Verdict.NOT_YOURS])
def test_rotten_bytes_are_judged_by_their_own_digest_unless_in_custody(desk: Desk, verdict: Verdict) -> None:
    """Only the signed word that what was sealed is at head office may stand for bytes that are no longer those."""
    row = desk.put(1)
    rot(desk.database)
    settlement = settle(desk, verdict_on(row, verdict))
    assert (settlement.acked, settlement.dead, settlement.left) == ((), (), {row.id: "other_bytes"})


def test_custody_of_something_else_never_settles_rotten_bytes(desk: Desk) -> None:
    """What head office has in that place must be what was sealed here: a bridge over it is not."""
    row = desk.put(1)
    rot(desk.database)
    assert settle(desk, verdict_on(row, Verdict.DUPLICATE, digest=bytes(32))).acked == ()
    assert states(desk) == [RowState.READY]


def left_because(desk: Desk, number: int, word: str) -> None:
    """What a round notes on a packet that was left."""
    desk.outbox.postpone(
        [row for row in desk.outbox.rows() if row.seq == number], desk.clock.utc() - timedelta(seconds=1), word
    )


@pytest.mark.parametrize("word", ["bad_signature", "truncated", "not_in_receipt", "successor_first"])
def test_a_spoilt_packet_goes_with_the_one_behind_it_however_slow_the_line(desk: Desk, word: str) -> None:
    """Head office can place it only between two authentic ones; alone it would be asked for again for ever."""
    for number in range(1, 5):
        desk.put(number, Lane.DOCUMENTS, size=5_000)
    assert [row.seq for row in desk.outbox.due(desk.clock.utc(), 1)] == [1]
    left_because(desk, 1, word)
    assert [row.seq for row in desk.outbox.due(desk.clock.utc(), 1)] == [1, 2]
    assert [row.seq for row in desk.outbox.due(desk.clock.utc(), 10**6, most=1)] == [1, 2]
    left_because(desk, 2, word)
    assert [row.seq for row in desk.outbox.due(desk.clock.utc(), 1)] == [1, 2, 3]


@pytest.mark.parametrize("word", ["timeout", "unknown_version"])
def test_a_packet_left_for_another_reason_goes_alone_on_a_slow_line(desk: Desk, word: str) -> None:
    """Only spoilt bytes need company; a line that breaks is tried with little, and so is an older head office."""
    for number in range(1, 4):
        desk.put(number, size=5_000)
    left_because(desk, 1, word)
    assert [row.seq for row in desk.outbox.due(desk.clock.utc(), 1)] == [1]


def test_a_run_of_spoilt_packets_never_outgrows_a_batch(desk: Desk) -> None:
    """What head office would refuse as too large is not even made."""
    for number in range(1, 12):
        desk.put(number, Lane.DOCUMENTS, size=250_000)
        left_because(desk, number, "bad_signature")
    assert sum(row.size for row in desk.outbox.due(desk.clock.utc(), 1)) < MAX_BATCH_BYTES


def test_a_receipt_of_another_epoch_or_place_touches_nothing(desk: Desk) -> None:
    """A verdict on a queue that was set aside does not settle the new one's packet of the same number."""
    row = desk.put(1)
    settlement = settle(
        desk, verdict_on(row, epoch=bytes(16)), verdict_on(row, seq=9), verdict_on(row, lane=Lane.DOCUMENTS)
    )
    assert settlement.acked == ()
    assert states(desk) == [RowState.READY]


def test_retry_later_leaves_the_packet_and_says_why(desk: Desk) -> None:
    """Nothing is wrong with it; it will go again."""
    row = desk.put(1)
    assert settle(desk, verdict_on(row, Verdict.RETRY_LATER)).left == {row.id: "a_reason"}
    assert states(desk) == [RowState.READY]


def test_not_yours_is_kept_for_a_person_and_never_dropped(desk: Desk) -> None:
    """A packet that can not be delivered stays, bytes and reason included."""
    row = desk.put(1)
    (dead,) = settle(desk, verdict_on(row, Verdict.NOT_YOURS)).dead
    assert (dead.state, dead.reason) == (RowState.DEAD, "a_reason")
    assert desk.outbox.envelope(dead.id) is not None
    assert desk.outbox.purge(desk.clock.utc() + timedelta(days=9999)) == 0


def test_a_repeated_receipt_changes_nothing_the_second_time(desk: Desk) -> None:
    """Duplicated replies are ordinary."""
    row = desk.put(1)
    first = settle(desk, verdict_on(row))
    assert settle(desk, verdict_on(row)).acked == ()
    assert desk.outbox.find(row.packet_id) == first.acked[0]


def test_a_late_verdict_does_not_undo_a_finished_one(desk: Desk) -> None:
    """Once in custody, always in custody."""
    row = desk.put(1)
    settle(desk, verdict_on(row))
    settle(desk, verdict_on(row, Verdict.NOT_YOURS))
    settle(desk, verdict_on(row, Verdict.RETRY_LATER))
    assert states(desk) == [RowState.ACKED]


def test_the_signed_receipt_is_kept_as_evidence_with_what_it_acknowledged(desk: Desk) -> None:
    """Years later somebody can show who said that this packet was stored."""
    row, other = desk.put(1), desk.put(2)
    proof = signed(desk, verdict_on(row), verdict_on(other))
    desk.outbox.settle(proof)
    found = desk.database.read(
        "SELECT DISTINCT raw, kid FROM outbox_receipts JOIN outbox_rows ON receipt_id = outbox_receipts.id"
    )
    assert [tuple(each) for each in found] == [(proof.raw, desk.keys.office.kid)]


def test_only_bytes_in_custody_are_purged_and_a_stub_stays(desk: Desk) -> None:
    """After retention the bytes go; digest, place and receipt number stay, and the chain can still be walked."""
    rows = [desk.put(number) for number in range(25)]
    settle(desk, *(verdict_on(row) for row in rows[:23]))
    desk.clock.pass_time(3600)
    now = desk.clock.utc()
    assert desk.outbox.purge(now - timedelta(days=1)) == 0
    assert [desk.outbox.purge(now), desk.outbox.purge(now), desk.outbox.purge(now)] == [20, 3, 0]
    assert states(desk) == [RowState.PURGED] * 23 + [RowState.READY] * 2
    stub = desk.outbox.find(rows[0].packet_id)
    assert stub is not None
    assert (stub.receipt_no, stub.digest) == ("R-1", rows[0].digest)
    assert desk.database.read("SELECT count(*) FROM outbox_envelopes")[0][0] == 2
    assert desk.outbox.check_chain() == 25


@pytest.mark.parametrize("before", list(RowState))
@pytest.mark.parametrize("after", list(RowState))
def test_no_statement_moves_a_row_in_a_way_the_table_of_states_does_not_have(
    desk: Desk, before: RowState, after: RowState
) -> None:
    """Every pair of states is tried past all our code, straight in SQL: the table itself refuses."""
    row = desk.put(1)
    bring_to(desk, row, before)
    allowed = before is after or after in [to for (start, _), to in TRANSITIONS.items() if start is before]

    def move() -> None:
        with desk.database.transaction() as tx:
            tx.execute(
                "UPDATE outbox_rows SET state = ?, receipt_id = coalesce(receipt_id, (SELECT id FROM outbox_receipts)),"
                " resends = resends + ? WHERE id = ?",
                (after.value, after is RowState.READY, row.id),
            )

    if allowed:
        move()
    else:
        with pytest.raises(sqlite3.IntegrityError):
            move()


def bring_to(desk: Desk, row: OutboxRow, state: RowState) -> None:
    """Through the front door; another packet's receipt lies in the file in any case."""
    other = desk.put(99)
    settle(desk, verdict_on(other))
    if state is RowState.DEAD:
        settle(desk, verdict_on(row, Verdict.NOT_YOURS))
    if state in (RowState.ACKED, RowState.PURGED):
        settle(desk, verdict_on(row))
    if state is RowState.PURGED:
        desk.outbox.purge(desk.clock.utc() + timedelta(seconds=1))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM outbox_rows",
        "DELETE FROM outbox_envelopes",
        "UPDATE outbox_envelopes SET bytes = x''",
        "UPDATE outbox_envelopes SET bytes = bytes",
        "UPDATE outbox_rows SET state = 'ACKED'",
        "UPDATE outbox_rows SET state = 'PURGED'",
        "UPDATE outbox_rows SET state = 'GONE'",
    ],
)
def test_no_statement_loses_a_packet_that_has_no_receipt(desk: Desk, statement: str) -> None:
    """Whatever code comes later, the table itself does not let a waiting packet go."""
    desk.put(1)
    with pytest.raises(sqlite3.IntegrityError), desk.database.transaction() as tx:
        tx.execute(statement)
    assert len(due(desk)) == 1


def test_counts_are_true_without_counting(desk: Desk) -> None:
    """After puts, receipts, refusals and purges the kept numbers are the ones a count gives."""
    rows = [desk.put(number, Lane.CORE if number % 3 else Lane.DOCUMENTS) for number in range(12)]
    settle(desk, *(verdict_on(row) for row in rows[:5]), verdict_on(rows[5], Verdict.NOT_YOURS))
    desk.outbox.purge(desk.clock.utc() + timedelta(seconds=1), most=2)
    for counts in desk.outbox.counts():
        counted = {
            row["state"]: (row["n"], row["bytes"])
            for row in desk.database.read(
                "SELECT state, count(*) n, sum(size) bytes FROM outbox_stubs WHERE lane = ? GROUP BY state",
                (counts.lane,),
            )
        }
        assert (counts.ready, counts.ready_bytes) == counted.get("READY", (0, 0))
        assert [counts.acked, counts.purged, counts.dead] == [
            counted.get(s, (0,))[0] for s in ("ACKED", "PURGED", "DEAD")
        ]


def test_the_oldest_waiting_packet_is_known(desk: Desk) -> None:
    """A person sees since when something waits."""
    core = next(counts for counts in desk.outbox.counts() if counts.lane is Lane.CORE)
    assert core.oldest_ready_at is None
    desk.put(1)
    desk.clock.pass_time(100)
    desk.put(2)
    core = next(counts for counts in desk.outbox.counts() if counts.lane is Lane.CORE)
    assert core.oldest_ready_at == START


def test_the_next_batch_is_found_by_walking_an_index_and_sorting_nothing(desk: Desk) -> None:
    """The cost stays flat from a thousand waiting packets to a million."""
    for sql in (
        "SELECT * FROM outbox_stubs WHERE id >= 3 AND id < 9 AND state = 'READY' ORDER BY id LIMIT 5",
        "SELECT * FROM outbox_stubs WHERE id >= 3 AND id < 9 AND state = 'READY' ORDER BY id DESC LIMIT 5",
        "SELECT id FROM outbox_rows WHERE state = 'ACKED' AND acked_at_ms < 5 ORDER BY acked_at_ms LIMIT 5",
        "SELECT * FROM outbox_stubs WHERE packet_id = x'00'",
        "SELECT digest FROM outbox_rows WHERE id = 3",
        _NEXT_PLACE.replace("?", "x'00'"),
        settling._READY_AT.replace("?", "1"),
        "SELECT seq FROM outbox_rows WHERE chain = 1 AND verdict IS NOT NULL ORDER BY id DESC LIMIT 1",
    ):
        plan = " ".join(row["detail"] for row in desk.database.read(f"EXPLAIN QUERY PLAN {sql}"))
        assert "USING" in plan
        assert "INDEX" in plan or "PRIMARY KEY" in plan
        assert "TEMP B-TREE" not in plan
        assert "SCAN" not in plan


def test_everything_is_there_after_a_restart(desk: Desk) -> None:
    """Rows, chain head, epoch and counts come back as they were."""
    first = desk.put(1)
    before = (desk.outbox.counts(), due(desk))
    desk.restart()
    assert (desk.outbox.counts(), due(desk)) == before
    assert (desk.put(2).prev_hash, desk.put(2).epoch) == (first.digest, first.epoch)


def test_a_queue_that_was_set_aside_is_followed_by_a_new_epoch(desk: Desk) -> None:
    """Head office sees the break: the numbers start again under another epoch."""
    old = desk.put(1)
    desk.database.close()
    desk.path.write_bytes(b"rubbish" * 1000)
    desk.start()
    assert desk.database.set_aside is not None
    new = desk.put(2)
    assert (new.seq, new.prev_hash) == (FIRST_SEQ, NO_HASH)
    assert new.epoch != old.epoch


def test_head_office_knowing_more_than_we_do_is_a_fork(desk: Desk) -> None:
    """The snapshot of a device was restored: its chain is shorter than what head office has."""
    row = desk.put(1)
    ahead = LaneHead(lane=Lane.CORE, epoch=row.epoch, next_seq=5, head_hash=os.urandom(32))
    assert settle(desk, lanes=(ahead,)).forked == (Lane.CORE,)


def test_head_office_having_another_packet_at_our_place_is_a_fork(desk: Desk) -> None:
    """Two machines with one identity: the same number, other bytes."""
    row = desk.put(1)
    other = LaneHead(lane=Lane.CORE, epoch=row.epoch, next_seq=2, head_hash=os.urandom(32))
    settlement = settle(desk, lanes=(other,))
    assert (settlement.forked, settlement.acked) == ((Lane.CORE,), ())


def test_heads_alone_never_acknowledge(desk: Desk) -> None:
    """Head office's chain may have been bridged over a place whose bytes were spoilt: only a verdict counts."""
    desk.put(1)
    last = desk.put(2)
    head = LaneHead(lane=Lane.CORE, epoch=last.epoch, next_seq=3, head_hash=last.digest)
    settlement = settle(desk, lanes=(head,))
    assert (settlement.forked, settlement.acked) == ((), ())
    assert states(desk) == [RowState.READY] * 2


def test_a_receipt_that_nobody_verified_can_not_settle(desk: Desk) -> None:
    """There is no way to hand the queue a receipt that was only read."""
    with pytest.raises(TypeError):
        VerifiedReceipt(signed(desk).content, b"", a_signer(desk.keys.office.algorithm).kid, None)


def test_rows_are_listed_newest_first_whatever_their_lane(desk: Desk) -> None:
    """What the queue screen shows, with and without a state."""
    rows = []
    for number in range(7):
        rows.append(desk.put(number, Lane.CORE if number % 2 else Lane.DOCUMENTS))
        desk.clock.pass_time(1)
    settle(desk, verdict_on(rows[6]), verdict_on(rows[0]))
    asked = [desk.outbox.rows(most=3), desk.outbox.rows(RowState.READY, most=4), desk.outbox.rows(RowState.ACKED)]
    assert [[row.packet_id for row in found] for found in asked] == [
        [packet_id(number) for number in numbers] for numbers in ((6, 5, 4), (5, 4, 3, 2), (6, 0))
    ]


def test_a_row_in_a_log_line_says_where_it_stands_and_not_what_is_in_it(desk: Desk) -> None:
    """Whatever is printed of it, sealed bytes are not."""
    desk.put(1)
    (row,) = due(desk)
    assert row.envelope
    assert repr(row) == f"<packet {row.packet_id}: core 1 of {row.epoch.hex()}, READY>"


def test_a_clock_set_back_does_not_turn_a_chain_around_on_the_screen(desk: Desk) -> None:
    """Within a chain the order is the one in which packets were put."""
    for number in range(3):
        desk.put(number)
        desk.clock.wall -= timedelta(days=1)
    assert [row.seq for row in desk.outbox.rows()] == [3, 2, 1]


def test_a_second_queue_object_does_not_start_new_epochs(desk: Desk) -> None:
    """Epochs are drawn once in the file's life."""
    epochs = [counts.epoch for counts in desk.outbox.counts()]
    assert [counts.epoch for counts in Outbox(desk.database, desk.clock).counts()] == epochs
