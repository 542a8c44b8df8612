"""One short sentence at a time, in both languages, and none that flickers."""

from collections.abc import Sequence

import pytest

from config.tables import load_tables
from drivers.scanner.base import PlaceAgain
from matcher.quality import QualityReason
from mpos_agent.capture.guidance import Guidance, Prompter, guidance_for
from mpos_agent.cli import scanner_workshop


@pytest.mark.parametrize("guidance", list(Guidance), ids=lambda one: one.value)
def test_every_word_of_guidance_has_its_sentences(guidance: Guidance) -> None:
    """Indonesian and English, short enough for a line of a screen."""
    text = load_tables().text(f"guidance.{guidance}")
    assert 5 < len(text.id) <= 100
    assert 5 < len(text.en) <= 100
    assert text.id != text.en


@pytest.mark.parametrize(
    ("reasons", "was_drier", "guidance"),
    [
        ((), False, Guidance.HOLD),
        ((QualityReason.NOT_A_FINGER,), False, Guidance.WRONG_POSITION),
        ((QualityReason.GHOST,), False, Guidance.CLEAN_GLASS),
        ((QualityReason.SMEARED, QualityReason.TOO_DRY), False, Guidance.HOLD_STILL),
        ((QualityReason.OFF_CENTRE,), False, Guidance.CENTRE),
        ((QualityReason.TOO_SMALL,), False, Guidance.LAY_FLAT),
        ((QualityReason.TOO_SMALL, QualityReason.TOO_DRY), False, Guidance.PRESS_HARDER),
        ((QualityReason.TOO_DRY,), False, Guidance.TOO_DRY),
        ((QualityReason.TOO_WET,), False, Guidance.TOO_WET),
        ((QualityReason.TOO_WET, QualityReason.SMEARED), True, Guidance.PRESS_SOFTER),
    ],
)
def test_the_most_hindering_fault_is_what_is_said(
    reasons: Sequence[QualityReason], was_drier: bool, guidance: Guidance
) -> None:
    """Somebody with a finger on the glass can do one thing at a time."""
    assert guidance_for(reasons, was_drier=was_drier) is guidance


def test_every_fault_the_matcher_knows_has_its_guidance() -> None:
    """A new reason cannot leave the member without a word."""
    for reason in QualityReason:
        assert guidance_for((reason,), was_drier=False) is not Guidance.HOLD


def test_a_word_that_flickers_is_not_said() -> None:
    """Frame by frame the judgement wavers; the screen shows what has lasted three frames, and shows it once."""
    told: list[Guidance] = []
    prompter = Prompter(told.append, 3)
    wavering = [Guidance.PLACE_FINGER] + [Guidance.CENTRE, Guidance.LAY_FLAT] * 5
    for guidance in [*wavering, *[Guidance.CENTRE] * 6, Guidance.HOLD]:
        prompter.say(guidance)
    assert told == [Guidance.PLACE_FINGER, Guidance.CENTRE]


@pytest.mark.parametrize("missed", list(PlaceAgain), ids=lambda one: one.value)
def test_every_touch_without_a_picture_has_its_sentences(missed: PlaceAgain) -> None:
    """A claim and a technician's test both say what to do about it."""
    text = load_tables().text(f"happened.PLACE_AGAIN_{missed.name}")
    assert text.id != text.en
    assert missed.value in scanner_workshop._AGAIN
