"""The steps that are cut short: packets queued, sent, acknowledged and purged, over and over."""

from contextlib import AbstractContextManager
from unittest.mock import patch

from bench.faults.rig import Device
from head_office.ledger import sqlite as ledger_module
from sync.envelope import Lane

CHECKPOINT_AT_BYTES = 64 * 1024
"""Head office moves its log into the file at 4 MB; in a run of a dozen packets that moment has to come sooner."""

SIZES = (300, 1500, 700, 5000)
"""Bytes of content: from one page of the file to two of its overflow pages."""


def early_checkpoints() -> AbstractContextManager[object]:
    """Head office's checkpoints are among what is cut short."""
    return patch.object(ledger_module, "CHECKPOINT_AT_BYTES", CHECKPOINT_AT_BYTES)


def some_claims(device: Device, first: int, count: int, *, round_every: int = 3) -> None:
    """Queue ``count`` packets; now and then make a round, purge, and give space back."""
    for number in range(first, first + count):
        lane = Lane.DOCUMENTS if number % 4 == 3 else Lane.CORE
        device.put(number, lane=lane, size=SIZES[number % len(SIZES)])
        if (number - first) % round_every == round_every - 1:
            device.round()
            device.purge_all()
        if (number - first) % (2 * round_every) == 2 * round_every - 1:
            device.database.give_back_space(10)  # moves the log into the file
