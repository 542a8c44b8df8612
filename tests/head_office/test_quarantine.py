"""A packet of each kind that is refused or set aside: shown with its reason, in nobody's way, released by two."""

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from head_office.custody import receipt_number
from head_office.opening import Opener
from head_office.quarantine import (
    Act,
    NothingAskedError,
    NotInQuarantineError,
    Quarantine,
    SecondPersonError,
    entries,
)
from sync import cbor
from sync.envelope import Lane, envelope_digest
from sync.envelope import seal as wire_seal
from sync.keys import SoftwareSigner
from sync.receipt import Verdict
from sync.recipients import RecipientPrivateKey, Suite
from tests.head_office.conftest import ROOT, Office
from tests.head_office.device import claim_packet
from tests.head_office.test_desk import NAME, PASSWORD, DeskUnderTest


def shown(office: Office) -> set[tuple[str, str]]:
    """What stands on the list: reason and where the packet is."""
    return {(entry.reason, entry.state) for entry in entries(office.ledger)}


def one_of_each(office: Office) -> None:
    """Send a packet of each kind, and a good one last."""
    device, other = office.device("SN-1"), office.device("SN-2")
    ours = device.recipients
    # Set aside by opening: authentic, in the chain, and no claim.
    device.recipients = (RecipientPrivateKey.generate(Suite.X25519).public,)
    not_ours = device.seal(number=1)
    device.recipients = ours
    claim = claim_packet(device.device_id, 2).encode()
    office.receive(
        device,
        not_ours,
        device.seal(claim),
        device.seal(claim),  # packet_id_reused
        device.seal(b"\xff"),  # not_cbor
        device.seal(cbor.encode({"type": "claim", "schema_version": 99})),  # unknown_version
        device.seal(cbor.encode({"type": "song", "schema_version": 1})),  # unknown_type
        device.seal(claim_packet(other.device_id, 3).encode()),  # wrong_device inside
    )
    # Spoilt bytes with an authentic packet behind them take their place.
    spoilt = bytearray(device.seal(number=4))
    spoilt[-1] ^= 1
    office.receive(device, bytes(spoilt), device.seal(number=5))
    # Not taken at all: kept by the device.
    stranger = SoftwareSigner(ed25519.Ed25519PrivateKey.generate())
    header = device.header()
    unknown_key = wire_seal(claim_packet(device.device_id, 6).encode(), header, stranger, device.recipients)
    theirs = other.seal(number=7)
    office.receive(device, unknown_key)
    office.receive(device, theirs)
    office.receive(device, b"\xa0")
    skipped = device.header(seq=header.seq + 1, prev_hash=bytes(31) + b"\x07")
    office.receive(device, wire_seal(claim_packet(device.device_id, 8).encode(), skipped, device.signer, ours))
    # Two histories: in the other lane, which they freeze.
    lane = Lane.DOCUMENTS
    before = device.header(lane)
    office.receive(device, device.seal(number=9, lane=lane))
    office.receive(device, wire_seal(claim_packet(device.device_id, 10).encode(), before, device.signer, ours))
    office.receive(device, device.seal(number=11, lane=lane))
    # And in a lane of the other device: the right number after another past.
    other.chains[Lane.DOCUMENTS].next_seq, other.chains[Lane.DOCUMENTS].head = 1, bytes(32)
    office.receive(other, other.seal(number=12, lane=lane))
    other.chains[lane].head = bytes(31) + b"\x01"
    office.receive(other, other.seal(number=13, lane=lane))
    assert office.receive(device, device.seal(number=14)).verdicts[0].verdict is Verdict.ACCEPTED


EVERY_KIND = {
    ("not_a_recipient", "set_aside"),
    ("packet_id_reused", "set_aside"),
    ("not_cbor", "set_aside"),
    ("unknown_version", "set_aside"),
    ("unknown_type", "set_aside"),
    ("wrong_device", "set_aside"),
    ("bad_signature", "held"),
    ("fork", "held"),
    ("chain_broken", "held"),
    ("lane_frozen", "held"),
    ("gap", "kept_by_device"),
    ("unknown_key", "kept_by_device"),
    ("wrong_device", "kept_by_device"),
    ("unknown_type", "kept_by_device"),  # the bytes that are no envelope at all
}


def test_each_kind_is_shown_with_its_reason_and_none_blocks_the_one_behind(office: Office) -> None:
    """One packet of every kind, then a good one: all on the list by name, the good one on the desk."""
    one_of_each(office)
    assert "99ZZ0000014" in {row["kpj"] for row in office.claims()}
    assert shown(office) == EVERY_KIND


def test_the_desk_and_the_command_show_the_same_list(office: Office) -> None:
    """Every reason is on the page and in the command's list."""
    one_of_each(office)
    office.claims()
    desk = DeskUnderTest(office)
    page = desk.get("/desk/quarantine?lang=en", auth=(NAME, PASSWORD))
    assert desk.get("/desk/quarantine").status_code == 401
    done = subprocess.run(
        [sys.executable, "-m", "head_office.cli", "quarantine", "list", "--json", "--home", office.home.folder],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    listed = json.loads(done.stdout)
    assert {(one["reason"], one["state"]) for one in listed} == EVERY_KIND
    for reason, _state in EVERY_KIND:
        assert f"<code>{reason}</code>" in page.text


def test_a_packet_that_was_taken_later_leaves_the_list(office: Office) -> None:
    """A gap is over once the packet before it came; nobody has to tick it off."""
    device = office.device()
    first, second = device.seal(number=1), device.seal(number=2)
    office.receive(device, second)
    office.receive(device, second)
    (entry,) = entries(office.ledger)
    assert (entry.reason, entry.times, entry.digest) == ("gap", 2, envelope_digest(second))
    office.receive(device, first, second)
    assert entries(office.ledger) == []


def test_a_device_that_sends_rubbish_does_not_fill_the_list(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of it is bounded, the newest kept."""
    monkeypatch.setattr("head_office.quarantine.MOST_REFUSALS", 3)
    device = office.device()
    for number in range(6):
        office.clock.advance(seconds=1)
        office.receive(device, bytes([number]) * 9)
    assert len(entries(office.ledger)) == 3


def test_two_people_release_a_packet_and_it_is_opened(office: Office) -> None:
    """One asks, the same one cannot confirm, a second does; then it is on the desk."""
    device = office.device()
    lost = RecipientPrivateKey.generate(Suite.X25519)
    ours, device.recipients = device.recipients, (lost.public,)
    packet = device.seal(number=1)
    device.recipients = ours
    office.receive(device, packet)
    assert office.claims() == []
    (entry,) = entries(office.ledger)
    number = receipt_number(str(entry.receipt))
    assert number is not None
    quarantine = Quarantine(office.ledger, office.clock)
    with pytest.raises(NothingAskedError):
        quarantine.confirm(number, by="dua")
    quarantine.ask(number, Act.RELEASE, "key restored", by="satu")
    with pytest.raises(NothingAskedError):
        quarantine.ask(number, Act.DISCARD, "second thoughts", by="dua")
    with pytest.raises(SecondPersonError):
        quarantine.confirm(number, by="satu")
    assert entries(office.ledger)[0].asked == "release by satu"
    assert quarantine.confirm(number, by="dua") is Act.RELEASE
    while Opener(office.ledger, {lost.kid: lost}, clock=office.clock).open_waiting():
        pass
    (row,) = office.claims()
    assert row["receipt_no"] == number
    assert entries(office.ledger) == []
    assert office.stored() == [packet]
    with pytest.raises(NotInQuarantineError):
        quarantine.ask(number, Act.RELEASE, "again", by="satu")
    acts = [row["act"] for row in office.ledger.read("SELECT act FROM acts ORDER BY act_no")]
    assert acts[-2:] == ["quarantine_release_asked", "quarantine_release_confirmed"]


def test_a_discarded_packet_is_kept_and_off_the_list(office: Office) -> None:
    """Nothing is deleted: the device was told that it is in custody."""
    device = office.device()
    office.receive(device, device.seal(b"\xff"))
    office.claims()
    quarantine = Quarantine(office.ledger, office.clock)
    quarantine.ask(1, Act.DISCARD, "rubbish", by="satu")
    quarantine.withdraw(1, by="satu")
    quarantine.ask(1, Act.DISCARD, "rubbish after all", by="dua")
    assert quarantine.confirm(1, by="satu") is Act.DISCARD
    assert entries(office.ledger) == []
    assert len(office.stored()) == 1
    assert office.claims() == []
