"""What to try next: attempts, the other finger, the fallback. Pure; gathers, never decides a claim."""

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpos_agent.claim.draft import Attempt, ClaimDraft, FallbackCode
from mpos_agent.claim.states import State
from sync.packet import AttemptOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers a site may set; their defaults and reasons stand in ``config/tables/policy.toml``."""

    card_taps: int
    attempts_per_finger: int
    poor_pictures_per_finger: int
    minimum_quality: int
    threshold_id: str
    capture_timeout_s: float
    hold_templates_s: float
    degraded_per_day: int
    send_chip_photo: bool
    photo_retention_days: int
    document_bytes: int
    claim_documents_bytes: int
    document_pages: int
    draft_lifetime_h: float
    accept_test_identities: bool

    @classmethod
    def of(cls, defaults: Mapping[str, int | float | str | bool], **site: int | float | str | bool) -> "Policy":
        """The tables' defaults with a site's own values laid over them; TypeError for an unknown name."""
        return cls(**{**defaults, **site})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class TryFinger:
    """Ask for this finger. ``number`` counts compared attempts from 1."""

    finger: int
    number: int
    prompt: str
    """``FINGER``, ``FINGER_AGAIN`` after one that did not match, ``FINGER_CLEAR`` after a poor picture, or
    ``FINGER_OTHER`` for the second finger."""


@dataclass(frozen=True, slots=True)
class CallSecondPerson:
    """Every finger was tried; this code tells why a second person is needed."""

    code: FallbackCode


def next_try(fingers: Sequence[int], attempts: Sequence[Attempt], policy: Policy) -> TryFinger | CallSecondPerson:
    """The next finger, or the fallback when each was tried as often as it may be.

    Pictures too poor to say anything are counted apart from attempts that did not match, so that a dry finger
    does not use up the tries of a good one.
    """
    if not fingers:
        return CallSecondPerson(FallbackCode.FINGER_EXEMPT)
    tally = Tally((attempt.finger, attempt.outcome) for attempt in attempts)
    for place, finger in enumerate(fingers):
        differed = tally[finger, AttemptOutcome.NO_MATCH]
        unclear = tally[finger, AttemptOutcome.QUALITY_LOW]
        if differed < policy.attempts_per_finger and unclear < policy.poor_pictures_per_finger:
            last = attempts[-1] if attempts and attempts[-1].finger == finger else None
            if last and last.outcome is AttemptOutcome.QUALITY_LOW:
                prompt = "FINGER_CLEAR"
            elif last and last.outcome is AttemptOutcome.NO_MATCH:
                prompt = "FINGER_AGAIN"
            else:
                prompt = "FINGER" if place == 0 else "FINGER_OTHER"
            return TryFinger(finger, differed + 1, prompt)
    compared = any(attempt.outcome is AttemptOutcome.NO_MATCH for attempt in attempts)
    return CallSecondPerson(FallbackCode.NO_MATCH_MANUAL if compared else FallbackCode.QUALITY_LOW)


def comparisons_allowed(fingers: Sequence[int], templates: int, policy: Policy) -> int:
    """How many comparisons one claim may come to: the false match rate that is named holds for all of them together.

    A finger is given up with the last attempt of either kind, so the other kind is never used up as well.
    """
    pictures = policy.attempts_per_finger + policy.poor_pictures_per_finger - 1
    return max(1, len(fingers)) * pictures * max(1, templates)


def chip_may_be_given_up(draft: ClaimDraft, policy: Policy) -> bool:
    """Identity may be typed once the chip had its chances; a person without a chip never needs them."""
    return len(draft.failed_taps) >= policy.card_taps


def open_fallbacks(draft: ClaimDraft, policy: Policy) -> frozenset[FallbackCode]:
    """The codes a second person may countersign right now."""
    if draft.state is State.STATED:
        assert draft.manual_code is not None, "identity was typed for a coded reason"
        return frozenset({draft.manual_code, FallbackCode.SUSPECTED_IMPERSONATION})
    if draft.state is not State.IDENTIFIED:
        return frozenset()
    codes = {FallbackCode.FINGER_EXEMPT, FallbackCode.SUSPECTED_IMPERSONATION}
    if draft.scanner_faults:
        codes.add(FallbackCode.DEVICE_DEGRADED)
    following = next_try(draft.chip.fingers if draft.chip else (), draft.attempts, policy)
    if isinstance(following, CallSecondPerson):
        codes.add(following.code)
        # Both happened: the second person may say that poor skin, not another person, is the likelier story.
        if any(attempt.outcome is AttemptOutcome.QUALITY_LOW for attempt in draft.attempts):
            codes.add(FallbackCode.QUALITY_LOW)
    return frozenset(codes)
