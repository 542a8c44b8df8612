"""A counter application walks a claim over the local API, from the notice to the slip."""

import threading
from typing import Any

import httpx
import pytest

from mpos_agent.api.client import RemoteError
from tests.api.rig import OPERATOR, SUPERVISOR, WISH, Rig, countersigned, start_claim, up_to_summary


def test_a_claim_goes_from_notice_to_slip(rig: Rig) -> None:
    """Card read, second person, papers, form, summary, confirmation: then the packet is on disk."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        summary = client.get(f"/v1/claims/{claim_id}/summary")
        assert summary["claimant"]["name"] == "PESERTA UJI SATU"
        done = client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        assert (done["happened"], done["state"], done["next"]["step"]) == ("PACKET_STORED", "QUEUED", None)
        assert done["details"]["slip"]["reference"]
        queue = client.get("/v1/outbox")
        assert (queue["waiting"], queue["accepted"], queue["refused"]) == (1, 0, 0)
        assert queue["rows"][0]["packet_id"] == claim_id
        assert queue["oldest_waiting_s"] >= 0


def test_the_identity_number_is_masked_wherever_a_screen_shows_it(rig: Rig) -> None:
    """View and summary name the person; the number shows its last four digits."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        shown = client.get(f"/v1/claims/{claim_id}")
        assert shown["claimant"]["nik"].startswith("*" * 12)
        assert client.get(f"/v1/claims/{claim_id}/summary")["claimant"]["nik"].startswith("*" * 12)


def test_the_slip_can_be_printed_again(rig: Rig) -> None:
    """After the claim is queued its slip is still there, with the state of its packet."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        slip = client.get(f"/v1/claims/{claim_id}/slip")
        assert slip["packet"]["state"] == "READY"
        assert slip["slip"]["reference"] == slip["reference"]


def test_the_photo_is_for_the_operators_eyes(rig: Rig) -> None:
    """The chip's photo comes as a picture, uncached, and only while the claim needs it."""
    with rig.operator() as client:
        claim_id = start_claim(client)
        with pytest.raises(RemoteError) as caught:
            client.get(f"/v1/claims/{claim_id}/photo")
        assert caught.value.body["code"] == "not_found"
        client.post(f"/v1/claims/{claim_id}/card")
        answer = raw(client, f"/v1/claims/{claim_id}/photo")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"\xff\xd8")


def raw(client: Any, path: str) -> httpx.Response:
    """The reply as it came, for what is not JSON."""
    answer: httpx.Response = client._http.get(path)
    return answer


def test_no_card_is_said_with_its_cure_and_the_claim_stays(rig: Rig) -> None:
    """The member has no card at hand: one sentence, and the same step works once the card is there."""
    rig.card.remove()
    with rig.operator() as client:
        claim_id = start_claim(client)
        with pytest.raises(RemoteError) as caught:
            client.post(f"/v1/claims/{claim_id}/card")
        assert caught.value.status == 409
        assert caught.value.body["code"] == "no_card"
        assert caught.value.body["retryable"] is True
        assert "letakkan e-KTP" in caught.value.body["text_id"]
        rig.card.insert()
        assert client.post(f"/v1/claims/{claim_id}/card")["happened"] == "CARD_READ"


def test_a_missing_sam_is_not_blamed_on_the_card(rig: Rig) -> None:
    """The operator is sent to the technician, not to the member."""
    rig.sam.remove()
    with rig.operator() as client:
        claim_id = start_claim(client)
        with pytest.raises(RemoteError) as caught:
            client.post(f"/v1/claims/{claim_id}/card")
    assert caught.value.body["code"] == "sam_missing"


def test_a_step_out_of_order_changes_nothing(rig: Rig) -> None:
    """An application that skips a step is told so; the claim is what it was."""
    with rig.operator() as client:
        claim_id = start_claim(client)
        with pytest.raises(RemoteError) as caught:
            client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        assert (caught.value.status, caught.value.body["code"]) == (409, "not_now")
        assert client.get(f"/v1/claims/{claim_id}")["state"] == "CONSENTED"


def test_what_blocks_is_told_field_by_field(rig: Rig) -> None:
    """A wrong card number is a value with a sentence, not an error; corrected, the form is taken."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        reply = client.post(f"/v1/claims/{claim_id}/form", {"fields": {"kpj": "1"}})
        assert reply["accepted"] is False
        assert [(block["code"], block["field"]) for block in reply["blocks"]] == [("KPJ_SHAPE", "kpj")]
        assert reply["blocks"][0]["text_id"]


def test_a_programme_claimed_elsewhere_is_explained(rig: Rig) -> None:
    """Nothing is opened, and the member is told where to go."""
    with rig.operator() as client:
        reply = client.post("/v1/claims", {**WISH, "programme": "JKP"})
        assert (reply["accepted"], reply["claim_id"]) == (False, None)
        assert reply["elsewhere_id"]
        assert client.get("/v1/claims")["claims"] == []


def test_the_operator_cannot_countersign_the_own_claim(rig: Rig) -> None:
    """The second person is another person."""
    with rig.operator(who=SUPERVISOR) as client:
        claim_id = start_claim(client)
        client.post(f"/v1/claims/{claim_id}/card")
        reply = countersigned(client, claim_id)
    assert [block["code"] for block in reply["blocks"]] == ["SUPERVISOR_IS_OPERATOR"]


def test_a_claim_stays_bound_to_who_opened_it(rig: Rig) -> None:
    """Another operator cannot go on with it; a supervisor may look at it and withdraw it."""
    with rig.operator("a", SUPERVISOR) as other, rig.operator("b", OPERATOR) as mine:
        claim_id = start_claim(other)
        with pytest.raises(RemoteError) as caught:
            mine.post(f"/v1/claims/{claim_id}/card")
        assert caught.value.body["code"] == "not_your_claim"
        own = start_claim(mine)
        assert other.get(f"/v1/claims/{own}")["state"] == "CONSENTED"
        assert other.post(f"/v1/claims/{own}/withdraw", {"reason": "MEMBER_LEFT"})["state"] == "WITHDRAWN"


def test_a_withdrawn_claim_leaves_nothing_open(rig: Rig) -> None:
    """The member takes the claim back: it is gone from the list."""
    with rig.operator() as client:
        claim_id = start_claim(client)
        client.post(f"/v1/claims/{claim_id}/withdraw", {"reason": "MEMBER_CHANGED_MIND"})
        assert client.get("/v1/claims")["claims"] == []


def test_withdrawing_ends_a_running_wait_for_the_card(rig: Rig) -> None:
    """The member leaves while the reader waits: the wait ends, nothing hangs."""
    rig.card.remove()
    with rig.operator("a") as client, rig.operator("b") as second:
        claim_id = start_claim(client)
        codes: list[str] = []

        def wait_for_card() -> None:
            try:
                client.post(f"/v1/claims/{claim_id}/card")
            except RemoteError as error:
                codes.append(str(error.body["code"]))

        waiting = threading.Thread(target=wait_for_card)
        waiting.start()
        assert second.post(f"/v1/claims/{claim_id}/withdraw", {"reason": "MEMBER_LEFT"})["state"] == "WITHDRAWN"
        waiting.join(20)
    assert not waiting.is_alive()
    assert len(codes) == 1


def test_a_misspelt_field_is_refused_and_its_value_is_not_repeated(rig: Rig) -> None:
    """The reply names the field; a typed number never comes back in an error."""
    with rig.operator() as client:
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/claims", {**WISH, "tickett": "9901014101900001"})
    assert caught.value.body["code"] == "bad_request"
    assert "tickett" in caught.value.body["detail"]
    assert "9901014101900001" not in str(caught.value.body)
