"""Signs that one identity is at work on two machines, or on one that was set back to an earlier day.

A boot id is drawn by the kernel at each start and never comes back. So a boot that was followed by another one and is
heard of again means two machines that both run. A fork of the chain (``checks``) proves the same and freezes the lane;
this is seen before either has made a claim, and it alone freezes nothing: a person looks.
"""

from head_office.custody import Alarm, LaneKey, Place, alarm
from head_office.ledger.base import Row, Transaction
from sync.envelope import FIRST_SEQ, Lane


def note_boot(tx: Transaction, device: Row, boot_id: bytes, now_ms: int) -> None:
    """Remember the boot a checkpoint came from. ``device`` is the device's row, locked.

    Only for checkpoints that came over the line: one on a stick may be from a boot long over.
    """
    before = device["boot_id"]
    if before is not None and bytes(before) == boot_id:
        return
    device_id = str(device["device_id"])
    if tx.execute("SELECT 1 FROM boots WHERE device_id = ? AND boot_id = ?", (device_id, boot_id)):
        whole_device_alarm(tx, Alarm.TWO_MACHINES, device_id, boot_id, now_ms)
    else:
        tx.execute("INSERT INTO boots (device_id, boot_id, first_at) VALUES (?, ?, ?)", (device_id, boot_id, now_ms))
    tx.execute("UPDATE devices SET boot_id = ? WHERE device_id = ?", (boot_id, device_id))


def whole_device_alarm(tx: Transaction, kind: Alarm, device_id: str, mark: bytes, now_ms: int) -> None:
    """An alarm that is about no packet: ``mark``, a boot id or key id of 16 bytes, stands where the epoch does."""
    alarm(tx, kind, Place(LaneKey(device_id, Lane.CORE, mark), FIRST_SEQ), now_ms)
