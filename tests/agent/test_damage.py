"""Damage on the disk is told at every start and to everybody who asks, until somebody has seen to it."""

import logging
import secrets
from pathlib import Path

import pytest

from mpos_agent.api.callers import Scope
from sync.keys import Algorithm
from sync.recipients import RecipientPrivateKey, Suite
from tests.api.rig import Rig, Rigs
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import Desk, DeviceKeys
from tests.sync.edge.test_outbox import rot


def told(rig: Rig) -> list[str]:
    """The damage that status shows."""
    with rig.client(f"tek-{secrets.token_hex(4)}", Scope.TECHNICIAN) as client:
        return [one["code"] for one in client.get("/v1/status")["damage"]]


def test_a_machine_without_damage_says_nothing_of_any(tmp_path: Path) -> None:
    """Neither in the status nor in systemd's line."""
    with Rigs(tmp_path) as rig:
        assert told(rig) == []
        assert "DAMAGE" not in rig.agent.one_line()


def test_a_queue_that_was_set_aside_is_told_at_every_start_until_it_is_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first start behind it is not the only one that may be looked at."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "agent.db").write_bytes(b"rubbish" * 999)
    (state / "agent.db-wal").write_bytes(b"rubbish")
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.CRITICAL), Rigs(tmp_path) as rig:
            assert told(rig) == ["storage_set_aside"]
            assert rig.agent.one_line().startswith("DAMAGE storage_set_aside; ")
            (body,) = (one.as_json() for one in rig.agent.damage())
        (file,) = (each for each in state.glob("agent.db.corrupt-*") if not each.name.endswith("-wal"))
        assert body["detail"] == file.name
        assert "tersegel" in str(body["text_id"])
        assert any("storage_set_aside" in record.getMessage() for record in caplog.records)
    file.rename(tmp_path / "kept-by-the-technician")
    with Rigs(tmp_path) as rig:
        assert told(rig) == []


def test_a_chain_that_broke_on_the_disk_is_told(tmp_path: Path) -> None:
    """A file that SQLite finds whole may still hold packets that are no longer what was sealed."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    keys = DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519))
    desk = Desk(state / "agent.db", keys)
    desk.put(1)
    desk.database.close()
    with Rigs(tmp_path) as rig:
        assert told(rig) == []
        rot(rig.agent._parts.database)
    with Rigs(tmp_path) as rig:
        assert told(rig) == ["chain_damaged"]
        assert "DAMAGE chain_damaged" in rig.agent.one_line()
        (one,) = rig.agent.damage()
        assert "core 1" in one.detail.lower()
