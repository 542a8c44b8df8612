"""A device killed with -9 while it queues, sends, settles and purges: nothing that was promised is lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sync.edge.outbox_row import RowState
from sync.envelope import envelope_digest
from sync.keys import SoftwareSigner
from sync.recipients import RecipientPrivateKey, Suite
from tests.sync.edge.conftest import START, Desk, DeviceKeys
from tests.sync.edge.model_office import ModelOffice

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20


@pytest.fixture
def keys(tmp_path: Path) -> DeviceKeys:
    """The child's keys, in files it reads."""
    device, office = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    recipient = RecipientPrivateKey.generate(Suite.X25519)
    (tmp_path / "device").write_bytes(device.private_bytes_raw())
    (tmp_path / "office").write_bytes(office.private_bytes_raw())
    (tmp_path / "recipient").write_bytes(recipient.to_bytes())
    return DeviceKeys(SoftwareSigner(device), SoftwareSigner(office), recipient)


@pytest.fixture
def office(tmp_path: Path, keys: DeviceKeys) -> Iterator[ModelOffice]:
    """Head office in this process, answering whoever connects."""
    model = ModelOffice(keys.office, keys.device.public_key, START)
    with Listener(str(tmp_path / "socket"), family="AF_UNIX") as listener:
        thread = threading.Thread(target=serve, args=(listener, model))
        thread.start()
        yield model
        (tmp_path / "closing").touch()
        subprocess.run(
            [sys.executable, "-c", f"from multiprocessing.connection import Client; Client({listener.address!r})"],
            check=True,
            timeout=60,
        )
        thread.join()


def serve(listener: Listener, model: ModelOffice) -> None:
    closing = Path(str(listener.address)).with_name("closing")
    while True:
        with listener.accept() as connection:
            if closing.exists():
                return
            # The connection of a device that was killed ends so; the next one connects.
            with suppress(EOFError, ConnectionError):
                while True:
                    connection.send_bytes(model.receive(connection.recv_bytes()))


@pytest.mark.slow
def test_a_device_killed_twenty_times_loses_nothing_it_promised(
    tmp_path: Path, keys: DeviceKeys, office: ModelOffice
) -> None:
    """Put, seal, flush, send, settle, purge: wherever the kill falls, every promised packet is here or there, once."""
    moments = random.Random(20)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sync.edge.killed_child", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        for _ in range(KILLS):
            before = len(promises(tmp_path))
            nursery.stdin.write("\n")
            nursery.stdin.flush()
            child = int(nursery.stdout.readline())
            while len(promises(tmp_path)) < before + 3:
                time.sleep(0.002)  # until it is at work; a child that dies instead runs into the test's time-out
            time.sleep(moments.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
        nursery.stdin.close()
        nursery.wait(timeout=60)
    put = {digest for word, digest in promises(tmp_path) if word == "put"}
    acked = {digest for word, digest in promises(tmp_path) if word == "acked"}
    stored = [envelope_digest(envelope).hex() for envelope in office.everything()]
    desk = Desk(tmp_path / "agent.db", keys, office)
    try:
        rows = {row.digest.hex(): row for row in desk.outbox.rows(most=1_000_000)}
        assert desk.database.set_aside is None
        assert desk.outbox.check_chain() == len(rows)
        assert put <= set(rows)
        assert acked <= set(stored)
        assert len(stored) == len(set(stored))
        for digest, row in rows.items():
            if row.state in (RowState.ACKED, RowState.PURGED):
                assert digest in stored
            assert row.state is not RowState.DEAD
        while any(counts.ready for counts in desk.outbox.counts()):
            desk.uploader.round(now_please=True)
            desk.clock.pass_time(1000)
        assert [envelope_digest(envelope).hex() for envelope in office.everything()] == list(reversed(rows))
    finally:
        desk.database.close()


def promises(folder: Path) -> list[tuple[str, str]]:
    """What the devices said after their commits; a line cut off by a kill was never said."""
    file = folder / "promises"
    text = file.read_text(encoding="ascii") if file.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    return [(word, digest) for word, _, digest in (line.partition(" ") for line in whole.splitlines())]
