"""Packets that went bad on the device's disk, against the real head office: no lane waits behind them."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from sync.edge.batch_size import BatchSize
from sync.edge.outbox_row import RowState
from sync.envelope import Lane
from sync.receipt import Verdict
from tests.contract.test_both_ends_of_the_wire import RealDevice, enrolled, service
from tests.head_office.conftest import Service
from tests.sync.edge.test_outbox import rot

__all__ = ["service"]
ROUNDS = 6


class SlowLine(BatchSize):
    """What a line of 64 kbit/s carries in twenty seconds, whatever loopback does."""

    def sent(self, size: int, seconds: float) -> None:
        super().sent(size, size * 8 / 64_000)


@pytest.fixture
def device(service: Service, tmp_path: Path) -> Iterator[RealDevice]:
    made = enrolled(service, tmp_path / "device")
    made.uploader._size = SlowLine()
    yield made
    made.stop()


def flip(device: RealDevice, row_id: int, at: int) -> None:
    """One bit of a stored envelope is another one."""
    with device.database.transaction() as tx:
        guard = tx.execute("SELECT sql FROM sqlite_master WHERE name = 'outbox_sealed'").fetchone()[0]
        tx.execute("DROP TRIGGER outbox_sealed")
        stored = bytearray(tx.execute("SELECT bytes FROM outbox_envelopes WHERE id = ?", (row_id,)).fetchone()[0])
        stored[at] ^= 1
        tx.execute("UPDATE outbox_envelopes SET bytes = ? WHERE id = ?", (bytes(stored), row_id))
        tx.execute(guard)


def test_a_rotten_part_of_a_scan_on_a_slow_line_does_not_hold_up_the_others(device: RealDevice) -> None:
    """A batch holds one part there, and a part that went bad is placed only with the next one behind it."""
    rows = [
        device.outbox.put(UUID(int=7 << 76 | 2 << 62 | n), Lane.DOCUMENTS, device.sealer.sealed(os.urandom(131_072)))
        for n in range(1, 5)
    ]
    flip(device, rows[1].id, -3)
    for _ in range(ROUNDS):
        device.round()
    assert [(row.state, row.verdict) for row in reversed(device.outbox.rows())] == [
        (RowState.ACKED, Verdict.ACCEPTED),
        (RowState.ACKED, Verdict.QUARANTINED),
        (RowState.ACKED, Verdict.ACCEPTED),
        (RowState.ACKED, Verdict.ACCEPTED),
    ]


@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_claim_that_rots_after_its_reply_was_lost_is_settled(device: RealDevice, *, all_of_it: bool) -> None:
    """Head office has it; what lies here is a spoilt copy, readable or not, and does not wait for ever."""
    row = device.claim(1)
    device.round()
    with device.database.transaction() as tx:  # as before the reply, which is lost
        tx.execute(
            "UPDATE outbox_rows SET state = 'READY', resends = resends + 1, receipt_id = NULL, acked_at_ms = NULL,"
            " verdict = NULL, receipt_no = NULL, stored_at_ms = NULL WHERE id = ?",
            (row.id,),
        )
    if all_of_it:
        rot(device.database, row.id)
        device.claim(2)
    else:
        flip(device, row.id, -3)
    for _ in range(ROUNDS):
        device.round()
    assert {row.state for row in device.outbox.rows()} == {RowState.ACKED}
    first = device.outbox.find(row.packet_id)
    assert first is not None
    assert first.verdict is Verdict.DUPLICATE
