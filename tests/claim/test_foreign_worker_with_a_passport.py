"""A foreign worker has no e-KTP: the passport's chip says who it is, a second person says that it is them."""

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

from drivers.card.emrtd.errors import MrzMismatchError
from drivers.card.emrtd.face import as_jpeg
from drivers.card.emrtd.lds import FaceCoding, FaceImage
from drivers.card.emrtd.read import Authenticity, PassportRecord
from drivers.card.errors import CardRemovedError, NoCardError
from drivers.card.virtual.passport import synthetic_holder
from drivers.sensitive import SensitiveBytes
from mpos_agent.claim.draft import FallbackCode, WithdrawReason
from mpos_agent.claim.errors import NotNowError
from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim.states import State
from sync.packet import BioOutcome, ChipAuth, ConsentMethod, IdentitySource, PhotoCompare
from tests.claim.desk import FORM, SUPERVISOR_PIN, Bench, card

HOLDER = synthetic_holder(1)
ZONE = {"mrz": HOLDER.zone}


def record(**changes: Any) -> PassportRecord:
    """What a read gives."""
    made = PassportRecord(
        reader="Virtual PCD 00 00",
        holder=HOLDER.fields,
        face=FaceImage(FaceCoding.JPEG, 114, 152, SensitiveBytes(HOLDER.face)),
        authenticity=Authenticity.NOT_CHECKED,
    )
    return dataclasses.replace(made, **changes)


def consented(at: Bench) -> ClaimSession:
    claim = at.start(reason="LEAVE_WNA")
    claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    return claim


def read(at: Bench) -> ClaimSession:
    claim = consented(at)
    at.passports.append(record())
    assert claim.read_passport(ZONE).accepted
    return claim


def countersigned(claim: ClaimSession) -> None:
    outcome = claim.fallback(
        code=FallbackCode.NO_CHIP,
        reason="FOREIGNER",
        supervisor_id="sup1",
        pin=SUPERVISOR_PIN,
        photo_compare=PhotoCompare.SAME,
    )
    assert outcome.accepted, outcome.blocks


def test_passport_claim_from_consent_to_queue(at_counter: Bench) -> None:
    """Holder from the chip, photo shown, second person, papers, form, sent: and never called a match."""
    claim = consented(at_counter)
    at_counter.passports.append(record())
    outcome = claim.read_passport(ZONE)
    assert (outcome.happened, outcome.state) == ("PASSPORT_READ", State.STATED)
    assert [caution.code for caution in outcome.cautions] == ["PASSPORT_NOT_PROVEN"]
    assert outcome.next.step == "fallback"
    assert outcome.next.facts["code"] == "NO_CHIP"
    shown = claim.photo() == HOLDER.face
    assert shown
    countersigned(claim)
    claim.documents([{"type": "PASSPORT"}])
    assert claim.form({key: value for key, value in FORM.items() if key != "nik"}).accepted
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    assert packet.identity_source is IdentitySource.PASSPORT
    assert (packet.claimant.nik, packet.claimant.identity_no) == (None, HOLDER.fields.document_number)
    assert (packet.claimant.name, packet.claimant.nationality) == ("PEKERJA ASING B CONTOH", "UTO")
    assert (packet.chip_auth, packet.bio.outcome) == (ChipAuth.NONE, BioOutcome.NOT_DONE)
    assert packet.fallback is not None
    assert packet.photo_face is None
    assert "PASSPORT_NOT_PROVEN" in packet.warnings
    assert at_counter.leftovers() == []


def test_three_typed_fields_open_the_same_chip(at_counter: Bench) -> None:
    """There is no page scanner at most counters."""
    claim = consented(at_counter)
    at_counter.passports.append(record())
    key = HOLDER.key
    claim.read_passport(
        {
            "document_number": HOLDER.fields.document_number.lower(),
            "birth_date": "1973-08-12",
            "expiry_date": "2031-06-30",
        }
    )
    assert at_counter.keys == [key]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mrz": HOLDER.zone[:-1] + "9"}, "mrz"),
        ({"mrz": HOLDER.zone[:60] + "4" + HOLDER.zone[61:]}, "birth_date"),
        ({"mrz": "P<UTO"}, "mrz"),
        ({"mrz": "<" * 500}, "mrz"),
        ({"mrz": 7}, "mrz"),
        ({}, "birth_date"),
        ({"document_number": "", "birth_date": "1973-08-12", "expiry_date": "2031-06-30"}, "document_number"),
        ({"document_number": "X", "birth_date": "12-08-1973", "expiry_date": "2031-06-30"}, "birth_date"),
        ({"document_number": "X", "birth_date": "1973-08-12", "expiry_date": "2031-06-31"}, "expiry_date"),
    ],
)
def test_what_was_mistyped_is_named_before_anything_is_read(
    at_counter: Bench, fields: dict[str, Any], field: str
) -> None:
    """The chip answers more slowly after each wrong key, so a wrong digit never gets there."""
    claim = consented(at_counter)
    outcome = claim.read_passport(fields)
    assert [(block.code, block.field) for block in outcome.blocks] == [("MRZ_WRONG", f"passport.{field}")]
    assert at_counter.keys == []
    assert claim.state is State.CONSENTED


def test_field_nobody_asked_for_is_refused(at_counter: Bench) -> None:
    """A misspelt name would otherwise be lost in silence."""
    outcome = consented(at_counter).read_passport({**ZONE, "number": "X"})
    assert [(block.code, block.field) for block in outcome.blocks] == [("FIELD_UNKNOWN", "passport.number")]


def test_without_consent_no_chip_is_read(at_counter: Bench) -> None:
    """A passport's chip is no exception."""
    claim = at_counter.start(reason="LEAVE_WNA")
    with pytest.raises(NotNowError):
        claim.read_passport(ZONE)
    claim.consent(given=False, method=ConsentMethod.ON_SCREEN)
    assert [block.code for block in claim.read_passport(ZONE).blocks] == ["CONSENT_NEEDED"]


@pytest.mark.parametrize(
    "error",
    [
        MrzMismatchError("reader", "opening the chip", 0x6300),
        CardRemovedError("reader", "sending a command"),
        NoCardError("reader", "wait for a card"),
    ],
    ids=lambda error: error.code,
)
def test_chip_that_does_not_open_leaves_the_claim_where_it_was(at_counter: Bench, error: Any) -> None:
    """Again, or typed from the page: both ways stay open, and no tap of an e-KTP was counted."""
    claim = consented(at_counter)
    at_counter.passports.append(error)
    with pytest.raises(type(error)):
        claim.read_passport(ZONE)
    assert claim.state is State.CONSENTED
    assert claim.view()["failed_taps"] == []
    assert claim.give_chip_up(FallbackCode.NO_CHIP).accepted
    assert claim.identity_by_hand(
        IdentitySource.PASSPORT, {"identity_no": "ZZ99001", "name": "PEKERJA ASING CONTOH"}
    ).accepted
    # The reader was only slow: the chip's word replaces the typed one.
    at_counter.passports.append(record())
    assert claim.read_passport(ZONE).accepted
    assert claim.view()["claimant"]["name"] == "PEKERJA ASING B CONTOH"
    countersigned(claim)


def test_photo_is_gone_from_memory_once_it_was_compared(at_counter: Bench) -> None:
    """It is neither kept with the draft nor sent."""
    claim = read(at_counter)
    assert claim.photo() is not None
    countersigned(claim)
    assert claim.photo() is None
    assert at_counter.database.read("SELECT photo FROM drafts")[0][0] is None


def test_photo_is_gone_after_a_restart_and_the_claim_goes_on(at_counter: Bench) -> None:
    """The printed page is compared then, and the record says that no photo was shown."""
    claim = read(at_counter)
    at_counter.restart()
    again = at_counter.desk.get(claim.claim_id)
    assert again.photo() is None
    countersigned(again)
    facts = [row.facts for row in at_counter.counter.audit.rows(claim_id=claim.claim_id) if row.act == "FALLBACK"]
    assert facts[0]["photo_shown"] is False


@pytest.mark.parametrize("end", ["time", "withdrawn", "another card", "broken step"])
def test_photo_is_gone_on_every_other_way_out(at_counter: Bench, end: str) -> None:
    """Whatever ends the wait for the second person."""
    claim = read(at_counter)
    held = at_counter.desk._held
    assert held.photo(claim.claim_id) is not None
    match end:
        case "time":
            at_counter.timers.go_off()
        case "withdrawn":
            claim.withdraw(WithdrawReason.MEMBER_LEFT)
        case "another card":
            other = at_counter.start()
            other.consent(given=True, method=ConsentMethod.ON_SCREEN)
            at_counter.cards.append(card())
            other.read_card()
            other.withdraw(WithdrawReason.MEMBER_LEFT)
        case _:
            object.__setattr__(at_counter.counter, "people", None)
            with pytest.raises(AttributeError):
                countersigned(claim)
    assert held.photo(claim.claim_id) is None
    assert at_counter.leftovers() == []


def test_expired_or_altered_passport_is_a_flag_not_a_stop(at_counter: Bench) -> None:
    """The machine gathers evidence."""
    claim = consented(at_counter)
    expired = dataclasses.replace(HOLDER.fields, expiry_field="200101")
    at_counter.passports.append(record(holder=expired, face=None, warnings=("dg1_differs_from_printed",)))
    outcome = claim.read_passport(ZONE)
    assert outcome.accepted
    assert outcome.details["photo"] is False
    assert [caution.code for caution in outcome.cautions] == [
        "PASSPORT_NOT_PROVEN",
        "PASSPORT_DIFFERS",
        "PASSPORT_EXPIRED",
    ]


def test_another_claims_fingers_are_gone_when_a_passport_was_laid_down(at_counter: Bench) -> None:
    """Whoever stands at the counter now is not the member whose e-KTP was read before."""
    other = at_counter.identified()
    claim = consented(at_counter)
    at_counter.passports.append(record(face=None))
    claim.read_passport(ZONE)
    assert other.next_prompt.code == "CARD_SAME"
    assert at_counter.leftovers() == []


def test_enormous_picture_is_not_even_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header alone decides."""
    _, coded = cv2.imencode(".jp2", np.full((60, 48, 3), 90, np.uint8))
    place = coded.tobytes().index(b"\xff\x4f\xff\x51") + 8
    enormous = coded.tobytes()[:place] + b"\x00\x00\x08\x00" * 2 + coded.tobytes()[place + 8 :]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("unpacked"))
    assert as_jpeg(FaceImage(FaceCoding.JPEG2000, 48, 60, SensitiveBytes(enormous))) is None


def test_jpeg2000_photo_reaches_the_screen_as_jpeg() -> None:
    """Most passports hold one; what is no picture, or claims to be enormous, is left out."""
    _, coded = cv2.imencode(".jp2", np.full((60, 48, 3), (40, 90, 200), np.uint8))

    def shown(content: bytes, coding: FaceCoding = FaceCoding.JPEG2000) -> SensitiveBytes | None:
        return as_jpeg(FaceImage(coding, 48, 60, SensitiveBytes(content)))

    jpeg = shown(coded.tobytes())
    assert jpeg is not None
    pixels = cv2.imdecode(np.frombuffer(bytes(jpeg.view()), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (60, 48, 3)
    assert np.abs(pixels.astype(int) - (40, 90, 200)).max() < 12
    place = coded.tobytes().index(b"\xff\x4f\xff\x51") + 8
    enormous = coded.tobytes()[:place] + b"\x00\x01\x00\x00" * 2 + coded.tobytes()[place + 8 :]
    assert shown(enormous) is None
    assert shown(b"no picture") is None
    assert shown(coded.tobytes()[:place] + b"\x00\x00\x00\x08" * 2) is None
    assert shown(b"no picture", FaceCoding.JPEG) is None


def test_failed_save_leaves_nothing_of_the_photo(at_counter: Bench) -> None:
    """The disk was full in that moment."""
    claim = consented(at_counter)
    at_counter.passports.append(record())
    object.__setattr__(at_counter.counter, "store", _NoDisk(at_counter.counter.store))
    with pytest.raises(OSError, match="full"):
        claim.read_passport(ZONE)
    assert at_counter.desk._held.photo(claim.claim_id) is None


class _NoDisk:
    """A store that cannot save."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def save(self, *_: Any) -> None:
        raise OSError("disk full")


def test_another_person_typed_after_a_passport_has_no_photo_of_its_holder(at_counter: Bench) -> None:
    """A face is compared with the person whose chip held it, or with nobody."""
    claim = consented(at_counter)
    at_counter.passports.append(record())
    claim.read_passport(ZONE)
    typed = claim.identity_by_hand(
        IdentitySource.PASSPORT, {"identity_no": "ZZ99001", "name": "PEKERJA ASING CONTOH", "nationality": "UTOPIA"}
    )
    assert typed.accepted
    offered = claim.photo() is not None
    assert not offered


def test_after_a_card_was_read_the_claim_is_of_nobody_else(at_counter: Bench) -> None:
    """The member takes consent back after the card; no passport and no typed name makes the claim another person's."""
    claim = at_counter.identified()
    member = claim.view()["claimant"]
    claim.consent(given=False, method=ConsentMethod.ON_SCREEN)
    assert claim.state is State.STATED
    at_counter.passports.append(record())
    with pytest.raises(NotNowError, match="with a card read"):
        claim.read_passport(ZONE)
    assert at_counter.keys == [], "the passport was read all the same"
    with pytest.raises(NotNowError, match="with a card read"):
        claim.identity_by_hand(
            IdentitySource.PASSPORT, {"identity_no": "ZZ99001", "name": "PEKERJA ASING CONTOH", "nationality": "UTOPIA"}
        )
    assert claim.view()["claimant"] == member
    assert claim.state is State.STATED
