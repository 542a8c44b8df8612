"""The systemd unit: accepted by systemd itself, and true to what the program does."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from head_office import cli
from head_office.opening_worker import STOP_WITHIN_S as WORKER_STOPS_WITHIN_S
from head_office.server import STOP_WITHIN_S, split_listen
from tests.head_office.conftest import ROOT

UNIT = ROOT / "systemd" / "mpos-head-office.service"


OPENING = ROOT / "systemd" / "mpos-head-office-opening.service"
RELAY = ROOT / "systemd" / "mpos-head-office-relay.service"


def setting(name: str, unit: Path = UNIT) -> str:
    found = re.search(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize("unit", [UNIT, OPENING, RELAY], ids=["serve", "open", "relay"])
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    """No unknown key, no bad value; the program's path is swapped for one that exists on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine: the unit is not verified")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace(setting("ExecStart", unit).split()[0], "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_starts_a_command_that_exists() -> None:
    """The options in ExecStart are options of ``serve``."""
    arguments = setting("ExecStart").split()[1:]
    assert arguments[0] == "serve"
    listen = arguments[arguments.index("--listen") + 1]
    assert split_listen(listen) == ("0.0.0.0", 8443)
    # Parsed and not run: --help ends it before anything is opened.
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda: cli.app([*arguments, "--help"]))
    assert ended.value.code == 0


def test_systemd_waits_longer_than_the_program_takes_to_stop() -> None:
    """Requests, then the worker, get their time before systemd loses patience."""
    assert float(setting("TimeoutStopSec")) > STOP_WITHIN_S + WORKER_STOPS_WITHIN_S


def test_a_fault_that_restarting_cannot_cure_is_not_restarted() -> None:
    """The status for a folder that is not set up is the one systemd is told to leave alone."""
    assert int(setting("RestartPreventExitStatus")) == cli.EX_CONFIG
    parser = configparser.RawConfigParser(strict=False)
    parser.read(UNIT)
    assert parser["Service"]["Type"] == "notify"


def test_the_opening_unit_is_another_user_and_starts_a_command_that_exists() -> None:
    """The two services have the ledger's group in common and nothing else; the user is one that is made."""
    arguments = setting("ExecStart", OPENING).split()[1:]
    assert arguments[0] == "open"
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda: cli.app([*arguments, "--help"]))
    assert ended.value.code == 0
    assert setting("User", OPENING) != setting("User")
    made = (ROOT / "systemd" / "mpos-head-office.sysusers.conf").read_text()
    assert re.search(rf"^u {setting('User', OPENING)} ", made, re.MULTILINE)
    assert re.search(rf"^m {setting('User', OPENING)} {setting('SupplementaryGroups', OPENING)}$", made, re.MULTILINE)
    assert float(setting("TimeoutStopSec", OPENING)) > WORKER_STOPS_WITHIN_S


def test_the_relay_unit_starts_a_command_that_exists_and_writes_where_it_may() -> None:
    """The file it appends to lies in the folder systemd makes for it."""
    arguments = setting("ExecStart", RELAY).split()[1:]
    assert arguments[0] == "relay"
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda: cli.app([*arguments, "--help"]))
    assert ended.value.code == 0
    file = Path(arguments[arguments.index("--file") + 1])
    assert file.parent == Path("/var/lib") / setting("StateDirectory", RELAY)
    assert int(setting("RestartPreventExitStatus", RELAY)) == cli.EX_CONFIG


def test_the_drop_in_for_two_users_keeps_the_folder_passable() -> None:
    """Each start sets the folder's mode: what the two layouts of opening on its own hand out lets mpos-opening in."""
    for text in (ROOT / "docs" / "head-office.md", ROOT / "deploy" / "systemd" / "worker.conf"):
        assert "StateDirectoryMode=0711" in text.read_text()
