"""The drop-in that makes the service one worker of several."""

import shutil
import subprocess
from pathlib import Path

import pytest

from head_office.server import split_listen

ROOT = Path(__file__).parents[2]
DROP_IN = ROOT / "deploy" / "systemd" / "worker.conf"
NGINX = ROOT / "deploy" / "nginx" / "head-office.conf"


def start_line() -> list[str]:
    return next(line for line in DROP_IN.read_text().splitlines() if line.startswith("ExecStart=/")).split()


def test_systemd_accepts_it_beside_the_unit(tmp_path: Path) -> None:
    """No unknown key, no bad value; the program's path is swapped for one that exists on this machine."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine: the unit is not verified")
    unit = tmp_path / "mpos-head-office@.service"
    folder = tmp_path / "mpos-head-office@.service.d"
    folder.mkdir()
    program = "/opt/mpos-agent/.venv/bin/mpos-head-office"
    unit.write_text((ROOT / "systemd" / "mpos-head-office.service").read_text().replace(program, "/bin/true"))
    (folder / "worker.conf").write_text(DROP_IN.read_text().replace(program, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "mpos-head-office@1.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nginx_finds_the_worker_where_the_unit_puts_it() -> None:
    """The socket of worker 1 is one of nginx's servers."""
    arguments = start_line()
    listen = arguments[arguments.index("--listen") + 1].replace("%i", "1")
    assert split_listen(listen) == (listen, 0)
    assert f"server {listen} " in NGINX.read_text()
