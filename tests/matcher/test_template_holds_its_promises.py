"""A template holds only finite minutiae, shows nothing of them, and can be wiped."""

import copy
import pickle

import numpy as np
import pytest

from matcher.errors import InvalidTemplateError
from matcher.template import Template


@pytest.mark.parametrize(
    "arrays",
    [
        ([np.nan], [0], [0]),
        ([0], [np.inf], [0]),
        ([0], [0], [np.nan]),
        ([1e9], [0], [0]),
        ([0, 1], [0], [0]),
        ([[0]], [[0]], [[0]]),
        (["a"], [0], [0]),
        ([0], [0], [0], [3]),
        ([0], [0], [0], [1], [101]),
        ([0], [0], [0], [1], [-1]),
    ],
)
def test_arrays_that_are_no_minutiae_are_refused(arrays: tuple[list[float], ...]) -> None:
    """Not finite, of different lengths, or out of range: refused with the cause, never compared."""
    with pytest.raises(InvalidTemplateError):
        Template.of(*arrays)


def test_angles_come_out_in_one_turn() -> None:
    """Also the tiny negative angle whose remainder rounds to a whole turn."""
    template = Template.of([0, 0, 0], [0, 0, 0], [-1e-18, 7.0, -0.5])
    assert (template.angle >= 0).all()
    assert (template.angle < 2 * np.pi).all()


def test_nothing_of_the_finger_is_shown_or_carried_away() -> None:
    """The text of a template has no coordinates; it can be neither pickled nor copied."""
    template = Template.of([123.0], [45.0], [0.6])
    assert "123" not in repr(template)
    for carry in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            carry(template)


def test_wiped_template_is_all_zeros() -> None:
    """Whoever still holds the arrays holds zeros."""
    template = Template.of([123.0], [45.0], [0.6], [2], [77])
    x = template.x
    template.wipe()
    template.wipe()
    assert not x.any()
    assert not template.quality.any()


def test_best_keeps_the_highest_qualities_in_order() -> None:
    """Unknown quality is the last choice."""
    template = Template.of([0, 1, 2, 3], [0] * 4, [0] * 4, None, [10, np.nan, 90, 50])
    assert template.best(3).x.tolist() == [0, 2, 3]
    assert template.best(1).x.tolist() == [2]
