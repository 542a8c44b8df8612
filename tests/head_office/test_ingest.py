"""What head office makes of a batch: taken, repeated, asked for again, or set aside with a reason."""

import copy
import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from head_office.custody import MOST_EPOCHS
from head_office.errors import (
    BadRequestError,
    CertificateExpiredError,
    CertificateRefusedError,
    DeviceBlockedError,
    NotYourCheckpointError,
    TooLargeError,
    UnknownVersionError,
)
from head_office.ingest import Ingest
from head_office.keys.recipients import load_recipients
from head_office.moment import to_ms
from sync import cbor
from sync.envelope import NO_HASH, Lane, envelope_digest
from sync.envelope import seal as wire_seal
from sync.keys import P256_ORDER
from sync.receipt import Verdict
from tests.head_office.conftest import Office
from tests.head_office.device import Device, claim_packet

ACCEPTED, DUPLICATE = (Verdict.ACCEPTED, None), (Verdict.DUPLICATE, None)


def test_claims_are_stored_unchanged_and_in_order(office: Office) -> None:
    """Each packet of a batch gets its own number, and the receipt names the head head office now waits behind."""
    device = office.device()
    packets = [device.seal(number=n) for n in (1, 2, 3)]
    receipt = office.receive(device, *packets)
    assert [v.verdict for v in receipt.verdicts] == [Verdict.ACCEPTED] * 3
    assert [v.digest for v in receipt.verdicts] == [envelope_digest(p) for p in packets]
    assert len({v.receipt_no for v in receipt.verdicts}) == 3
    core = next(head for head in receipt.lanes if head.lane is Lane.CORE)
    assert (core.next_seq, core.head_hash) == (4, envelope_digest(packets[-1]))
    assert office.stored() == packets
    assert office.wakes == 1


def test_a_lost_reply_is_made_good_by_sending_again(office: Office) -> None:
    """The second answer to the same packets says duplicate and repeats the numbers of the first."""
    device = office.device()
    packets = [device.seal(number=n) for n in (1, 2)]
    first = office.receive(device, *packets)
    again = office.receive(device, *packets)
    assert [v.verdict for v in again.verdicts] == [Verdict.DUPLICATE] * 2
    assert [(v.receipt_no, v.stored_at) for v in again.verdicts] == [
        (v.receipt_no, v.stored_at) for v in first.verdicts
    ]
    assert office.stored() == packets
    assert len(office.claims()) == 2


def test_a_batch_carried_as_a_file_is_taken_like_one_over_the_line(office: Office) -> None:
    """Nobody's TLS certificate is asked for: the checkpoint's signature says whose it is, the receipt answers it."""
    device = office.device()
    packets = [device.seal(number=n) for n in (1, 2)]
    receipt = device.verified(office.ingest.receive_carried(device.batch(*packets)))
    assert [v.verdict for v in receipt.verdicts] == [Verdict.ACCEPTED] * 2
    assert office.stored() == packets
    # Sent over the line as well: still once.
    assert office.verdicts(device, *packets) == [DUPLICATE] * 2


def test_a_carried_batch_must_be_signed_by_a_device_that_may_be_served(office: Office) -> None:
    """A stranger's file, another device's signature and a blocked device are refused, and leave nothing."""
    device, other, stranger = office.device("SN-1"), office.device("SN-2"), Device()
    stranger.device_id, stranger.recipients = "D-STRANGER", device.recipients
    with pytest.raises(NotYourCheckpointError):
        office.ingest.receive_carried(stranger.batch(stranger.seal()))
    with pytest.raises(NotYourCheckpointError):
        office.ingest.receive_carried(device.batch(device.seal(), signer=other.signer))
    office.registry.block(other.device_id, "lost", by="test")
    with pytest.raises(DeviceBlockedError):
        office.ingest.receive_carried(other.batch(other.seal()))
    assert office.stored() == []


def test_a_lost_reply_does_not_turn_a_held_claim_into_an_accepted_one(office: Office) -> None:
    """Whoever sends again is told again that it is held, why, and under the same number."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    device.chains[Lane.CORE].head = os.urandom(32)
    held = device.seal(number=2)
    (first,) = office.receive(device, held).verdicts
    (again,) = office.receive(device, held).verdicts
    assert (again.verdict, again.reason) == (Verdict.QUARANTINED, "chain_broken")
    assert (again.receipt_no, again.stored_at) == (first.receipt_no, first.stored_at)


def test_an_empty_round_tells_where_each_chain_stands(office: Office) -> None:
    """A device whose reply was lost learns from the next receipt that everything is here."""
    device = office.device()
    packet = device.seal()
    office.receive(device, packet)
    receipt = office.receive(device)
    heads = {head.lane: (head.next_seq, head.head_hash) for head in receipt.lanes}
    assert heads == {Lane.CORE: (2, envelope_digest(packet)), Lane.DOCUMENTS: (1, NO_HASH)}


def test_the_same_packet_twice_in_one_batch_counts_once(office: Office) -> None:
    """A queue that repeats itself inside a batch changes nothing."""
    device = office.device()
    packet = device.seal()
    assert office.verdicts(device, packet, packet) == [ACCEPTED, DUPLICATE]
    assert office.stored() == [packet]


def test_a_gap_is_asked_for_again_and_nothing_behind_it_is_stored(office: Office) -> None:
    """A packet that comes before its predecessor stays on the device."""
    device = office.device()
    first, second = device.seal(number=1), device.seal(number=2)
    assert office.verdicts(device, second) == [(Verdict.RETRY_LATER, "gap")]
    assert office.stored() == []
    assert office.verdicts(device, first, second) == [ACCEPTED, ACCEPTED]


def test_a_restored_disk_image_is_seen_kept_and_never_overwrites(office: Office) -> None:
    """Two different claims under one number: both are in custody, the lane is frozen, an alarm is raised."""
    device = office.device()
    before = device.chains[Lane.CORE].next_seq, device.chains[Lane.CORE].head
    original = device.seal(number=1)
    office.receive(device, original)
    device.chains[Lane.CORE].next_seq, device.chains[Lane.CORE].head = before
    other = device.seal(number=2)
    later = device.seal(number=3)
    assert office.verdicts(device, other) == [(Verdict.QUARANTINED, "fork")]
    assert office.verdicts(device, later) == [(Verdict.QUARANTINED, "lane_frozen")]
    assert office.stored() == [original, other, later]
    # The device's own statement gave it away first: its chain was shorter than what it had sent.
    assert "fork" in office.alarm_kinds()
    assert [row["kpj"] for row in office.claims()] == ["99ZZ0000001"]
    # Asked again, the answers do not change.
    assert office.verdicts(device, original, other, later) == [
        DUPLICATE,
        (Verdict.QUARANTINED, "fork"),
        (Verdict.QUARANTINED, "lane_frozen"),
    ]
    assert office.stored() == [original, other, later]


def test_a_packet_with_another_past_freezes_the_lane(office: Office) -> None:
    """The right number behind the wrong predecessor is a second history, too."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    device.chains[Lane.CORE].head = os.urandom(32)
    assert office.verdicts(device, device.seal(number=2)) == [(Verdict.QUARANTINED, "chain_broken")]
    assert office.alarm_kinds() == ["chain_broken"]


def test_a_frozen_lane_does_not_stop_the_other_lane_or_a_new_epoch(office: Office) -> None:
    """After a fork the device starts a new queue, and its claims reach the desk again."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    device.chains[Lane.CORE].head = os.urandom(32)
    office.receive(device, device.seal(number=2))
    assert office.verdicts(device, device.seal(b"scan", lane=Lane.DOCUMENTS)) == [ACCEPTED]
    device.new_epoch()
    assert office.verdicts(device, device.seal(number=3)) == [ACCEPTED]
    assert office.alarm_kinds() == ["chain_broken", "new_epoch"]


def test_an_old_laptop_may_begin_anew_as_often_as_it_carried_something(office: Office) -> None:
    """The 65th chain is taken like the second; 64 of a lane that were only announced are the end of it."""
    device = office.device()
    for number in range(1, MOST_EPOCHS + 3):
        assert office.verdicts(device, device.seal(number=number)) == [(Verdict.ACCEPTED, None)]
        device.new_epoch()
    for _ in range(MOST_EPOCHS):
        office.receive(device)
        device.new_epoch()
    assert office.verdicts(device, device.seal(number=99)) == [(Verdict.RETRY_LATER, "epoch_not_announced")]
    assert "too_many_epochs" in office.alarm_kinds()


def test_an_epoch_nobody_announced_is_not_taken(office: Office) -> None:
    """Packets of a new queue wait until a signed checkpoint names it."""
    device = office.device()
    known = device.checkpoint()
    device.new_epoch()
    packet = device.seal()
    reply = office.ingest.receive(device.tls_certificate, device.batch(packet, checkpoint=known))
    verdict = device.verified(reply).verdicts[0]
    assert (verdict.verdict, verdict.reason) == (Verdict.RETRY_LATER, "epoch_not_announced")
    assert office.verdicts(device, packet) == [ACCEPTED]


def test_a_shorter_chain_than_before_raises_an_alarm_and_freezes_nothing(office: Office) -> None:
    """An old batch played back by somebody on the way must not be able to stop a device."""
    device = office.device()
    old = device.batch(device.seal(number=1))
    office.ingest.receive(device.tls_certificate, old)
    office.receive(device, device.seal(number=2))
    office.ingest.receive(device.tls_certificate, old)
    assert office.alarm_kinds() == ["rolled_back"]
    assert office.verdicts(device, device.seal(number=3)) == [ACCEPTED]


def test_rotten_bytes_do_not_block_the_claims_behind_them(office: Office) -> None:
    """A row that went bad on the device's disk is kept as evidence in its place, and the chain goes on."""
    device = office.device()
    good, spoilt, behind = device.seal(number=1), bytearray(device.seal(number=2)), device.seal(number=3)
    spoilt[-1] ^= 1
    verdicts = office.verdicts(device, good, bytes(spoilt), behind)
    assert verdicts == [ACCEPTED, (Verdict.QUARANTINED, "bad_signature"), ACCEPTED]
    assert office.stored() == [good, bytes(spoilt), behind]
    assert office.alarm_kinds() == ["unreadable"]
    assert [row["kpj"] for row in office.claims()] == ["99ZZ0000001", "99ZZ0000003"]
    assert office.verdicts(device, good, bytes(spoilt), behind) == [
        DUPLICATE,
        (Verdict.QUARANTINED, "bad_signature"),
        DUPLICATE,
    ]


def test_several_unreadable_rows_in_a_row_do_not_block_either(office: Office) -> None:
    """What cannot be read at all takes the places its authentic successor leaves for it."""
    device = office.device()
    _lost = [device.seal(number=n) for n in (1, 2)]
    behind = device.seal(number=3)
    verdicts = office.verdicts(device, b"\x00garbage", b"more", behind)
    assert verdicts == [(Verdict.QUARANTINED, "trailing_bytes"), (Verdict.QUARANTINED, "truncated"), ACCEPTED]
    assert office.verdicts(device, b"\x00garbage", b"more", behind) == [*verdicts[:2], DUPLICATE]
    assert len(office.stored()) == 3


def flipped(packet: bytes, at: int = -1) -> bytes:
    """The same bytes with one bit of another value; at the end it is the signature's, near the front the header's."""
    made = bytearray(packet)
    made[at] ^= 1
    return bytes(made)


def test_a_claim_spoilt_on_the_way_is_accepted_when_it_comes_whole(office: Office) -> None:
    """Its successor's signature says which packet belongs there: no fork, no frozen lane, the claim is on the desk."""
    device = office.device()
    one, two, three, four = (device.seal(number=n) for n in (1, 2, 3, 4))
    assert office.verdicts(device, one, flipped(two), three) == [
        ACCEPTED,
        (Verdict.QUARANTINED, "bad_signature"),
        ACCEPTED,
    ]
    assert office.verdicts(device, two) == [ACCEPTED]
    assert office.verdicts(device, four, two, three) == [ACCEPTED, DUPLICATE, DUPLICATE]
    assert office.alarm_kinds() == ["unreadable"]
    assert sorted(row["kpj"] for row in office.claims()) == [f"99ZZ000000{n}" for n in (1, 2, 3, 4)]
    # The spoilt bytes are evidence still.
    assert office.stored() == [one, flipped(two), three, two, four]


def test_a_claim_and_its_spoilt_copy_in_one_batch(office: Office) -> None:
    """A proxy that sends a packet twice, once spoilt, costs nothing."""
    device = office.device()
    one, two, three = (device.seal(number=n) for n in (1, 2, 3))
    assert office.verdicts(device, flipped(one), two, one, three) == [
        (Verdict.QUARANTINED, "bad_signature"),
        ACCEPTED,
        ACCEPTED,
        ACCEPTED,
    ]
    assert len(office.claims()) == 3


def test_several_claims_spoilt_on_the_way_are_taken_from_the_last_to_the_first(office: Office) -> None:
    """Each names the one before it; the earlier ones are asked for again meanwhile, not called forks."""
    device = office.device()
    one, two, three, four = (device.seal(number=n) for n in (1, 2, 3, 4))
    office.receive(device, flipped(one), flipped(two), flipped(three), four)
    wait = (Verdict.RETRY_LATER, "successor_first")
    assert office.verdicts(device, one, two, three) == [wait, wait, ACCEPTED]
    assert office.verdicts(device, one, two) == [wait, ACCEPTED]
    assert office.verdicts(device, one) == [ACCEPTED]
    assert len(office.claims()) == 4
    assert office.alarm_kinds() == ["unreadable"] * 3


def test_another_packet_in_the_place_of_spoilt_bytes_is_still_a_fork(office: Office) -> None:
    """Only the packet the successor names may take the place; a second history freezes the lane as ever."""
    device = office.device()
    before = copy.deepcopy(device.chains)
    one, two = (device.seal(number=n) for n in (1, 2))
    office.receive(device, flipped(one), two)
    device.chains = before
    other = device.seal(number=66)
    assert office.verdicts(device, other) == [(Verdict.QUARANTINED, "fork")]
    # The true one is proved all the same, also in a frozen lane.
    assert office.verdicts(device, one) == [ACCEPTED]


def test_bytes_that_rot_after_a_lost_reply_are_answered_by_the_claim_that_is_here(office: Office) -> None:
    """The verdict names the stored packet's digest, so that the device can compare it with what it sealed."""
    device = office.device()
    one, two = device.seal(number=1), device.seal(number=2)
    office.receive(device, one)
    (verdict,) = office.receive(device, flipped(one)).verdicts
    assert (verdict.verdict, verdict.seq, verdict.digest) == (Verdict.DUPLICATE, 1, envelope_digest(one))
    # Bytes nothing can be read of are known by what follows them.
    first, _second = office.receive(device, b"\x00garbage", two).verdicts
    assert (first.verdict, first.seq, first.digest) == (Verdict.DUPLICATE, 1, envelope_digest(one))
    assert office.stored() == [one, two]


def test_a_claim_whose_stand_in_is_here_stays_on_the_device(office: Office) -> None:
    """Spoilt once on the way and then otherwise on the disk: never told to be here, kept as evidence a few times."""
    device = office.device()
    one, two = device.seal(number=1), device.seal(number=2)
    office.receive(device, flipped(one), two)
    said = [office.receive(device, flipped(one, -at)).verdicts[0] for at in range(2, 8)]
    assert {verdict.digest for verdict in said} == {envelope_digest(flipped(one, -at)) for at in range(2, 8)}
    assert [verdict.verdict for verdict in said] == [Verdict.QUARANTINED] * 3 + [Verdict.RETRY_LATER] * 3
    assert office.verdicts(device, one) == [ACCEPTED]


@pytest.mark.parametrize("field", ["device_id", "epoch", "seq"])
def test_a_row_rotten_in_its_header_does_not_block_the_lane(office: Office, field: str) -> None:
    """Which field of the place was spoilt does not matter: what stands around it says where it belongs."""
    device = office.device()
    one, two = device.seal(number=1), device.seal(number=2)
    at = {
        "device_id": one.index(device.device_id.encode()) + 5,
        "epoch": one.index(device.chains[Lane.CORE].epoch) + 3,
        "seq": one.index(device.chains[Lane.CORE].epoch) + len(device.chains[Lane.CORE].epoch),
    }[field]
    spoilt = flipped(one, at)
    assert Verdict.NOT_YOURS not in [v.verdict for v in office.receive(device, spoilt).verdicts]
    assert [verdict for verdict, _ in office.verdicts(device, spoilt, two)] == [Verdict.QUARANTINED, Verdict.ACCEPTED]
    assert office.verdicts(device, one) == [ACCEPTED]


def test_rotten_bytes_wait_on_the_device_until_a_claim_stands_behind_them(office: Office) -> None:
    """Without an authentic successor there is no proof that the device means these bytes; with one they are kept."""
    device = office.device()
    good = device.seal(number=1)
    spoilt = good[:-1] + bytes([good[-1] ^ 1])
    assert office.verdicts(device, spoilt) == [(Verdict.RETRY_LATER, "bad_signature")]
    assert office.stored() == []
    behind = device.seal(number=2)
    assert office.verdicts(device, behind) == [(Verdict.RETRY_LATER, "gap")]
    assert office.verdicts(device, spoilt, behind) == [(Verdict.QUARANTINED, "bad_signature"), ACCEPTED]


def test_the_other_form_of_an_ecdsa_signature_is_not_another_packet(office: Office) -> None:
    """Anybody on the way could make it: taken, it would hold the claim's place, and the claim itself be a fork."""
    device = Device("SN-ES", signing_key=ec.generate_private_key(ec.SECP256R1()))
    device.enrol_directly(office.registry, load_recipients(office.home), office.signer)
    one, two = device.seal(number=1), device.seal(number=2)
    other = one[:-32] + (P256_ORDER - int.from_bytes(one[-32:], "big")).to_bytes(32, "big")
    assert office.verdicts(device, other) == [(Verdict.RETRY_LATER, "bad_signature")]
    assert office.verdicts(device, one, two) == [ACCEPTED, ACCEPTED]
    assert office.alarm_kinds() == []


def test_another_devices_packet_is_not_this_ones(office: Office) -> None:
    """A packet is taken only from the device that made it."""
    device, other = office.device("SN-1"), office.device("SN-2")
    assert office.verdicts(device, other.seal()) == [(Verdict.NOT_YOURS, "wrong_device")]
    assert office.stored() == []


def test_a_packet_signed_with_an_unknown_key_stays_on_the_device(office: Office) -> None:
    """A key we have not heard of may be our fault, so the device is asked to keep the packet."""
    device, stranger = office.device(), Device()
    packet = wire_seal(claim_packet(device.device_id).encode(), device.header(), stranger.signer, device.recipients)
    assert office.verdicts(device, packet) == [(Verdict.RETRY_LATER, "unknown_key")]


def test_a_checkpoint_of_another_device_is_refused(office: Office) -> None:
    """The TLS certificate and the signed checkpoint must name the same device."""
    device, other = office.device("SN-1"), office.device("SN-2")
    with pytest.raises(NotYourCheckpointError):
        office.ingest.receive(device.tls_certificate, other.batch())
    with pytest.raises(NotYourCheckpointError):
        office.ingest.receive(device.tls_certificate, device.batch(signer=other.signer))


def test_a_device_cannot_speak_for_another_with_its_own_key(office: Office) -> None:
    """Signing another device's name with a key of one's own changes nothing on that device's record."""
    device, other = office.device("SN-1"), office.device("SN-2")
    forged = device.batch(checkpoint=other.checkpoint())
    with pytest.raises(NotYourCheckpointError):
        office.ingest.receive(device.tls_certificate, forged)


def test_a_forged_checkpoint_is_refused(office: Office) -> None:
    """Naming the right key is not signing with it."""
    device = office.device()
    body = bytearray(device.batch())
    body[-2] ^= 1  # the last byte of the signature stands before the empty packet list
    with pytest.raises(NotYourCheckpointError):
        office.ingest.receive(device.tls_certificate, bytes(body))


def test_a_blocked_device_is_served_no_more_and_again_after_release(office: Office) -> None:
    """The deny list counts from the next request, and what waited on the device is accepted after its release."""
    device = office.device()
    packet = device.seal()
    office.registry.block(device.device_id, "stolen", by="test")
    with pytest.raises(DeviceBlockedError):
        office.receive(device, packet)
    assert office.stored() == []
    office.registry.release(device.device_id, by="test")
    assert office.verdicts(device, packet) == [ACCEPTED]


def test_a_block_that_comes_while_a_batch_is_checked_still_counts(office: Office) -> None:
    """The deny list is looked at once more with the device's row locked."""
    device = office.device()

    def block_now() -> datetime:
        office.registry.block(device.device_id, "stolen", by="test")
        return office.clock()

    ingest = Ingest(office.ledger, office.registry, office.signer, block_now, poll_s=60, on_stored=lambda: None)
    with pytest.raises(DeviceBlockedError):
        ingest.receive(device.tls_certificate, device.batch(device.seal()))
    assert office.stored() == []


def test_a_blocked_device_is_turned_away_before_its_batch_is_read(office: Office) -> None:
    """Whatever a blocked device sends costs no more than looking at its certificate."""
    device = office.device()
    office.registry.block(device.device_id, "stolen", by="test")
    with pytest.raises(DeviceBlockedError):
        office.ingest.receive(device.tls_certificate, b"never looked at")


def test_an_expired_tls_certificate_is_named_so(office: Office) -> None:
    """After ninety days the device hears why it is refused; its packets stay where they are."""
    device = office.device()
    office.clock.advance(days=91)
    with pytest.raises(CertificateExpiredError):
        office.receive(device, device.seal())


def test_a_certificate_of_the_signing_key_does_not_open_the_line(office: Office) -> None:
    """Only certificates made for TLS identify a connection."""
    device = office.device()
    row = office.ledger.read("SELECT certificate FROM certificates WHERE purpose = 'signing'")[0]
    with pytest.raises(CertificateRefusedError):
        office.ingest.receive(bytes(row["certificate"]), device.batch())


def test_packets_of_a_later_message_version_are_refused_by_name(office: Office) -> None:
    """An agent that is ahead of head office hears that, and not that it is broken."""
    device = office.device()
    with pytest.raises(UnknownVersionError):
        office.ingest.receive(device.tls_certificate, cbor.encode([2, b"", []]))


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x00", cbor.encode([1, b"", []]), cbor.encode({"a": 1})])
def test_garbage_is_refused(office: Office, body: bytes) -> None:
    """What is not a batch is refused as a whole."""
    device = office.device()
    with pytest.raises(BadRequestError):
        office.ingest.receive(device.tls_certificate, body)


def test_too_many_packets_are_refused(office: Office) -> None:
    """A batch of more packets than the protocol allows is refused before anything is checked."""
    device = office.device()
    with pytest.raises(TooLargeError):
        office.ingest.receive(device.tls_certificate, cbor.encode([1, b"", [b""] * 600]))


def test_the_devices_clock_is_recorded_and_orders_nothing(office: Office) -> None:
    """A packet of the year 2031 is stored like any other; both clocks stand beside it."""
    device = office.device()
    office.receive(device, device.seal())
    row = office.ledger.read("SELECT * FROM packets")[0]
    assert (row["created_monotonic_ns"], row["clock_offset_ms"], row["clock_error_ms"]) == (5_000_000_000, 120, 400)
    seen = office.ledger.read("SELECT * FROM devices")[0]
    assert seen["clock_offset_ms"] == 4 * 60 * 1000


def test_what_one_device_is_told_does_not_depend_on_what_others_sent(office: Office) -> None:
    """The answer to a claim says nothing of whether its person is known already."""
    first, second = office.device("SN-1"), office.device("SN-2")
    office.receive(first, first.seal(number=7))
    office.claims()
    known, unknown = office.receive(second, second.seal(number=7)), office.receive(second, second.seal(number=8))
    shown = [
        {
            name: value
            for name, value in receipt.verdicts[0].to_map().items()
            if name not in ("seq", "digest", "receipt_no")
        }
        for receipt in (known, unknown)
    ]
    assert shown[0] == shown[1]


def last_seen(office: Office) -> object:
    return office.ledger.read("SELECT last_seen_at FROM devices")[0]["last_seen_at"]


def test_a_device_that_only_asks_costs_no_flush(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answered from what is stored; written at most once a minute, or with the next batch, or when the service ends."""
    device = office.device()
    office.receive(device, device.seal())
    seen = last_seen(office)

    def refuse(*_: object) -> None:
        raise AssertionError("a transaction for an idle poll")

    with monkeypatch.context() as patched:
        for name in ("together", "together_after", "transaction"):
            patched.setattr(office.ledger, name, refuse)
        for _ in range(5):
            office.clock.advance(seconds=10)
            receipt = office.receive(device)
            assert [head.next_seq for head in receipt.lanes if head.lane is Lane.CORE] == [2]
    assert last_seen(office) == seen
    office.clock.advance(seconds=30)
    office.receive(device)
    noted = last_seen(office)
    assert noted == to_ms(office.clock())
    office.clock.advance(seconds=5)
    office.receive(device)
    assert last_seen(office) == noted
    office.ingest.close()
    assert last_seen(office) == to_ms(office.clock())


def test_an_idle_poll_of_a_blocked_device_is_refused_all_the_same(office: Office) -> None:
    """The deny list is asked at each request."""
    device = office.device()
    office.receive(device, device.seal())
    office.receive(device)
    office.registry.block(device.device_id, "lost", by="test")
    with pytest.raises(DeviceBlockedError):
        office.receive(device)


def test_a_packet_is_kept_as_it_came_whatever_becomes_of_it(office: Office) -> None:
    """Accepted, forked, spoilt, opened or set aside: the stored bytes have the digest of those that were sent."""
    device = office.device()
    good, rubbish = device.seal(number=1), device.seal(b"\xff")
    spoilt = bytearray(device.seal(number=3))
    spoilt[-1] ^= 1
    behind = device.seal(number=4)
    fork = wire_seal(b"\xf6", device.header(seq=2, prev_hash=envelope_digest(good)), device.signer, device.recipients)
    sent = [good, rubbish, bytes(spoilt), behind, fork]
    office.receive(device, *sent)
    office.claims()
    rows = office.ledger.read("SELECT envelope, digest FROM packets")
    assert {hashlib.sha256(row["envelope"]).digest() for row in rows} == {envelope_digest(packet) for packet in sent}
    assert all(hashlib.sha256(row["envelope"]).digest() == row["digest"] for row in rows)


def test_an_absurd_clock_is_flagged_and_never_refused(office: Office) -> None:
    """A device in 2001 or 2041: its claim is taken, an alarm is raised once, the desk shows a doubt."""
    for serial, moment in (("SN-1", datetime(2001, 1, 1, tzinfo=UTC)), ("SN-2", datetime(2041, 1, 1, tzinfo=UTC))):
        device = office.device(serial)
        header = device.header()
        created = replace(header.created, wall_utc=moment)
        content = claim_packet(device.device_id, int(serial[-1])).encode()
        packet = wire_seal(content, replace(header, created=created), device.signer, device.recipients)
        for _ in range(2):
            batch = device.batch(packet, checkpoint=device.checkpoint(wall_utc=moment))
            receipt = device.verified(office.ingest.receive(device.tls_certificate, batch))
            assert receipt.verdicts[0].verdict.in_custody
    assert [json.loads(row["flags"]) for row in office.claims()] == [["CLOCK_DOUBT"], ["CLOCK_DOUBT"]]
    assert office.alarm_kinds().count("clock_astray") == 2 * len(Lane)
