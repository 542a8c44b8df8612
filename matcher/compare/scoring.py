"""From evidence to one number."""

from matcher.compare import parameters as par
from matcher.compare.evidence import Evidence


def raw_score(evidence: Evidence) -> float:
    """Weighted sum of the evidence: the log-odds of one finger against two.

    The weights are a logistic regression over pairs of impressions (``python -m bench calibrate``); how far they
    carry over was tried on sensors and extractors left out of it.
    """
    return (
        par.WEIGHT_SHARE * evidence.share
        + par.WEIGHT_INFORMATION * evidence.information
        + par.WEIGHT_FLOW * evidence.flow
        + par.WEIGHT_FEWER * evidence.fewer
        + par.WEIGHT_BOTH * evidence.both
        + par.WEIGHT_CONSTANT
    )
