"""What comes to head office on a stick, and the receipts that go back on one."""

from pathlib import Path

import pytest

from head_office import stick
from head_office.stick import Taken
from sync.receipt import Verdict
from sync.stick import FileName, Kind
from sync.stick_folder import StickFolder
from tests.head_office.conftest import Office
from tests.head_office.device import Device


@pytest.fixture
def folder(tmp_path: Path) -> StickFolder:
    """An empty stick."""
    (tmp_path / "stick").mkdir()
    return StickFolder(tmp_path / "stick")


def put(folder: StickFolder, device: Device, number: int, *packets: bytes) -> FileName:
    """Export a batch of those packets onto the stick."""
    body = device.batch(*packets)
    name = FileName(device.device_id, number, device.last_nonce, Kind.BATCH)
    folder.write(name, body)
    return name


def take(folder: StickFolder, office: Office) -> Taken:
    return stick.take(folder, office.ingest.receive_carried, office.ledger, office.clock, by="test")


def give(folder: StickFolder, office: Office, *devices: str) -> stick.Given:
    return stick.give(folder, office.ledger, devices)


def receipt_for(folder: StickFolder, device: Device, batch: FileName) -> list[Verdict]:
    """What the device reads from the stick, checked as a device checks it."""
    device.last_nonce = batch.nonce
    body = folder.read(str(batch.answered()), Kind.RECEIPT)
    return [verdict.verdict for verdict in device.verified(body).verdicts]


def test_two_devices_on_one_stick_each_get_their_receipt(office: Office, folder: StickFolder) -> None:
    """Both are stored, and each batch has its answer beside it, good for that device alone."""
    one, two = office.device("SN-1"), office.device("SN-2")
    first, second = put(folder, one, 1, one.seal()), put(folder, two, 1, two.seal(), two.seal())
    told = take(folder, office)
    assert (told.batches, told.verdicts[Verdict.ACCEPTED], told.skipped) == (2, 3, [])
    assert give(folder, office).written == 2
    assert receipt_for(folder, one, first) == [Verdict.ACCEPTED]
    assert receipt_for(folder, two, second) == [Verdict.ACCEPTED] * 2


def test_carried_twice_and_by_network_it_is_stored_once(office: Office, folder: StickFolder) -> None:
    """By network first, then by two sticks: once in the ledger, and the same receipt number each time."""
    device = office.device()
    packet = device.seal()
    number = office.receive(device, packet).verdicts[0].receipt_no
    put(folder, device, 1, packet)
    name = put(folder, device, 2, packet)
    assert take(folder, office).verdicts == {Verdict.DUPLICATE: 2}
    assert take(folder, office).verdicts == {Verdict.DUPLICATE: 2}
    give(folder, office)
    device.last_nonce = name.nonce
    (verdict,) = device.verified(folder.read(str(name.answered()), Kind.RECEIPT)).verdicts
    assert verdict.receipt_no == number
    assert office.stored() == [packet]


def test_files_in_the_wrong_order_are_taken_all_the_same(office: Office, folder: StickFolder) -> None:
    """The second export sorts before the first: its packets wait for the gap to fill, in the same run."""
    device = office.device()
    first, second = device.seal(), device.seal()
    put(folder, device, 2, first)
    name = put(folder, device, 1, second)
    told = take(folder, office)
    assert (told.batches, dict(told.verdicts)) == (2, {Verdict.ACCEPTED: 2})
    give(folder, office)
    assert receipt_for(folder, device, name) == [Verdict.ACCEPTED]


def test_a_gap_nothing_fills_is_answered_and_does_not_hang(office: Office, folder: StickFolder) -> None:
    """The first file is on another stick: the receipt says so, and nothing is stored out of order."""
    device = office.device()
    device.seal()
    name = put(folder, device, 2, device.seal())
    assert take(folder, office).verdicts == {Verdict.RETRY_LATER: 1}
    give(folder, office)
    assert receipt_for(folder, device, name) == [Verdict.RETRY_LATER]
    assert office.stored() == []


def test_a_better_answer_takes_the_place_of_an_older_one(office: Office, folder: StickFolder) -> None:
    """First a gap, then everything: the stick carries the answer that helps."""
    device = office.device()
    first, second = device.seal(), device.seal()
    name = put(folder, device, 2, second)
    take(folder, office)
    give(folder, office)
    put(folder, device, 1, first)
    take(folder, office)
    give(folder, office)
    assert receipt_for(folder, device, name) == [Verdict.ACCEPTED]
    assert give(folder, office).there == 2


def test_what_is_spoilt_is_named_and_the_rest_is_taken(office: Office, folder: StickFolder) -> None:
    """Cut off, changed, forged, of a blocked device: each left out with its reason; the good one counts."""
    device, blocked, stranger = office.device("SN-1"), office.device("SN-2"), Device("SN-3")
    stranger.device_id, stranger.recipients = device.device_id, device.recipients
    office.registry.block(blocked.device_id, "lost", by="test")
    cut, changed = put(folder, device, 1, device.seal()), put(folder, device, 2, b"x")
    path = folder.path / str(cut)
    path.write_bytes(path.read_bytes()[:-1])
    path = folder.path / str(changed)
    path.write_bytes(path.read_bytes()[:-1] + b"y")
    put(folder, stranger, 3, stranger.seal())
    put(folder, blocked, 4, blocked.seal())
    (folder.path / "foto.jpg").write_bytes(b"x")
    good = office.device("SN-4")
    put(folder, good, 5, good.seal())
    told = take(folder, office)
    assert {reason for _, reason in told.skipped} == {
        "truncated",
        "contradiction",
        "not_your_checkpoint",
        "device_blocked",
    }
    assert (told.batches, told.foreign, len(office.stored())) == (1, 1, 1)
    assert len(give(folder, office).not_imported) == 4


def test_receipts_go_back_on_another_stick(office: Office, folder: StickFolder, tmp_path: Path) -> None:
    """The courier keeps the first stick: the device's receipts are written onto a fresh one by its name."""
    one, two = office.device("SN-1"), office.device("SN-2")
    name = put(folder, one, 1, one.seal())
    put(folder, two, 1, two.seal())
    take(folder, office)
    (tmp_path / "other").mkdir()
    other = StickFolder(tmp_path / "other")
    assert give(other, office, one.device_id).written == 1
    assert receipt_for(other, one, name) == [Verdict.ACCEPTED]


def test_a_late_stick_alarms_nobody_and_says_nothing_new(office: Office, folder: StickFolder) -> None:
    """Weeks later and after newer claims by network: no rolled back device, and the newer checkpoint stands."""
    device = office.device()
    packet = device.seal()
    put(folder, device, 1, packet)
    office.receive(device, packet, device.seal())
    seen = office.ledger.read("SELECT last_seen_at, last_checkpoint FROM devices")[0]
    office.clock.advance(days=20)
    assert take(folder, office).verdicts == {Verdict.DUPLICATE: 1}
    assert office.alarm_kinds() == []
    now = office.ledger.read("SELECT last_seen_at, last_checkpoint FROM devices")[0]
    assert (now["last_seen_at"], now["last_checkpoint"]) == (seen["last_seen_at"], seen["last_checkpoint"])


def test_receipts_nobody_fetched_in_a_year_go(office: Office, folder: StickFolder) -> None:
    """The table stays bounded; the batch itself can be imported again at any time."""
    device = office.device()
    put(folder, device, 1, device.seal())
    take(folder, office)
    office.clock.advance(days=366)
    (folder.path / str(folder.look().files[0][1])).unlink()
    take(folder, office)
    assert office.ledger.read("SELECT * FROM carried_receipts") == []
