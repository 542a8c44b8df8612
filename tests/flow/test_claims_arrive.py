"""Whole claims as an operator would tell them, through the command line, the daemon and head office."""

import json
from pathlib import Path

import pytest

from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.stage import Stage, wait_until
from tests.flow.walk import claim, objects


@pytest.mark.pcsc
def test_claim_is_verified_queued_and_receipted(stage: Stage, counter: VirtualCounter) -> None:
    """The holder's own finger: one attempt, one packet, one verified receipt, one row in head office's list."""
    counter.insert_card(1)
    counter.touch(2)
    said = objects(claim(stage, "verified").stdout)
    assert said[-1]["result"] == "QUEUED"
    wait_until(lambda: stage.waiting() == 0, 60, "the receipt should come")
    newest = stage.agent_json("outbox")["rows"][0]
    assert (newest["state"], newest["verdict"]) == ("ACKED", "accepted")
    (arrived,) = [one for one in stage.claims_at_head_office() if one["receipt_no"] == newest["receipt_no"]]
    assert (arrived["path"], arrived["full_name"]) == ("BIOMETRIC", "PESERTA UJI SATU")


@pytest.mark.pcsc
def test_worn_finger_falls_back_with_a_second_person(stage: Stage, counter: VirtualCounter) -> None:
    """No attempt matches: nobody is refused, the supervisor countersigns, head office sees a manual path."""
    counter.insert_card(2)
    counter.touch(0)
    claim(stage, "worn", {"kpj": "99ZZ0000002"})
    wait_until(lambda: stage.waiting() == 0, 60, "the receipt should come")
    newest = stage.agent_json("outbox")["rows"][0]
    (arrived,) = [one for one in stage.claims_at_head_office() if one["receipt_no"] == newest["receipt_no"]]
    assert arrived["path"] == "MANUAL"
    assert "MANUAL_PATH" in arrived["flags"]


@pytest.mark.pcsc
def test_claim_made_offline_is_delivered_once_when_head_office_is_back(stage: Stage, counter: VirtualCounter) -> None:
    """The queue says "waiting" for as long as it waits; afterwards the claim is there once."""
    stage.stop_head_office()
    counter.insert_card(3)
    counter.touch(6)
    claim(stage, "offline", {"kpj": "99ZZ0000003"})
    assert stage.waiting() == 1
    stage.start_head_office()
    wait_until(lambda: stage.waiting() == 0, 60, "the packet should be delivered")
    assert [one["full_name"] for one in stage.claims_at_head_office()].count("PESERTA UJI TIGA") == 1


@pytest.mark.pcsc
def test_head_office_dies_at_once_and_nothing_is_sent_twice(stage: Stage, counter: VirtualCounter) -> None:
    """Head office's plug is pulled right after the member confirms, three times over; each claim is there once."""
    counter.insert_card(4)
    counter.touch(8)
    before = len(stage.claims_at_head_office())
    for number in range(3):
        claim(stage, f"plug-{number}", {"kpj": "99ZZ0000004"})
        stage.stop_head_office(kill=True)
        stage.start_head_office()
    wait_until(lambda: stage.waiting() == 0, 90, "the queue should drain")
    arrived = stage.claims_at_head_office()
    assert len(arrived) == before + 3
    assert len({one["packet_id"] for one in arrived}) == len(arrived)


@pytest.mark.pcsc
def test_an_offline_device_is_emptied_by_a_stick_there_and_back(
    stage: Stage, counter: VirtualCounter, tmp_path: Path
) -> None:
    """Export, import, receipts, import: the queue is empty without one round, and the claim is on the desk once."""
    before = len(stage.claims_at_head_office())
    stage.stop_head_office()
    counter.insert_card(5)
    counter.touch(10)
    claim(stage, "stick", {"kpj": "99ZZ0000005"})
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
    wait_until(lambda: len(stage.claims_at_head_office()) == before + 1, 60, "the claim should be opened")
    newest = stage.agent_json("outbox")["rows"][0]
    assert [one["receipt_no"] for one in stage.claims_at_head_office()].count(newest["receipt_no"]) == 1
