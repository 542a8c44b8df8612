"""A claim is written in one way, read back the same, and anything else is refused by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, packet
from sync.envelope import MAX_PACKET_BYTES
from sync.errors import PacketError, Refusal
from sync.packet import BioOutcome, ClaimPacket, Fallback, PhotoFace, PhotoMime, Relation
from tests.sync.foreign import read_or_refusal
from tests.sync.people import heir_by_hand, matched_claim

CLAIMS = [matched_claim(), heir_by_hand()]


def changed(**changes: object) -> bytes:
    """The matched claim's bytes with keys of its map set, or taken out where the value is Ellipsis."""
    members = cbor.decode(matched_claim().encode(), max_bytes=1 << 20)
    assert isinstance(members, dict)
    for name, value in changes.items():
        if value is ...:
            del members[name]
        else:
            members[name] = value
    return cbor.encode(members)


def refusal_of(data: bytes) -> tuple[Refusal, str]:
    with pytest.raises(PacketError) as caught:
        packet.decode(data)
    return caught.value.refusal, caught.value.field


@pytest.mark.parametrize("claim", CLAIMS, ids=["matched", "heir"])
def test_a_claim_comes_out_as_it_went_in(claim: ClaimPacket) -> None:
    """Every field survives, and encoding again gives the same bytes."""
    data = claim.encode()
    assert packet.decode(data) == claim
    assert packet.decode(data).encode() == data


def test_a_core_packet_stays_small_enough_for_a_slow_line() -> None:
    """Eight kilobytes was the budget for a claim without scans; a full one takes a quarter of it."""
    assert len(matched_claim().encode()) < 2048


@given(st.binary(max_size=600))
def test_any_bytes_give_a_claim_or_a_named_refusal(data: bytes) -> None:
    """Foreign bytes never crash the reader."""
    read = read_or_refusal(packet.decode, data, PacketError)
    assert isinstance(read, PacketError) or read.encode() == data


@given(st.data())
def test_a_claim_with_any_byte_changed_is_read_or_refused_and_never_read_twice_the_same(data: st.DataObject) -> None:
    """A flipped byte gives another claim or a refusal: no two byte strings mean the same claim."""
    original = data.draw(st.sampled_from(CLAIMS)).encode()
    at = data.draw(st.integers(0, len(original) - 1))
    flipped = bytearray(original)
    flipped[at] ^= data.draw(st.integers(1, 255))
    read = read_or_refusal(packet.decode, bytes(flipped), PacketError)
    assert isinstance(read, PacketError) or read.encode() == bytes(flipped) != original


@given(st.data())
def test_a_claim_with_any_field_replaced_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever stands in a field, the answer is a claim or a reason that names the field."""
    members = cbor.decode(matched_claim().encode(), max_bytes=1 << 20)
    assert isinstance(members, dict)
    name = data.draw(st.sampled_from(sorted(str(key) for key in members)))
    value: Any = data.draw(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), 1 << 63)
        | st.binary(max_size=40)
        | st.text(max_size=40)
        | st.lists(st.integers(0, 9), max_size=3)
        | st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=3)
    )
    read = read_or_refusal(packet.decode, cbor.encode({**members, name: value}), PacketError)
    if isinstance(read, PacketError):
        assert read.field.startswith(name) or read.refusal is Refusal.CONTRADICTION
    else:
        assert read.encode() == cbor.encode({**members, name: value})


@pytest.mark.parametrize(
    ("data", "refusal", "field"),
    [
        (changed(schema_version=2), Refusal.UNKNOWN_VERSION, "schema_version"),
        (changed(schema_version=True), Refusal.UNKNOWN_VERSION, "schema_version"),
        (changed(type="document_part"), Refusal.UNKNOWN_TYPE, "type"),
        (changed(schema_version=2, novelty=1), Refusal.UNKNOWN_VERSION, "schema_version"),
        (changed(novelty=1), Refusal.UNKNOWN_KEY, ""),
        (changed(kpj=...), Refusal.MISSING_KEY, "kpj"),
        (changed(kpj="99zz0000001"), Refusal.BAD_VALUE, "kpj"),
        (changed(kpj="99ZZ00000011"), Refusal.FIELD_TOO_LONG, "kpj"),
        (changed(kpj="99ZZ000000"), Refusal.BAD_VALUE, "kpj"),
        (changed(kpj=b"99ZZ0000001"), Refusal.WRONG_TYPE, "kpj"),
        (changed(kpj=None), Refusal.WRONG_TYPE, "kpj"),
        (changed(tz="WITB"), Refusal.BAD_VALUE, "tz"),
        (changed(captured_at="2026-11-20T03:04:05Z"), Refusal.BAD_VALUE, "captured_at"),
        (changed(captured_at="2026-13-20T03:04:05.000Z"), Refusal.BAD_VALUE, "captured_at"),
        (changed(mother_name="IBU\nUJI"), Refusal.BAD_VALUE, "mother_name"),
        (changed(mother_name="X" * 101), Refusal.FIELD_TOO_LONG, "mother_name"),
        (changed(audit_head=bytes(31)), Refusal.BAD_VALUE, "audit_head"),
        (changed(warnings=["A"] * 65), Refusal.FIELD_TOO_LONG, "warnings"),
        (changed(contact={"telepon": "1"}), Refusal.UNKNOWN_KEY, "contact"),
        (changed(npwp={"answer": "GIVEN"}), Refusal.CONTRADICTION, "npwp.number"),
        (changed(supervisor_id="op-1"), Refusal.CONTRADICTION, "supervisor_id"),
        (changed(relation="CHILD"), Refusal.CONTRADICTION, "worker"),
        (b"\xa0", Refusal.MISSING_KEY, "type"),
        (b"\x80", Refusal.WRONG_TYPE, ""),
        (matched_claim().encode() + b"\x00", Refusal.TRAILING_BYTES, ""),
        (matched_claim().encode()[:-1], Refusal.TRUNCATED, ""),
        (bytes(MAX_PACKET_BYTES + 1), Refusal.TOO_LONG, ""),
    ],
)
def test_each_fault_has_its_name_and_its_place(data: bytes, refusal: Refusal, field: str) -> None:
    """Head office can tell a person which field is wrong and why, and quarantine under that word."""
    assert refusal_of(data) == (refusal, field)


def test_a_refusal_never_repeats_what_stood_in_the_field() -> None:
    """Reasons go to logs and receipts; a name or number in them would be a leak."""
    for data in (changed(mother_name="IBU RAHASIA" * 20), changed(kpj="RAHASIA-IBU"), changed(RAHASIA=1)):
        with pytest.raises(PacketError) as caught:
            packet.decode(data)
        assert "RAHASIA" not in str(caught.value)


def test_a_claim_without_a_match_can_not_be_made_without_a_fallback_and_a_second_person() -> None:
    """The rule that every failure has a coded way out holds before anything is sealed."""
    claim = heir_by_hand()
    for changes in (
        {"fallback": None},
        {"photo_compare": None},
        {"fallback": Fallback(code="NO_CHIP", reason="-", pending_supervisor=False)},
        {"supervisor_id": "sup-1"},  # signed and pending at once
    ):
        with pytest.raises(PacketError) as caught:
            replace(claim, **changes)
        assert caught.value.refusal is Refusal.CONTRADICTION
    countersigned = Fallback(code="NO_CHIP", reason="-", pending_supervisor=False)
    assert replace(claim, fallback=countersigned, supervisor_id="sup-1").supervisor_id == "sup-1"


def test_a_claim_by_hand_can_not_pass_for_a_biometric_match() -> None:
    """Without a chip there was nothing to match against, whatever the attempts say."""
    with pytest.raises(PacketError):
        replace(heir_by_hand(), bio=matched_claim().bio)
    with pytest.raises(PacketError):
        replace(matched_claim().bio, outcome=BioOutcome.NO_MATCH)


def test_a_finger_taken_without_consent_can_not_be_sent() -> None:
    """Attempts and a refused consent exclude each other."""
    with pytest.raises(PacketError):
        replace(matched_claim(), consent=replace(matched_claim().consent, given=False))


def test_a_fingerprint_template_can_not_travel_as_a_photo() -> None:
    """The one field of free bytes takes a JPEG or a sealed JPEG, by its first bytes."""
    for mime in PhotoMime:
        with pytest.raises(PacketError):
            PhotoFace(mime=mime, content=b"FMR\0 20\0" + bytes(40), retention_days=1)


def test_times_are_kept_in_utc_and_whole_milliseconds() -> None:
    """A zone is converted, what is finer than a millisecond is cut, and a time without zone is refused."""
    claim = matched_claim()
    jakarta = timezone(timedelta(hours=7))
    moved = replace(claim, captured_at=datetime(2026, 11, 20, 10, 4, 5, 678_999, jakarta))
    assert moved.captured_at == datetime(2026, 11, 20, 3, 4, 5, 678_000, UTC)
    assert packet.decode(moved.encode()) == moved
    with pytest.raises(PacketError):
        replace(claim, captured_at=datetime(2026, 11, 20, 3, 4, 5))  # noqa: DTZ001 - the mistake under test


def test_somebody_else_claims_only_with_the_workers_data() -> None:
    """An heir's claim names the worker; the worker's own does not name a second one."""
    claim = matched_claim()
    with pytest.raises(PacketError):
        replace(claim, relation=Relation.SPOUSE)
    with pytest.raises(PacketError):
        replace(claim, worker=claim.claimant)


def test_packet_ids_sort_by_time_and_never_repeat() -> None:
    """Version 7: the millisecond stands first, random bits make the rest."""
    earlier = packet.new_packet_id(1_700_000_000_000, b"\xff" * 10)
    later = packet.new_packet_id(1_700_000_000_001, b"\x00" * 10)
    assert earlier < later
    assert (earlier.version, later.version) == (7, 7)
    assert earlier.variant == later.variant == "specified in RFC 4122"
    assert packet.new_packet_id(1, b"\x01" * 10) != packet.new_packet_id(1, b"\x02" * 10)
