"""Pixels to a score: find minutiae, compare them, say what the score means. Arrays in and out."""

from matcher.compare.calibration import THRESHOLDS, Score
from matcher.compare.pipeline import compare
from matcher.errors import MatcherError
from matcher.extract.network import Network
from matcher.extract.pipeline import extract
from matcher.parameters import MATCHER_VERSION, PARAMETER_DIGEST
from matcher.quality import Quality, QualityReason, assess_quality
from matcher.template import Template

__all__ = [
    "MATCHER_VERSION",
    "PARAMETER_DIGEST",
    "THRESHOLDS",
    "MatcherError",
    "Network",
    "Quality",
    "QualityReason",
    "Score",
    "Template",
    "assess_quality",
    "compare",
    "extract",
]
