"""One claim from card to queue with each kind of scanner: it goes the same way with every one of them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.card.virtual.person import VirtualPerson, synthetic_person
from drivers.scanner.synthetic.finger import Finger
from matcher import Network, extract
from matcher.chip_profile import as_on_chip
from tests.api.rig import FORM, Rigs, start_claim
from tests.flow.scanners import COUNTERS, Counter

MEMBER, STRANGER = 31, 44
"""Seeds of fingers that nobody has."""
RIGHT_INDEX = 2


@pytest.fixture(scope="module")
def member(network: Network) -> VirtualPerson:
    """The holder of the card, with the template of one finger on the chip."""
    template = extract(Finger.from_seed(MEMBER).impression(1), 500, network)
    try:
        return synthetic_person(1, as_on_chip(template, RIGHT_INDEX), None)
    finally:
        template.wipe()


@pytest.fixture
def counter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Counter]:
    with request.param(tmp_path) as made:
        yield made


@pytest.mark.parametrize("counter", COUNTERS, indirect=True, ids=lambda made: made.__name__)
def test_a_claim_with_this_scanner(counter: Counter, member: VirtualPerson, tmp_path: Path) -> None:
    """Another person's finger does not match and uses one attempt; the member's does; the packet is on disk."""
    scanner = {**counter.settings(), "capture_timeout_s": 20.0}
    with Rigs(tmp_path, person=member, scanner=scanner) as rig, rig.operator() as client:
        counter.measured(rig.settings.calibration_dir)
        claim_id = start_claim(client)
        assert client.post(f"/v1/claims/{claim_id}/card")["happened"] == "CARD_READ"

        counter.place(Finger.from_seed(STRANGER).impression(1, shape=counter.glass))
        first = client.post(f"/v1/claims/{claim_id}/finger")
        assert (first["happened"], first["details"].get("attempt")) == ("FINGER_DIFFERS", 1), told(first)

        counter.lift()
        own = Finger.from_seed(MEMBER).impression(2, shape=counter.glass)
        hand = threading.Thread(target=counter.place_anew, args=(own,))
        hand.start()
        second = client.post(f"/v1/claims/{claim_id}/finger")
        hand.join()
        assert (second["happened"], second["details"].get("attempt")) == ("FINGER_MATCHES", 2), told(second)
        assert second["details"]["quality"] > 40
        counter.lift()

        client.post(f"/v1/claims/{claim_id}/photo-check", {"result": "SAME"})
        client.post(f"/v1/claims/{claim_id}/documents", {"documents": [{"type": "KPJ_CARD"}]})
        client.post(f"/v1/claims/{claim_id}/form", {"fields": FORM})
        done = client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        assert (done["happened"], done["state"]) == ("PACKET_STORED", "QUEUED"), told(done)
        assert client.get("/v1/outbox")["waiting"] == 1


def told(reply: dict[str, Any]) -> dict[str, Any]:
    """What a failure may print: no details of a finger."""
    return {key: reply.get(key) for key in ("happened", "accepted", "state", "blocks")}
