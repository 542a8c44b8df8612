"""What systemd hears of the agent, over the socket it names."""

import os
import socket
from pathlib import Path

from mpos_agent.readiness import Readiness


def test_nobody_asks_nobody_is_told() -> None:
    """Started by hand there is no NOTIFY_SOCKET and nothing happens."""
    Readiness({}).ready("0 waiting")


def test_an_abstract_address_is_understood() -> None:
    """systemd may name a socket of Linux' abstract namespace with a leading @."""
    name = f"mpos-agent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(20)
        Readiness({"NOTIFY_SOCKET": f"@{name}"}).ready("0 waiting")
        assert manager.recv(200) == b"READY=1\nSTATUS=0 waiting"


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    """WATCHDOG_PID of a parent does not make a child send signs of life."""
    assert Readiness({"WATCHDOG_USEC": "30000000"}).watchdog_s == 30
    assert Readiness({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Readiness({"WATCHDOG_USEC": "soon"}).watchdog_s is None


def test_a_manager_that_does_not_listen_stops_nothing(tmp_path: Path) -> None:
    """The socket is gone: the agent goes on working."""
    readiness = Readiness({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    readiness.ready("0 waiting")
    readiness.alive("0 waiting")


def test_a_service_manager_that_listens_and_never_reads_does_not_stop_the_counter(tmp_path: Path) -> None:
    """Its queue is full after a while; the agent goes on serving, and says so once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        readiness = Readiness({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2_000):
            readiness.alive("waiting")
        assert manager.recv(4096).startswith(b"WATCHDOG=1")
