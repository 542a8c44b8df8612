"""An enrolled agent on virtual devices for each test that asks for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.rig import Rig, Rigs


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Enrolled; its head office is away."""
    with Rigs(tmp_path) as made:
        yield made
