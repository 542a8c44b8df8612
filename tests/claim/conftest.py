"""The counter that claim tests work at."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.claim.desk import IN_MEMORY, Bench, bench


@pytest.fixture
def at_counter() -> Iterator[Bench]:
    """A counter in its usual state: branch, test identities accepted."""
    with tempfile.TemporaryDirectory(prefix="counter", dir=IN_MEMORY) as folder, bench(Path(folder)) as counter:
        yield counter
