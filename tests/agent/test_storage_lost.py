"""A disk that failed cannot be trusted by waiting: the daemon stops, and is started over a file that is checked."""

import asyncio
from pathlib import Path

import pytest

from mpos_agent import daemon
from mpos_agent.daemon import signs_of_life
from mpos_agent.readiness import Readiness
from sync.errors import StorageBrokenError, StorageFullError
from tests.api.rig import Rig, Rigs


def test_a_failed_flush_stops_the_daemon_within_one_sign_of_life(tmp_path: Path) -> None:
    """As long as the database answers there are signs of life; the first failure ends them and asks for the stop."""
    stops: list[str] = []
    with Rigs(tmp_path) as rig:
        assert rig.agent.storage_trouble() is None
        rig.agent._parts.database._broken = "disk I/O error"
        assert isinstance(rig.agent.storage_trouble(), StorageBrokenError)
        watched = Readiness({"WATCHDOG_USEC": "30000"})
        asyncio.run(asyncio.wait_for(signs_of_life(rig.agent, watched, lambda: stops.append("stop")), timeout=20))
        rig.agent._parts.database._broken = ""
    assert stops == ["stop"]


def look_after(rig: Rig, stops: list[str]) -> None:
    """Signs of life without a watchdog, until they end."""
    asyncio.run(asyncio.wait_for(signs_of_life(rig.agent, Readiness({}), lambda: stops.append("stop")), timeout=20))


def test_a_failed_disk_is_noticed_without_a_watchdog_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent started by hand is no less bound to its disk."""
    monkeypatch.setattr(daemon, "_STATUS_EVERY_S", 0.01)
    stops: list[str] = []
    with Rigs(tmp_path) as rig:
        rig.agent._parts.database._broken = "disk I/O error"
        look_after(rig, stops)
        rig.agent._parts.database._broken = ""
    assert stops == ["stop"]


def test_when_looking_after_the_agent_fails_it_stops_in_good_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would notice the next failure; systemd starts it anew, and the cause is told at the end."""
    monkeypatch.setattr(daemon, "_STATUS_EVERY_S", 0.01)
    stops: list[str] = []
    with Rigs(tmp_path) as rig:

        def broken() -> str:
            raise ZeroDivisionError

        monkeypatch.setattr(rig.agent, "one_line", broken)
        with pytest.raises(ZeroDivisionError):
            look_after(rig, stops)
    assert stops == ["stop"]


def test_a_disk_that_is_full_for_a_while_does_not_stop_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says so, and the signs of life go on until something worse happens."""
    monkeypatch.setattr(daemon, "_STATUS_EVERY_S", 0.01)
    stops: list[str] = []
    lines: list[str] = []
    monkeypatch.setattr(Readiness, "alive", lambda _self, line: lines.append(line))
    with Rigs(tmp_path) as rig:

        def full_at_first() -> str:
            if len(lines) < 2:
                raise StorageFullError(tmp_path, "write")
            raise ZeroDivisionError

        monkeypatch.setattr(rig.agent, "one_line", full_at_first)
        with pytest.raises(ZeroDivisionError):
            look_after(rig, stops)
    assert lines == ["storage_full"] * 2
