"""A claim as screens show it: identity number masked, no photo, nothing biometric."""

from typing import Any

from config.tables import Tables
from mpos_agent.claim.draft import ClaimDraft, masked
from mpos_agent.claim.happened import Prompt, Slip
from mpos_agent.claim.procedure import finger_name
from mpos_agent.claim.steps import documents


def view_of(draft: ClaimDraft, tables: Tables, following: Prompt, slip: Slip | None) -> dict[str, Any]:
    """Everything API, counter page and terminal need to go on."""
    claimant, chip = draft.claimant, draft.chip
    return {
        "claim_id": draft.claim_id,
        "state": draft.state.value,
        "revision": draft.revision,
        "opened_at": draft.opened_at.isoformat(timespec="seconds"),
        "operator_id": draft.operator_id,
        "programme": draft.programme,
        "reason": draft.reason_code,
        "segment": draft.segment.value,
        "relation": draft.relation.value,
        "ticket": draft.ticket,
        "consent": draft.consent.given if draft.consent else None,
        "identity_source": draft.identity_source.value if draft.identity_source else None,
        "claimant": claimant and {"name": claimant.name, "nik": masked(claimant.nik or claimant.identity_no)},
        "chip": chip
        and {
            "reader": chip.reader,
            "sam_id": chip.sam_id,
            "card_type": chip.card_type,
            "authentication": chip.chip_auth.value,
            "fingers": [
                {"finger": code, "id": finger_name(code, tables).id, "en": finger_name(code, tables).en}
                for code in chip.fingers
            ],
            "warnings": list(chip.warnings),
        },
        "attempts": [
            {"finger": tried.finger, "quality": tried.quality, "outcome": tried.outcome.value, "ms": tried.ms}
            for tried in draft.attempts
        ],
        "failed_taps": list(draft.failed_taps),
        "outcome": draft.bio.outcome.value if draft.bio else None,
        "fallback": draft.fallback.code.value if draft.fallback else None,
        "photo_check": draft.photo_check.value if draft.photo_check else None,
        "documents": [document.type for document in draft.documents],
        "attachments": [
            {
                "number": one.number,
                "media_type": one.media_type.value,
                "pages": one.pages,
                "size_bytes": one.size_bytes,
                "sha256": one.sha256,
            }
            for one in draft.attachments
        ],
        "missing_documents": list(draft.missing_documents),
        "wanted_documents": [
            {"any_of": list(item.any_of), "mandatory": item.mandatory} for item in documents.wanted(draft, tables)
        ],
        "complete": not draft.missing_documents,
        "cautions": list(draft.warnings),
        "next": following.as_json(),
        "slip": slip.as_json() if slip else None,
    }
