"""From evidence to one number."""

import math

from matcher.compare import parameters as par
from matcher.compare.evidence import Evidence


def raw_score(evidence: Evidence) -> float:
    """Weighted sum of the evidence: the log-odds of one finger against two, levelled so that strangers reach it alike.

    The weights are a logistic regression over pairs of impressions, minus what a quantile regression says strangers
    reach given the chances of that very pair (``python -m bench calibrate``); how far they carry over was tried on
    sensors and extractors left out of it. A small template, and one whose ridges run every way, are held back further.
    """
    short = max(0.0, math.log1p(par.SMALL_TRUST) - evidence.fewer)
    return (
        par.WEIGHT_SHARE * evidence.share
        + par.WEIGHT_INFORMATION * evidence.information
        + par.WEIGHT_CHANCE * evidence.chance
        + par.WEIGHT_FEWER * evidence.fewer
        + par.WEIGHT_MORE * evidence.more
        + par.WEIGHT_SPACING * evidence.spacing
        + par.WEIGHT_DISORDER * max(0.0, par.ORDERLY - evidence.order)
        + par.WEIGHT_SMALL * short
        + par.WEIGHT_CONSTANT
    )
