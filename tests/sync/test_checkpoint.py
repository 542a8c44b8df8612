"""What a device sends in one round is read as sent, and belongs to the device that signed it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, checkpoint, cose
from sync.checkpoint import Checkpoint, CommandRefused, LaneState, StorageMark, read_batch, sign_batch
from sync.envelope import FIRST_SEQ, MAX_ENVELOPE_BYTES, NO_HASH, Lane
from sync.errors import CheckpointError, CoseError, Refusal
from sync.keys import Algorithm
from tests.sync.conftest import Keys, a_signer
from tests.sync.foreign import read_or_refusal

CHECKPOINT = Checkpoint(
    device_id="dev-000001",
    nonce=bytes(range(16)),
    boot_id=bytes(16),
    wall_utc=datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC),
    monotonic_ns=1_000,
    lanes=(
        LaneState(
            lane=Lane.CORE, epoch=bytes([1]) * 16, next_seq=8, head_hash=bytes([2]) * 32, depth=3, oldest_age_s=60
        ),
        LaneState(
            lane=Lane.DOCUMENTS, epoch=bytes([3]) * 16, next_seq=FIRST_SEQ, head_hash=NO_HASH, depth=0, oldest_age_s=0
        ),
    ),
    free_disk_bytes=10**9,
    storage=StorageMark.WARN,
    versions={"agent": "0.1.0", "sqlite": "3.40.1"},
    commands_done=(bytes([8]) * 16,),
    commands_refused=(CommandRefused(id=bytes([9]) * 16, name="reboot", reason="unknown_command"),),
)


def refusal_of(act: Callable[..., object], *arguments: Any) -> Refusal:
    with pytest.raises(CheckpointError) as caught:
        act(*arguments)
    return caught.value.refusal


def test_a_batch_arrives_as_it_was_sent(keys: Keys) -> None:
    """Checkpoint and packets come out unchanged and in order; the signature is the device's."""
    batch = read_batch(sign_batch(CHECKPOINT, [b"one", b"two"], keys.device))
    assert batch.verified(keys.device.public_key) == batch.claimed == CHECKPOINT
    assert batch.packets == (b"one", b"two")


def test_a_checkpoint_of_another_device_is_not_taken_for_this_one(keys: Keys) -> None:
    """Until it is verified the checkpoint is a claim; another key does not verify it."""
    batch = read_batch(sign_batch(CHECKPOINT, [], keys.device))
    assert refusal_of(batch.verified, a_signer(keys.device.algorithm).public_key) is Refusal.WRONG_KEY


def test_a_changed_checkpoint_does_not_verify(keys: Keys) -> None:
    """A proxy on the way can not make a queue look empty."""
    data = sign_batch(CHECKPOINT, [], keys.device)
    assert data.count(b"depth\x03") == 1
    changed = read_batch(data.replace(b"depth\x03", b"depth\x00"))
    assert changed.claimed.lanes[0].depth == 0
    assert refusal_of(changed.verified, keys.device.public_key) is Refusal.BAD_SIGNATURE


def test_a_signed_checkpoint_does_not_pass_for_an_envelope(keys: Keys) -> None:
    """One key signs both; what was signed says which it is."""
    outer: Any = cbor.decode(sign_batch(CHECKPOINT, [], keys.device), max_bytes=1 << 20)
    with pytest.raises(CoseError) as caught:
        cose.parse(outer[1], "application/vnd.mpos.envelope+cose", frozenset(), max_bytes=1 << 16)
    assert caught.value.refusal is Refusal.UNKNOWN_TYPE


@given(data=st.binary(max_size=300))
def test_any_bytes_give_a_batch_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash the reader."""
    assert isinstance(read_or_refusal(read_batch, data, CheckpointError), CheckpointError)


@given(data=st.data())
def test_a_batch_with_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    """Changed at up to three places, cut short or not: a batch or a reason."""
    changed = bytearray(BATCH)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed) - 1)) :]
    read = read_or_refusal(read_batch, bytes(changed), CheckpointError)
    assert isinstance(read, CheckpointError | checkpoint.Batch)


SIGNER = a_signer(Algorithm.EDDSA)
BATCH = sign_batch(CHECKPOINT, [b"packet"], SIGNER)


def signed(members: object) -> bytes:
    """A batch around any checkpoint map, properly signed."""
    protected = cose.protect(checkpoint.TYP, SIGNER.algorithm, SIGNER.kid, {})
    return cbor.encode([1, cose.sign(protected, cbor.encode(members), SIGNER), []])


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (cbor.encode([2, b"", []]), Refusal.UNKNOWN_VERSION),
        (cbor.encode([True, b"", []]), Refusal.UNKNOWN_VERSION),
        (cbor.encode({}), Refusal.WRONG_TYPE),
        (cbor.encode([1, b""]), Refusal.WRONG_TYPE),
        (cbor.encode([1, b"", []]), Refusal.TRUNCATED),
        (cbor.encode([1, b"", ["text"]]), Refusal.WRONG_TYPE),
        (cbor.encode([1, b"", [bytes(MAX_ENVELOPE_BYTES + 1)]]), Refusal.FIELD_TOO_LONG),
        (cbor.encode([1, b"", [b""] * 600]), Refusal.TOO_LONG),
        (bytes(checkpoint.MAX_BATCH_BYTES + 1), Refusal.TOO_LONG),
        (signed(CHECKPOINT.to_map() | {"version": 2, "news": 1}), Refusal.UNKNOWN_VERSION),
        (signed(CHECKPOINT.to_map() | {"news": 1}), Refusal.UNKNOWN_KEY),
        (signed(CHECKPOINT.to_map() | {"nonce": bytes(8)}), Refusal.BAD_VALUE),
        (signed(CHECKPOINT.to_map() | {"lanes": [CHECKPOINT.lanes[0].to_map()] * 2}), Refusal.CONTRADICTION),
        (signed(CHECKPOINT.to_map() | {"lanes": [CHECKPOINT.lanes[0].to_map()] * 17}), Refusal.FIELD_TOO_LONG),
        (signed(CHECKPOINT.to_map() | {"versions": {"Agent": "1"}}), Refusal.BAD_VALUE),
        (signed(CHECKPOINT.to_map() | {"storage": "melting"}), Refusal.BAD_VALUE),
        (signed(CHECKPOINT.to_map() | {"commands_done": [bytes([9]) * 16]}), Refusal.CONTRADICTION),
        (signed(CHECKPOINT.to_map() | {"commands_done": [bytes(16)] * 33}), Refusal.FIELD_TOO_LONG),
        (signed(CHECKPOINT.to_map() | {"commands_refused": [{"id": bytes(16)}]}), Refusal.MISSING_KEY),
        (signed([]), Refusal.WRONG_TYPE),
    ],
)
def test_each_fault_has_its_name(data: bytes, refusal: Refusal) -> None:
    """A wrong batch is refused for the reason that applies."""
    assert refusal_of(read_batch, data) is refusal


def test_too_much_for_one_batch_is_refused_before_it_is_sent(keys: Keys) -> None:
    """A mistake of ours in sizing stops here and not at head office."""
    assert refusal_of(sign_batch, CHECKPOINT, [bytes(300_000)] * 8, keys.device) is Refusal.TOO_LONG
    assert refusal_of(sign_batch, CHECKPOINT, [b""] * 513, keys.device) is Refusal.TOO_LONG


def test_the_fullest_checkpoint_fits_its_limit(keys: Keys) -> None:
    """As many commands done and refused as there is room for, each with the longest words."""
    full = replace(
        CHECKPOINT,
        versions={f"program_{at:02d}": "9" * 64 for at in range(16)},
        commands_done=tuple(bytes([at]) * 16 for at in range(32)),
        commands_refused=tuple(
            CommandRefused(id=bytes([100 + at]) * 16, name="n" * 32, reason="r" * 64, detail="d" * 120)
            for at in range(32)
        ),
    )
    assert read_batch(sign_batch(full, [], keys.device)).verified(keys.device.public_key) == full


def test_a_device_does_not_name_a_chain_twice() -> None:
    """Two states of one chain would leave head office to choose; two chains of a lane are what an epoch leaves."""
    ended = replace(CHECKPOINT.lanes[0], epoch=bytes(16))
    assert len(replace(CHECKPOINT, lanes=(ended, *CHECKPOINT.lanes)).lanes) == 3
    with pytest.raises(CheckpointError):
        replace(CHECKPOINT, lanes=(CHECKPOINT.lanes[0], CHECKPOINT.lanes[0]))
