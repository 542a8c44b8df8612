"""Head office's orders to the queue, through the register of commands, each with its record."""

from typing import Any

import pytest

from sync import commands as wire
from sync.commands import CommandName, NewEpoch, Resend
from sync.edge.commands import Commands
from sync.edge.queue_orders import QueueOrders
from sync.envelope import Lane
from tests.sync.edge.conftest import Desk
from tests.sync.edge.test_outbox import due, settle, verdict_on


class Ordered:
    """A device that takes orders, and the record of them."""

    def __init__(self, desk: Desk) -> None:
        self.record: list[tuple[str, Any]] = []
        orders = QueueOrders(
            desk.outbox,
            on_resent=lambda order, resent: self.record.append(("resent", resent.again)),
            on_new_epoch=lambda begun: self.record.append(("begun", begun.lane)),
        )
        self.commands = Commands(desk.database, desk.clock, orders.handlers())

    def take(self, number: int, body: Any) -> tuple[list[CommandName], list[str]]:
        taken = self.commands.take([wire.make(bytes([number]) * 16, body)])
        return list(taken.done), [refused.reason for refused in taken.refused]


@pytest.fixture
def ordered(desk: Desk) -> Ordered:
    return Ordered(desk)


def test_a_packet_asked_for_again_goes_out_again(desk: Desk, ordered: Ordered) -> None:
    """Head office lost what it signed for; the order is carried out once, however often it comes."""
    row = desk.put(1)
    settle(desk, verdict_on(row))
    order = Resend(lane=Lane.CORE, epoch=row.epoch, first_seq=1, last_seq=1)
    for _ in range(2):
        ordered.take(1, order)
    assert [one.digest for one in due(desk)] == [row.digest]
    assert ordered.record == [("resent", 1)]


def test_an_order_nobody_can_carry_out_is_refused_with_its_reason(desk: Desk, ordered: Ordered) -> None:
    """Purged after the receipt, or never ours: a person at head office sees which."""
    row = desk.put(1)
    settle(desk, verdict_on(row))
    desk.clock.pass_time(1)
    desk.outbox.purge(desk.clock.utc())
    purged = Resend(lane=Lane.CORE, epoch=row.epoch, first_seq=1, last_seq=1)
    unknown = Resend(lane=Lane.DOCUMENTS, epoch=row.epoch, first_seq=1, last_seq=5)
    assert [ordered.take(1, purged)[1], ordered.take(2, unknown)[1]] == [["purged"], ["unknown_place"]]
    assert ordered.record == []


def test_a_frozen_chain_is_ended_once(desk: Desk, ordered: Ordered) -> None:
    """The same order under another number finds it done; the waiting packet keeps its place in the old chain."""
    row = desk.put(1)
    order = NewEpoch(lane=Lane.CORE, epoch=row.epoch)
    assert [ordered.take(number, order)[0] for number in (1, 2)] == [[CommandName.NEW_EPOCH]] * 2
    assert ordered.record == [("begun", Lane.CORE)]
    following = desk.put(2)
    assert following.epoch != row.epoch
    assert [one.epoch for one in due(desk)] == [row.epoch, following.epoch]
