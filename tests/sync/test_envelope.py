"""Signed outside, encrypted inside, and neither can be taken from the other."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import cbor, cose, envelope
from sync.envelope import MAX_PACKET_BYTES, NO_HASH, Created, Header, Lane
from sync.errors import EnvelopeError, Refusal
from sync.keys import Algorithm, SoftwareSigner
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.conftest import Keys, a_signer
from tests.sync.foreign import read_or_refusal
from tests.sync.people import matched_claim

HEADER = Header(
    version=1,
    device_id="dev-000001",
    lane=Lane.CORE,
    epoch=bytes(range(16)),
    seq=7,
    prev_hash=bytes([5]) * 32,
    created=Created(datetime(2026, 11, 20, 3, 4, 5, 678000, UTC), 123_456_789, bytes(16), -1500, 40),
)
PACKET = matched_claim().encode()


def sealed(keys: Keys, packet: bytes = PACKET, header: Header = HEADER) -> bytes:
    return envelope.seal(packet, header, keys.device, [keys.hybrid.public, keys.classic.public])


def refusal_of(act: Callable[..., object], *arguments: Any) -> Refusal:
    with pytest.raises(EnvelopeError) as caught:
        act(*arguments)
    return caught.value.refusal


def taken_apart(data: bytes) -> list[Any]:
    """[protected headers as a map, payload, signature]"""
    message: Any = cbor.decode(data, max_bytes=1 << 20)
    protected, _, payload, signature = message.content
    return [cbor.decode(protected, max_bytes=1 << 16), payload, signature]


def put_together(headers: dict[int, object], payload: bytes, signer: SoftwareSigner) -> bytes:
    """A properly signed envelope of whatever is given: what a device with a wrong or hostile program could send."""
    return cose.sign(cbor.encode(headers), payload, signer)


def test_every_recipient_opens_it_and_head_office_checks_it_without_any_of_their_keys(keys: Keys) -> None:
    """Signature and chain need the device's public key only; the content needs one recipient's private key."""
    verified = envelope.verify(sealed(keys), keys.device.public_key)
    assert verified.header == HEADER
    assert envelope.open_envelope(verified, keys.hybrid) == PACKET
    assert envelope.open_envelope(verified, keys.classic) == PACKET
    assert {suite for _, suite in envelope.recipients_of(verified.payload)} == set(Suite)


def test_nothing_of_the_claim_can_be_read_in_the_envelope(keys: Keys) -> None:
    """Neither name nor numbers stand anywhere in what goes to disk and over the wire."""
    data = sealed(keys)
    for secret in (b"PESERTA", b"9901014107900001", b"99ZZ0000001", PACKET[100:116]):
        assert secret not in data


def test_who_is_not_a_recipient_learns_that_and_nothing_else(keys: Keys) -> None:
    """The device's own queue is closed to everybody but head office."""
    verified = envelope.verify(sealed(keys), keys.device.public_key)
    for suite in Suite:
        stranger = RecipientPrivateKey.generate(suite)
        assert refusal_of(envelope.open_envelope, verified, stranger) is Refusal.NOT_A_RECIPIENT


def test_every_changed_byte_is_noticed(keys: Keys) -> None:
    """Flip any byte of the message: it no longer verifies."""
    data = bytearray(sealed(keys))
    for at in range(0, len(data), 17):
        data[at] ^= 0x01
        with pytest.raises(EnvelopeError):
            envelope.verify(bytes(data), keys.device.public_key)
        data[at] ^= 0x01
    assert envelope.verify(bytes(data), keys.device.public_key).header == HEADER


@settings(max_examples=300)
@given(data=st.binary(max_size=400))
def test_any_bytes_give_a_header_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash the reader."""
    read = read_or_refusal(envelope.read_header, data, EnvelopeError)
    assert isinstance(read, EnvelopeError)


@settings(max_examples=300)
@given(data=st.data())
def test_a_body_with_bytes_changed_is_refused_by_name(data: st.DataObject) -> None:
    """What a signed but broken body holds never crashes the process that opens packets."""
    key = data.draw(st.sampled_from(RECIPIENTS))
    body = bytearray(BODIES[key.kid])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body) - 1)) :]
    opened = read_or_refusal(lambda body: envelope.decrypt(body, b"external", key), bytes(body), EnvelopeError)
    assert isinstance(opened, EnvelopeError) or opened == b"content"


RECIPIENTS = [RecipientPrivateKey.generate(suite) for suite in Suite]
BODIES = {key.kid: envelope.encrypt(b"content", b"external", [key.public]) for key in RECIPIENTS}


def test_a_ciphertext_moved_under_another_header_does_not_open(keys: Keys) -> None:
    """Strip the signature, keep the ciphertext, sign it as somebody else or at another place: it stays shut."""
    _, payload, _ = taken_apart(sealed(keys))
    thief = a_signer(keys.device.algorithm)
    for signer, header in (
        (thief, HEADER),
        (keys.device, replace(HEADER, seq=8)),
        (keys.device, replace(HEADER, device_id="dev-2")),
    ):
        own_headers, _, _ = taken_apart(envelope.seal(b"-", header, signer, [keys.classic.public]))
        verified = envelope.verify(put_together(own_headers, payload, signer), signer.public_key)
        assert refusal_of(envelope.open_envelope, verified, keys.classic) is Refusal.NOT_OPENED


def test_a_signature_of_another_device_is_called_that(keys: Keys) -> None:
    """The key id says so before any signature is computed."""
    other = a_signer(keys.device.algorithm)
    assert refusal_of(envelope.verify, sealed(keys), other.public_key) is Refusal.WRONG_KEY


def test_a_forged_signature_is_called_that(keys: Keys) -> None:
    """The right key id with a signature by somebody else."""
    headers, payload, _ = taken_apart(sealed(keys))
    forged = put_together(headers, payload, a_signer(keys.device.algorithm))
    assert refusal_of(envelope.verify, forged, keys.device.public_key) is Refusal.BAD_SIGNATURE


HEADER_ARRAY: list[object] = [1, "dev-000001", "core", bytes(16), 7, bytes([5]) * 32, [1, 2, bytes(16), None, None]]


def with_item(at: int, value: object) -> list[object]:
    return [*HEADER_ARRAY[:at], value, *HEADER_ARRAY[at + 1 :]]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({envelope.HEADER_LABEL: with_item(0, 2)}, Refusal.UNKNOWN_VERSION),
        ({envelope.HEADER_LABEL: [2, "what", "version", "two", "brings"]}, Refusal.UNKNOWN_VERSION),
        ({envelope.HEADER_LABEL: with_item(0, True)}, Refusal.UNKNOWN_VERSION),
        ({envelope.HEADER_LABEL: []}, Refusal.WRONG_TYPE),
        ({envelope.HEADER_LABEL: with_item(1, "x" * 65)}, Refusal.FIELD_TOO_LONG),
        ({envelope.HEADER_LABEL: with_item(1, "../etc")}, Refusal.BAD_VALUE),
        ({envelope.HEADER_LABEL: with_item(2, "express")}, Refusal.BAD_VALUE),
        ({envelope.HEADER_LABEL: with_item(3, bytes(15))}, Refusal.BAD_VALUE),
        ({envelope.HEADER_LABEL: with_item(4, 0)}, Refusal.BAD_VALUE),
        ({envelope.HEADER_LABEL: with_item(4, 1 << 63)}, Refusal.BAD_VALUE),
        ({envelope.HEADER_LABEL: with_item(4, 1)}, Refusal.CONTRADICTION),  # the first has nothing before it
        ({envelope.HEADER_LABEL: with_item(5, NO_HASH)}, Refusal.CONTRADICTION),
        ({envelope.HEADER_LABEL: with_item(6, [])}, Refusal.WRONG_TYPE),
        ({envelope.HEADER_LABEL: with_item(6, [-1, 2, bytes(16), None, None])}, Refusal.BAD_VALUE),
        ({cose.ALG: -257}, Refusal.UNKNOWN_ALGORITHM),
        ({cose.ALG: "EdDSA"}, Refusal.WRONG_TYPE),
        ({cose.CRIT: [envelope.HEADER_LABEL, -70_002], -70_002: 1}, Refusal.UNKNOWN_CRITICAL),
        ({cose.CRIT: [-70_002]}, Refusal.UNKNOWN_CRITICAL),
        ({cose.CRIT: []}, Refusal.WRONG_TYPE),
        ({cose.CRIT: ...}, Refusal.MISSING_KEY),
        ({-70_002: 1}, Refusal.UNKNOWN_KEY),
        ({cose.KID: bytes(15)}, Refusal.BAD_VALUE),
        ({cose.KID: ...}, Refusal.MISSING_KEY),
        ({cose.TYP: "application/vnd.mpos.checkpoint+cose"}, Refusal.UNKNOWN_TYPE),
    ],
)
def test_each_header_fault_has_its_name(keys: Keys, changes: dict[int, Any], refusal: Refusal) -> None:
    """Signed or not, a header this version does not know is refused for the reason that applies."""
    headers, payload, _ = taken_apart(sealed(keys))
    changed = {label: value for label, value in {**headers, **changes}.items() if value is not ...}
    data = put_together(changed, payload, keys.device)
    assert refusal_of(envelope.verify, data, keys.device.public_key) is refusal


def test_a_suite_nobody_knows_is_taken_into_custody_and_named_when_opened(keys: Keys) -> None:
    """What is authentic verifies whatever is inside; opening says which suite it does not know."""
    headers, payload, _ = taken_apart(sealed(keys))
    body: Any = cbor.decode(payload, max_bytes=1 << 20)
    protected, unprotected, ciphertext, recipients = body.content
    unknown = cbor.encode({cose.ALG: -70_999})
    for changed in (
        [unknown, unprotected, ciphertext, recipients],
        [protected, unprotected, ciphertext, [[unknown, *recipients[0][1:]]]],
        [protected, unprotected, ciphertext, [[cbor.encode({}), *recipients[0][1:]]]],
    ):
        data = put_together(headers, cbor.encode(cbor.Tag(96, changed)), keys.device)
        verified = envelope.verify(data, keys.device.public_key)
        assert refusal_of(envelope.open_envelope, verified, keys.classic) is Refusal.UNKNOWN_SUITE


def test_a_packet_of_the_largest_size_fits_and_one_byte_more_does_not(keys: Keys) -> None:
    """The limit holds at the door, for sender and receiver."""
    largest = os.urandom(MAX_PACKET_BYTES)
    verified = envelope.verify(sealed(keys, largest), keys.device.public_key)
    assert envelope.open_envelope(verified, keys.hybrid) == largest
    assert refusal_of(sealed, keys, largest + b"x") is Refusal.TOO_LONG
    assert refusal_of(envelope.read_header, bytes(envelope.MAX_ENVELOPE_BYTES + 1)) is Refusal.TOO_LONG


def test_a_packet_for_nobody_is_not_sealed(keys: Keys) -> None:
    """Without a recipient nobody could ever open it."""
    assert refusal_of(envelope.seal, PACKET, HEADER, keys.device, []) is Refusal.BAD_VALUE


def test_the_digest_covers_every_byte(keys: Keys) -> None:
    """Two seals of one packet differ, so chain and receipts speak of exact bytes."""
    first, second = sealed(keys), sealed(keys)
    assert envelope.envelope_digest(first) != envelope.envelope_digest(second)
    assert envelope.verify(first, keys.device.public_key).digest == envelope.envelope_digest(first)


def test_a_key_of_the_wrong_kind_can_not_borrow_the_other_algorithm(keys: Keys) -> None:
    """The header names one algorithm, the key allows exactly one: no confusion between them."""
    headers, payload, signature = taken_apart(sealed(keys))
    other = Algorithm.ES256 if keys.device.algorithm is Algorithm.EDDSA else Algorithm.EDDSA
    protected = cbor.encode({**headers, cose.ALG: int(other)})
    data = cbor.encode(cbor.Tag(18, [protected, {}, payload, signature]))
    assert refusal_of(envelope.verify, data, keys.device.public_key) is Refusal.WRONG_KEY
