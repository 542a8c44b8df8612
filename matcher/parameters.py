"""Which matcher this is: its version, and a digest over every number it works with.

A packet records both, so that a decision can be understood years later. The numbers themselves stand, each with its
unit and reason, beside the steps that use them: ``extract/parameters.py``, ``compare/parameters.py``,
``quality_parameters.py``.
"""

import hashlib
from types import ModuleType
from typing import Final

from matcher import quality_parameters
from matcher.compare import calibration
from matcher.compare import parameters as compare_parameters
from matcher.extract import parameters as extract_parameters
from matcher.extract.network_file import NETWORK_VERSION

MATCHER_VERSION: Final = "1.2"
"""Raise it when scores change for another reason than a number in the parameter files."""


def parameter_digest(*modules: ModuleType) -> str:
    """First 16 hex digits of SHA-256 over the modules' constants, in the order of their names."""
    lines = [f"network={NETWORK_VERSION}"]
    for module in modules:
        lines += [
            f"{module.__name__}.{name}={value!r}" for name, value in sorted(vars(module).items()) if name.isupper()
        ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


PARAMETER_DIGEST: Final = parameter_digest(extract_parameters, compare_parameters, calibration, quality_parameters)
