"""Who gets new certificates, for which keys; and what a device's boots and keys tell of copies of it."""

import copy
import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from head_office.errors import (
    BadKeyRequestError,
    BadRequestError,
    CertificateExpiredError,
    CertificateSupersededError,
    DeviceBlockedError,
    RefusedError,
    RenewalRefusedError,
)
from sync import renewal as wire
from sync.envelope import Lane
from sync.keys import PrivateKey, SoftwareSigner
from sync.receipt import Verdict
from sync.renewal import RenewReply, RenewRequest
from tests.head_office.conftest import Office
from tests.head_office.device import Device, key_request


def asked(
    device: Device,
    *,
    tls: PrivateKey | None = None,
    signing: PrivateKey | None = None,
    signer: SoftwareSigner | None = None,
    **changes: Any,
) -> bytes:
    """A renewal of the device's keys, or of others."""
    request = RenewRequest(
        device_id=device.device_id,
        nonce=os.urandom(16),
        tls_csr=key_request(tls or device.tls_key),
        signing_csr=key_request(signing or device.signing_key),
    )
    return wire.sign_request(replace(request, **changes), signer or device.signer)


def renew(office: Office, device: Device, body: bytes) -> RenewReply:
    return wire.decode_reply(office.renewals.renew(device.tls_certificate, body))


def rotate(office: Office, device: Device) -> Device:
    """The device as it is after it changed both keys."""
    tls, signing = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    reply = renew(office, device, asked(device, tls=tls, signing=signing))
    rotated = Device(device.serial, tls, signing)
    rotated.device_id, rotated.tls_certificate = reply.device_id, reply.tls_certificate
    rotated.recipients, rotated.receipt_keys, rotated.chains = device.recipients, device.receipt_keys, device.chains
    return rotated


def test_the_same_bytes_give_the_same_certificates(office: Office) -> None:
    """A reply lost on the way costs nothing; another request gives other ones."""
    device = office.device()
    body = asked(device)
    first = renew(office, device, body)
    office.clock.advance(days=2)
    assert renew(office, device, body) == first
    assert renew(office, device, asked(device)) != first


def test_a_certificate_that_ran_out_renews_and_does_nothing_else(office: Office) -> None:
    """The device that was away too long comes back without a technician."""
    device = office.device()
    office.clock.advance(days=91)
    with pytest.raises(CertificateExpiredError):
        office.receive(device)
    device.tls_certificate = renew(office, device, asked(device)).tls_certificate
    assert office.verdicts(device, device.seal()) == [(Verdict.ACCEPTED, None)]


def test_a_blocked_device_renews_nothing(office: Office) -> None:
    """Neither with a good certificate nor with the very request that was answered before."""
    device = office.device()
    body = asked(device)
    renew(office, device, body)
    office.registry.block(device.device_id, "stolen", by="test")
    for again in (body, asked(device)):
        with pytest.raises(DeviceBlockedError):
            renew(office, device, again)
    office.registry.release(device.device_id, by="test")
    renew(office, device, asked(device))


def test_the_tls_certificate_alone_changes_no_keys(office: Office) -> None:
    """TLS may end at a proxy: whoever holds that key must not become the one whose packets count."""
    device, other = office.device("SN-0001"), office.device("SN-0002")
    mine = ed25519.Ed25519PrivateKey.generate()
    for body in (
        asked(device, signing=mine, signer=SoftwareSigner(mine)),
        asked(device, signing=mine, signer=other.signer),
        asked(other),
        asked(other, signer=device.signer),
    ):
        with pytest.raises(RenewalRefusedError):
            renew(office, device, body)
    assert office.ledger.read("SELECT 1 FROM renewals") == []


@pytest.mark.parametrize(
    "spoil", [lambda body: b"", lambda body: body[:-1], lambda body: b"\xa0", lambda body: body * 2]
)
def test_rubbish_is_refused_in_words(office: Office, spoil: Any) -> None:
    """Before anything is looked up."""
    device = office.device()
    with pytest.raises(BadRequestError):
        renew(office, device, spoil(asked(device)))


def test_a_spoilt_signature_is_refused(office: Office) -> None:
    """One bit is enough."""
    device = office.device()
    body = bytearray(asked(device))
    body[-1] ^= 1
    with pytest.raises(RenewalRefusedError):
        renew(office, device, bytes(body))


def test_a_key_that_is_somebody_elses_is_not_certified(office: Office) -> None:
    """Nor one key for both purposes, nor the two exchanged."""
    device, other = office.device("SN-0001"), office.device("SN-0002")
    wrong: tuple[dict[str, Any], ...] = (
        {"signing": other.signing_key},
        {"tls": other.tls_key},
        {"signing": device.tls_key},
        {"tls": device.signing_key, "signing": device.tls_key},
        {"tls": device.signing_key},
    )
    for changes in wrong:
        with pytest.raises(BadKeyRequestError):
            renew(office, device, asked(device, **changes))


def test_what_the_old_key_signed_is_accepted_after_the_new_one_was_seen(office: Office) -> None:
    """Sealed before, sent after: the chain goes on across the change of keys."""
    device = office.device()
    sealed_before = device.seal(number=1)
    rotated = rotate(office, device)
    sealed_after = rotated.seal(number=2)
    assert office.verdicts(rotated) == []
    assert office.verdicts(rotated, sealed_before, sealed_after) == [(Verdict.ACCEPTED, None)] * 2
    assert len(office.claims()) == 2


def copy_of(device: Device) -> Device:
    """Another machine with the same keys, that goes its own way from here."""
    made = Device(device.serial, device.tls_key, device.signing_key)
    made.device_id, made.tls_certificate = device.device_id, device.tls_certificate
    made.recipients, made.receipt_keys = device.recipients, device.receipt_keys
    made.chains = copy.deepcopy(device.chains)
    return made


def carried(office: Office, device: Device, *packets: bytes) -> list[tuple[Verdict, str | None]]:
    """A stick with these packets and the device's checkpoint."""
    receipt = device.verified(office.ingest.receive_carried(device.batch(*packets)))
    return [(v.verdict, v.reason) for v in receipt.verdicts]


HELD = (Verdict.QUARANTINED, "old_key")


def test_a_replaced_key_begins_no_chain_and_makes_no_claim_by_stick(office: Office) -> None:
    """Whoever has a copy of the old keys reaches no desk with them, and cannot stop the real machine."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    thief = copy_of(device)
    rotated = rotate(office, device)
    assert office.verdicts(rotated, rotated.seal(number=2)) == [(Verdict.ACCEPTED, None)]
    # In the place of the real one, behind it, and far ahead.
    assert carried(office, thief, thief.seal(number=66)) == [HELD]
    assert carried(office, thief, thief.seal(number=67), thief.seal(number=68)) == [HELD, HELD]
    thief.new_epoch()
    assert carried(office, thief, thief.seal(number=69)) == [(Verdict.RETRY_LATER, "epoch_not_announced")]
    assert set(office.alarm_kinds()) == {"old_keys"}
    assert office.verdicts(rotated, rotated.seal(number=3)) == [(Verdict.ACCEPTED, None)]
    assert [row["kpj"] for row in office.claims()] == ["99ZZ0000001", "99ZZ0000002", "99ZZ0000003"]


def test_a_second_history_under_a_replaced_key_does_not_stop_the_real_machine(office: Office) -> None:
    """Below what the old key may have signed, too: the fork is kept and alarmed, the lane goes on."""
    device = office.device()
    thief = copy_of(device)
    office.receive(device, device.seal(number=1), device.seal(number=2))
    rotated = rotate(office, device)
    office.receive(rotated)
    assert carried(office, thief, thief.seal(number=66)) == [HELD]
    assert office.verdicts(rotated, rotated.seal(number=3)) == [(Verdict.ACCEPTED, None)]
    assert office.alarm_kinds() == ["old_keys"]


def test_a_replaced_key_signs_no_checkpoint_on_the_line(office: Office) -> None:
    """Also where only the signing key was replaced, and the TLS key that opens the line is the same."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    signing = ed25519.Ed25519PrivateKey.generate()
    reply = renew(office, device, asked(device, signing=signing))
    rotated = Device(device.serial, device.tls_key, signing)
    rotated.device_id, rotated.tls_certificate = reply.device_id, reply.tls_certificate
    rotated.recipients, rotated.receipt_keys, rotated.chains = device.recipients, device.receipt_keys, device.chains
    office.receive(rotated)
    with pytest.raises(CertificateSupersededError):
        office.receive(device, device.seal(number=2))
    assert office.alarm_kinds() == ["old_keys"]


def test_a_stick_of_before_the_rotation_still_counts(office: Office) -> None:
    """Sealed, exported and carried for weeks, while the machine got new keys: every claim on it is taken."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    two, three = device.seal(number=2), device.seal(number=3)
    stick = device.batch(two, three)
    rotated = rotate(office, device)
    assert office.verdicts(rotated) == []
    receipt = device.verified(office.ingest.receive_carried(stick))
    assert [v.verdict for v in receipt.verdicts] == [Verdict.ACCEPTED] * 2
    assert office.verdicts(rotated, two, rotated.seal(number=4)) == [
        (Verdict.DUPLICATE, None),
        (Verdict.ACCEPTED, None),
    ]
    assert office.alarm_kinds() == []


def test_a_replaced_key_names_no_place_for_rubbish(office: Office) -> None:
    """Spoilt bytes before a packet of a copied old key fill no place of the real machine's chain."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    thief = copy_of(device)
    rotated = rotate(office, device)
    office.receive(rotated)
    thief.chains[Lane.CORE].next_seq += 1
    assert carried(office, thief, b"rubbish", thief.seal(number=66)) == [HELD]
    assert office.verdicts(rotated, rotated.seal(number=2)) == [(Verdict.ACCEPTED, None)]
    assert office.verdicts(rotated, rotated.seal(number=3)) == [(Verdict.ACCEPTED, None)]
    assert office.alarm_kinds() == ["old_keys"]


def test_behind_the_new_keys_first_packet_the_old_key_signs_nothing(office: Office) -> None:
    """What the device sealed with the new key before its first round is in the bound, and narrows it."""
    device = office.device()
    one = device.seal(number=1)
    rotated = rotate(office, device)
    two = rotated.seal(number=2)
    thief = copy_of(rotated)
    thief.signer = device.signer
    three = rotated.seal(number=3)
    assert office.verdicts(rotated, one, two) == [(Verdict.ACCEPTED, None)] * 2
    assert office.verdicts(rotated, thief.seal(number=66), three) == [HELD, (Verdict.ACCEPTED, None)]


def test_new_keys_that_come_by_stick_first_end_the_old_ones_too(office: Office) -> None:
    """A machine that got new keys and has had no line since: its stick says so as well as a round."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    thief = copy_of(device)
    rotated = rotate(office, device)
    assert carried(office, rotated, rotated.seal(number=2)) == [(Verdict.ACCEPTED, None)]
    assert carried(office, thief, thief.seal(number=66)) == [HELD]


def test_a_chain_that_ended_before_the_rotation_is_finished_under_the_old_key(office: Office) -> None:
    """What waited in it when it was last announced is taken; nothing is added to it."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    waiting = device.seal(number=2)
    office.receive(device)
    thief = copy_of(device)
    device.new_epoch()
    rotated = rotate(office, device)
    assert office.verdicts(rotated, waiting, rotated.seal(number=3)) == [(Verdict.ACCEPTED, None)] * 2
    assert carried(office, thief, thief.seal(number=66)) == [HELD]


def test_the_old_keys_count_until_the_new_ones_are_seen_and_never_again(office: Office) -> None:
    """Until then the reply may be lost; after that whoever still has them is a copy."""
    device = office.device()
    rotated = rotate(office, device)
    assert office.verdicts(device, device.seal(number=1)) == [(Verdict.ACCEPTED, None)]
    office.receive(rotated)
    with pytest.raises(CertificateSupersededError):
        office.receive(device)
    with pytest.raises(RefusedError):
        renew(office, device, asked(device))
    with pytest.raises(RenewalRefusedError):
        renew(office, rotated, asked(rotated, signer=device.signer))
    with pytest.raises(BadKeyRequestError):
        renew(office, rotated, asked(rotated, signing=device.signing_key))
    assert office.alarm_kinds() == ["old_keys"]
    assert office.verdicts(rotated, rotated.seal(number=2)) == [(Verdict.ACCEPTED, None)]


def test_a_boot_that_comes_back_means_two_machines(office: Office) -> None:
    """One alarm for each boot that was over; restarting a machine is none."""
    device = office.device()
    first, second, third = (os.urandom(16) for _ in range(3))

    def boots(boot_id: bytes) -> None:
        office.ingest.receive(device.tls_certificate, device.batch(checkpoint=device.checkpoint(boot_id=boot_id)))

    for boot in (first, first, second, second, third):
        boots(boot)
    assert office.alarm_kinds() == []
    boots(second)
    assert office.alarm_kinds() == ["two_machines"]
    boots(third)
    boots(second)
    assert office.alarm_kinds() == ["two_machines", "two_machines"]
    (listed,) = office.registry.devices()
    assert listed["alarms"] == 2


def test_a_batch_on_a_stick_may_be_of_a_boot_long_over(office: Office) -> None:
    """Sticks arrive late; that is no sign of a copy."""
    device = office.device()
    old = device.batch(checkpoint=device.checkpoint(boot_id=os.urandom(16)))
    office.ingest.receive(device.tls_certificate, old)
    office.ingest.receive(device.tls_certificate, device.batch(checkpoint=device.checkpoint(boot_id=os.urandom(16))))
    office.ingest.receive_carried(old)
    assert office.alarm_kinds() == []


def test_a_snapshot_put_back_is_told_by_its_numbers(office: Office) -> None:
    """Its next number is behind what was sent before; with its first new claim the lane is frozen."""
    device = office.device()
    office.receive(device, device.seal(number=1), device.seal(number=2))
    chain = next(iter(device.chains.values()))
    kept = replace(chain)
    office.receive(device, device.seal(number=3))
    chain.next_seq, chain.head = kept.next_seq, kept.head
    office.clock.advance(minutes=5)
    office.receive(device)
    assert office.alarm_kinds() == ["rolled_back"]
    assert office.verdicts(device, device.seal(number=4)) == [(Verdict.QUARANTINED, "fork")]
    assert office.alarm_kinds() == ["rolled_back", "fork"]


def test_the_list_says_until_when_a_device_can_come_back_by_itself(office: Office) -> None:
    """Ninety days from its last renewal."""
    device = office.device()
    office.clock.advance(days=40)
    renew(office, device, asked(device))
    (listed,) = office.registry.devices()
    assert listed["tls_expires"] == round((office.clock.now + timedelta(days=90)).timestamp() * 1000)
