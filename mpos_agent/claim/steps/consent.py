"""The notice is shown or read; the member's answer is recorded with the text's version and checksum."""

from dataclasses import replace

from mpos_agent.audit import Act
from mpos_agent.claim.counter import Counter
from mpos_agent.claim.draft import ClaimDraft, ConsentRecord, FallbackCode
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.states import Event, State
from sync.packet import Basis, ConsentMethod


def run(draft: ClaimDraft, counter: Counter, *, given: bool, method: ConsentMethod) -> Happened:
    """Yes leads to the card, no to a path by hand: refusing the finger never ends the claim."""
    text = counter.tables.consent
    answer = ConsentRecord(
        text_version=text.version,
        text_sha256=text.sha256,
        basis=Basis(text.basis),
        given=given,
        method=method,
        at=counter.clock.now(),
    )
    if given:
        following = replace(draft, consent=answer, manual_code=None)
    else:
        # A finger that was already compared was compared with consent: that record stays what it was, and the
        # fallback's code says that the member stopped here.
        compared = draft.state is State.IDENTIFIED and draft.attempts
        following = replace(draft, consent=draft.consent if compared else answer, manual_code=FallbackCode.NO_CONSENT)
    return Happened(
        event=Event.CONSENT_GIVEN if given else Event.CONSENT_REFUSED,
        draft=following,
        act=Act.CONSENT_RECORDED,
        facts={"given": given},
    )
