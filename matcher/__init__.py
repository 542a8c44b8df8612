"""Pixels to score: the public face of the matcher. Arrays in and out.

Names are loaded when they are first used: reading a template's error class must not load the network's runtime.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matcher.compare.calibration import THRESHOLDS
    from matcher.compare.pipeline import Score, compare
    from matcher.errors import MatcherError
    from matcher.extract.network import Network
    from matcher.extract.pipeline import extract
    from matcher.quality import Quality, QualityReason, assess_quality
    from matcher.template import Template
    from matcher.version import MATCHER_VERSION, PARAMETER_DIGEST

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

_HOME = {
    "MATCHER_VERSION": "matcher.version",
    "PARAMETER_DIGEST": "matcher.version",
    "THRESHOLDS": "matcher.compare.calibration",
    "Quality": "matcher.quality",
    "QualityReason": "matcher.quality",
    "Score": "matcher.compare.pipeline",
    "assess_quality": "matcher.quality",
    "compare": "matcher.compare.pipeline",
    "MatcherError": "matcher.errors",
    "Network": "matcher.extract.network",
    "extract": "matcher.extract.pipeline",
    "Template": "matcher.template",
}


def __getattr__(name: str) -> Any:
    """The name from the file it lives in."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
