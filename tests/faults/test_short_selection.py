"""A little of ``make torture``: each tool finds nothing here, and something in every wrong build."""

import pytest

from bench.faults.any_order import any_order
from bench.faults.broken_calls import failing, killed
from bench.faults.disk_full import disk_full
from bench.faults.fuzz import fuzz
from bench.faults.link import link
from bench.faults.power_cut import power_cut
from bench.faults.wrong_builds import CREDULOUS, HASTY
from bench.faults.wrong_turns import UNASKING
from tests.faults.conftest import expect_well


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_power_cut_at_any_write_loses_and_doubles_nothing() -> None:
    """States spread over one recorded run; builds that flush too little or answer too early lose claims here."""
    expect_well(power_cut(most_states=120), least=40, wrong=5)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_a_call_that_writes_the_queue_drains_once() -> None:
    """Every tenth call that writes, at the device and at head office."""
    expect_well(killed(every=10, builds=(HASTY,)), least=8, wrong=1)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_disk_that_fails_a_call_costs_no_claim() -> None:
    """Input/output errors and no space, injected into some calls on either side."""
    expect_well(failing(every=25, builds=()), least=5, wrong=0)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_full_disk_still_drains() -> None:
    """With no page left, and with some: out of the reserve; without a reserve it does not."""
    expect_well(disk_full(every=15), least=10, wrong=2)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_line_that_breaks_or_lies_costs_no_claim() -> None:
    """Some of the ways a line can break, over real TLS."""
    expect_well(link(every=16, slow=False, builds=(CREDULOUS,)), least=5, wrong=1)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_whatever_the_order_of_events_nothing_is_lost_or_doubled() -> None:
    """Two devices, lost and spoilt replies, sticks, disks put back, moves: the judge looks after each event."""
    expect_well(any_order(examples=8, steps=20, derandomize=True, builds=(HASTY, UNASKING)), least=80, wrong=2)


def test_damaged_bytes_get_the_named_error() -> None:
    """A hundred damaged messages for every parser; three wrong parsers are caught."""
    expect_well(fuzz(tries=100), least=2000, wrong=3)
