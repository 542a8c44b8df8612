"""A template written as on an e-KTP has the card's limits and keeps the finger."""

import numpy as np
import pytest

from matcher.chip_profile import as_on_chip
from matcher.iso19794 import decode
from matcher.template import Template


@pytest.mark.parametrize("count", [0, 1, 40, 60, 61, 255])
def test_record_has_the_size_and_header_of_a_card(count: int) -> None:
    """30 + 6 n bytes, no image size, finger at its place, quality 254, n at most 60."""
    rng = np.random.default_rng(count)
    data = as_on_chip(
        Template.of(rng.uniform(81, 370, count), rng.uniform(87, 506, count), rng.uniform(0, 6, count)), 7
    )
    kept = min(count, 60)
    assert len(data) == 30 + 6 * kept == int.from_bytes(data[8:12], "big")
    assert data[12:18] == bytes(6)
    assert data[18:24] == bytes.fromhex("00c500c50100")
    assert data[24:28] == bytes([7, 0, 254, kept])


def test_card_keeps_the_best_minutiae_and_forgets_their_types() -> None:
    """Of 100 minutiae the 60 best remain, all of type ending, with the two qualities a card has."""
    rng = np.random.default_rng(5)
    finger = Template.of(
        np.arange(100), rng.uniform(87, 506, 100), rng.uniform(0, 6, 100), np.full(100, 2), np.arange(100)
    )
    template = decode(as_on_chip(finger, 2)).views[0].template
    assert sorted(template.x) == list(range(40, 100))
    assert set(template.kind.tolist()) == {1}
    assert set(template.quality.tolist()) == {50.0, 9.0}
    assert template.quality[template.x.argmax()] == 50
    assert (np.diff(template.x) < 0).any()
    assert not (np.diff(template.x) < 0).all()
    assert len(finger) == 100
    assert finger.x[99] == 99
