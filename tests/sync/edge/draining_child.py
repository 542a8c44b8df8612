"""Run in a mount namespace of its own, on a disk of 48 MiB: a queue that filled it, drained while it stays full.

One JSON object: how it went with the reserve, and how without.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from sync.edge.outbox_row import RowState
from sync.edge.reserve import Reserve
from sync.edge.retention import Retention
from sync.edge.uploader import RoundOutcome
from sync.envelope import envelope_digest
from sync.errors import StorageFullError, SyncError
from sync.keys import Algorithm
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import Desk, DeviceKeys
from tests.sync.edge.full_disk_child import fill

SIZE = 48 * 1024 * 1024
PACKET = 60_000
KEPT = timedelta(days=1)


@dataclass
class Story:
    """What happened, in order."""

    put: int = 0
    refused: str = ""
    """The cause for which the packet that found no room was refused."""
    started: str = ""
    """How a start on the full disk went."""
    acknowledged: int = 0
    purged: int = 0
    stuck: str = ""
    shrunk_to: float = 1.0
    """Length of the file after the purge, as a part of before."""
    reserve_back: bool = False
    stored_once: bool = False
    chain: int = 0
    recorded: list[int] = field(default_factory=list)


def until_refused(work: Callable[[], object]) -> str:
    """Do it until the disk is full; the cause that is told."""
    try:
        while True:
            work()
    except SyncError as error:
        return error.code


def tell(folder: Path, keys: DeviceKeys, *, with_reserve: bool) -> Story:
    """Fill, start anew, drain, purge, make room."""
    story = Story()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], check=True)
    reserve = Reserve(folder / "reserve") if with_reserve else None
    desk = Desk(folder / "agent.db", keys, reserve=reserve)

    def put() -> None:
        desk.put(story.put, size=PACKET)
        story.put += 1

    story.refused = until_refused(put)
    fill(folder)
    before = desk.path.stat().st_size
    try:
        desk.restart()
        story.started = "started"
    except StorageFullError as error:
        story.started = error.code
    try:
        if story.started == "started":
            drain(desk, story)
    except StorageFullError as error:
        story.stuck = error.code
    story.shrunk_to = desk.path.stat().st_size / before
    (folder / "ballast").unlink()
    if reserve is not None:
        story.reserve_back = reserve.make()
    # Somebody makes room; what is told from here on is only whether everything is still there.
    subprocess.run(["mount", "-o", f"remount,size={2 * SIZE}", str(folder)], check=True)
    if story.started != "started":
        desk.start()
    stored = [envelope_digest(envelope) for envelope in desk.office.everything()]
    rows = desk.outbox.rows(most=10_000)
    settled = {row.digest for row in rows if row.state is not RowState.READY}
    story.stored_once = len(rows) == story.put and len(set(stored)) == len(stored) and settled <= set(stored)
    story.chain = desk.outbox.check_chain()
    desk.database.close()
    subprocess.run(["umount", str(folder)], check=True)
    return story


def drain(desk: Desk, story: Story) -> None:
    """Rounds until nothing waits, then everything out of retention; the disk stays full of somebody else's bytes."""
    while any(counts.ready for counts in desk.outbox.counts()):
        result = desk.uploader.round(now_please=True)
        assert result.outcome is RoundOutcome.DELIVERED, result
        story.acknowledged += len(result.acked)
    desk.clock.pass_time(2 * KEPT.total_seconds())
    retention = Retention(desk.database, desk.outbox, KEPT, story.recorded.append)
    while gone := retention.tidy(desk.clock.utc(), desk.clock.utc()):
        story.purged += gone


if __name__ == "__main__":
    made = DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519))
    place = Path(sys.argv[1])
    told = {name: asdict(tell(place, made, with_reserve=name == "with")) for name in ("with", "without")}
    print(json.dumps(told))
