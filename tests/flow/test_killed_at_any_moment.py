"""The agent's plug is pulled while it seals, queues and uploads: every confirmed claim arrives once."""

import random
import threading
import time

import pytest

from mpos_agent.api.client import RemoteError
from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.stage import Stage, wait_until
from mpos_agent.errors import NoDaemonError
from tests.flow.walk import Walk

MOMENTS = 20
LONGEST_DELAY_S = 0.6
"""Sealing, the commit, the round to head office and its receipt take about 0.3 s after the member confirms."""


@pytest.mark.pcsc
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_confirmed_claim_arrives_once_whenever_the_agent_dies(stage: Stage, counter: VirtualCounter) -> None:
    """Twenty moments drawn at random from "the member confirms" on; what was confirmed is there exactly once."""
    chance = random.Random(20)
    counter.insert_card(1)
    counter.touch(2)
    told_done, resumed = 0, 0
    for moment in range(MOMENTS):
        with Walk(stage) as walk:
            claim_id = walk.start()
            walk.step(claim_id, "card")
            walk.finger(claim_id)
            walk.papers(claim_id)
            delay = LONGEST_DELAY_S * (moment + chance.random()) / MOMENTS
            told_done += confirm_and_die(stage, walk, claim_id, delay)
        stage.stop_agent(kill=True)
        stage.start_agent()
        with Walk(stage) as walk:
            if claim_id in {one["claim_id"] for one in walk.client.get("/v1/claims")["claims"]}:
                # The plug was pulled before the commit: the operator finds the claim where it was.
                walk.confirm(claim_id)
                resumed += 1
    wait_until(lambda: stage.waiting() == 0, 90, "the queue should drain after the last restart")
    arrived = stage.claims_at_head_office()
    assert len(arrived) == MOMENTS, f"{told_done} told done, {resumed} resumed"
    assert len({claim["packet_id"] for claim in arrived}) == MOMENTS
    assert resumed < MOMENTS, "every kill came before the commit: the moments miss what they should hit"


def confirm_and_die(stage: Stage, walk: Walk, claim_id: str, delay_s: float) -> bool:
    """Confirm, and kill the agent ``delay_s`` later; whether the operator had been told "done" by then."""
    told: list[bool] = []

    def confirm() -> None:
        try:
            told.append(walk.confirm(claim_id)["state"] == "QUEUED")
        except (NoDaemonError, RemoteError):
            told.append(False)

    asking = threading.Thread(target=confirm)
    asking.start()
    time.sleep(delay_s)
    stage.agent_process.kill()
    asking.join()
    return told[0]
