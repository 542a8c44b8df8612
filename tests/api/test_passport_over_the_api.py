"""A foreign worker at the counter page: the passport over the same reader, through the whole agent."""

import json
from pathlib import Path

import pytest

from drivers.card.recording import Recording
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from mpos_agent.api.client import RemoteError
from tests.api.rig import SUPERVISOR, Rig, Rigs, start_claim

HOLDER = synthetic_holder(1)


def _laid_down(rig: Rig) -> None:
    rig.card.remove()
    rig.card.insert(VirtualPassport(HOLDER))


def test_passport_is_read_shown_and_countersigned(tmp_path: Path) -> None:
    """With no SAM in the machine: progress is told, the photo is there for the second person and gone after."""
    with Rigs(tmp_path) as rig, rig.operator() as client:
        rig.sam.remove()
        _laid_down(rig)
        claim_id = start_claim(client)
        reply = client.post(f"/v1/claims/{claim_id}/passport", {"mrz": HOLDER.zone})
        assert (reply["happened"], reply["next"]["step"]) == ("PASSPORT_READ", "fallback")
        view = client.get(f"/v1/claims/{claim_id}")
        assert view["claimant"]["name"] == "PEKERJA ASING B CONTOH"
        assert view["identity_source"] == "PASSPORT"
        shown = client.photo(claim_id) == HOLDER.face
        assert shown
        reply = client.post(
            f"/v1/claims/{claim_id}/fallback",
            {
                "code": "NO_CHIP",
                "reason": "FOREIGNER",
                "supervisor_id": SUPERVISOR[0],
                "pin": SUPERVISOR[1],
                "photo_compare": "SAME",
            },
        )
        assert reply["next"]["step"] == "documents"
        assert client.photo(claim_id) is None


def test_wrong_zone_is_answered_with_its_cause_and_cure(tmp_path: Path) -> None:
    """Another passport than the one that was typed."""
    with Rigs(tmp_path) as rig, rig.operator() as client:
        _laid_down(rig)
        claim_id = start_claim(client)
        with pytest.raises(RemoteError) as caught:
            client.post(f"/v1/claims/{claim_id}/passport", {"mrz": synthetic_holder(2).zone})
        assert caught.value.body["code"] == "mrz_mismatch"
        assert client.get(f"/v1/claims/{claim_id}")["state"] == "CONSENTED"


def test_reads_are_recorded_masked_where_the_settings_say_so(tmp_path: Path) -> None:
    """Off by default; on, a file of lengths and status words lies there after the read, and nothing of the holder."""
    with Rigs(tmp_path) as rig, rig.operator() as client:
        client.post(f"/v1/claims/{start_claim(client)}/card")
    assert list(tmp_path.rglob("card-*.jsonl")) == []
    with Rigs(tmp_path, card={"record_dir": "recordings"}) as rig, rig.operator("again") as client:
        client.post(f"/v1/claims/{start_claim(client)}/card")
        _laid_down(rig)
        client.post(f"/v1/claims/{start_claim(client)}/passport", {"mrz": HOLDER.zone})
    files = sorted((tmp_path / "recordings").glob("card-*.jsonl"))
    assert [set(Recording.parse(file.read_text()).opened) for file in files] == [{"card", "sam"}, {"card"}]
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert not any("answer" in line for line in lines)
