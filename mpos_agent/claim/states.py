"""The states of a claim and what moves it from one to the next. No input, no output, no clock: one table.

A claim gathers evidence; it never decides. Three ways lead to ``FALLBACK``, none to a refusal:

* fingers were tried and did not match, or could not be read (from ``IDENTIFIED``);
* the chip could not be used, or the member does not want it used: identity is typed (``MANUAL`` → ``STATED``);
* the member withdraws consent after the card was read (``IDENTIFIED`` → ``STATED``).

Each ends with a second person who countersigns. What is not in the table is our own bug and raises
:class:`IllegalTransitionError`; nothing happens then. The session (``session.py``) is the only one to call
:func:`next_state`, and it saves state, draft and audit row in one transaction, so a power cut resumes at
the last finished step.

Life after ``QUEUED`` (sent, acknowledged, agenda number, decision, purge) belongs to the row of the outbox and
to head office's receipts; the draft no longer exists then.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class State(enum.Enum):
    """What is already true of a claim."""

    DRAFT = "DRAFT"
    """Programme, reason and relation are chosen; the member has not been asked yet."""
    CONSENTED = "CONSENTED"
    """The notice was shown or read and the member agreed; the card may be read."""
    MANUAL = "MANUAL"
    """The chip will not be used (refused, unreadable, none): identity is typed from papers."""
    STATED = "STATED"
    """Identity is known and no finger will be compared: a second person is next."""
    IDENTIFIED = "IDENTIFIED"
    """The chip was read; its templates are held in memory; a finger is next."""
    VERIFIED = "VERIFIED"
    """A live finger matched a template of the chip; everything biometric is wiped."""
    FALLBACK = "FALLBACK"
    """A second person compared the photo and countersigned a coded reason."""
    PHOTO_CHECKED = "PHOTO_CHECKED"
    """The operator compared the chip photo with the person."""
    DOCUMENTED = "DOCUMENTED"
    """Documents are listed, whether complete or not."""
    FILLED = "FILLED"
    """The claim form is filled in; the summary can be read back."""
    SEALED = "SEALED"
    """Signed and encrypted. Only inside the transaction that also stores the packet."""
    QUEUED = "QUEUED"
    """The packet is on disk in the outbox and the draft is gone. Only now is anybody told "done"."""
    WITHDRAWN = "WITHDRAWN"
    """The member took the claim back; the draft is gone."""
    EXPIRED = "EXPIRED"
    """Nobody came back to the draft in time; it is gone."""


class Event(enum.Enum):
    """What happened at the counter."""

    CONSENT_GIVEN = "CONSENT_GIVEN"
    CONSENT_REFUSED = "CONSENT_REFUSED"
    CARD_UNREAD = "CARD_UNREAD"
    """A tap failed; the chip was not read."""
    CARD_READ = "CARD_READ"
    CHIP_GIVEN_UP = "CHIP_GIVEN_UP"
    """There is no chip, or it was not read after the allowed taps."""
    IDENTITY_TYPED = "IDENTITY_TYPED"
    PASSPORT_READ = "PASSPORT_READ"
    """Holder and photo came from a passport's chip; nothing on it can be compared with a finger."""
    FINGER_MISSED = "FINGER_MISSED"
    """Nobody placed a finger in time: not an attempt."""
    SCANNER_FAILED = "SCANNER_FAILED"
    FINGER_UNCLEAR = "FINGER_UNCLEAR"
    """The picture was too poor to say anything."""
    FINGER_DIFFERS = "FINGER_DIFFERS"
    FINGER_MATCHES = "FINGER_MATCHES"
    FALLBACK_COUNTERSIGNED = "FALLBACK_COUNTERSIGNED"
    PHOTO_COMPARED = "PHOTO_COMPARED"
    DOCUMENT_ATTACHED = "DOCUMENT_ATTACHED"
    """A scanned file was checked and kept, encrypted; the list says which paper it is."""
    DOCUMENTS_LISTED = "DOCUMENTS_LISTED"
    FORM_FILLED = "FORM_FILLED"
    MEMBER_CONFIRMED = "MEMBER_CONFIRMED"
    PACKET_STORED = "PACKET_STORED"
    WITHDRAWN = "WITHDRAWN"
    TIME_RAN_OUT = "TIME_RAN_OUT"


FINAL: Final = frozenset({State.QUEUED, State.WITHDRAWN, State.EXPIRED})
"""Nothing happens to a claim in these; there is no draft any more."""

_OPEN: Final = tuple(state for state in State if state not in FINAL and state is not State.SEALED)

TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = MappingProxyType(
    {
        (State.DRAFT, Event.CONSENT_GIVEN): State.CONSENTED,
        (State.DRAFT, Event.CONSENT_REFUSED): State.MANUAL,
        # The card.
        (State.CONSENTED, Event.CARD_READ): State.IDENTIFIED,
        (State.CONSENTED, Event.CARD_UNREAD): State.CONSENTED,
        (State.CONSENTED, Event.CHIP_GIVEN_UP): State.MANUAL,
        (State.CONSENTED, Event.CONSENT_REFUSED): State.MANUAL,
        # A passport instead: of a person who has no e-KTP.
        (State.CONSENTED, Event.PASSPORT_READ): State.STATED,
        (State.MANUAL, Event.PASSPORT_READ): State.STATED,
        (State.STATED, Event.PASSPORT_READ): State.STATED,
        (State.STATED, Event.CARD_UNREAD): State.STATED,
        # By hand. A chip that reads after all, or a member who agrees after all, leads back.
        (State.MANUAL, Event.CONSENT_GIVEN): State.CONSENTED,
        (State.MANUAL, Event.CARD_READ): State.IDENTIFIED,
        (State.MANUAL, Event.CARD_UNREAD): State.MANUAL,
        (State.MANUAL, Event.IDENTITY_TYPED): State.STATED,
        (State.STATED, Event.IDENTITY_TYPED): State.STATED,
        (State.STATED, Event.FALLBACK_COUNTERSIGNED): State.FALLBACK,
        # The finger. After a restart the templates are gone and the same card is read again.
        (State.IDENTIFIED, Event.CARD_READ): State.IDENTIFIED,
        (State.IDENTIFIED, Event.CARD_UNREAD): State.IDENTIFIED,
        (State.IDENTIFIED, Event.CONSENT_REFUSED): State.STATED,
        (State.IDENTIFIED, Event.FINGER_MISSED): State.IDENTIFIED,
        (State.IDENTIFIED, Event.SCANNER_FAILED): State.IDENTIFIED,
        (State.IDENTIFIED, Event.FINGER_UNCLEAR): State.IDENTIFIED,
        (State.IDENTIFIED, Event.FINGER_DIFFERS): State.IDENTIFIED,
        (State.IDENTIFIED, Event.FINGER_MATCHES): State.VERIFIED,
        (State.IDENTIFIED, Event.FALLBACK_COUNTERSIGNED): State.FALLBACK,
        # Photo, papers, form. On the fallback path the second person has compared the photo already.
        (State.VERIFIED, Event.PHOTO_COMPARED): State.PHOTO_CHECKED,
        (State.PHOTO_CHECKED, Event.DOCUMENT_ATTACHED): State.PHOTO_CHECKED,
        (State.PHOTO_CHECKED, Event.DOCUMENTS_LISTED): State.DOCUMENTED,
        (State.FALLBACK, Event.DOCUMENT_ATTACHED): State.FALLBACK,
        (State.FALLBACK, Event.DOCUMENTS_LISTED): State.DOCUMENTED,
        (State.DOCUMENTED, Event.DOCUMENT_ATTACHED): State.DOCUMENTED,
        (State.DOCUMENTED, Event.DOCUMENTS_LISTED): State.DOCUMENTED,
        (State.DOCUMENTED, Event.FORM_FILLED): State.FILLED,
        # Corrections until the member confirms.
        (State.FILLED, Event.DOCUMENT_ATTACHED): State.FILLED,
        (State.FILLED, Event.DOCUMENTS_LISTED): State.FILLED,
        (State.FILLED, Event.FORM_FILLED): State.FILLED,
        (State.FILLED, Event.MEMBER_CONFIRMED): State.SEALED,
        (State.SEALED, Event.PACKET_STORED): State.QUEUED,
    }
    | {(state, Event.WITHDRAWN): State.WITHDRAWN for state in _OPEN}
    | {(state, Event.TIME_RAN_OUT): State.EXPIRED for state in _OPEN}
)


class IllegalTransitionError(Exception):
    """An event that the table does not know in this state: a bug of ours, and nothing has changed."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value} cannot happen to a claim that is {state.value}")
        self.state, self.event = state, event


def next_state(state: State, event: Event) -> State:
    """Where ``event`` leads from ``state``; IllegalTransitionError when the table does not say."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None


def can_happen(state: State, event: Event) -> bool:
    """Whether the table knows ``event`` in ``state``."""
    return (state, event) in TRANSITIONS


def diagram() -> str:
    """The table as a Mermaid state diagram; withdrawal and expiry, possible in every open state, are left out."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), target in TRANSITIONS.items():
        if event not in (Event.WITHDRAWN, Event.TIME_RAN_OUT):
            arrows.setdefault((state, target), []).append(event.value.lower().replace("_", " "))
    lines = ["stateDiagram-v2", f"    [*] --> {State.DRAFT.value}"]
    lines += [
        f"    {state.value} --> {target.value}: {', '.join(events)}" for (state, target), events in arrows.items()
    ]
    lines.append(f"    {State.QUEUED.value} --> [*]")
    return "\n".join(lines)
