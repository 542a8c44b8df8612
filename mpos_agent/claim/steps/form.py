"""The claim form: what the chip does not know is typed, normalised and checked here."""

import enum
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from mpos_agent.audit import Act
from mpos_agent.claim import checks
from mpos_agent.claim.counter import Counter
from mpos_agent.claim.draft import BankAccount, ClaimDraft, ClaimForm, Employment, Person
from mpos_agent.claim.findings import Block, Caution, Found, blocks, cautions
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.states import Event
from mpos_agent.claim.steps.identify import typed_person
from sync.packet import NaCode, NameMatch, NpwpAnswer, Relation, Segment

FIELDS: Final = frozenset(
    {
        "nik",
        "kpj",
        "npp",
        "company_name",
        "na_code_declared",
        "phone",
        "email",
        "mother_name",
        "employment_history",
        "npwp_answer",
        "npwp",
        "bank",
        "worker",
    }
)
_BANK_FIELDS: Final = frozenset({"code", "account", "name_on_account"})
_EMPLOYMENT_FIELDS: Final = frozenset({"year_in", "year_out", "employer", "address"})
_MOST_EMPLOYERS: Final = 40
_OURS: Final = frozenset(
    {
        Caution.KPJ_UNUSUAL,
        Caution.NPP_MISSING,
        Caution.PHONE_UNUSUAL,
        Caution.EMAIL_UNUSUAL,
        Caution.CONTACT_MISSING,
        Caution.NPWP_OLD,
        Caution.BANK_MISSING,
        Caution.BANK_UNKNOWN,
        Caution.ACCOUNT_LENGTH,
        Caution.ACCOUNT_NAME_DIFFERS,
        Caution.MOTHER_NAME_MISSING,
    }
)
"""What a corrected form takes back."""

E = TypeVar("E", bound=enum.StrEnum)


def run(draft: ClaimDraft, counter: Counter, *, fields: Mapping[str, Any]) -> Happened:
    """Replace the form. Every field is text as typed, except the nested ones (see :data:`FIELDS`)."""
    assert draft.claimant is not None, "the form comes after identification"
    found = [Found(Block.FIELD_UNKNOWN, str(name)) for name in fields if name not in FIELDS]
    reader = _Reader(fields, found)

    if (nik := reader.text("nik", 32)) and nik != draft.claimant.nik:
        found.append(Found(Block.NIK_NOT_OF_CARD, "nik"))
    kpj, more = checks.check_kpj(reader.text("kpj", 40))
    found += more
    npp, more = checks.check_npp(reader.text("npp", 40), expected=draft.segment is not Segment.BPU)
    found += more
    phone, more = checks.check_phone(reader.text("phone", 40), "phone")
    found += more
    email, more = checks.check_email(reader.text("email", 254), "email")
    found += more
    if phone is None and email is None:
        found.append(Found(Caution.CONTACT_MISSING, "phone"))
    answer = reader.choice("npwp_answer", NpwpAnswer, NpwpAnswer.NOT_ASKED)
    npwp, more = checks.check_npwp(answer, reader.text("npwp", 40))
    found += more
    mother = reader.text("mother_name", 100)
    if not mother and draft.segment is Segment.PU:
        found.append(Found(Caution.MOTHER_NAME_MISSING, "mother_name"))
    form = ClaimForm(
        kpj=kpj,
        npp=npp,
        company_name=reader.text("company_name", 100) or None,
        na_code_declared=reader.choice("na_code_declared", NaCode, NaCode.UNKNOWN),
        phone=phone,
        email=email,
        mother_name=mother or None,
        employment_history=_employment(fields.get("employment_history"), counter, found),
        npwp_answer=answer,
        npwp=npwp,
        bank=_bank(fields.get("bank"), draft.claimant, counter, found),
        worker=_worker(fields.get("worker"), draft, counter, found),
    )
    if blocks(found):
        return Happened(
            event=None,
            draft=draft,
            act=Act.STEP_BLOCKED,
            facts={"blocks": len(blocks(found))},
            found=tuple(found),
        )
    member = form.worker or draft.claimant
    number = member.nik or member.identity_no or ""
    if counter.store.captured_before(number, draft.programme) and Caution.ALREADY_CAPTURED not in draft.warnings:
        found.append(Found(Caution.ALREADY_CAPTURED))
    kept = [word for word in draft.warnings if word not in _OURS]
    return Happened(
        event=Event.FORM_FILLED,
        draft=replace(draft, form=form, warnings=tuple(sorted({*kept, *cautions(found)}))),
        act=Act.FORM_FILLED,
        facts={"cautions": len(cautions(found))},
        found=tuple(found),
    )


class _Reader:
    """Takes typed values out of a mapping, noting what has the wrong form."""

    def __init__(self, fields: Mapping[str, Any], found: list[Found], prefix: str = "") -> None:
        self._fields, self._found, self._prefix = fields, found, prefix

    def text(self, name: str, limit: int) -> str:
        """One line of at most ``limit`` characters; empty when it is not there or not usable."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._found.append(Found(Block.FIELD_SHAPE, self._prefix + name))
            return ""
        text = checks.clean_text(value, limit + 1)
        if len(text) > limit:
            self._found.append(Found(Block.TEXT_TOO_LONG, self._prefix + name))
        return text

    def choice(self, name: str, kind: type[E], default: E) -> E:
        """A member of an enumeration by its word."""
        value = self._fields.get(name)
        if value is None:
            return default
        try:
            return kind(value)
        except ValueError:
            self._found.append(Found(Block.VALUE_UNKNOWN, self._prefix + name))
            return default


def _bank(value: object, claimant: Person, counter: Counter, found: list[Found]) -> BankAccount | None:
    if value is None:
        found.append(Found(Caution.BANK_MISSING, "bank"))
        return None
    if not isinstance(value, Mapping):
        found.append(Found(Block.FIELD_SHAPE, "bank"))
        return None
    found += [Found(Block.FIELD_UNKNOWN, f"bank.{name}") for name in value if name not in _BANK_FIELDS]
    reader = _Reader(value, found, "bank.")
    code, account, more = checks.check_account(
        reader.text("code", 10), reader.text("account", 60), counter.tables.banks
    )
    found += more
    name = reader.text("name_on_account", 100)
    same = checks.same_name(name, claimant.name)
    if not name:
        found.append(Found(Block.ACCOUNT_NAME_MISSING, "bank.name_on_account"))
    elif not same:
        found.append(Found(Caution.ACCOUNT_NAME_DIFFERS, "bank.name_on_account"))
    return BankAccount(
        bank_code=code,
        account=account,
        name_on_account=name,
        name_match=NameMatch.MATCH if same else NameMatch.MISMATCH,
    )


def _employment(value: object, counter: Counter, found: list[Found]) -> tuple[Employment, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > _MOST_EMPLOYERS:
        found.append(Found(Block.FIELD_SHAPE, "employment_history"))
        return ()
    lines = []
    for place, entry in enumerate(value):
        prefix = f"employment_history.{place}."
        if not isinstance(entry, Mapping):
            found.append(Found(Block.FIELD_SHAPE, prefix[:-1]))
            continue
        found += [Found(Block.FIELD_UNKNOWN, prefix + str(name)) for name in entry if name not in _EMPLOYMENT_FIELDS]
        reader = _Reader(entry, found, prefix)
        employer = reader.text("employer", 100)
        if not employer:
            found.append(Found(Block.NAME_MISSING, prefix + "employer"))
        began, ended = _year(entry.get("year_in")), _year(entry.get("year_out"))
        if began is None or (entry.get("year_out") is not None and ended is None):
            found.append(Found(Block.FIELD_SHAPE, prefix + "year_in"))
            continue
        if not 1950 <= began <= (ended or began) <= counter.today().year:
            found.append(Found(Block.YEARS_SHAPE, prefix + "year_in"))
            continue
        lines.append(Employment(year_in=began, year_out=ended, employer=employer, address=reader.text("address", 400)))
    return tuple(lines)


def _worker(value: object, draft: ClaimDraft, counter: Counter, found: list[Found]) -> Person | None:
    """The member somebody else claims for: typed, and shown by documents."""
    if draft.relation is Relation.SELF:
        if value is not None:
            found.append(Found(Block.WORKER_NOT_EXPECTED, "worker"))
        return None
    if not isinstance(value, Mapping):
        found.append(Found(Block.WORKER_MISSING, "worker"))
        return None
    worker, more = typed_person(value, counter, "worker")
    found += more
    if worker is not None and draft.claimant is not None and worker.nik and worker.nik == draft.claimant.nik:
        found.append(Found(Block.WORKER_IS_CLAIMANT, "worker.nik"))
    return worker


def _year(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
