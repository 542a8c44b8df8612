"""A laptop that never sees a network: its claims go to head office on a stick, and the receipts come back on it."""

import json
from pathlib import Path

import pytest

from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.stage import Stage, wait_until
from mpos_agent.outcomes import Exit
from tests.flow.walk import claim


@pytest.mark.pcsc
def test_an_offline_device_is_emptied_by_a_stick_there_and_back(
    stage: Stage, counter: VirtualCounter, tmp_path: Path
) -> None:
    """Export, import, receipts, import: the queue is empty without one round, and the claim is on the desk once."""
    stage.stop_head_office()
    counter.insert_card(1)
    counter.touch(2)
    claim(stage, "stick", {"kpj": "99ZZ0000007"})
    assert stage.waiting() == 1
    (tmp_path / "foto liburan.jpg").write_bytes(b"x")

    assert stage.agent_json("stick", "export", str(tmp_path)) == {"files": 1, "packets": 1}
    assert stage.waiting() == 1

    told = json.loads(stage.head_office("stick", "import", str(tmp_path), "--json"))
    assert (told["batches"], told["verdicts"]["accepted"], told["foreign"]) == (1, 1, 1)
    told = json.loads(stage.head_office("stick", "import", str(tmp_path), "--json"))
    assert told["verdicts"]["duplicate"] == 1
    assert json.loads(stage.head_office("stick", "receipts", str(tmp_path), "--json"))["written"] == 1

    told = stage.agent_json("stick", "import", str(tmp_path))
    # The second import made the receipt anew: "duplicate" is custody as good as "accepted".
    assert (told["receipts"], told["accepted"], told["skipped"], told["foreign"]) == (1, 1, [], 1)
    assert stage.waiting() == 0
    assert [file.name for file in tmp_path.iterdir()] == ["foto liburan.jpg"]

    stage.start_head_office()
    wait_until(lambda: len(stage.claims_at_head_office()) == 1, 60, "the claim should be opened")
    newest = stage.agent_json("outbox")["rows"][0]
    assert newest["receipt_no"] == stage.claims_at_head_office()[0]["receipt_no"]


@pytest.mark.pcsc
def test_a_stick_that_is_not_there_is_told_in_words(stage: Stage, tmp_path: Path) -> None:
    """A wrong folder: exit status and sentence say so, and nothing was exported."""
    failed = stage.agent_command("stick", "export", str(tmp_path / "absent"), check=False)
    assert failed.returncode == Exit.STORAGE
    assert "Folder stik tidak ditemukan" in failed.stderr
