"""A packet is compressed where that pays, and nothing that comes back can take more room than a packet has."""

import os
from typing import Any

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, compression, cose, envelope
from sync.envelope import MAX_PACKET_BYTES, ZIP_LABEL
from sync.errors import EnvelopeError, Refusal
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.foreign import read_or_refusal
from tests.sync.people import matched_claim

KEY = RecipientPrivateKey.generate(Suite.X25519)
CLAIM = matched_claim().encode()
EXTERNAL = b"outer header"
ZIP = {cose.ALG: envelope.A256GCM, cose.CRIT: [ZIP_LABEL], ZIP_LABEL: "zstd"}


def body_around(content: bytes, headers: dict[int, Any]) -> bytes:
    """A COSE_Encrypt of ``content`` exactly as given, whatever its inner header says of it."""
    protected, key, iv = cbor.encode(headers), os.urandom(32), os.urandom(12)
    ciphertext = AESGCM(key).encrypt(iv, content, cbor.encode(["Encrypt", protected, EXTERNAL]))
    own = cbor.encode({cose.ALG: KEY.suite.cose_algorithm})
    encapsulated, sealed = KEY.public.wrap(key, cbor.encode(["HPKE Recipient", envelope.A256GCM, own, b""]))
    recipient = [own, {cose.KID: KEY.kid, envelope.EK_LABEL: encapsulated}, sealed]
    return cbor.encode(cbor.Tag(cose.TAG_ENCRYPT, [protected, {cose.IV: iv}, ciphertext, [recipient]]))


def refusal_of(body: bytes) -> Refusal:
    with pytest.raises(EnvelopeError) as caught:
        envelope.decrypt(body, EXTERNAL, KEY)
    return caught.value.refusal


def test_a_claim_costs_the_line_less_than_its_own_length() -> None:
    """Words shrink by a quarter at least, and come back as they were."""
    body = envelope.encrypt(CLAIM, EXTERNAL, [KEY.public])
    plain = body_around(CLAIM, {cose.ALG: envelope.A256GCM})
    assert len(plain) - len(body) > len(CLAIM) // 4
    assert envelope.decrypt(body, EXTERNAL, KEY) == CLAIM


def test_a_scan_is_not_made_longer_by_compressing_it_twice() -> None:
    """What does not shrink travels as it is, and says so."""
    scan = os.urandom(50_000)
    body = envelope.encrypt(scan, EXTERNAL, [KEY.public])
    assert ZIP_LABEL not in cose.read_protected(read(body)[0])
    assert envelope.decrypt(body, EXTERNAL, KEY) == scan


def test_an_envelope_from_before_compression_still_opens() -> None:
    """A queue sealed by an older program is not lost."""
    assert envelope.decrypt(body_around(CLAIM, {cose.ALG: envelope.A256GCM}), EXTERNAL, KEY) == CLAIM


def bomb(size: int, announced: int | None) -> bytes:
    """A frame of ``size`` zeros; with ``announced`` it lies about that."""
    frame = bytearray(zstandard.ZstdCompressor(write_checksum=False).compress(bytes(size)))
    if announced is not None:
        assert frame[6:10] == size.to_bytes(4, "little")
        frame[6:10] = announced.to_bytes(4, "little")
    return bytes(frame)


def test_a_packet_of_the_largest_size_may_be_compressed() -> None:
    """The limit is the packet's, not one byte less."""
    largest = bytes(MAX_PACKET_BYTES)
    assert envelope.decrypt(envelope.encrypt(largest, EXTERNAL, [KEY.public]), EXTERNAL, KEY) == largest


@pytest.mark.parametrize(
    "frame",
    [
        bomb(50_000_000, None),
        bomb(MAX_PACKET_BYTES + 1, None),
        bomb(50_000_000, 1_000),
        zstandard.ZstdCompressor(write_content_size=False).compress(CLAIM),
        zstandard.compress(CLAIM)[:-1],
        zstandard.compress(CLAIM) + b"\x00",
        zstandard.compress(CLAIM) * 2,
        (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"skip",
        CLAIM,
        b"",
    ],
    ids=["bomb", "a byte too many", "lying bomb", "no length", "cut", "tail", "two", "skippable", "none", "empty"],
)
def test_what_would_not_expand_to_one_packet_is_refused_by_name(frame: bytes) -> None:
    """Fifty megabytes in fifteen hundred bytes do not reach the opening process's memory."""
    assert refusal_of(body_around(frame, ZIP)) is Refusal.NOT_EXPANDED


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({**ZIP, ZIP_LABEL: "brotli"}, Refusal.UNKNOWN_COMPRESSION),
        ({**ZIP, ZIP_LABEL: 1}, Refusal.UNKNOWN_COMPRESSION),
        ({cose.ALG: 3, ZIP_LABEL: "zstd"}, Refusal.WRONG_TYPE),
        ({cose.ALG: 3, cose.CRIT: [ZIP_LABEL]}, Refusal.WRONG_TYPE),
        ({**ZIP, -70_003: 1}, Refusal.UNKNOWN_KEY),
        ({**ZIP, cose.ALG: 1}, Refusal.UNKNOWN_SUITE),
    ],
)
def test_a_compression_nobody_knows_is_called_that(headers: dict[int, Any], refusal: Refusal) -> None:
    """A later program's envelope is set aside with a reason a person understands."""
    assert refusal_of(body_around(zstandard.compress(CLAIM), headers)) is refusal


def test_the_header_that_names_the_compression_can_not_be_exchanged() -> None:
    """It stands under the encryption: nobody on the way makes head office read a frame as a packet."""
    protected, iv, ciphertext, recipients = read(envelope.encrypt(CLAIM, EXTERNAL, [KEY.public]))
    assert protected == envelope.ZSTD_HEADER
    changed = cbor.encode(cbor.Tag(cose.TAG_ENCRYPT, [envelope.PLAIN_HEADER, iv, ciphertext, recipients]))
    assert refusal_of(changed) is Refusal.NOT_OPENED


@given(data=st.data())
def test_any_frame_gives_a_packet_or_a_named_refusal(data: st.DataObject) -> None:
    """Foreign bytes behind the encryption never crash the process that opens."""
    frame = bytearray(compression.frame(CLAIM))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    opened = read_or_refusal(
        lambda squeezed: compression.expanded(squeezed, 4096, EnvelopeError, "body"), bytes(frame), EnvelopeError
    )
    assert isinstance(opened, EnvelopeError) or len(opened) <= 4096


def read(body: bytes) -> list[Any]:
    item: Any = cbor.decode(body, max_bytes=1 << 20)
    return list(item.content)
