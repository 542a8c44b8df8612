"""Whole claims as an operator would tell them, through the command line, the daemon and head office."""

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
