"""What happens at the glass during a claim: guidance while the finger lies there, and no picture used twice."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.card.virtual.person import VirtualPerson, synthetic_person
from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from matcher import Network, extract
from matcher.chip_profile import as_on_chip
from mpos_agent.api.client import AgentClient
from mpos_agent.events import Event, EventKind
from tests.api.rig import Rig, Rigs, start_claim
from tests.flow.scanners import StreamingCounter, VirtualCounter

MEMBER, RIGHT_INDEX = 31, 2


@pytest.fixture(scope="module")
def member(network: Network) -> VirtualPerson:
    template = extract(Finger.from_seed(MEMBER).impression(1), 500, network)
    try:
        return synthetic_person(1, as_on_chip(template, RIGHT_INDEX), None)
    finally:
        template.wipe()


@pytest.fixture
def rig(member: VirtualPerson, tmp_path: Path) -> Iterator[Rig]:
    scanner = {"driver": "virtual", "socket": "glass.sock", "capture_timeout_s": 4.0}
    with Rigs(tmp_path, person=member, scanner=scanner) as made:
        yield made


def card_was_read(client: AgentClient) -> str:
    """A claim that waits for the finger."""
    claim_id = start_claim(client)
    client.post(f"/v1/claims/{claim_id}/card")
    return claim_id


def happened(reply: dict[str, Any]) -> str:
    """The one word of a reply that a failure may print."""
    return str(reply["happened"])


def test_the_picture_of_one_claim_is_not_taken_for_another(rig: Rig, tmp_path: Path) -> None:
    """Somebody plays the picture of an earlier claim to the scanner: bytes that were used once are no live finger."""
    with VirtualCounter(tmp_path) as counter, rig.operator() as client:
        first = card_was_read(client)
        counter.place(Finger.from_seed(MEMBER).impression(2))
        assert happened(client.post(f"/v1/claims/{first}/finger")) == "FINGER_MATCHES"
        client.post(f"/v1/claims/{first}/withdraw", {"reason": "MEMBER_CHANGED_MIND"})

        second = card_was_read(client)
        counter.lift()
        counter.place(Finger.from_seed(MEMBER).impression(2))
        played = client.post(f"/v1/claims/{second}/finger")
        assert (happened(played), played["details"]["place_again"]) == ("FINGER_MISSED", "lift_first")

        counter.lift()
        counter.place(Finger.from_seed(MEMBER).impression(3))
        assert happened(client.post(f"/v1/claims/{second}/finger")) == "FINGER_MATCHES"


def test_the_member_is_guided_while_the_finger_lies_there(rig: Rig, tmp_path: Path) -> None:
    """Only the tip touches; the screen says so, the member lays the finger down, and that matches: one attempt."""
    told: list[Event] = []
    with StreamingCounter(tmp_path) as counter, rig.operator() as client:
        finger = Finger.from_seed(MEMBER)
        tip, flat = finger.impression(4, fault=Fault.SMALL), finger.impression(5)
        laid_down = threading.Event()

        def listen(event: Event | None) -> None:
            if event is not None and event.kind is EventKind.FINGER:
                told.append(event)
                if event.facts.get("code") == "LAY_FLAT":
                    laid_down.set()

        def lay_down() -> None:
            laid_down.wait(20)
            counter.place(flat)

        claim_id = card_was_read(client)
        hand = threading.Thread(target=lay_down)
        hand.start()
        counter.place(tip)
        with rig.agent.events._listening(listen, None):
            reply = client.post(f"/v1/claims/{claim_id}/finger")
        hand.join()
        assert happened(reply) == "FINGER_MATCHES"
        assert reply["details"]["attempt"] == 1
    guided = [event.facts for event in told if event.facts.get("doing") == "guide"]
    assert [facts["code"] for facts in guided] == ["LAY_FLAT"]
    assert guided[0]["claim_id"] == claim_id
    assert guided[0]["text_en"] == "Lay the finger flatter, not only its tip."
