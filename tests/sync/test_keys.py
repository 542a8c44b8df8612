"""Two kinds of keys sign here, each in one way and under one id."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st

from sync.errors import KeyFormatError, Refusal
from sync.keys import P256_ORDER, Algorithm, PublicKey, is_signature, key_id, load_spki, spki
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.conftest import Keys, a_signer
from tests.sync.foreign import read_or_refusal


def test_a_signature_is_good_for_its_message_and_key_only(keys: Keys) -> None:
    """64 bytes either way; anything changed is refused and nothing raises."""
    signature = keys.device.sign(b"message")
    public, algorithm = keys.device.public_key, keys.device.algorithm
    assert len(signature) == 64
    assert is_signature(public, algorithm, signature, b"message")
    assert not is_signature(public, algorithm, signature, b"another")
    assert not is_signature(public, algorithm, bytes(64), b"message")
    assert not is_signature(public, algorithm, b"\xff" * 64, b"message")
    assert not is_signature(public, algorithm, signature[:63], b"message")
    assert not is_signature(a_signer(algorithm).public_key, algorithm, signature, b"message")


def test_nobody_can_make_a_second_good_signature_out_of_one() -> None:
    """Of the two forms every ECDSA signature has, the lower s is made and taken: one packet, one digest."""
    key = a_signer(Algorithm.ES256)
    for _ in range(16):  # a coin each: the chance that none would have had the higher s is one in 65,536
        signature = key.sign(b"message")
        s = int.from_bytes(signature[32:], "big")
        assert 0 < s <= P256_ORDER // 2
        other = signature[:32] + (P256_ORDER - s).to_bytes(32, "big")
        assert not is_signature(key.public_key, Algorithm.ES256, other, b"message")


def test_public_keys_travel_as_spki_under_a_computed_id(keys: Keys) -> None:
    """What is loaded is the key that was written, with the same id."""
    data = spki(keys.device.public_key)
    assert key_id(load_spki(data)) == keys.device.kid
    assert len(keys.device.kid) == 16


@given(st.binary(max_size=300))
def test_any_bytes_give_a_key_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash the reader."""
    assert isinstance(read_or_refusal(load_spki, data, KeyFormatError), KeyFormatError)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024).public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP384R1()).public_key(),
    ],
    ids=["rsa", "ed448", "p384"],
)
def test_keys_of_other_kinds_are_refused_by_name(key: rsa.RSAPublicKey) -> None:
    """No quiet fall-back to something else."""
    data = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyFormatError) as caught:
        load_spki(data)
    assert caught.value.refusal is Refusal.UNKNOWN_ALGORITHM


def test_a_key_has_one_encoding() -> None:
    """A P-256 key with a compressed point is the same key under another id: refused."""
    key: PublicKey = a_signer(Algorithm.ES256).public_key
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    compressed = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + point
    with pytest.raises(KeyFormatError) as caught:
        load_spki(compressed)
    assert caught.value.refusal is Refusal.NOT_DETERMINISTIC


@pytest.mark.parametrize("suite", list(Suite))
def test_recipient_keys_survive_being_stored_and_are_not_shown(suite: Suite) -> None:
    """The same key comes back under the same id, and its text shows only that id."""
    key = RecipientPrivateKey.generate(suite)
    again = RecipientPrivateKey.from_bytes(key.to_bytes())
    assert again.public == key.public
    encapsulated, wrapped = key.public.wrap(b"k" * 32, b"info")
    assert again.unwrap(encapsulated, wrapped, b"info") == b"k" * 32
    assert key.to_bytes()[-8:].hex() not in repr(key)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_recipient_key_or_a_named_refusal(data: bytes) -> None:
    """A damaged key file is told from a good one without a crash."""
    assert isinstance(read_or_refusal(RecipientPrivateKey.from_bytes, data, KeyFormatError), KeyFormatError)
