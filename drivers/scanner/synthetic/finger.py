"""Fingers that nobody has: drawn from a seed, so that demo, tests and drills need no real person's print."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.condition import Condition
from drivers.scanner.synthetic.faults import Fault, take_faulty_impression
from drivers.scanner.synthetic.impression import take_impression
from drivers.scanner.synthetic.pattern import FingerClass, Pattern, draw_pattern
from drivers.scanner.synthetic.skin import Skin, grow_skin

GLASS = (374, 388)
"""Rows and columns of the usual picture at 500 dpi: 19 x 20 mm of glass."""
DPI = 500.0


class Finger:
    """A synthetic finger. Its pixels follow from its seed and the seed of the impression alone."""

    def __init__(self, seed: int, pattern: Pattern, skin: Skin) -> None:
        self.seed, self.pattern, self.skin = seed, pattern, skin

    @classmethod
    def from_seed(cls, seed: int, finger_class: FingerClass | None = None) -> Self:
        """Grow the finger with this number (0 or above); its class by natural frequency unless given."""
        rng = np.random.default_rng([seed, 1])
        pattern = draw_pattern(rng, finger_class)
        return cls(seed, pattern, grow_skin(rng, pattern))

    def impression(
        self,
        seed: int,
        *,
        condition: Condition | None = None,
        fault: Fault | None = None,
        shape: tuple[int, int] = GLASS,
    ) -> NDArray[np.uint8]:
        """Touch the glass once.

        Parameters
        ----------
        seed : number of the touch, 0 or above.
        condition : how the finger touches; drawn from the seed as people do it when not given.
        fault : plants one named fault into the touch.
        shape : (H, W) of the glass in pixels at 500 dpi.

        Returns
        -------
        pixels : (H, W) uint8, 500 dpi, ridges dark on light, finger tip up.
        """
        rng = np.random.default_rng([self.seed, seed, 2])
        natural = Condition.natural(rng)
        touch = natural if condition is None else condition
        if fault is not None:
            return take_faulty_impression(rng, self.skin, touch, fault, shape)
        return take_impression(rng, self.skin, touch, shape)
