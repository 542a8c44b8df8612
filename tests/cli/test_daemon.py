"""The daemon starts without devices and networks, says when it is ready, and goes down in good order."""

import signal
import socket
from pathlib import Path

from mpos_agent.outcomes import Exit
from tests.cli.daemon import Daemon, ask, objects, write_settings


def test_it_is_ready_with_no_device_no_network_and_no_identity(tmp_path: Path) -> None:
    """Readers, scanner and head office are all away: the daemon runs and says so."""
    config = write_settings(tmp_path)
    with Daemon(config) as daemon:
        status = objects(ask(config, "status", "--json").stdout)[0]
        assert status["devices"]["scanners"] == []
        assert status["sync"]["problem"]["code"] == "not_enrolled"
        assert daemon.stop() == 0


def test_the_card_service_may_be_away(tmp_path: Path) -> None:
    """With transport "pcsc" and no pcscd the daemon starts, and names the cause when asked."""
    config = write_settings(tmp_path, card={"transport": "pcsc", "sam_reader": "a reader nobody has"})
    with Daemon(config) as daemon:
        problem = objects(ask(config, "devices", "--json").stdout)[0]["card_problem"]
        assert problem["code"] in {"service_down", "device_not_found"}
        assert daemon.stop() == 0


def test_it_tells_systemd_ready_alive_and_stopping_in_that_order(tmp_path: Path) -> None:
    """READY once it listens, signs of life while it works, STOPPING at the signal."""
    config = write_settings(tmp_path)
    with Daemon(config, watchdog_s=3) as daemon:
        assert (tmp_path / "run" / "agent.sock").is_socket()
        assert "waiting" in daemon.wait_for("WATCHDOG=1")
        assert daemon.stop() == 0
        daemon.wait_for("STOPPING=1")
    first = [notice.split("\n")[0] for notice in daemon.notices]
    assert first[0] == "READY=1"
    assert first[-1] == "STOPPING=1"
    assert set(first[1:-1]) == {"WATCHDOG=1"}


def test_both_signals_end_it_in_good_order(tmp_path: Path) -> None:
    """systemctl stop and Ctrl-C leave no socket, no credential and no lock behind."""
    config = write_settings(tmp_path)
    for number in (signal.SIGTERM, signal.SIGINT):
        with Daemon(config) as daemon:
            assert daemon.stop(number) == 0
        assert list((tmp_path / "run").iterdir()) == []
        assert "stopped" in daemon.text()
        assert "Traceback" not in daemon.text()


def test_after_a_kill_it_starts_again_over_what_was_left(tmp_path: Path) -> None:
    """A stale socket and a log of the database that was not folded in are no obstacle."""
    config = write_settings(tmp_path)
    with Daemon(config) as daemon:
        daemon.process.kill()
        daemon.process.wait()
        assert (tmp_path / "run" / "agent.sock").exists()
    with Daemon(config):
        assert ask(config, "status").returncode == Exit.DONE


def test_a_second_agent_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """Two daemons would send one queue twice: the second says so and leaves the first alone."""
    config = write_settings(tmp_path)
    with Daemon(config):
        second = ask(config, "run")
        assert second.returncode == Exit.BUSY
        assert "Agen lain sudah memakai" in second.stderr
        assert ask(config, "status").returncode == Exit.DONE


def test_a_second_agent_with_a_state_of_its_own_does_not_take_the_socket_over(tmp_path: Path) -> None:
    """Two settings files, one runtime folder: the second is refused, and the first one still answers."""
    config = write_settings(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    theirs = write_settings(other, agent={"state_dir": "state", "run_dir": str(tmp_path / "run")})
    with Daemon(config):
        second = ask(theirs, "run")
        assert second.returncode == Exit.BUSY
        assert "Agen lain sudah memakai" in second.stderr
        assert ask(config, "status").returncode == Exit.DONE


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The daemon says which setting to change instead of half starting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = write_settings(tmp_path, api={"port": taken.getsockname()[1]})
        ended = ask(config, "run")
    assert ended.returncode == Exit.SETTINGS
    assert "api.port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_folders_that_cannot_be_made_are_named(tmp_path: Path) -> None:
    """A file where a folder should be, and a socket path the system cannot take: one sentence each."""
    (tmp_path / "file").touch()
    long_name = "x" * 120
    for section, key in (
        ({"agent": {"state_dir": "file/state"}}, "file/state"),
        ({"api": {"socket": f"{long_name}/agent.sock"}}, "agent.sock"),
    ):
        ended = ask(write_settings(tmp_path, **section), "run")
        assert ended.returncode == Exit.SETTINGS
        assert key in ended.stderr
        assert "Traceback" not in ended.stderr


def test_the_command_lines_credential_is_the_daemons_alone(tmp_path: Path) -> None:
    """It is readable by its owner only, new at every start, and never in the callers file."""
    config = write_settings(tmp_path)
    tokens = set()
    for _ in range(2):
        with Daemon(config) as daemon:
            file = tmp_path / "run" / "cli.token"
            assert file.stat().st_mode & 0o777 == 0o600
            tokens.add(file.read_text())
            daemon.stop()
    assert len(tokens) == 2
    assert not (tmp_path / "state" / "callers.json").exists()


def test_idle_it_costs_next_to_nothing(tmp_path: Path) -> None:
    """Waiting for work, the daemon holds few threads and stays well under 300 MB."""
    config = write_settings(tmp_path)
    with Daemon(config) as daemon:
        facts = dict(
            line.split(":", 1)
            for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
            if ":" in line
        )
        assert int(facts["VmRSS"].split()[0]) < 300_000
        assert int(facts["Threads"]) < 30
