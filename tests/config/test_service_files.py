"""The files that put the agent under systemd and its scanners under udev are ones that systemd accepts."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNIT = ROOT / "systemd" / "mpos-agent.service"


def unit() -> configparser.ConfigParser:
    """The unit as sections and keys; repeated keys keep their last value."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing to say once the program is where the unit expects it."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not on this machine: the unit is checked as text only")
    program = tmp_path / "mpos-agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text(encoding="utf-8").replace("/opt/mpos-agent/.venv/bin/mpos-agent", str(program))
    copy = tmp_path / "mpos-agent.service"
    copy.write_text(text, encoding="utf-8")
    # Nothing is started or asked of a running systemd: the files are parsed.
    result = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_daemon_says_itself_when_it_is_ready_and_alive() -> None:
    """systemd waits for the daemon's word and starts it anew when it goes silent."""
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 20
    assert "PYTHONSAFEPATH=1" in service["Environment"]
    assert service["User"] == "mpos-agent"


def test_the_sandbox_leaves_reader_and_scanner_reachable() -> None:
    """What hides USB devices or the card service from a unit is not set, what hides the rest is."""
    service = unit()["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert "PrivateDevices" not in service
    assert "PrivateNetwork" not in service
    assert "char-usb_device rw" in UNIT.read_text(encoding="utf-8")
    assert {"AF_UNIX", "AF_NETLINK", "AF_INET", "AF_INET6"} == set(service["RestrictAddressFamilies"].split())


def test_fingerprints_cannot_reach_swap_or_a_core_dump() -> None:
    """Memory of the daemon stays memory."""
    service = unit()["Service"]
    assert (service["MemorySwapMax"], service["LimitCORE"]) == ("0", "0")


def test_user_and_folders_of_the_unit_are_made_by_sysusers_and_tmpfiles() -> None:
    """A fresh machine gets everything the unit names, by files systemd reads itself."""
    users = (ROOT / "systemd" / "mpos-agent.sysusers.conf").read_text(encoding="utf-8")
    folders = (ROOT / "systemd" / "mpos-agent.tmpfiles.conf").read_text(encoding="utf-8")
    assert re.search(r"^u mpos-agent ", users, re.MULTILINE)
    assert re.search(r"^g mpos-scanners ", users, re.MULTILINE)
    assert re.search(r"^d /var/lib/mpos-agent 0700 mpos-agent mpos-agent", folders, re.MULTILINE)


def test_a_scanner_rule_names_device_and_group_and_never_everybody() -> None:
    """Each rule gives one product to the group, with no right for others."""
    lines = (ROOT / "systemd" / "70-mpos-scanners.rules").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line.startswith("ATTR")]
    assert len(rules) >= 4
    for rule in rules:
        assert re.fullmatch(
            r'ATTR\{idVendor\}=="[0-9a-f]{4}", ATTR\{idProduct\}=="[0-9a-f|]+", GROUP="mpos-scanners", MODE="0660"',
            rule,
        )
