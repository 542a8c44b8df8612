"""One attempt: ask for a finger, take its picture, compare it with the templates of the card, wipe.

What comes out is evidence. A finger that does not match leads to the next attempt, the other finger or a second
person (``policy.py``), never to a refusal.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from drivers.errors import DeviceError
from drivers.scanner.base import FingerImage, PlaceAgain
from matcher.errors import MatcherError, UnusableImageError
from mpos_agent.audit import Act
from mpos_agent.claim.counter import Counter, FingerProgress, FingerPrompt
from mpos_agent.claim.draft import Attempt, BioResult, ClaimDraft
from mpos_agent.claim.findings import Block, Found
from mpos_agent.claim.happened import Happened
from mpos_agent.claim.held_biometrics import HeldBiometrics, HeldFinger
from mpos_agent.claim.policy import TryFinger, comparisons_allowed
from mpos_agent.claim.states import Event
from sync.packet import AttemptOutcome, BioOutcome


@dataclass(frozen=True, slots=True)
class _Compared:
    """One picture against every template of the card: numbers only."""

    outcome: AttemptOutcome
    finger: int
    quality: int
    value: float
    band: str
    matched: int
    hints: tuple[str, ...] = ()
    """What could be better about the picture, the most hindering first."""


_EVENTS = {
    AttemptOutcome.MATCH: Event.FINGER_MATCHES,
    AttemptOutcome.NO_MATCH: Event.FINGER_DIFFERS,
    AttemptOutcome.QUALITY_LOW: Event.FINGER_UNCLEAR,
}
_BIO = {
    AttemptOutcome.MATCH: BioOutcome.MATCH,
    AttemptOutcome.NO_MATCH: BioOutcome.NO_MATCH,
    AttemptOutcome.QUALITY_LOW: BioOutcome.QUALITY_LOW,
}
# The packet takes 32 attempts. Those that compared something come first; waits for nobody are what is dropped.
_ATTEMPTS_KEPT = 32


def run(
    draft: ClaimDraft,
    counter: Counter,
    held: HeldBiometrics,
    *,
    asked: TryFinger,
    progress: FingerProgress,
    stop: threading.Event,
) -> Happened:
    """Make one attempt with the finger the policy asks for."""
    fingers = held.fingers(draft.claim_id)
    if not fingers:
        return _templates_gone(draft)
    prompt = _prompt(draft.claim_id, asked, counter)
    progress("place_finger")
    began = counter.clock.monotonic()
    try:
        picture = counter.capture(prompt, counter.policy.capture_timeout_s, stop)
    except DeviceError as error:
        return _failed(draft, counter, held, asked=asked, error=error, began=began)
    if isinstance(picture, PlaceAgain):
        missed = Attempt(finger=asked.finger, quality=None, outcome=AttemptOutcome.NOT_PLACED, ms=_ms(counter, began))
        return Happened(
            event=Event.FINGER_MISSED,
            draft=replace(draft, attempts=_with(draft.attempts, missed)),
            act=Act.FINGER_ATTEMPT,
            facts={"finger": asked.finger, "outcome": missed.outcome, "ms": missed.ms},
            say=f"PLACE_AGAIN_{picture.name}",
            details={"finger": asked.finger, "place_again": picture.value},
        )
    try:
        progress("compare")
        result = _compared(picture, fingers, asked.finger, counter, _allowed(draft, fingers, counter))
    except MatcherError as error:
        # The network file is missing or damaged: the machine's trouble, not the finger's.
        return _failed(draft, counter, held, asked=asked, error=error, began=began)
    finally:
        picture.wipe()
    # Wiped in the meantime (held long enough, another member's card): what was compared may have been zeros. That
    # says nothing of the finger, and no attempt is counted. A match needs minutiae and stays one.
    if result.outcome is not AttemptOutcome.MATCH and held.fingers(draft.claim_id) != fingers:
        return _templates_gone(draft)
    threshold_id = f"{counter.policy.threshold_id}/{_allowed(draft, fingers, counter)}"
    return _told(draft, counter, asked, result, ms=_ms(counter, began), threshold_id=threshold_id)


def _templates_gone(draft: ClaimDraft) -> Happened:
    """Nothing to compare with (any more): the same card is asked for again."""
    return Happened(
        event=None, draft=draft, act=Act.STEP_BLOCKED, facts={"blocks": 1}, found=(Found(Block.TEMPLATES_GONE),)
    )


def _failed(
    draft: ClaimDraft,
    counter: Counter,
    held: HeldBiometrics,
    *,
    asked: TryFinger,
    error: DeviceError | MatcherError,
    began: float,
) -> Happened:
    """Scanner or matcher broke. What is held is wiped, as at every failure; the same card is asked for again."""
    held.wipe(draft.claim_id)
    failed = Attempt(finger=asked.finger, quality=None, outcome=AttemptOutcome.DEVICE_FAILED, ms=_ms(counter, began))
    return Happened(
        event=Event.SCANNER_FAILED,
        draft=replace(draft, attempts=_with(draft.attempts, failed), scanner_faults=draft.scanner_faults + 1),
        act=Act.SCANNER_FAILED,
        facts={"cause": error.code, "finger": asked.finger},
        failure=error,
    )


def _allowed(draft: ClaimDraft, fingers: Sequence[HeldFinger], counter: Counter) -> int:
    return comparisons_allowed(draft.chip.fingers if draft.chip else (), len(fingers), counter.policy)


def _compared(
    picture: FingerImage, fingers: Sequence[HeldFinger], asked: int, counter: Counter, allowed: int
) -> _Compared:
    """Compare with every template: a member may well place the other finger of the two.

    Every score is taken as one of all the ``allowed`` ones: somebody who tries on is no likelier to be let through
    than the threshold says.

    A poor picture is compared as well, because worn fingers give nothing better: what matches at the named
    false match rate matches. Only when it does not is the picture blamed instead of the finger.
    """
    matcher, threshold = counter.matcher, counter.matcher.threshold(counter.policy.threshold_id)
    try:
        judged = matcher.quality(picture)
        quality, hints = max(0, min(100, round(judged.value))), tuple(str(reason.value) for reason in judged.reasons)
        probe = matcher.extract(picture)
    except UnusableImageError:
        return _Compared(AttemptOutcome.QUALITY_LOW, asked, 0, 0.0, "none", 0)
    best = _Compared(AttemptOutcome.NO_MATCH, asked, quality, float("-inf"), "none", 0, hints)
    try:
        for held in fingers:
            gallery = matcher.decode(held.record)
            if gallery is None:
                continue
            try:
                score = matcher.in_series(matcher.compare(probe, gallery.template), allowed)
            finally:
                gallery.template.wipe()
            if score.value > best.value:
                best = replace(best, finger=held.finger, value=score.value, band=score.band, matched=score.matched)
    finally:
        probe.wipe()
    if best.value >= threshold:
        return replace(best, outcome=AttemptOutcome.MATCH)
    outcome = AttemptOutcome.QUALITY_LOW if quality < counter.policy.minimum_quality else AttemptOutcome.NO_MATCH
    # The finger that was asked for is the one that differed, whichever template came closest.
    return replace(best, outcome=outcome, finger=asked)


def _told(
    draft: ClaimDraft, counter: Counter, asked: TryFinger, result: _Compared, *, ms: int, threshold_id: str
) -> Happened:
    attempt = Attempt(finger=result.finger, quality=result.quality, outcome=result.outcome, ms=ms)
    bio = BioResult(
        outcome=_BIO[result.outcome],
        finger=result.finger,
        score_band=result.band,
        paired_minutiae=min(result.matched, 255),
        threshold_id=threshold_id,
        matcher_version=counter.matcher.version,
        parameter_digest=counter.matcher.parameter_digest,
    )
    return Happened(
        event=_EVENTS[result.outcome],
        draft=replace(draft, attempts=_with(draft.attempts, attempt), bio=bio),
        act=Act.FINGER_ATTEMPT,
        facts={"finger": attempt.finger, "quality": result.quality, "outcome": attempt.outcome, "ms": ms},
        say=_EVENTS[result.outcome].value,
        details={
            "finger": attempt.finger,
            "asked": asked.finger,
            "attempt": asked.number,
            "quality": result.quality,
            "outcome": attempt.outcome.value,
            "hints": [
                {"code": hint, "id": text.id, "en": text.en}
                for hint in result.hints
                if (text := counter.tables.texts[f"quality.{hint}"])
            ],
            "ms": ms,
            # Only a match says how sure it is: a near miss would teach an impostor.
            "score_band": bio.score_band if attempt.outcome is AttemptOutcome.MATCH else None,
            "threshold_id": bio.threshold_id,
        },
    )


def _with(attempts: tuple[Attempt, ...], latest: Attempt) -> tuple[Attempt, ...]:
    everything = (*attempts, latest)
    while len(everything) > _ATTEMPTS_KEPT:
        idle = next(
            (
                place
                for place, attempt in enumerate(everything)
                if attempt.outcome in (AttemptOutcome.NOT_PLACED, AttemptOutcome.DEVICE_FAILED)
            ),
            0,
        )
        everything = everything[:idle] + everything[idle + 1 :]
    return everything


def _prompt(claim_id: str, asked: TryFinger, counter: Counter) -> FingerPrompt:
    name = counter.tables.text(f"finger.{asked.finger}")
    limit = counter.policy.attempts_per_finger
    text = counter.tables.text(
        f"prompt.{asked.prompt}", finger_id=name.id, finger_en=name.en, attempt=asked.number, limit=limit
    )
    return FingerPrompt(
        claim_id=claim_id,
        finger=asked.finger,
        attempt=asked.number,
        limit=limit,
        text_id=text.id,
        text_en=text.en,
    )


def _ms(counter: Counter, began: float) -> int:
    return max(0, min(600_000, round((counter.clock.monotonic() - began) * 1000)))
