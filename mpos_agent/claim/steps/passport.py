"""Who is it, from a passport's chip: for people who have no e-KTP. A second person follows in any case.

The chip holds no finger that may be read, so nothing biometric is compared by the machine. The face waits in memory
for the second person's eyes; it is neither saved nor sent.
"""

import datetime
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from drivers.card.emrtd.face import as_jpeg
from drivers.card.emrtd.mrz import MrzError, MrzHolder, MrzKey, Wrong
from drivers.card.emrtd.read import Authenticity, PassportRecord
from drivers.errors import DeviceError
from mpos_agent.audit import Act
from mpos_agent.claim import checks
from mpos_agent.claim.counter import Counter, PassportProgress
from mpos_agent.claim.draft import ClaimDraft, FallbackCode, Person
from mpos_agent.claim.findings import Block, Caution, Found, blocks, cautions
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.held_biometrics import HeldBiometrics
from mpos_agent.claim.states import Event
from sync.packet import IdentitySource, Relation, Sex

FIELDS: Final = frozenset({"mrz", "document_number", "birth_date", "expiry_date"})
_SEXES: Final = {"M": Sex.MALE, "F": Sex.FEMALE}
_LONGEST_ZONE: Final = 200
"""Characters of a zone with spaces and line ends; the zone itself has at most 90."""


def run(
    draft: ClaimDraft,
    counter: Counter,
    held: HeldBiometrics,
    *,
    fields: Mapping[str, Any],
    progress: PassportProgress,
    stop: threading.Event,
) -> Happened:
    """One try with one key. A failed one changes nothing: identity may still be typed."""
    if draft.consent is None or not draft.consent.given:
        return _blocked(draft, Found(Block.CONSENT_NEEDED))
    key, found = _key(fields)
    if key is None:
        return _blocked(draft, *found)
    held.wipe(draft.claim_id)
    try:
        record = counter.read_passport(key, progress, stop)
    except DeviceError as error:
        return Happened(
            event=Event.CARD_UNREAD,
            draft=draft,
            act=Act.CARD_NOT_READ,
            facts={"cause": error.code},
            failure=error,
        )
    # Whoever laid a passport down now is the member at this counter: nothing of anybody else is kept.
    held.wipe_all()
    try:
        return _judged(draft, counter, held, record)
    finally:
        record.wipe()


def _judged(draft: ClaimDraft, counter: Counter, held: HeldBiometrics, record: PassportRecord) -> Happened:
    claimant = person_of(record.holder, counter.today())
    if not claimant.name:
        return _blocked(draft, Found(Block.NAME_MISSING, "claimant.name"))
    found = []
    if record.authenticity is Authenticity.NOT_CHECKED:
        found.append(Found(Caution.PASSPORT_NOT_PROVEN))
    if "dg1_differs_from_printed" in record.warnings:
        found.append(Found(Caution.PASSPORT_DIFFERS))
    expires = record.holder.expiry_date()
    if expires is not None and expires < counter.today():
        found.append(Found(Caution.PASSPORT_EXPIRED))
    number = claimant.identity_no or ""
    if draft.relation is Relation.SELF and counter.store.captured_before(number, draft.programme):
        found.append(Found(Caution.ALREADY_CAPTURED))
    photo = None if record.face is None else as_jpeg(record.face)
    if photo is not None:
        held.hold_photo(draft.claim_id, photo)
    return Happened(
        event=Event.PASSPORT_READ,
        draft=replace(
            draft,
            identity_source=IdentitySource.PASSPORT,
            claimant=claimant,
            manual_code=FallbackCode.NO_CHIP,
            warnings=draft.with_warnings(*cautions(found)),
        ),
        act=Act.PASSPORT_READ,
        facts={"cautions": len(cautions(found))},
        found=tuple(found),
        details={"photo": photo is not None},
    )


def person_of(holder: MrzHolder, today: datetime.date) -> Person:
    """The claimant as the zone on the chip has them; it has neither place of birth nor address."""
    return Person(
        nik=None,
        identity_no=holder.document_number.replace("<", "-"),
        name=checks.clean_text(holder.name, 100),
        birth_date=holder.birth_date(today),
        sex=_SEXES.get(holder.sex),
        nationality=checks.clean_text(holder.nationality, 40),
    )


def _key(fields: Mapping[str, Any]) -> tuple[MrzKey | None, list[Found]]:
    """What opens the chip, or what is wrong with what was typed."""
    found = [Found(Block.FIELD_UNKNOWN, f"passport.{name}") for name in fields if name not in FIELDS]
    try:
        key = _scanned(fields["mrz"]) if "mrz" in fields else _typed(fields)
    except MrzError as error:
        # Which field, when it can be said: the zone as a whole otherwise.
        place = error.wrong.value if error.wrong.value in FIELDS else "mrz"
        found.append(Found(Block.MRZ_WRONG, f"passport.{place}"))
        return None, found
    return (None if found else key), found


def _scanned(zone: object) -> MrzKey:
    if not isinstance(zone, str) or len(zone) > _LONGEST_ZONE:
        raise MrzError(Wrong.SHAPE)
    return MrzKey.scanned(zone)


def _typed(fields: Mapping[str, Any]) -> MrzKey:
    number = fields.get("document_number")
    return MrzKey.typed(
        number if isinstance(number, str) else "",
        _day(fields.get("birth_date"), Wrong.BIRTH_DATE),
        _day(fields.get("expiry_date"), Wrong.EXPIRY_DATE),
    )


def _day(value: object, wrong: Wrong) -> datetime.date:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        return datetime.date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise MrzError(wrong) from None


def _blocked(draft: ClaimDraft, *found: Found) -> Happened:
    return Happened(
        event=None, draft=draft, act=Act.STEP_BLOCKED, facts={"blocks": len(blocks(found))}, found=tuple(found)
    )
