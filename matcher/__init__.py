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
    from matcher.template import Template

__all__ = ["THRESHOLDS", "MatcherError", "Network", "Score", "Template", "compare", "extract"]

_HOME = {
    "THRESHOLDS": "matcher.compare.calibration",
    "Score": "matcher.compare.pipeline",
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
