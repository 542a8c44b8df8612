"""What a raw score means: the share of strangers' fingers that would score as high."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

_RAW: Final = (-20.0, -7.98, -5.12, -3.67, -2.54, -1.56, -0.77, -0.03)
_DECADES: Final = (0.0, 0.301, 1.0, 1.523, 2.0, 2.523, 3.0, 3.523)
"""Raw score against minus the decimal logarithm of the share of strangers that reach it, as counted."""

_TAIL: Final = 0.70
"""Decades per unit of raw score beyond the last point: an exponential tail, a little heavier than the one seen."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a comparison says.

    value : 10 times the decades below certainty: 30 means one stranger in a thousand scores as high.
    false_match_rate : share of strangers' fingers that would score at least this.
    matched : minutiae laid on one another.
    band : ``none``, or the name of the strictest threshold reached.
    """

    value: float
    false_match_rate: float
    matched: int
    band: str


THRESHOLDS: Final[Mapping[str, float]] = MappingProxyType(
    {"FMR_1%": 20.0, "FMR_0.1%": 30.0, "FMR_0.01%": 40.0, "FMR_0.001%": 50.0}
)
"""Least value of a score for a false match rate of at most the one named."""


def no_match() -> Score:
    """The score of a pair that cannot be compared: any stranger does as well."""
    return Score(0.0, 1.0, 0, "none")


def calibrated(raw: float, matched: int) -> Score:
    """The score of a raw value."""
    decades = float(np.interp(raw, _RAW, _DECADES)) + _TAIL * max(0.0, raw - _RAW[-1])
    value = 10.0 * decades
    rate = float(np.clip(10.0 ** (-value / 10.0), 1e-12, 1.0))
    band = "none"
    for name, least in THRESHOLDS.items():
        if value >= least:
            band = name
    return Score(value, rate, matched, band)
