"""The summary that is read back to the member before anything is sealed."""

from typing import Any

from config.tables import Tables
from mpos_agent.claim.draft import ClaimDraft, Person, masked


def summary(draft: ClaimDraft, tables: Tables) -> dict[str, Any]:
    """Everything the packet will say, in the member's terms; identity and tax numbers with four digits only."""
    form = draft.form
    assert form is not None, "the summary comes after the form"
    programme, reason = tables.programmes[draft.programme], tables.reasons[draft.reason_code]
    return {
        "programme": {"code": programme.code, "id": programme.name.id, "en": programme.name.en},
        "reason": {"code": reason.code, "id": reason.name.id, "en": reason.name.en},
        "waiting": {"id": reason.waiting.id, "en": reason.waiting.en} if reason.waiting else None,
        "segment": draft.segment.value,
        "relation": draft.relation.value,
        "claimant": _person(draft.claimant),
        "worker": _person(form.worker),
        "identity_source": draft.identity_source.value if draft.identity_source else None,
        "finger": draft.bio.outcome.value if draft.bio else None,
        "fallback": draft.fallback.code.value if draft.fallback else None,
        "photo_check": (draft.photo_check or (draft.fallback.photo_compare if draft.fallback else None)),
        "kpj": form.kpj,
        "npp": form.npp,
        "company_name": form.company_name,
        "phone": form.phone,
        "email": form.email,
        "mother_name": form.mother_name,
        "npwp": masked(form.npwp) if form.npwp else form.npwp_answer.value,
        "bank": {
            "code": form.bank.bank_code,
            "name": tables.banks[form.bank.bank_code].name if form.bank.bank_code in tables.banks else None,
            "account": form.bank.account,
            "name_on_account": form.bank.name_on_account,
        }
        if form.bank
        else None,
        "documents": [document.type for document in draft.documents],
        "missing_documents": list(draft.missing_documents),
        "complete": not draft.missing_documents,
        "cautions": list(draft.warnings),
    }


def _person(person: Person | None) -> dict[str, Any] | None:
    if person is None:
        return None
    return {
        "nik": masked(person.nik),
        "identity_no": masked(person.identity_no),
        "name": person.name,
        "birth_place": person.birth_place,
        "birth_date": person.birth_date.isoformat() if person.birth_date else None,
        "sex": person.sex.value if person.sex else None,
        "address": person.address,
        "nationality": person.nationality,
    }
