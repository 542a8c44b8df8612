"""From evidence to one number."""

import math

from matcher.compare import parameters as par
from matcher.compare.evidence import Evidence


def raw_score(evidence: Evidence) -> float:
    """Weighted sum of the evidence: the log-odds of one finger against two.

    The weights are a logistic regression over pairs of impressions (``python -m bench calibrate``); how far they
    carry over was tried on sensors and extractors left out of it. A small template is held back further.
    """
    short = max(0.0, math.log1p(par.SMALL_TRUST) - evidence.fewer)
    least = math.log1p(par.TRUST_FLOOR)
    return (
        par.WEIGHT_SHARE * evidence.share
        + par.WEIGHT_INFORMATION * evidence.information
        + par.WEIGHT_FLOW * evidence.flow
        + par.WEIGHT_FEWER * max(evidence.fewer, least)
        + par.WEIGHT_MORE * max(evidence.more, least)
        + par.WEIGHT_SMALL * short
        + par.WEIGHT_CONSTANT
    )
