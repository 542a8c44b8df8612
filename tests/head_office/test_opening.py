"""From a stored packet to a claim on the desk, or to quarantine with a reason."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from head_office import custody
from head_office.opening import Opener
from sync import cbor, cose, packet
from sync.envelope import Lane
from sync.envelope import seal as wire_seal
from sync.recipients import RecipientPrivateKey, Suite
from tests.head_office.conftest import Office
from tests.head_office.device import claim_packet


def reasons(office: Office) -> list[str]:
    return [row["reason"] for row in custody.quarantined(office.ledger)]


def flags(office: Office) -> list[list[str]]:
    return [json.loads(row["flags"]) for row in office.claims()]


def test_each_claim_gets_the_next_agenda_number(office: Office) -> None:
    """Seven digits, growing by one, in the order of arrival."""
    device = office.device()
    office.receive(device, *(device.seal(number=n) for n in (1, 2, 3)))
    rows = office.claims()
    assert [row["agenda_no"] for row in rows] == [1_000_001, 1_000_002, 1_000_003]
    assert [(row["status"], row["path"], row["na_code"]) for row in rows] == [("PENDING", "BIOMETRIC", "UNKNOWN")] * 3
    assert rows[0]["nik"] == "9900000000000001"


def test_the_row_keeps_no_photo(office: Office) -> None:
    """The chip's photo stays inside the sealed packet."""
    device = office.device()
    photo = packet.PhotoFace(mime=packet.PhotoMime.JPEG, content=b"\xff\xd8\xff\xe0" + b"p" * 50, retention_days=30)
    office.receive(device, device.seal(photo_face=photo))
    (row,) = office.claims()
    assert "photo_face" not in json.loads(row["detail"])
    assert photo.content.hex() not in row["detail"]


@pytest.mark.parametrize("suite", list(Suite))
def test_both_suites_are_opened(office: Office, suite: Suite) -> None:
    """A device that cannot do the hybrid seals to X25519 alone."""
    device = office.device()
    device.recipients = tuple(r for r in device.recipients if r.suite is suite)
    office.receive(device, device.seal())
    assert len(office.claims()) == 1


def test_a_packet_for_somebody_else_is_set_aside(office: Office) -> None:
    """Sealed to a key head office does not hold: in custody, with the reason, and the next claim is opened."""
    device = office.device()
    ours = device.recipients
    device.recipients = (RecipientPrivateKey.generate(Suite.X25519).public,)
    foreign = device.seal(number=1)
    device.recipients = ours
    office.receive(device, foreign, device.seal(number=2))
    assert [row["kpj"] for row in office.claims()] == ["99ZZ0000002"]
    assert reasons(office) == ["not_a_recipient"]


def test_content_that_is_no_claim_is_set_aside(office: Office) -> None:
    """Garbage, later versions and other kinds of packet wait in quarantine under their own names."""
    device = office.device()
    office.receive(
        device,
        device.seal(b"\xff"),
        device.seal(cbor.encode({"type": "claim", "schema_version": 2})),
        device.seal(cbor.encode({"type": "part", "schema_version": 1}), lane=Lane.DOCUMENTS),
        device.seal(number=4),
    )
    assert len(office.claims()) == 1
    assert reasons(office) == ["not_cbor", "unknown_version", "unknown_type"]


def test_one_claim_sealed_twice_reaches_the_desk_once(office: Office) -> None:
    """The same packet id under two sequence numbers is one claim; the second is set aside."""
    device = office.device()
    claim = claim_packet(device.device_id).encode()
    office.receive(device, device.seal(claim), device.seal(claim))
    assert len(office.claims()) == 1
    assert reasons(office) == ["packet_id_reused"]
    assert office.alarm_kinds() == ["packet_id_reused"]


def test_claims_of_two_devices_under_one_packet_id_both_reach_the_desk(office: Office) -> None:
    """No device can keep another one's claim off the desk; the later one says so, and an alarm is raised."""
    first, second = office.device("SN-1"), office.device("SN-2")
    claim = claim_packet(first.device_id, 1)
    other = claim_packet(second.device_id, 2, packet_id=claim.packet_id, kpj="99ZZ0000099")
    office.receive(first, first.seal(claim.encode()))
    assert len(office.claims()) == 1
    office.receive(second, second.seal(other.encode()), second.seal(other.encode()))
    assert [row["device_id"] for row in office.claims()] == [first.device_id, second.device_id]
    assert ["PACKET_ID_REUSED" in each for each in flags(office)] == [False, True]
    # The same claim sealed twice by one device is still one claim.
    assert reasons(office) == ["packet_id_reused"]
    assert set(office.alarm_kinds()) == {"packet_id_reused"}


def test_a_packet_naming_another_device_inside_is_set_aside(office: Office) -> None:
    """Envelope and content must name the same device."""
    device = office.device()
    office.receive(device, device.seal(claim_packet("D-SOMEBODYELSE").encode()))
    assert office.claims() == []
    assert reasons(office) == ["wrong_device"]


def test_a_body_moved_into_another_envelope_does_not_open(office: Office) -> None:
    """Ciphertext is bound to the header it was sealed under."""
    device = office.device()
    device.seal(number=1)
    other = office.device("SN-2")
    stolen = wire_seal(claim_packet(other.device_id).encode(), other.header(), other.signer, other.recipients)
    # Signed anew by the second device around the first one's ciphertext: authentic, and not openable.
    first = cbor.decode(device.seal(number=2), max_bytes=1 << 20)
    second = cbor.decode(stolen, max_bytes=1 << 20)
    assert isinstance(first, cbor.Tag)
    assert isinstance(second, cbor.Tag)
    forged = cose.sign(second.content[0], first.content[2], other.signer)  # type: ignore[index]
    office.receive(other, forged)
    assert office.claims() == []
    assert reasons(office) == ["not_opened"]


def test_a_second_open_claim_of_the_same_person_is_flagged_and_not_hidden(office: Office) -> None:
    """The old screen let duplicates pass unseen; here each later one says so, and people decide."""
    first, second = office.device("SN-1"), office.device("SN-2")
    office.receive(first, first.seal(number=1))
    office.receive(second, second.seal(number=1), second.seal(number=1, programme=packet.Programme.JP))
    assert flags(office) == [[], ["DUPLICATE_OPEN"], []]


def test_a_manual_claim_is_never_shown_as_a_match(office: Office) -> None:
    """Without a matching finger the path is manual, and the flag says that a second person must look."""
    device = office.device()
    office.receive(
        device,
        device.seal(
            bio=packet.Bio(modality=packet.Modality.NONE, outcome=packet.BioOutcome.EXEMPT),
            fallback=packet.Fallback(code="FINGER_EXEMPT", reason="jari terluka", pending_supervisor=True),
            photo_compare=packet.PhotoCompare.UNSURE,
            chip_auth=packet.ChipAuth.FAIL,
            warnings=("NIK_BIRTH_DATE_DIFFERS",),
        ),
    )
    (row,) = office.claims()
    assert row["path"] == "MANUAL"
    assert flags(office) == [
        ["CHIP_AUTH_FAIL", "PHOTO_NOT_SAME", "MANUAL_PATH", "PENDING_SUPERVISOR", "NIK_BIRTH_DATE_DIFFERS"]
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clock_trust": packet.ClockTrust.DOUBTFUL}, ["CLOCK_DOUBT"]),
        ({"captured_at": datetime(2031, 1, 1, tzinfo=UTC)}, ["CLOCK_DOUBT"]),
        ({"captured_at": datetime(2026, 1, 5, 3, 10, tzinfo=UTC) + timedelta(minutes=4)}, []),
        ({"branch_code": "KC99"}, ["SITE_DIFFERS"]),
        ({"purpose": packet.Purpose.DRILL}, ["DRILL"]),
        ({"missing_documents": ("KK",)}, ["INCOMPLETE"]),
    ],
    ids=["doubtful", "from the future", "a little ahead", "other branch", "drill", "incomplete"],
)
def test_what_a_verifier_should_know_is_flagged(
    office: Office, changes: dict[str, object], expected: list[str]
) -> None:
    """Each rule gives a reason to look; none refuses the claim."""
    device = office.device()
    office.receive(device, device.seal(**changes))  # type: ignore[arg-type]
    assert flags(office) == [expected]


def test_quarantined_when_it_came_is_not_opened(office: Office) -> None:
    """What a fork set aside waits for a person."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    device.chains[Lane.CORE].head = bytes(31) + b"\x01"
    office.receive(device, device.seal(number=2))
    assert len(office.claims()) == 1
    assert reasons(office) == ["chain_broken"]


def test_opening_again_changes_nothing(office: Office) -> None:
    """A worker that was killed after its commit starts over without doubling a claim."""
    device = office.device()
    office.receive(device, device.seal())
    before = [tuple(row) for row in office.claims()]
    assert Opener(office.ledger, {}).open_waiting() == 0
    assert [tuple(row) for row in office.claims()] == before
