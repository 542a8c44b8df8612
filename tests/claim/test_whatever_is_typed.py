"""Whatever a front end sends: an answer, never a crash; and whatever is accepted can be sealed."""

import dataclasses
import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.card.ektp.biodata import Biodata
from mpos_agent.claim.draft import ClaimDraft, ClaimForm, FallbackCode
from mpos_agent.claim.findings import blocks
from mpos_agent.claim.steps import documents, form, identify, seal
from mpos_agent.claim.steps.identify import person_of
from sync import packet as wire
from sync.packet import ConsentMethod, Declaration, IdentitySource, Person, PhotoCompare, Relation
from tests.claim.desk import FORM, IN_MEMORY, NIK, SITE, SUPERVISOR_PIN, WORKER, Bench, bench, holder

SCALARS = st.none() | st.booleans() | st.integers(-10, 10**20) | st.floats(allow_nan=True) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
ODD = "\x00\x1f\x7f\x85\u2028\u202e\ufeff '\",\t\n"
TYPED = st.text(st.characters(codec="utf-8") | st.sampled_from(ODD), max_size=30) | st.text("AZ ", max_size=450)


def sometimes(usual: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The usual fields, some of them replaced by anything at all, or missing, or joined by unknown ones."""
    changed = {key: st.just(value) | st.just(value) | TYPED | JSON for key, value in usual.items()}
    return st.fixed_dictionaries({}, optional=changed) | st.dictionaries(
        st.sampled_from([*usual, "unknown"]), JSON, max_size=5
    )


@pytest.fixture(scope="module")
def at() -> Iterator[Bench]:
    """One counter for all examples: the steps tried here save nothing."""
    with tempfile.TemporaryDirectory(prefix="typed", dir=IN_MEMORY) as folder, bench(Path(folder)) as counter:
        yield counter


@pytest.fixture(scope="module")
def documented(at: Bench) -> ClaimDraft:
    """An heir's claim before the form."""
    claim = at.verified(programme="JKM", reason="DEATH", relation=Relation.CHILD)
    claim.photo_check(PhotoCompare.SAME)
    claim.documents([])
    return claim._draft


@pytest.fixture(scope="module")
def manual(at: Bench) -> ClaimDraft:
    """A claim without a chip, before identity is typed."""
    claim = at.start()
    claim.consent(given=False, method=ConsentMethod.ON_SCREEN)
    return claim._draft


@pytest.fixture(scope="module")
def filled_by_hand(at: Bench) -> ClaimDraft:
    """A claim on paper, ready to be sealed."""
    claim = at.start()
    claim.consent(given=False, method=ConsentMethod.ON_SCREEN)
    claim.identity_by_hand(IdentitySource.KTP_MANUAL, {"nik": NIK, "name": "PESERTA UJI SATU"})
    claim.fallback(
        code=FallbackCode.NO_CONSENT,
        reason="MEMBER_REFUSES",
        supervisor_id="sup1",
        pin=SUPERVISOR_PIN,
        photo_compare=PhotoCompare.SAME,
    )
    claim.documents([])
    claim.form(FORM)
    return claim._draft


def sealed(draft: ClaimDraft, at: Bench) -> None:
    """The packet is made, encoded and read back; PacketError would be our bug."""
    packet = seal.packet_of(
        draft,
        at.counter,
        SITE,
        declaration=Declaration.CONFIRMED_ON_SCREEN,
        at=at.clock.now(),
        audit_head=bytes(32),
        photo=None,
    )
    assert wire.decode(packet.encode()) == packet


QUIET = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
USUAL_FORM = {**FORM, "worker": WORKER, "npwp_answer": "GIVEN", "npwp": "0000000000000001", "email": "a@contoh.example"}


@QUIET
@given(fields=sometimes(USUAL_FORM), worker=sometimes(WORKER), bank=sometimes(FORM["bank"]))
def test_a_form_that_is_accepted_can_be_sealed(
    at: Bench, documented: ClaimDraft, fields: dict[str, Any], worker: dict[str, Any], bank: dict[str, Any]
) -> None:
    """Every field with every kind of value; nested ones as well."""
    for given_fields in (fields, {**USUAL_FORM, "worker": worker}, {**USUAL_FORM, "bank": bank}):
        happened = form.run(documented, at.counter, fields=given_fields)
        assert (happened.event is None) == bool(blocks(happened.found))
        if happened.event is not None:
            sealed(happened.draft, at)


@QUIET
@given(
    entry=sometimes({"year_in": 2015, "year_out": 2026, "employer": "PT CONTOH UJI", "address": "JL CONTOH"}),
    years=st.tuples(st.integers(), st.none() | st.integers()),
)
def test_an_employment_history_that_is_accepted_can_be_sealed(
    at: Bench, documented: ClaimDraft, entry: dict[str, Any], years: tuple[int, int | None]
) -> None:
    """Years before the person, after today, in the wrong order, of any size."""
    lines = [entry, {"year_in": years[0], "year_out": years[1], "employer": "PT CONTOH UJI"}]
    for line in lines:
        happened = form.run(documented, at.counter, fields={**USUAL_FORM, "employment_history": [line]})
        if happened.event is not None:
            sealed(happened.draft, at)


@QUIET
@given(
    fields=sometimes(
        {
            "nik": NIK,
            "identity_no": "X0000001",
            "name": "PESERTA UJI SATU",
            "birth_place": "KOTA UJI",
            "birth_date": "1985-07-01",
            "sex": "PEREMPUAN",
            "address": "JL CONTOH NO 1",
            "nationality": "WNI",
        }
    ),
    source=st.sampled_from(IdentitySource),
)
def test_an_identity_that_is_accepted_can_be_sealed(
    at: Bench,
    manual: ClaimDraft,
    filled_by_hand: ClaimDraft,
    fields: dict[str, Any],
    source: IdentitySource,
) -> None:
    """Typed from any paper, with anything in any field."""
    happened = identify.typed(manual, at.counter, source=source, fields=fields)
    if happened.event is not None:
        typed = dataclasses.replace(
            filled_by_hand, claimant=happened.draft.claimant, identity_source=happened.draft.identity_source
        )
        sealed(typed, at)


@QUIET
@given(
    listed=st.lists(
        sometimes(
            {
                "type": "KPJ_CARD",
                "pages": 2,
                "mime": "image/jpeg",
                "size_bytes": 1000,
                "sha256": "ab" * 32,
                "legible": True,
            }
        ),
        max_size=4,
    )
)
def test_a_list_of_documents_that_is_accepted_can_be_sealed(
    at: Bench, filled_by_hand: ClaimDraft, listed: list[dict[str, Any]]
) -> None:
    """Papers only seen, scans with checksum, and everything in between."""
    happened = documents.run(filled_by_hand, at.counter, listed=listed)
    if happened.event is not None:
        sealed(happened.draft, at)


@QUIET
@given(texts=st.tuples(TYPED, TYPED, TYPED, TYPED, TYPED))
def test_any_text_on_a_chip_can_be_sealed(
    at: Bench, documented: ClaimDraft, texts: tuple[str, str, str, str, str]
) -> None:
    """Cards hold what registers typed: control characters, commas, nothing at all."""
    name, place, address, kelurahan, nationality = texts
    biodata: Biodata = holder(
        name=name or "PESERTA UJI SATU",
        birth_place=place,
        address=address,
        kelurahan=kelurahan,
        nationality=nationality,
        birth_date=datetime.date(1985, 7, 1),
    )
    happened = form.run(documented, at.counter, fields=USUAL_FORM)
    person = person_of(biodata)
    if person.name:
        sealed(dataclasses.replace(happened.draft, claimant=person), at)


def test_every_field_of_the_form_reaches_the_packet(at: Bench, documented: ClaimDraft) -> None:
    """A field that is asked for and then forgotten would be a promise broken."""
    happened = form.run(documented, at.counter, fields=USUAL_FORM)
    filled = happened.draft.form
    assert isinstance(filled, ClaimForm)
    packet = seal.packet_of(
        happened.draft,
        at.counter,
        SITE,
        declaration=Declaration.PAPER_F5,
        at=at.clock.now(),
        audit_head=bytes(32),
        photo=None,
    )
    assert (packet.kpj, packet.npp, packet.company_name) == ("99ZZ0000001", "ZZ0Z0001", "PT CONTOH UJI")
    assert (packet.contact.phone, packet.contact.email) == ("080000000001", "a@contoh.example")
    assert packet.mother_name == "PESERTA UJI DUA"
    assert packet.npwp.number == "0000000000000001"
    assert packet.bank is not None
    assert (packet.bank.code, packet.bank.account) == ("999", "0000000001")
    assert [(line.year_in, line.year_out, line.employer) for line in packet.employment_history] == [
        (2015, 2026, "PT CONTOH UJI")
    ]
    assert isinstance(packet.worker, Person)
    assert packet.worker.birth_date == datetime.date(1990, 3, 2)
