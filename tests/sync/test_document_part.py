"""A document is cut in one way, each part is read back the same, and anything else is refused by name."""

import hashlib
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, document_part
from sync.document_part import DocumentPart, MediaType
from sync.envelope import MAX_PACKET_BYTES
from sync.errors import DocumentPartError, Refusal
from tests.sync.foreign import read_or_refusal
from tests.sync.people import matched_claim

CLAIM = UUID("01a1f6e9-472e-7000-8000-000000000001")
SMALL = document_part.MIN_PART_BYTES


def part(number: int = 1, document: bytes = b"\xff\xd8\xff" + bytes(40_000), **changes: Any) -> DocumentPart:
    """One part of a document cut as small as it may be."""
    whole: dict[str, Any] = {
        "claim_id": CLAIM,
        "device_id": "dev-000001",
        "index": 2,
        "type_code": "KK",
        "media_type": MediaType.JPEG,
        "pages": 1,
        "legible": True,
        "operator_id": "op1",
        "attached_at": datetime(2026, 11, 20, 3, 4, 5, 678000, tzinfo=UTC),
        "size_bytes": len(document),
        "sha256": hashlib.sha256(document).digest(),
        "part_bytes": SMALL,
        "part": number,
        "content": document[(number - 1) * SMALL : number * SMALL],
    }
    return DocumentPart(**{**whole, **changes})


def refusal_of(data: bytes) -> tuple[Refusal, str]:
    with pytest.raises(DocumentPartError) as caught:
        document_part.decode(data)
    return caught.value.refusal, caught.value.field


def changed(**changes: object) -> bytes:
    """A part's bytes with keys of its map set, or taken out where the value is Ellipsis."""
    members = cbor.decode(part().encode(), max_bytes=1 << 20)
    assert isinstance(members, dict)
    return cbor.encode({name: value for name, value in (members | changes).items() if value is not ...})


def test_the_parts_of_a_document_come_out_as_they_went_in() -> None:
    """Every field survives, encoding again gives the same bytes, and together they are the document."""
    document = bytes(itertools.islice(itertools.cycle(range(251)), 40_000))
    parts = [part(number, document) for number in (1, 2, 3)]
    assert [document_part.decode(one.encode()) for one in parts] == parts
    assert b"".join(one.content for one in parts) == document


def test_the_largest_part_fits_a_packet_with_its_fields() -> None:
    """256 kB of content and the longest value of each field."""
    content = bytes(document_part.MAX_PART_BYTES)
    largest = part(
        document=content,
        device_id="d" * 64,
        operator_id="o" * 64,
        type_code="T" * 32,
        index=255,
        pages=500,
        size_bytes=document_part.MAX_DOCUMENT_BYTES,
        part_bytes=len(content),
        content=content,
    )
    assert len(largest.encode()) < len(content) + document_part.MAX_HEAD_BYTES < MAX_PACKET_BYTES
    assert document_part.decode(largest.encode()) == largest


def test_a_part_cannot_lie_outside_its_document() -> None:
    """A part beyond the end, one too short in the middle, and one too long at the end are contradictions."""
    document = bytes(40_000)
    for changes, field in (
        ({"number": 4, "content": b"x"}, "part"),
        ({"number": 1, "content": bytes(SMALL - 1)}, "content"),
        ({"number": 3, "content": bytes(SMALL)}, "content"),
    ):
        with pytest.raises(DocumentPartError) as caught:
            part(document=document, **changes)  # type: ignore[arg-type]
        assert (caught.value.refusal, caught.value.field) == (Refusal.CONTRADICTION, field)


def test_other_packets_versions_and_keys_are_refused_by_name() -> None:
    """A claim is not a part; a later version is called that; a new key is a new version."""
    assert refusal_of(matched_claim().encode()) == (Refusal.UNKNOWN_TYPE, "type")
    assert refusal_of(changed(schema_version=2, novelty=1)) == (Refusal.UNKNOWN_VERSION, "schema_version")
    assert refusal_of(changed(novelty=1))[0] is Refusal.UNKNOWN_KEY
    assert refusal_of(changed(sha256=...)) == (Refusal.MISSING_KEY, "sha256")
    assert refusal_of(changed(media_type="image/tiff")) == (Refusal.BAD_VALUE, "media_type")
    assert refusal_of(changed(part_bytes=1)) == (Refusal.BAD_VALUE, "part_bytes")
    assert refusal_of(changed(content=bytes(document_part.MAX_PART_BYTES + 2000)))[0] is Refusal.TOO_LONG


def test_a_part_is_told_from_a_claim() -> None:
    """By the type it names, whatever else is wrong with it."""
    assert document_part.is_part(part().encode())
    assert document_part.is_part(changed(schema_version=2))
    assert not document_part.is_part(matched_claim().encode())
    assert not document_part.is_part(b"\xff")


def test_the_same_part_always_has_the_same_id_in_the_queue() -> None:
    """Queued twice is queued once; another place, another part or another claim is another packet."""
    places = itertools.product((CLAIM, UUID(int=1)), (0, 1), (1, 2))
    assert len({document_part.packet_id(*place) for place in places}) == 8
    assert document_part.packet_id(CLAIM, 0, 1) == UUID("12588d54-956f-5faf-b9e0-be5fe290548e")


@given(st.binary(max_size=600))
def test_any_bytes_give_a_part_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash the reader."""
    read = read_or_refusal(document_part.decode, data, DocumentPartError)
    assert isinstance(read, DocumentPartError) or read.encode() == data


@given(st.data())
def test_a_part_with_a_byte_changed_is_read_as_another_or_refused(data: st.DataObject) -> None:
    """No change goes unseen."""
    good = part(document=b"x" * 40).encode()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))]) + good[at + 1 :]
    read = read_or_refusal(document_part.decode, bad, DocumentPartError)
    assert isinstance(read, DocumentPartError) or read.encode() == bad


def test_how_many_parts() -> None:
    """To the byte."""
    size = document_part.PART_BYTES
    assert [document_part.part_count(n) for n in (1, size, size + 1, 2 * size)] == [1, 1, 2, 2]
    assert replace(part(document=b"x"), legible=False).parts == 1
