"""A device that queues and settles without end, until it is killed. Started by test_killed_at_any_moment.py.

For each line on its input it forks a device and names its process; the fork saves the imports. The device writes
to the file of promises only after a commit has returned: what stands there was promised to somebody.
"""

import os
import sys
from datetime import timedelta
from multiprocessing.connection import Client as connect_to
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519

from sync.edge.clock import SystemClock
from sync.edge.head_office_client import Reply
from sync.keys import SoftwareSigner
from sync.recipients import RecipientPrivateKey
from tests.sync.edge.conftest import Desk, DeviceKeys


class OfficeBehindSocket:
    """Head office in the parent process, which nobody kills."""

    def __init__(self, address: Path) -> None:
        self._connection = connect_to(str(address), family="AF_UNIX")

    def post(self, path: str, body: bytes) -> Reply:
        assert path == "/v1/sync"
        self._connection.send_bytes(body)
        return Reply(self._connection.recv_bytes(), 0, 1_000_000)


def work(folder: Path) -> None:
    """Two packets, a round, a purge; again and again."""
    keys = DeviceKeys(
        SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes((folder / "device").read_bytes())),
        SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes((folder / "office").read_bytes())),
        RecipientPrivateKey.from_bytes((folder / "recipient").read_bytes()),
    )
    promises = os.open(folder / "promises", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    desk = Desk(folder / "agent.db", keys, OfficeBehindSocket(folder / "socket"), SystemClock())
    number = int.from_bytes(os.urandom(5), "big") << 20
    while True:
        for _ in range(2):
            number += 1
            row = desk.put(number, size=4000)
            os.write(promises, f"put {row.digest.hex()}\n".encode())
        for row in desk.uploader.round(now_please=True).acked:
            os.write(promises, f"acked {row.digest.hex()}\n".encode())
        desk.outbox.purge(desk.clock.utc() - timedelta(milliseconds=30))


def main() -> None:
    """One device per line of input, each until it is killed."""
    folder = Path(sys.argv[1])
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            work(folder)
        print(child, flush=True)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
