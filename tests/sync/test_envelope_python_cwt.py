"""An implementation we did not write opens what we seal, and we open what it encrypts."""

import os
from typing import Any

import cbor2
import pytest
import zstandard
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cwt import COSE, COSEKey, DecodeError, Recipient

from sync import envelope
from sync.recipients import Suite
from tests.sync.conftest import Keys
from tests.sync.test_envelope import HEADER, PACKET


def verification_key(keys: Keys) -> Any:
    pem = keys.device.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return COSEKey.from_pem(pem.decode(), kid=keys.device.kid)


def encryption_key(keys: Keys, *, private: bool) -> Any:
    """The X25519 recipient's key as COSE_Key: OKP, X25519, HPKE-3-KE."""
    stored = cbor2.loads(keys.classic.to_bytes())
    key = {1: 1, 2: keys.classic.kid, 3: Suite.X25519.cose_algorithm, -1: 4, -2: keys.classic.public.public_key}
    return COSEKey.new(key | ({-4: stored["secret"]} if private else {}))


def test_python_cwt_verifies_and_opens_our_x25519_envelope(keys: Keys) -> None:
    """COSE_Sign1, COSE_Encrypt, HPKE recipient and external data mean to another program what they mean to us."""
    data = envelope.seal(PACKET, HEADER, keys.device, [keys.classic.public])
    body = COSE.new().decode(data, verification_key(keys))
    header = cbor2.loads(data).value[0]
    content = COSE.new().decode(body, encryption_key(keys, private=True), external_aad=header)
    assert zstandard.decompress(content) == PACKET


def test_python_cwt_opens_what_was_not_worth_compressing(keys: Keys) -> None:
    """A scan stands in the envelope as it is."""
    scan = os.urandom(2000)
    data = envelope.seal(scan, HEADER, keys.device, [keys.classic.public])
    body = COSE.new().decode(data, verification_key(keys))
    header = cbor2.loads(data).value[0]
    assert COSE.new().decode(body, encryption_key(keys, private=True), external_aad=header) == scan


def test_python_cwt_does_not_open_it_under_another_header(keys: Keys) -> None:
    """The binding of body to header is real, not something only our reader insists on."""
    data = envelope.seal(PACKET, HEADER, keys.device, [keys.classic.public])
    body = cbor2.loads(data).value[2]
    with pytest.raises(DecodeError):
        COSE.new().decode(body, encryption_key(keys, private=True), external_aad=b"another header")


def test_we_open_what_python_cwt_encrypts(keys: Keys) -> None:
    """Its content key, nonce and recipient structure are what we expect of a sender."""
    recipient = Recipient.new(
        protected={1: Suite.X25519.cose_algorithm},
        unprotected={4: keys.classic.kid},
        recipient_key=encryption_key(keys, private=False),
    )
    made = COSE.new().encode_and_encrypt(
        PACKET,
        COSEKey.generate_symmetric_key(alg="A256GCM"),
        protected={1: envelope.A256GCM},
        unprotected={5: bytes(range(12))},
        recipients=[recipient],
        external_aad=b"header",
    )
    assert envelope.decrypt(made, b"header", keys.classic) == PACKET
