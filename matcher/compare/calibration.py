"""What a raw score means: the share of strangers' fingers that would score as high."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

_TAIL_AT_ZERO: Final = 0.0
_TAIL_SLOPE: Final = 1.5
"""Decades of false match rate per unit of raw score, fitted on impostor scores of four sensors."""


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


def calibrated(raw: float, matched: int) -> Score:
    """The score of a raw value."""
    value = 10.0 * max(0.0, _TAIL_AT_ZERO + _TAIL_SLOPE * raw)
    rate = float(np.clip(10.0 ** (-value / 10.0), 1e-12, 1.0))
    band = "none"
    for name, least in THRESHOLDS.items():
        if value >= least:
            band = name
    return Score(value, rate, matched, band)
