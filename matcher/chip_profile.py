"""A template as an e-KTP carries it: what the issuer's record keeps of a finger, and what it loses."""

from typing import Final

import numpy as np

from matcher.iso19794 import View, encode
from matcher.template import ENDING, Template

MAX_MINUTIAE: Final = 60
"""Reached and never passed on cards seen."""
GOOD, POOR = 50, 9
"""The only two minutia qualities seen."""
GOOD_SHARE: Final = 0.73
"""Share of minutiae with the higher quality: 291 of 401 seen."""


def as_on_chip(template: Template, finger_position: int) -> bytes:
    """The ISO/IEC 19794-2:2005 record an e-KTP would hold for this finger.

    At most 60 minutiae (the best by quality), every type "ending", qualities 50 and 9 only, image size 0 x 0,
    view quality 254, one view, no extended data. Positions are whole pixels, angles 360/256 degrees.
    The order is fixed but follows no coordinate, as on cards seen.
    """
    kept = template.best(MAX_MINUTIAE)
    count = len(kept)
    rank = np.argsort(np.argsort(-np.nan_to_num(kept.quality, nan=-1.0), kind="stable"), kind="stable")
    quality = np.where(rank < round(GOOD_SHARE * count), GOOD, POOR)
    # Multiples of the golden ratio scatter neighbours without a random generator.
    order = np.argsort(np.arange(count) * 0.6180339887 % 1.0)
    chip = Template.of(kept.x, kept.y, kept.angle, np.full(count, ENDING), quality).subset(order)
    try:
        return encode(View(chip, finger_position, quality=None))
    finally:
        chip.wipe()
        kept.wipe()
