"""Only head office's signature over our bytes, for this device and this request, counts as delivered."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, cose, receipt
from sync.envelope import Lane
from sync.errors import ReceiptError, Refusal
from sync.keys import Algorithm
from sync.receipt import Command, LaneHead, PacketVerdict, Receipt, Verdict, VerifiedReceipt, verify_receipt
from tests.sync.conftest import a_signer
from tests.sync.foreign import read_or_refusal

SIGNER = a_signer(Algorithm.EDDSA)
KEYS = {SIGNER.kid: SIGNER.public_key}
NONCE = bytes(range(16))
NOW = datetime(2026, 11, 20, 3, 4, 6, tzinfo=UTC)
RECEIPT = Receipt(
    device_id="dev-000001",
    nonce=NONCE,
    server_time=NOW,
    lanes=(LaneHead(lane=Lane.CORE, epoch=bytes(16), next_seq=8, head_hash=bytes([1]) * 32, frozen="fork"),),
    verdicts=(
        PacketVerdict(
            lane=Lane.CORE,
            epoch=bytes(16),
            seq=7,
            digest=bytes([1]) * 32,
            verdict=Verdict.ACCEPTED,
            receipt_no="R-00000007",
            stored_at=NOW,
        ),
    ),
    next_poll_s=60,
    commands=(Command(id=bytes(16), name="refresh_tables"),),
)


def refusal_of(act: Callable[..., object], *arguments: Any) -> Refusal:
    with pytest.raises(ReceiptError) as caught:
        act(*arguments)
    return caught.value.refusal


def test_a_receipt_of_head_office_is_believed() -> None:
    """Signature, device and nonce fit: what it says is proved, and the signed bytes are kept as evidence."""
    data = receipt.sign(RECEIPT, SIGNER)
    verified = verify_receipt(data, KEYS, "dev-000001", NONCE)
    assert (verified.content, verified.raw, verified.kid) == (RECEIPT, data, SIGNER.kid)


@pytest.mark.parametrize(
    ("keys", "device", "nonce", "refusal"),
    [
        ({}, "dev-000001", NONCE, Refusal.WRONG_KEY),
        ({SIGNER.kid: a_signer(Algorithm.EDDSA).public_key}, "dev-000001", NONCE, Refusal.WRONG_KEY),
        (KEYS, "dev-000002", NONCE, Refusal.WRONG_DEVICE),
        (KEYS, "dev-000001", bytes(16), Refusal.WRONG_NONCE),
    ],
)
def test_a_receipt_for_somebody_else_or_for_another_request_is_not(
    keys: Any, device: str, nonce: bytes, refusal: Refusal
) -> None:
    """An unknown key, another device, or a replayed reply: each is refused by name."""
    assert refusal_of(verify_receipt, receipt.sign(RECEIPT, SIGNER), keys, device, nonce) is refusal


def test_a_receipt_with_any_byte_changed_is_not_believed() -> None:
    """No bit of it can be turned on the way."""
    data = bytearray(receipt.sign(RECEIPT, SIGNER))
    for at in range(len(data)):
        data[at] ^= 0x01
        with pytest.raises(ReceiptError):
            verify_receipt(bytes(data), KEYS, "dev-000001", NONCE)
        data[at] ^= 0x01


def test_nobody_but_the_verification_makes_proof() -> None:
    """A receipt that was only read can not settle the queue: the type can not be made by hand."""
    with pytest.raises(TypeError):
        VerifiedReceipt(RECEIPT, b"", SIGNER.kid, object())


@given(st.binary(max_size=300))
def test_any_bytes_give_a_receipt_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes, a captive portal's page among them, never crash the reader."""
    assert isinstance(read_or_refusal(receipt.read_receipt, data, ReceiptError), ReceiptError)
    assert isinstance(read_or_refusal(receipt.read_receipt, b"<!DOCTYPE html>" + data, ReceiptError), ReceiptError)


@given(st.data())
def test_a_receipt_with_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    """Parsing stands before the signature and must survive whatever comes."""
    changed = bytearray(receipt.sign(RECEIPT, SIGNER))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    read = read_or_refusal(receipt.read_receipt, bytes(changed), ReceiptError)
    assert isinstance(read, ReceiptError | Receipt)


def signed(**changes: object) -> bytes:
    protected = cose.protect(receipt.TYP, SIGNER.algorithm, SIGNER.kid, {})
    return cose.sign(protected, cbor.encode(RECEIPT.to_map() | changes), SIGNER)


def verdict_map(**changes: object) -> list[object]:
    kept = {**RECEIPT.verdicts[0].to_map(), **changes}
    return [{name: value for name, value in kept.items() if value is not None}]


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (signed(version=2, news=1), Refusal.UNKNOWN_VERSION),
        (signed(news=1), Refusal.UNKNOWN_KEY),
        (signed(next_poll_s=0), Refusal.BAD_VALUE),
        (signed(next_poll_s=10**9), Refusal.BAD_VALUE),
        (signed(verdicts=verdict_map(verdict="lost")), Refusal.BAD_VALUE),
        (signed(verdicts=verdict_map(receipt_no=None)), Refusal.CONTRADICTION),
        (signed(verdicts=verdict_map(stored_at=None)), Refusal.CONTRADICTION),
        (signed(verdicts=verdict_map(verdict="quarantined")), Refusal.CONTRADICTION),
        (signed(verdicts=verdict_map(verdict="retry_later")), Refusal.CONTRADICTION),
        (signed(verdicts=verdict_map() * 513), Refusal.FIELD_TOO_LONG),
        (signed(server_time=-1), Refusal.BAD_VALUE),
        (signed(commands=[{"id": bytes(16), "name": "x", "body": bytes(33_000)}]), Refusal.FIELD_TOO_LONG),
        (
            signed(commands=[{"id": bytes([at] * 16), "name": "x", "body": bytes(30_000)} for at in (1, 2, 3)]),
            Refusal.FIELD_TOO_LONG,
        ),
        (signed(commands=[{"id": bytes(16), "name": "x", "body": b""}] * 2), Refusal.CONTRADICTION),
        (signed(commands=[{"name": "x", "body": b""}]), Refusal.MISSING_KEY),
        (signed(lanes=[RECEIPT.lanes[0].to_map() | {"frozen": "because of this"}]), Refusal.BAD_VALUE),
    ],
)
def test_each_fault_has_its_name(data: bytes, refusal: Refusal) -> None:
    """A signed receipt of a form this version does not know is refused for the reason that applies."""
    assert refusal_of(verify_receipt, data, KEYS, "dev-000001", NONCE) is refusal


def test_the_largest_receipt_fits_its_limit() -> None:
    """A verdict for every packet of the largest batch, each with the longest reason, can still be read."""
    longest = replace(
        RECEIPT.verdicts[0], verdict=Verdict.QUARANTINED, reason="r" * 64, receipt_no="N" * 32, seq=(1 << 63) - 1
    )
    full = replace(
        RECEIPT,
        verdicts=(longest,) * 512,
        commands=tuple(Command(id=bytes([at]) * 16, name="c" * 32, body=bytes(2048)) for at in range(32)),
    )
    assert verify_receipt(receipt.sign(full, SIGNER), KEYS, "dev-000001", NONCE).content == full
