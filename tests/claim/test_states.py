"""The table of states and events: every pair, and the picture in the documentation."""

from pathlib import Path

import pytest

from mpos_agent.claim.procedure import STEPS
from mpos_agent.claim.states import FINAL, TRANSITIONS, Event, IllegalTransitionError, State, diagram, next_state

EXPECTED = """
DRAFT          CONSENT_GIVEN          CONSENTED
DRAFT          CONSENT_REFUSED        MANUAL
CONSENTED      CONSENT_REFUSED        MANUAL
CONSENTED      CARD_UNREAD            CONSENTED
CONSENTED      CARD_READ              IDENTIFIED
CONSENTED      CHIP_GIVEN_UP          MANUAL
MANUAL         CONSENT_GIVEN          CONSENTED
MANUAL         CARD_UNREAD            MANUAL
MANUAL         CARD_READ              IDENTIFIED
MANUAL         IDENTITY_TYPED         STATED
CONSENTED      PASSPORT_READ          STATED
MANUAL         PASSPORT_READ          STATED
STATED         PASSPORT_READ          STATED
STATED         CARD_UNREAD            STATED
STATED         IDENTITY_TYPED         STATED
STATED         FALLBACK_COUNTERSIGNED FALLBACK
IDENTIFIED     CARD_READ              IDENTIFIED
IDENTIFIED     CARD_UNREAD            IDENTIFIED
IDENTIFIED     CONSENT_REFUSED        STATED
IDENTIFIED     FINGER_MISSED          IDENTIFIED
IDENTIFIED     SCANNER_FAILED         IDENTIFIED
IDENTIFIED     FINGER_UNCLEAR         IDENTIFIED
IDENTIFIED     FINGER_DIFFERS         IDENTIFIED
IDENTIFIED     FINGER_MATCHES         VERIFIED
IDENTIFIED     FALLBACK_COUNTERSIGNED FALLBACK
VERIFIED       PHOTO_COMPARED         PHOTO_CHECKED
FALLBACK       DOCUMENT_ATTACHED      FALLBACK
FALLBACK       DOCUMENTS_LISTED       DOCUMENTED
PHOTO_CHECKED  DOCUMENT_ATTACHED      PHOTO_CHECKED
DOCUMENTED     DOCUMENT_ATTACHED      DOCUMENTED
FILLED         DOCUMENT_ATTACHED      FILLED
PHOTO_CHECKED  DOCUMENTS_LISTED       DOCUMENTED
DOCUMENTED     DOCUMENTS_LISTED       DOCUMENTED
DOCUMENTED     FORM_FILLED            FILLED
FILLED         DOCUMENTS_LISTED       FILLED
FILLED         FORM_FILLED            FILLED
FILLED         MEMBER_CONFIRMED       SEALED
SEALED         PACKET_STORED          QUEUED
"""


def test_the_table_is_the_one_agreed_on() -> None:
    """Written down a second time, by hand: a change has to be made in both places, knowingly."""
    agreed = {tuple(line.split()) for line in EXPECTED.split("\n") if line}
    for state in set(State) - FINAL - {State.SEALED}:
        agreed |= {(state.value, "WITHDRAWN", "WITHDRAWN"), (state.value, "TIME_RAN_OUT", "EXPIRED")}
    assert {(state.value, event.value, to.value) for (state, event), to in TRANSITIONS.items()} == agreed


@pytest.mark.parametrize("state", State)
def test_every_pair_of_state_and_event(state: State) -> None:
    """In the table: it leads there. Not in the table: our bug, raised, naming both."""
    for event in Event:
        if (state, event) in TRANSITIONS:
            assert next_state(state, event) is TRANSITIONS[state, event]
            continue
        with pytest.raises(IllegalTransitionError, match=f"{event.value}.*{state.value}"):
            next_state(state, event)


def test_a_finished_claim_stays_finished() -> None:
    """Nothing happens to a queued, withdrawn or expired claim."""
    assert not [pair for pair in TRANSITIONS if pair[0] in FINAL]


def test_no_state_is_a_dead_end() -> None:
    """From every open state a claim can still be queued: the machine never refuses anybody."""
    for start in set(State) - FINAL:
        reached, edge = {start}, [start]
        while edge:
            state = edge.pop()
            following = {to for (source, _), to in TRANSITIONS.items() if source is state} - reached
            reached |= following
            edge += following
        assert State.QUEUED in reached, start


def test_only_a_match_verifies() -> None:
    """No other event leads to VERIFIED, so a path by hand can never be shown as a match."""
    assert {event for (_, event), to in TRANSITIONS.items() if to is State.VERIFIED} == {Event.FINGER_MATCHES}


def test_every_event_belongs_to_a_step() -> None:
    """What the table knows, somebody at the counter can make happen."""
    by_step = {event for step in STEPS for event in step.leads_to}
    side_effects = {
        Event.CARD_UNREAD,
        Event.FINGER_MISSED,
        Event.FINGER_UNCLEAR,
        Event.FINGER_DIFFERS,
        Event.SCANNER_FAILED,
        Event.PACKET_STORED,
    }
    assert by_step | side_effects == set(Event)


def test_picture_in_the_documentation_is_the_table() -> None:
    """The document says how to print it, and holds exactly that."""
    document = Path(__file__).parents[2] / "docs" / "claim-session.md"
    assert f"```mermaid\n{diagram()}\n```" in document.read_text(encoding="utf-8")
