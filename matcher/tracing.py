"""An optional sink for named intermediate arrays: for pictures, benches and tests, never wired in production."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Trace(Protocol):
    """Receives each intermediate result under its name; must not keep it beyond its own use."""

    def __call__(self, name: str, value: NDArray[np.generic]) -> None: ...


def silent(name: str, value: NDArray[np.generic]) -> None:
    """The sink of production: keeps nothing."""
    del name, value
