"""Which matcher made a score: recorded in every packet, so that evidence can be judged years later."""

import hashlib
from types import ModuleType

from matcher.compare import calibration
from matcher.compare import parameters as compare_parameters
from matcher.extract import network_file
from matcher.extract import parameters as extract_parameters

MATCHER_VERSION = "1.0"
"""Raised when the same two pictures may give another score."""


def _constants(module: ModuleType) -> list[str]:
    return [f"{module.__name__}.{name}={vars(module)[name]!r}" for name in sorted(vars(module)) if name.isupper()]


PARAMETER_DIGEST = hashlib.sha256(
    "\n".join(
        line
        for module in (extract_parameters, compare_parameters, calibration, network_file)
        for line in _constants(module)
    ).encode()
).hexdigest()[:16]
"""Over every constant of extraction, comparison and calibration, and the weights' checksum."""
