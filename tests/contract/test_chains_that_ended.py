"""Chains that ended before head office ever heard of them, against the real head office."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.checkpoint import MAX_CHAINS
from sync.edge.outbox_row import RowState
from sync.envelope import Lane
from sync.receipt import Verdict
from tests.contract.test_both_ends_of_the_wire import RealDevice, enrolled, service
from tests.head_office.conftest import Service

__all__ = ["service"]


@pytest.fixture
def device(service: Service, tmp_path: Path) -> Iterator[RealDevice]:
    made = enrolled(service, tmp_path / "device")
    yield made
    made.stop()


def test_claims_of_a_chain_that_ended_before_the_first_round_arrive(device: RealDevice) -> None:
    """The machine was in the field for days, and a technician began a new chain before it had a line."""
    for number in range(1, 4):
        device.claim(number)
        device.outbox.new_epoch(Lane.CORE)
    device.claim(4)
    assert [row.verdict for row in device.round().acked] == [Verdict.ACCEPTED] * 4
    assert len(device.uploader.checkpoint(device.outbox.rows()[0].queued_at).lanes) == len(Lane)


def test_more_ended_chains_than_a_checkpoint_names_are_announced_one_after_the_other(device: RealDevice) -> None:
    """Oldest first, and the next ones as these are delivered."""
    for number in range(1, MAX_CHAINS + 4):
        device.claim(number)
        device.outbox.new_epoch(Lane.CORE)
    for _ in range(3):
        device.round()
    assert {row.state for row in device.outbox.rows()} == {RowState.ACKED}
