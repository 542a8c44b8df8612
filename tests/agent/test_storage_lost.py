"""A disk that failed cannot be trusted by waiting: the file is opened anew and checked, at last by a new daemon."""

import asyncio
from pathlib import Path

import pytest

from mpos_agent import daemon
from mpos_agent.audit import Act
from mpos_agent.daemon import signs_of_life
from mpos_agent.readiness import Readiness
from sync.errors import StorageBrokenError, StorageFullError
from tests.api.rig import Rig, Rigs


def test_a_failed_flush_is_followed_by_a_check_and_the_agent_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within one sign of life, with a record; what was queued is there, and the daemon does not stop for it."""
    monkeypatch.setattr(daemon, "_STATUS_EVERY_S", 0.01)
    stops: list[str] = []
    with Rigs(tmp_path) as rig:
        database = rig.agent._parts.database
        database._broken = "disk I/O error"
        assert isinstance(rig.agent.storage_trouble(), StorageBrokenError)

        async def until_it_goes_on() -> None:
            life = asyncio.create_task(signs_of_life(rig.agent, Readiness({}), lambda: stops.append("stop")))
            while rig.agent.storage_trouble() is not None:
                await asyncio.sleep(0.01)
            life.cancel()

        asyncio.run(asyncio.wait_for(until_it_goes_on(), timeout=20))
        acts = [row.act for row in rig.agent._parts.audit.rows()]
        assert Act.STORAGE_REOPENED.value in acts
        assert rig.agent._parts.audit.verify().holds
        assert database.set_aside is None
    assert stops == []


def test_damage_met_while_running_is_set_aside_and_told(tmp_path: Path) -> None:
    """The queue behind it begins with new epochs; the old file stays sealed beside it until somebody has seen to it."""
    with Rigs(tmp_path) as rig:
        parts = rig.agent._parts
        before = [counts.epoch for counts in parts.outbox.counts()]
        parts.database.give_back_space(0)
        length = parts.database.path.stat().st_size
        with parts.database.path.open("r+b") as file:
            file.seek(4096 * 4)
            file.write(b"\xa5" * (length - 4096 * 4))
        rig.agent.open_storage_again()
        assert [one.code for one in rig.agent.damage()] == ["storage_set_aside"]
        assert not {counts.epoch for counts in parts.outbox.counts()} & set(before)
        assert rig.agent.one_line().startswith("DAMAGE storage_set_aside; ")
        assert [row.facts for row in parts.audit.rows() if row.act == Act.STORAGE_REOPENED.value] == [{"anew": True}]


def keeps_failing(rig: Rig) -> None:
    """A disk on which nothing helps."""
    rig.agent._parts.database._broken = "disk I/O error"
    rig.agent._parts.database._reopened = [rig.agent._parts.database._monotonic()] * 3


def test_a_disk_that_keeps_failing_stops_the_daemon_within_one_sign_of_life(tmp_path: Path) -> None:
    """As long as the database answers there are signs of life; when opening it again no longer helps they end."""
    stops: list[str] = []
    with Rigs(tmp_path) as rig:
        assert rig.agent.storage_trouble() is None
        keeps_failing(rig)
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
        keeps_failing(rig)
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
