"""Who is it? From the chip, its fields checked; or typed from papers where there is no usable chip."""

import datetime
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from drivers.card.ektp.biodata import Biodata
from drivers.card.ektp.record import CardRecord
from drivers.card.errors import (
    CardRemovedError,
    ChipAuthenticationError,
    ChipDataError,
    NoCardError,
    StatusWordError,
    UnknownChipError,
)
from drivers.errors import DeviceError
from mpos_agent.audit import Act
from mpos_agent.claim import checks
from mpos_agent.claim.counter import CardProgress, Counter
from mpos_agent.claim.draft import ChipEvidence, ClaimDraft, FallbackCode, Person
from mpos_agent.claim.findings import Block, Caution, Found, blocks, cautions
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.held_biometrics import HeldBiometrics, HeldFinger
from mpos_agent.claim.policy import chip_may_be_given_up
from mpos_agent.claim.states import Event
from sync.packet import ChipAuth, IdentitySource, Relation, Sex

CHIP_TROUBLE: Final = (CardRemovedError, ChipAuthenticationError, ChipDataError, StatusWordError, UnknownChipError)
"""What a tap can run into that says something of this card: counted. Anything else says something of the reader."""

_SEXES: Final = {"LAKI-LAKI": Sex.MALE, "PEREMPUAN": Sex.FEMALE}


def read_chip(
    draft: ClaimDraft, counter: Counter, held: HeldBiometrics, *, progress: CardProgress, stop: threading.Event
) -> Happened:
    """One tap. The templates go to ``held``; what cannot be used of the record is wiped on every way out."""
    if draft.consent is None or not draft.consent.given:
        return _blocked(draft, Found(Block.CONSENT_NEEDED))
    # Another claim may be waiting for its member's finger: the reader is not ours yet.
    held.wipe(draft.claim_id)
    try:
        record = counter.read_card(progress, stop)
    except NoCardError as error:
        # Nothing was tried yet: it is no tap, and the reader works.
        return Happened(event=Event.CARD_UNREAD, draft=draft, act=Act.CARD_NOT_READ, facts=_cause(error), failure=error)
    except CHIP_TROUBLE as error:
        tried = replace(draft, failed_taps=(*draft.failed_taps, error.code))
        return Happened(
            event=Event.CARD_UNREAD,
            draft=tried,
            act=Act.CARD_NOT_READ,
            facts={**_cause(error), "taps": len(tried.failed_taps)},
            failure=error,
        )
    except DeviceError as error:
        return Happened(
            event=Event.CARD_UNREAD,
            draft=replace(draft, reader_faults=draft.reader_faults + 1),
            act=Act.CARD_NOT_READ,
            facts=_cause(error),
            failure=error,
        )
    # Whoever laid a card down now is the member at this counter: nobody else's fingers are kept.
    held.wipe_all()
    kept = False
    try:
        happened, fingers = _judged(draft, counter, record)
        if fingers:
            held.hold(draft.claim_id, fingers)
            kept = True
        return happened
    finally:
        record.signature_image.wipe()
        if not kept:
            record.wipe()


def _judged(draft: ClaimDraft, counter: Counter, record: CardRecord) -> tuple[Happened, tuple[HeldFinger, ...]]:
    claimant = person_of(record.biodata)
    found = _nik_findings(claimant, counter, "claimant.nik")
    before = draft.claimant if draft.identity_source is IdentitySource.CHIP else None
    if before is not None and before.nik != claimant.nik:
        return _blocked(draft, Found(Block.CARD_OF_ANOTHER_PERSON)), ()
    if blocks(found):
        # A chip whose own number is impossible was not read right: the tap counts, and the papers are next.
        tried = replace(draft, failed_taps=(*draft.failed_taps, ChipDataError.code))
        unread = Happened(
            event=Event.CARD_UNREAD,
            draft=tried,
            act=Act.CARD_NOT_READ,
            facts={"cause": ChipDataError.code, "taps": len(tried.failed_taps)},
            found=tuple(found),
        )
        return unread, ()
    fingers = _usable_fingers(record, counter)
    if not fingers:
        found.append(Found(Caution.NO_TEMPLATE))
    if draft.relation is Relation.SELF and _number(claimant) and _captured_before(counter, claimant, draft.programme):
        found.append(Found(Caution.ALREADY_CAPTURED))
    chip = ChipEvidence(
        reader=record.reader,
        sam_id=record.sam_uid.hex(),
        card_type=record.card_type.value,
        chip_auth=ChipAuth.OK if record.chip_authenticated else ChipAuth.FAIL,
        data_signature=record.data_signature.code,
        fingers=tuple(dict.fromkeys(finger.finger for finger in fingers)),
        warnings=record.warnings,
    )
    happened = Happened(
        event=Event.CARD_READ,
        draft=replace(
            draft,
            identity_source=IdentitySource.CHIP,
            claimant=claimant,
            chip=chip,
            manual_code=None,
            warnings=draft.with_warnings(*cautions(found)),
        ),
        act=Act.CARD_READ,
        facts={
            "fingers": len(fingers),
            "authentication": chip.chip_auth,
            "cautions": len(cautions(found)),
        },
        found=tuple(found),
        details={"fingers": list(chip.fingers), "photo": bool(record.photo)},
        # Kept for the comparison by a person; dropped once that is done, unless it travels.
        photo=record.photo or None,
    )
    return happened, fingers


def _usable_fingers(record: CardRecord, counter: Counter) -> tuple[HeldFinger, ...]:
    """The templates that decode, each with its finger: the template's own byte first, then the biodata field."""
    stated = (record.biodata.right_finger, record.biodata.left_finger)
    usable = []
    for place, content in enumerate(record.templates):
        decoded = counter.matcher.decode(content)
        if decoded is None:
            content.wipe()
            continue
        decoded.template.wipe()
        finger = decoded.finger or (stated[place] if place < len(stated) else 0)
        usable.append(HeldFinger(finger if 0 <= finger <= 10 else 0, content))
    return tuple(usable)


def person_of(biodata: Biodata) -> Person:
    """The holder as the card has them: only the fields a claim needs, as one line each."""
    parts = (
        biodata.address,
        f"RT {biodata.rt} RW {biodata.rw}" if biodata.rt or biodata.rw else "",
        biodata.kelurahan,
        biodata.kecamatan,
        biodata.kabupaten,
        biodata.province,
    )
    return Person(
        nik=biodata.nik,
        name=checks.clean_text(biodata.name, 100),
        birth_place=checks.clean_text(biodata.birth_place, 100),
        birth_date=biodata.birth_date,
        sex=_SEXES.get(biodata.sex.strip().upper()),
        address=checks.clean_text(", ".join(part for part in parts if part.strip()), 400),
        nationality=checks.clean_text(biodata.nationality, 40),
    )


def give_chip_up(draft: ClaimDraft, counter: Counter, *, code: FallbackCode) -> Happened:
    """Leave the chip: there is none, it did not read, or the reader is broken."""
    degraded = code is FallbackCode.DEVICE_DEGRADED
    open_codes = {FallbackCode.NO_CHIP}
    if chip_may_be_given_up(draft, counter.policy):
        # "Not read" and "authenticity not proven" are told apart; neither is ever called false.
        failed = ChipAuthenticationError.code in draft.failed_taps
        open_codes.add(FallbackCode.CHIP_AUTH_FAIL if failed else FallbackCode.CHIP_UNREADABLE)
    if draft.reader_faults:
        open_codes.add(FallbackCode.DEVICE_DEGRADED)
    if code not in open_codes:
        return _blocked(draft, Found(Block.FALLBACK_NOT_OPEN, "code"))
    if degraded and degraded_limit_reached(counter):
        return _blocked(draft, Found(Block.DEGRADED_LIMIT))
    return Happened(
        event=Event.CHIP_GIVEN_UP,
        draft=replace(draft, manual_code=code),
        act=Act.CHIP_GIVEN_UP,
        facts={"code": code, "taps": len(draft.failed_taps)},
    )


def degraded_limit_reached(counter: Counter) -> bool:
    """Whether this device has used up today's manual paths for broken devices."""
    return counter.store.degraded_since(counter.day_began()) >= counter.policy.degraded_per_day


def typed(draft: ClaimDraft, counter: Counter, *, source: IdentitySource, fields: Mapping[str, Any]) -> Happened:
    """Identity from papers. It is checked like a chip's, and a second person follows in any case."""
    person, found = typed_person(fields, counter, "claimant")
    if source is IdentitySource.CHIP:
        found.append(Found(Block.VALUE_UNKNOWN, "source"))
    if source is not IdentitySource.PASSPORT and person is not None and person.nik is None:
        found.append(Found(Block.IDENTITY_NUMBER_MISSING, "claimant.nik"))
    if blocks(found) or person is None:
        return _blocked(draft, *found)
    if draft.relation is Relation.SELF and _captured_before(counter, person, draft.programme):
        found.append(Found(Caution.ALREADY_CAPTURED))
    return Happened(
        event=Event.IDENTITY_TYPED,
        draft=replace(
            draft,
            identity_source=source,
            claimant=person,
            warnings=draft.with_warnings(*cautions(found)),
        ),
        act=Act.IDENTITY_TYPED,
        facts={"cautions": len(cautions(found))},
        found=tuple(found),
    )


_PERSON_FIELDS: Final = frozenset(
    {"nik", "identity_no", "name", "birth_place", "birth_date", "sex", "address", "nationality"}
)


def typed_person(fields: Mapping[str, Any], counter: Counter, field: str) -> tuple[Person | None, list[Found]]:
    """A person as typed; None when something blocks."""
    found = [Found(Block.FIELD_UNKNOWN, f"{field}.{name}") for name in fields if name not in _PERSON_FIELDS]
    texts: dict[str, str] = {}
    limits = {"nik": 16, "identity_no": 32, "name": 100, "birth_place": 100, "address": 400, "nationality": 40}
    for name, limit in limits.items():
        value = fields.get(name) or ""
        if not isinstance(value, str):
            found.append(Found(Block.FIELD_SHAPE, f"{field}.{name}"))
            value = ""
        texts[name] = checks.clean_text(value, limit + 1)
        if len(texts[name]) > limit:
            found.append(Found(Block.NIK_SHAPE if name == "nik" else Block.TEXT_TOO_LONG, f"{field}.{name}"))
    sex, birth_date = _typed_sex(fields.get("sex")), _typed_date(fields.get("birth_date"))
    if not texts["name"]:
        found.append(Found(Block.NAME_MISSING, f"{field}.name"))
    if fields.get("sex") and sex is None:
        found.append(Found(Block.VALUE_UNKNOWN, f"{field}.sex"))
    if fields.get("birth_date") and (birth_date is None or birth_date > counter.today()):
        found.append(Found(Block.BIRTH_DATE_SHAPE, f"{field}.birth_date"))
    if texts["identity_no"] and not set(texts["identity_no"]) <= _IDENTITY_CHARACTERS:
        found.append(Found(Block.FIELD_SHAPE, f"{field}.identity_no"))
    if not texts["nik"] and not texts["identity_no"]:
        found.append(Found(Block.IDENTITY_NUMBER_MISSING, f"{field}.nik"))
    person = Person(
        nik=texts["nik"] or None,
        identity_no=texts["identity_no"] or None,
        name=texts["name"],
        birth_place=texts["birth_place"],
        birth_date=birth_date,
        sex=sex,
        address=texts["address"],
        nationality=texts["nationality"],
    )
    if person.nik and not blocks(found):
        found += _nik_findings(person, counter, f"{field}.nik")
    return (None if blocks(found) else person), found


_IDENTITY_CHARACTERS: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz./-")


def _nik_findings(person: Person, counter: Counter, field: str) -> list[Found]:
    found = checks.check_nik(
        person.nik or "",
        today=counter.today(),
        provinces=counter.tables.provinces,
        test_profile=counter.policy.accept_test_identities,
        field=field,
    )
    if not blocks(found):
        found += checks.check_nik_against(
            person.nik or "", birth_date=person.birth_date, sex=person.sex, today=counter.today(), field=field
        )
    return found


def _captured_before(counter: Counter, person: Person, programme: str) -> bool:
    return counter.store.captured_before(_number(person), programme)


def _number(person: Person) -> str:
    return person.nik or person.identity_no or ""


def _typed_sex(value: object) -> Sex | None:
    if not isinstance(value, str):
        return None
    word = value.strip().upper()
    return _SEXES.get(word) or Sex.__members__.get(word)


def _typed_date(value: object) -> datetime.date | None:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        return datetime.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _cause(error: DeviceError) -> dict[str, str]:
    return {"cause": error.code}


def _blocked(draft: ClaimDraft, *found: Found) -> Happened:
    return Happened(
        event=None, draft=draft, act=Act.STEP_BLOCKED, facts={"blocks": len(blocks(found))}, found=tuple(found)
    )
