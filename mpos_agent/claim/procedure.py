"""The whole procedure at the counter, in order: which step comes next, and what is said.

consent → card → finger → (second person) → photo → documents → form → confirm → queue → slip
"""

from dataclasses import dataclass
from typing import Any, Final

from config.tables import Tables, Text
from mpos_agent.claim.draft import ClaimDraft, FallbackCode
from mpos_agent.claim.happened import Prompt
from mpos_agent.claim.policy import CallSecondPerson, Policy, chip_may_be_given_up, next_try, open_fallbacks
from mpos_agent.claim.states import Event, State, can_happen


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done at the counter, by the name of the session's method, and the events it may lead to."""

    name: str
    leads_to: tuple[Event, ...]
    does: str

    def possible(self, state: State) -> bool:
        """Whether the table lets any of its events happen now."""
        return any(can_happen(state, event) for event in self.leads_to)


STEPS: Final = (
    Step("consent", (Event.CONSENT_GIVEN, Event.CONSENT_REFUSED), "notice shown or read, the answer recorded"),
    Step("read_card", (Event.CARD_READ,), "chip and SAM, biodata, photo, two templates; NIK checked"),
    Step("give_chip_up", (Event.CHIP_GIVEN_UP,), "no chip, or not read after the allowed taps"),
    Step("identity_by_hand", (Event.IDENTITY_TYPED,), "identity typed from papers instead"),
    Step("read_passport", (Event.PASSPORT_READ,), "passport of a person without e-KTP: holder and photo from its chip"),
    Step("capture_finger", (Event.FINGER_MATCHES,), "one attempt: prompt, capture, extract, compare, wipe"),
    Step("fallback", (Event.FALLBACK_COUNTERSIGNED,), "coded reason, second person, chip photo compared"),
    Step("photo_check", (Event.PHOTO_COMPARED,), "operator compares chip photo and person"),
    Step("attach", (Event.DOCUMENT_ATTACHED,), "a scanned file checked, and kept encrypted until the member confirms"),
    Step("documents", (Event.DOCUMENTS_LISTED,), "what was shown: type, pages, checksum, legible"),
    Step("form", (Event.FORM_FILLED,), "the typed part of the claim, checked"),
    Step("confirm", (Event.MEMBER_CONFIRMED,), "summary read back; sealed and queued in one commit"),
    Step("withdraw", (Event.WITHDRAWN,), "the member takes the claim back"),
    Step("expire", (Event.TIME_RAN_OUT,), "nobody came back to the draft in time"),
)
BY_NAME: Final = {step.name: step for step in STEPS}


def next_prompt(draft: ClaimDraft, *, templates_held: bool, policy: Policy, tables: Tables) -> Prompt:
    """What to say and do next, from what is known alone: the same after a restart."""

    def prompt(code: str, step: str | None, **facts: Any) -> Prompt:
        return Prompt(code=code, step=step, text=tables.text(f"prompt.{code}", **facts), facts=facts)

    taps = len(draft.failed_taps)
    match draft.state:
        case State.DRAFT:
            return prompt("CONSENT", "consent")
        case State.CONSENTED if chip_may_be_given_up(draft, policy):
            return prompt("CARD_OR_IDENTITY", "read_card", taps=taps)
        case State.CONSENTED if taps:
            return prompt("CARD_AGAIN", "read_card", taps=taps, limit=policy.card_taps)
        case State.CONSENTED:
            return prompt("CARD", "read_card")
        case State.MANUAL:
            return prompt("IDENTITY", "identity_by_hand")
        case State.STATED:
            return _second_person(draft, policy, tables, draft.manual_code)
        case State.IDENTIFIED:
            following = next_try(draft.chip.fingers if draft.chip else (), draft.attempts, policy)
            if isinstance(following, CallSecondPerson):
                return _second_person(draft, policy, tables, following.code)
            if not templates_held:
                return prompt("CARD_SAME", "read_card")
            name = finger_name(following.finger, tables)
            return prompt(
                following.prompt,
                "capture_finger",
                finger=following.finger,
                finger_id=name.id,
                finger_en=name.en,
                attempt=following.number,
                limit=policy.attempts_per_finger,
            )
        case State.VERIFIED:
            return prompt("PHOTO", "photo_check")
        case State.FALLBACK | State.PHOTO_CHECKED:
            return prompt("DOCUMENTS", "documents")
        case State.DOCUMENTED:
            return prompt("FORM", "form")
        case State.FILLED | State.SEALED:
            return prompt("CONFIRM", "confirm")
        case State.QUEUED:
            return prompt("DONE", None)
        case State.WITHDRAWN:
            return prompt("WITHDRAWN", None)
        case State.EXPIRED:
            return prompt("EXPIRED", None)


def finger_name(finger: int, tables: Tables) -> Text:
    """What a finger is called."""
    return tables.text(f"finger.{finger}")


def _second_person(draft: ClaimDraft, policy: Policy, tables: Tables, code: FallbackCode | None) -> Prompt:
    codes = open_fallbacks(draft, policy)
    return Prompt(
        code="FALLBACK",
        step="fallback",
        text=tables.text("prompt.FALLBACK"),
        facts={
            "code": code.value if code else None,
            "codes": sorted(codes),
            "reasons": list(tables.fallbacks[code].reasons) if code else [],
        },
    )
