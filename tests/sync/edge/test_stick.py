"""Claims leave on a stick and receipts come back on one: counted once, lost never, whatever happens to the stick."""

import os

import pytest

from sync.checkpoint import read_batch
from sync.edge import stick as stick_module
from sync.edge.outbox_row import RowState
from sync.edge.receipts import Receipts
from sync.edge.stick import Brought, Exported, Stick, position_as_text, position_from_text
from sync.edge.uploader import RoundOutcome, Trust
from sync.envelope import Lane
from sync.errors import ReceiptError, Refusal, StickUnanswerableError
from sync.receipt import Verdict, read_receipt, sign
from tests.sync.edge.conftest import DEVICE_ID, Desk


def stick_of(desk: Desk) -> Stick:
    """The device's end of a stick, as wiring makes it."""
    return Stick(
        desk.database,
        desk.outbox,
        desk.keys.device,
        Trust(DEVICE_ID, {desk.keys.office.kid: desk.keys.office.public_key}),
        desk.clock,
        checkpoint=lambda: desk.uploader.checkpoint(desk.clock.utc()),
        take=Receipts(desk.outbox).take,
    )


def export(stick: Stick) -> list[Exported]:
    """Everything that waits, file by file."""
    files: list[Exported] = []
    while (made := stick.next_file(files[-1].after if files else {})) is not None:
        files.append(made)
    return files


@pytest.fixture
def stick(desk: Desk) -> Stick:
    return stick_of(desk)


@pytest.fixture
def three_files(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[Exported]:
    """Seven packets in three files, because a file takes three of them here."""
    for number in range(7):
        desk.put(number, size=1000)
    size = desk.outbox.rows()[0].size
    monkeypatch.setattr(stick_module, "BATCH_BYTES", 3 * size)
    return export(stick_of(desk))


def test_there_and_back_the_queue_is_empty(desk: Desk, stick: Stick) -> None:
    """What waited is on the stick; its receipt empties the queue."""
    for number in range(3):
        desk.put(number)
    desk.put(3, Lane.DOCUMENTS)
    (made,) = export(stick)
    assert made.packets == 4
    taken = stick.bring(desk.office.receive(made.body))
    assert taken.brought is Brought.SETTLED
    assert taken.answer is not None
    assert len(taken.answer.settlement.acked) == 4
    assert [row.state for row in desk.outbox.rows()] == [RowState.ACKED] * 4
    assert export(stick) == []


def test_export_changes_nothing_in_the_queue(desk: Desk, stick: Stick) -> None:
    """Rows wait as before, untried and due; a second export has the same packets under another nonce."""
    desk.put(1)
    before = desk.outbox.rows()
    (first,), (second,) = export(stick), export(stick)
    assert desk.outbox.rows() == before
    assert read_batch(first.body).packets == read_batch(second.body).packets
    assert first.name.nonce != second.name.nonce
    assert first.name < second.name


def test_long_queues_go_into_several_files_in_order(three_files: list[Exported], desk: Desk) -> None:
    """Every packet is in exactly one file, in the order of its chain, and each file answers for itself."""
    assert [made.packets for made in three_files] == [3, 3, 1]
    envelopes = [envelope for made in three_files for envelope in read_batch(made.body).packets]
    for made in three_files:
        desk.office.receive(made.body)
    assert desk.office.everything() == envelopes
    assert len(set(envelopes)) == 7


def test_core_comes_before_documents(desk: Desk, stick: Stick) -> None:
    """When the stick is full, it is the documents that wait."""
    scan, claim = desk.put(1, Lane.DOCUMENTS), desk.put(2)
    (made,) = export(stick)
    desk.office.receive(made.body)
    assert made.after == {Lane.CORE: claim.id, Lane.DOCUMENTS: scan.id}
    assert [lane for lane, _ in desk.office.stored] == [Lane.CORE, Lane.DOCUMENTS]


def test_carried_twice_it_counts_once(desk: Desk, stick: Stick) -> None:
    """The same file, delivered by two colleagues: stored once, and the second receipt changes nothing."""
    desk.put(1)
    (made,) = export(stick)
    first, second = desk.office.receive(made.body), desk.office.receive(made.body)
    assert stick.bring(first).brought is Brought.SETTLED
    assert stick.bring(second).brought is Brought.KNOWN
    assert len(desk.office.everything()) == 1


def test_by_stick_and_by_network_it_counts_once(desk: Desk, stick: Stick) -> None:
    """The network came back while the stick was on its way; the late receipt finds everything done."""
    desk.put(1)
    (made,) = export(stick)
    assert desk.uploader.round().outcome is RoundOutcome.DELIVERED
    late = desk.office.receive(made.body)
    assert {verdict.verdict for verdict in read_receipt(late).verdicts} == {Verdict.DUPLICATE}
    taken = stick.bring(late)
    assert taken.answer is not None
    assert not taken.answer.settlement.acked
    assert not taken.answer.settlement.forked
    assert len(desk.office.everything()) == 1


def test_an_old_receipt_after_newer_claims_is_no_fork(desk: Desk, stick: Stick) -> None:
    """Head office's head of weeks ago lies inside our chain; that is no reason to alarm anybody."""
    desk.put(1)
    (made,) = export(stick)
    receipt = desk.office.receive(made.body)
    desk.put(2)
    desk.uploader.round()
    taken = stick.bring(receipt)
    assert taken.answer is not None
    assert not taken.answer.settlement.forked


def test_a_receipt_for_another_device_is_left_alone(desk: Desk, stick: Stick) -> None:
    """One stick serves many; each takes only its own."""
    desk.put(1)
    (made,) = export(stick)
    desk.office.change_receipt = {"device_id": "dev-000002"}
    assert stick.bring(desk.office.receive(made.body)).brought is Brought.OTHER_DEVICE
    assert desk.outbox.rows()[0].state is RowState.READY


def test_a_receipt_nobody_asked_for_changes_nothing(desk: Desk, stick: Stick) -> None:
    """Genuine, for this device, and for no export of it: a nonce we never drew."""
    desk.put(1)
    (made,) = export(stick)
    desk.office.change_receipt = {"nonce": os.urandom(16)}
    with pytest.raises(StickUnanswerableError):
        stick.bring(desk.office.receive(made.body))
    assert desk.outbox.rows()[0].state is RowState.READY


def test_a_forged_receipt_changes_nothing(desk: Desk, stick: Stick) -> None:
    """Signed with another key than head office's, or with a byte changed."""
    desk.put(1)
    (made,) = export(stick)
    genuine = desk.office.receive(made.body)
    with pytest.raises(ReceiptError) as caught:
        stick.bring(sign(read_receipt(genuine), desk.keys.device))
    assert caught.value.refusal is Refusal.WRONG_KEY
    with pytest.raises(ReceiptError):
        stick.bring(genuine[:-1] + bytes([genuine[-1] ^ 1]))
    assert desk.outbox.rows()[0].state is RowState.READY


def test_a_gap_on_the_way_leaves_the_rest_waiting(three_files: list[Exported], desk: Desk, stick: Stick) -> None:
    """The second file was spoilt: head office waits with the third, and the next export carries both."""
    stick.bring(desk.office.receive(three_files[0].body))
    taken = stick.bring(desk.office.receive(three_files[2].body))
    assert taken.answer is not None
    assert set(taken.answer.settlement.left.values()) == {"gap"}
    assert sum(made.packets for made in export(stick)) == 4


def test_the_nonces_outlive_a_restart(desk: Desk, stick: Stick) -> None:
    """The stick comes back next week."""
    desk.put(1)
    (made,) = export(stick)
    receipt = desk.office.receive(made.body)
    desk.restart()
    assert stick_of(desk).bring(receipt).brought is Brought.SETTLED


def test_only_so_many_exports_are_remembered(desk: Desk, stick: Stick, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table stays small; what a forgotten export carried goes out with the next one."""
    monkeypatch.setattr(stick_module, "EXPORTS_KEPT", 3)
    desk.put(1)
    forgotten = export(stick)[0]
    for _ in range(3):
        newest = export(stick)[0]
    assert len(desk.database.read("SELECT * FROM stick_exports")) == 3
    with pytest.raises(StickUnanswerableError):
        stick.bring(desk.office.receive(forgotten.body))
    assert stick.bring(desk.office.receive(newest.body)).brought is Brought.SETTLED


def test_a_clock_set_forward_forgets_no_stick(desk: Desk, stick: Stick) -> None:
    """Ten years in a moment: the stick on its way is still known."""
    desk.put(1)
    (made,) = export(stick)
    desk.clock.pass_time(10 * 365 * 86_400)
    export(stick)
    assert stick.bring(desk.office.receive(made.body)).brought is Brought.SETTLED


def test_a_position_survives_being_written_down() -> None:
    """The command line hands it back between two files; nonsense is refused."""
    assert position_from_text(position_as_text({Lane.CORE: 12, Lane.DOCUMENTS: 7})) == {
        Lane.CORE: 12,
        Lane.DOCUMENTS: 7,
    }
    assert position_from_text("") == {}
    for nonsense in ("core", "core:-1", "core:x", "elsewhere:1", "core:" + "9" * 19):
        with pytest.raises(ValueError):  # noqa: PT011 - the route turns any of them into one answer
            position_from_text(nonsense)


def test_a_receipt_of_before_head_office_lost_the_packets_does_not_settle_them_again(desk: Desk, stick: Stick) -> None:
    """A copy of it on a stick would empty the queue, and nobody would have the claims."""
    for number in range(3):
        desk.put(number)
    (made,) = export(stick)
    receipt = desk.office.receive(made.body)
    stick.bring(receipt)
    # Head office is put back to last night, and asks for what it no longer has.
    desk.office.stored.clear()
    epoch = desk.outbox.counts()[0].epoch
    assert desk.outbox.resend(Lane.CORE, epoch, 1, 3).again == 3
    answer = stick.bring(receipt).answer
    assert answer is not None
    assert (answer.settlement.acked, set(answer.settlement.left.values())) == ((), {"older_receipt"})
    assert {row.state for row in desk.outbox.rows()} == {RowState.READY}
    # An export of now, and a round, count.
    (later,) = export(stick)
    assert stick.bring(desk.office.receive(later.body)).brought is Brought.SETTLED
    assert {row.state for row in desk.outbox.rows()} == {RowState.ACKED}
    assert len(desk.office.everything()) == 3


def test_a_packet_still_waiting_when_it_is_asked_for_is_not_settled_by_an_older_receipt(
    desk: Desk, stick: Stick
) -> None:
    """Its receipt never came back, and head office has lost it meanwhile."""
    desk.put(1)
    (made,) = export(stick)
    receipt = desk.office.receive(made.body)
    desk.office.stored.clear()
    assert desk.outbox.resend(Lane.CORE, desk.outbox.counts()[0].epoch, 1, 1).waiting == 1
    stick.bring(receipt)
    assert [row.state for row in desk.outbox.rows()] == [RowState.READY]
    desk.uploader.round(now_please=True)
    assert [row.state for row in desk.outbox.rows()] == [RowState.ACKED]
