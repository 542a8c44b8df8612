"""A second person countersigns a coded reason, having compared the chip photo (or the card's) with the person."""

import datetime
from dataclasses import replace

from mpos_agent.audit import Act
from mpos_agent.claim.counter import Counter
from mpos_agent.claim.draft import BioResult, ClaimDraft, Countersignature, FallbackCode
from mpos_agent.claim.findings import Block, Caution, Found, cautions
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.policy import open_fallbacks
from mpos_agent.claim.states import Event
from mpos_agent.claim.steps.identify import degraded_limit_reached
from mpos_agent.people import Refusal, Role, SignIn, may_countersign
from sync.enrolment import SiteType
from sync.packet import AttemptOutcome, BioOutcome, PhotoCompare


def run(
    draft: ClaimDraft,
    counter: Counter,
    *,
    code: FallbackCode,
    reason: str,
    supervisor_id: str | None,
    pin: str,
    photo_compare: PhotoCompare,
    shown: bool,
) -> Happened:
    """Check code, reason and the second person in that order; the PIN is asked for last.

    In the field there may be nobody: with ``supervisor_id`` None the claim goes on as pending there, is marked
    so in the packet, and is countersigned at the office. Elsewhere a second person has to be present.
    ``shown``: whether this device had shown the chip's photo; otherwise the printed one was compared.
    """
    if code not in open_fallbacks(draft, counter.policy):
        return _blocked(draft, Found(Block.FALLBACK_NOT_OPEN, "code"))
    if reason not in counter.tables.fallbacks[code].reasons:
        return _blocked(draft, Found(Block.FALLBACK_REASON, "reason"))
    # With identity typed by hand the limit was checked when the reader was given up.
    if code is FallbackCode.DEVICE_DEGRADED and draft.manual_code is None and degraded_limit_reached(counter):
        return _blocked(draft, Found(Block.DEGRADED_LIMIT))
    if supervisor_id is None:
        site = counter.site()
        if site is None or site.site_type is not SiteType.FIELD:
            return _blocked(draft, Found(Block.SUPERVISOR_REFUSED, "supervisor_id"))
    else:
        if not may_countersign(draft.operator_id, supervisor_id):
            return _blocked(draft, Found(Block.SUPERVISOR_IS_OPERATOR, "supervisor_id"))
        sign_in = counter.people.authenticate(supervisor_id, pin, Role.SUPERVISOR)
        if sign_in.person is None:
            return _not_let_in(draft, sign_in)
        supervisor_id = sign_in.person.person_id
    found = photo_findings(photo_compare)
    return Happened(
        event=Event.FALLBACK_COUNTERSIGNED,
        draft=replace(
            draft,
            fallback=Countersignature(
                code=code,
                reason=reason,
                photo_compare=photo_compare,
                supervisor_id=supervisor_id,
                at=counter.clock.now(),
            ),
            bio=_without_match(draft, counter, code),
            warnings=draft.with_warnings(*cautions(found)),
        ),
        act=Act.FALLBACK,
        facts={"code": code, "photo": photo_compare, "photo_shown": shown, "pending": supervisor_id is None},
        found=found,
    )


def photo_findings(answer: PhotoCompare) -> tuple[Found, ...]:
    """What an answer to the photo question means for head office; nothing here accuses anybody."""
    return {
        PhotoCompare.SAME: (),
        PhotoCompare.NOT_SAME: (Found(Caution.PHOTO_NOT_SAME),),
        PhotoCompare.UNSURE: (Found(Caution.PHOTO_UNSURE),),
    }[answer]


def _without_match(draft: ClaimDraft, counter: Counter, code: FallbackCode) -> BioResult:
    """What the fingers said, when they did not say "match"."""
    outcomes = {attempt.outcome for attempt in draft.attempts}
    match code:
        case FallbackCode.NO_MATCH_MANUAL:
            outcome = BioOutcome.NO_MATCH
        case FallbackCode.QUALITY_LOW:
            outcome = BioOutcome.QUALITY_LOW
        case FallbackCode.FINGER_EXEMPT:
            outcome = BioOutcome.EXEMPT
        case FallbackCode.DEVICE_DEGRADED:
            outcome = BioOutcome.DEVICE_DEGRADED
        case FallbackCode.SUSPECTED_IMPERSONATION if AttemptOutcome.NO_MATCH in outcomes:
            outcome = BioOutcome.NO_MATCH
        case FallbackCode.SUSPECTED_IMPERSONATION if AttemptOutcome.QUALITY_LOW in outcomes:
            outcome = BioOutcome.QUALITY_LOW
        case _:
            outcome = BioOutcome.NOT_DONE
    if draft.bio is not None:
        return replace(draft.bio, outcome=outcome)
    return BioResult(
        outcome=outcome,
        finger=None,
        score_band=None,
        paired_minutiae=None,
        threshold_id=counter.policy.threshold_id,
        matcher_version=counter.matcher.version,
        parameter_digest=counter.matcher.parameter_digest,
    )


def _not_let_in(draft: ClaimDraft, shown: SignIn) -> Happened:
    locked = shown.refusal is Refusal.LOCKED
    until = shown.locked_until.astimezone(datetime.UTC).isoformat(timespec="seconds") if shown.locked_until else None
    block = Block.SUPERVISOR_LOCKED if locked else Block.SUPERVISOR_REFUSED
    assert shown.refusal is not None
    return Happened(
        event=None,
        draft=draft,
        act=Act.STEP_BLOCKED,
        facts={"blocks": 1, "refusal": shown.refusal},
        found=(Found(block, "supervisor_id"),),
        details={"attempts_left": shown.attempts_left, "locked_until": until},
    )


def _blocked(draft: ClaimDraft, found: Found) -> Happened:
    return Happened(event=None, draft=draft, act=Act.STEP_BLOCKED, facts={"blocks": 1}, found=(found,))
