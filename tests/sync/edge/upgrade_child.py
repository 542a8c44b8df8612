"""Run in a mount namespace of its own: a file of the version before, with years of rows, opened on a full disk.

One JSON object: how the start went there, and how with room.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from sync.edge.database import Database
from sync.edge.migrations import NAME, STEPS
from sync.edge.outbox import Outbox
from sync.edge.reserve import Reserve
from sync.envelope import NO_HASH
from sync.errors import StorageError
from tests.sync.edge.conftest import HandClock
from tests.sync.edge.full_disk_child import fill

SIZE = 128 * 1024 * 1024
BEFORE = 9
"""Steps of the version whose rows had running numbers."""
ROWS = 120_000  # Their log needs more than the reserve.


def years_ago(file: Path) -> None:
    """A queue that delivered and purged this many packets under the version before."""
    with Database(file) as database:
        database.migrate(NAME, STEPS[:BEFORE])
        rows, before = [], NO_HASH
        for number in range(1, ROWS + 1):
            digest = hashlib.sha256(b"%d" % number).digest()
            rows.append((number, number.to_bytes(16, "big"), number, digest, before, 20_000 * number))
            before = digest
        with database.transaction() as tx:
            tx.execute("INSERT INTO outbox_chains (id, lane, epoch) VALUES (1, 'core', ?)", (b"e" * 16,))
            tx.execute("INSERT INTO outbox_receipts VALUES (1, 0, x'00', x'01')")
            tx.executemany(
                "INSERT INTO outbox_rows (id, packet_id, chain, seq, state, next_at_ms, attempts, digest, prev_hash,"
                " size, total, queued_at_ms, verdict, receipt_no, stored_at_ms, receipt_id, acked_at_ms) VALUES"
                " (?, ?, 1, ?, 'PURGED', 0, 1, ?, ?, 20000, ?, 0, 'accepted', 'R-1', 5, 1, 5)",
                rows,
            )


def start(folder: Path) -> str:
    """Open it as the agent does; the number of packets in its chain, or the cause that is told."""
    try:
        with Database(folder / "agent.db", reserve=Reserve(folder / "agent.reserve")) as database:
            return str(Outbox(database, HandClock()).check_chain())
    except StorageError as error:
        return error.code


if __name__ == "__main__":
    place = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)], check=True)
    years_ago(place / "agent.db")
    Reserve(place / "agent.reserve").make()
    fill(place)
    told = {"full": [start(place), start(place)]}
    (place / "ballast").unlink()
    told["with_room"] = [start(place)]
    subprocess.run(["umount", str(place)], check=True)
    print(json.dumps(told))
