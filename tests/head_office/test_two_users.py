"""Opening as a service of its own user: the one that faces the network cannot read the keys to the packets."""

import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.ledger.choice import LedgerChoice, open_ledger, write_choice
from head_office.moment import utc_now
from tests.head_office.conftest import ROOT, Service

FACING, OPENING, LEDGER = 64_001, 64_002, 64_003
"""Ids nobody has: the users of the two services, and the group of the ledger."""


PYTHON = "/usr/bin/python3.11"
"""The system's: the one of the environment may lie where only root can read."""


def as_user(user: int) -> dict[str, Any]:
    """What a process is started with to be another user, with the ledger's group."""
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    environment = {"PATH": "/usr/bin", "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {"user": user, "group": user, "extra_groups": [LEDGER], "umask": 0o077, "env": environment}


class OpeningService:
    """`mpos-head-office open` as its own user."""

    def __init__(self, home: Home, user: int) -> None:
        self.process = subprocess.Popen(
            [PYTHON, "-m", "head_office.cli", "open", "--home", str(home.folder)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **as_user(user),
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        return str(self.process.communicate(timeout=30)[1])


def chown_all(folder: Path, user: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user)


@pytest.fixture
def apart() -> Iterator[Home]:
    """The folder and the ledger as docs/head-office.md sets them up for two users."""
    if os.getuid() != 0:
        pytest.skip("only root can become two other users: the split into two services is not tested")
    if not Path(PYTHON).exists():
        pytest.skip(f"{PYTHON} is not installed: the split into two services is not tested")
    # Not below pytest's own folders: those are closed to other users.
    place = Path(tempfile.mkdtemp(prefix="mpos-two-users-"))
    place.chmod(0o711)
    home, ledger = Home(place / "home"), place / "ledger"
    set_up(home, ["localhost", "127.0.0.1"], utc_now())
    ledger.mkdir()
    os.chown(ledger, FACING, LEDGER)
    ledger.chmod(0o2770)
    write_choice(home, LedgerChoice(address=str(ledger / "ledger.db")))
    open_ledger(home).close()
    for file in ledger.iterdir():
        os.chown(file, FACING, LEDGER)
    chown_all(home.folder, FACING)
    chown_all(home.recipient_keys, OPENING)
    home.folder.chmod(0o711)
    home.recipient_keys.parent.chmod(0o711)
    yield home
    shutil.rmtree(place)


def test_a_claim_reaches_the_desk_though_the_service_cannot_read_the_keys(apart: Home, tmp_path: Path) -> None:
    """Taken by one user, opened by another, over a ledger both may write and nobody else may read."""
    service = Service(apart, options=("--no-opening",), python=PYTHON, process_options=as_user(FACING))
    link = service.start()
    opening = OpeningService(apart, OPENING)
    try:
        assert opening.said == "head office opens packets\n", opening.stop()
        device, line = service.enrol(link, tmp_path)
        line.sync(device, device.seal(number=1))
        assert [row["kpj"] for row in service.claims(1)] == ["99ZZ0000001"]
        keys = [str(path) for path in apart.recipient_keys.glob("*.key")]
        denied = subprocess.run(
            ["cat", *keys], user=FACING, group=FACING, extra_groups=[LEDGER], capture_output=True, check=False
        )
        assert (denied.returncode, denied.stdout) == (1, b"")
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (apart.folder.parent / "ledger").iterdir()}
        assert set(modes.values()) == {"0o660"}, modes
    finally:
        opening.stop()
        service.stop()


def test_the_service_does_not_start_opening_without_the_keys(apart: Home) -> None:
    """Run as the wrong user it says which file it cannot read and what to do, exit 78."""
    opening = OpeningService(apart, FACING)
    errors = opening.stop()
    assert opening.process.returncode == 78
    assert "recipients" in errors
