"""The tools that measure the line: what they print was really sent, over a line that is no better than it says."""

import pytest

from bench import link
from bench.faults import own_namespace
from bench.slow_line import LineKind

QUICK = LineKind(4_000_000, 0.04)


@pytest.mark.slow
def test_a_line_carries_no_more_than_it_says() -> None:
    """Everything is acknowledged, and the emulated line is not faster than its rate: the figure means something."""
    reason = own_namespace.missing(own_namespace.NETWORK)
    if reason:
        pytest.skip(f"no network namespace: {reason}")
    measured = link.goodput(QUICK, 400_000)
    assert measured.failed == 0
    assert measured.carried[0] > measured.sealed_bytes >= 400_000
    assert 0 < measured.share < 1


@pytest.mark.slow
def test_a_backlog_is_drained_to_the_last_packet() -> None:
    """The same as ten days of a branch, in small; both ends' memory is told."""
    drained = link.backlog(3, 1)
    assert (drained.packets, drained.left) == (6, 0)
    assert min(drained.agent_mb, drained.office_mb) > 10
