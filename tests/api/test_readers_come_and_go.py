"""The agent beside the real pcscd: cards and readers are reported as they come and go, and pcscd may be away."""

import threading
from pathlib import Path
from typing import Any

import pytest

from drivers.card.pcsc import PcscSlots
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.person import synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import VPCD_CARD_PORT, VPCD_SAM_PORT, VpcdSlot
from tests.api.rig import Rigs, start_claim

PCSC = {"transport": "pcsc", "card_reader": "Virtual PCD 00 00", "sam_reader": "Virtual PCD 00 01", "wait_s": 10.0}
# pcscd notices a card within half a second; a loaded machine takes longer.
PATIENCE_S = 30.0


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_a_card_is_reported_when_it_is_laid_down_and_when_it_is_lifted(tmp_path: Path) -> None:
    """A page follows the events; the list of devices says where a card lies; the card reads through pcscd."""
    card = VpcdSlot(VirtualEktp(synthetic_person(1, None, None)), port=VPCD_CARD_PORT)
    sam = VpcdSlot(VirtualSam(), port=VPCD_SAM_PORT)
    sam.insert()
    assert PcscSlots().reader(str(PCSC["sam_reader"])).wait_for_card(PATIENCE_S)
    seen: list[dict[str, Any]] = []
    listening, lying, lifted = threading.Event(), threading.Event(), threading.Event()

    def listen() -> None:
        with rig.client("page") as page, page.events() as events:
            listening.set()
            for event in events:
                seen.append(event)
                if event.get("reader") == PCSC["card_reader"]:
                    (lying if event["happened"] == "card_inserted" else lifted).set()
                if event.get("happened") == "card_removed":
                    return

    try:
        with Rigs(tmp_path, card=PCSC) as rig, rig.operator() as client:
            thread = threading.Thread(target=listen)
            thread.start()
            claim_id = start_claim(client)
            assert listening.wait(PATIENCE_S)
            card.insert()
            assert client.post(f"/v1/claims/{claim_id}/card")["happened"] == "CARD_READ"
            assert lying.wait(PATIENCE_S)
            devices = client.get("/v1/devices")
            assert devices["card_present"] is True
            assert {PCSC["card_reader"], PCSC["sam_reader"]} <= set(devices["readers"])
            card.remove()
            assert lifted.wait(PATIENCE_S)
            thread.join(PATIENCE_S)
            assert client.get("/v1/devices")["card_present"] is False
    finally:
        card.remove()
        sam.remove()


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_a_name_that_fits_several_readers_is_answered_with_all_of_them(tmp_path: Path) -> None:
    """The technician sees which names there are and makes the pattern longer."""
    with Rigs(tmp_path, card={**PCSC, "card_reader": "Virtual PCD"}) as rig, rig.client() as client:
        problem = client.get("/v1/devices")["card_problem"]
    assert problem["code"] == "device_not_found"
    assert "2 readers match" in problem["detail"]
