"""What a raw score means: the share of strangers' fingers that would score as high."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

RAW: Final = (-20.00, -4.50, -2.37, -1.22, -0.31, 0.53, 1.17)
DECADES: Final = (0.0, 0.301, 1.000, 1.523, 2.000, 2.523, 3.000)
"""Raw score against minus the decimal logarithm of the share of strangers that reach it, as counted
(``python -m bench calibrate``, 48 folders and galleries, each counting the same)."""

TAIL: Final = 0.70
"""Decades per unit of raw score beyond the last point: an exponential tail, a little heavier than that over real and
made-up strangers (0.76; over real ones alone 0.80). Raising it calls high scores rarer among strangers."""

LOWEST_RATE: Final = 1e-12
"""No rate below is named: nobody has compared that many fingers."""


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
    return scored(0.0, 0)


def calibrated(raw: float, matched: int) -> Score:
    """The score of a raw value."""
    decades = float(np.interp(raw, RAW, DECADES)) + TAIL * max(0.0, raw - RAW[-1])
    return scored(10.0 * decades, matched)


def scored(value: float, matched: int) -> Score:
    """The score with this value, at least 0, its rate and its band."""
    value = max(0.0, value)
    band = "none"
    for name, least in THRESHOLDS.items():
        if value >= least:
            band = name
    return Score(value, max(10.0 ** (-value / 10.0), LOWEST_RATE), matched, band)
