"""Short selections of the fault tools; the whole of them is ``make torture``."""

import logging
from collections.abc import Iterator

import pytest

from bench.faults.parts import Result


@pytest.fixture(autouse=True)
def quiet_head_office() -> Iterator[None]:
    """It logs each fork it is shown; here it is shown hundreds."""
    log = logging.getLogger("head_office")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    yield
    log.setLevel(before)


def expect_well(result: Result, *, least: int, wrong: int) -> None:
    """Nothing lost, nothing doubled, and every wrong build caught; skips where the machine does not let it run."""
    if result.skipped and not result.faults_tried:
        pytest.skip(result.skipped[0])
    assert [str(violation) for violation in result.found] == []
    assert result.states_checked >= least
    assert [(name, result.shown[name]) for name, caught in result.caught.items() if not caught] == []
    assert len(result.caught) == wrong
