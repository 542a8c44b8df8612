"""The counter that claim tests work at."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.claim.desk import Bench, bench


@pytest.fixture
def at_counter(tmp_path: Path) -> Iterator[Bench]:
    """A counter in its usual state: branch, test identities accepted."""
    with bench(tmp_path) as counter:
        yield counter
