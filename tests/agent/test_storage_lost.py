"""A disk that failed cannot be trusted by waiting: the daemon stops, and is started over a file that is checked."""

import asyncio
from pathlib import Path

from mpos_agent.daemon import signs_of_life
from mpos_agent.readiness import Readiness
from sync.errors import StorageBrokenError
from tests.api.rig import Rigs


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
