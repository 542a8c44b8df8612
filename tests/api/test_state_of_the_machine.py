"""What a technician and an application learn of the machine: devices, queue, head office, people, events."""

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from mpos_agent.api.callers import Scope
from mpos_agent.api.client import RemoteError
from tests.api.rig import (
    OPERATOR,
    TECHNICIAN,
    Rig,
    Rigs,
    enrol_by_hand,
    settings_for,
    start_claim,
    up_to_summary,
)


def test_status_tells_devices_queue_and_head_office_apart(rig: Rig) -> None:
    """Readers and scanner there, nothing queued, head office away with its cause: never one green light."""
    with rig.client(scope=Scope.TECHNICIAN) as client:
        client.post("/v1/sync")
        status = client.get("/v1/status")
    assert status["device_id"] == "dev-000001"
    assert status["site"]["branch_code"] == "KC01"
    assert status["devices"]["card_reader"] == "socket card.sock"
    assert status["devices"]["sam_reader"] == "socket sam.sock"
    assert [found["driver"] for found in status["devices"]["scanners"]] == ["virtual"]
    assert status["queue"] == {"waiting": 0, "accepted": 0, "held": 0, "refused": 0, "oldest_waiting_s": None}
    assert status["sync"]["problem"]["code"] == "head_office_connection_refused"
    assert status["clock_trusted"] is False


def test_a_claim_made_while_head_office_is_away_waits_with_its_cause(rig: Rig) -> None:
    """The row says how often it was tried, why not delivered, and when it is tried again."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        made = client.post("/v1/sync")
        assert (made["result"], made["sent"], made["accepted"]) == ("failed", 1, 0)
        row = client.get("/v1/outbox")["rows"][0]
    assert row["state"] == "READY"
    assert row["attempts"] >= 1
    assert row["last_error"] == "connection_refused"
    assert row["next_attempt_at"]
    assert row["receipt_no"] is None


def test_a_confirmed_claim_is_offered_to_head_office_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the next poll: the sync thread is woken after the packet is on disk, not before."""
    waiting: list[int] = []
    monkeypatch.setattr(rig.agent._parts.sync, "wake", lambda: waiting.append(rig.agent.queue().waiting))
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        assert waiting == []
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
    assert waiting == [1]


def test_unplugged_devices_are_reported_with_a_cure_and_stop_nothing(rig: Rig) -> None:
    """No scanner and no SAM: the agent answers as before and says what is missing."""
    rig.scanner.unplug()
    with rig.client() as client:
        devices = client.get("/v1/devices")
        assert devices["scanners"] == []
    rig.scanner.plug()
    with rig.client("again") as client:
        assert len(client.get("/v1/devices")["scanners"]) == 1


def test_an_empty_sam_slot_is_told_before_the_first_member_comes(rig: Rig) -> None:
    """The slot is there, the SAM is not: missing, with its cure, until it is back."""
    board = rig.agent._parts.readers
    with rig.client() as client:
        assert client.get("/v1/devices")["sam_problem"] is None
        board.reader("socket sam.sock", there=True)
        assert client.get("/v1/devices")["sam_problem"]["code"] == "sam_missing"
        assert client.get("/v1/status")["devices"]["sam_problem"]["code"] == "sam_missing"
        board.card("socket sam.sock", there=True)
        assert client.get("/v1/devices")["sam_problem"] is None


def test_a_technician_never_sees_a_claim(rig: Rig) -> None:
    """The technician's credential opens state and devices, and no claim, not even with a sign-in."""
    with rig.client("tek", Scope.TECHNICIAN) as client:
        for path in ("/v1/status", "/v1/devices", "/v1/outbox", "/v1/tables"):
            assert client.get(path)
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/sign-in", {"person_id": OPERATOR[0], "pin": OPERATOR[1]})
        assert caught.value.body["code"] == "caller_forbidden"
        with pytest.raises(RemoteError) as caught:
            client.get("/v1/claims")
        assert caught.value.body["code"] == "caller_forbidden"


def test_people_are_the_machines_own_matter(rig: Rig) -> None:
    """A counter application can sign people in; it can neither add nor list them."""
    with rig.client() as counter, rig.client("cli", Scope.MACHINE) as machine:
        with pytest.raises(RemoteError) as listing:
            counter.get("/v1/people")
        with pytest.raises(RemoteError) as adding:
            counter.post("/v1/people", {})
        assert {listing.value.body["code"], adding.value.body["code"]} == {"caller_forbidden"}
        added = machine.post(
            "/v1/people", {"person_id": "op2", "name": "PETUGAS UJI DUA", "roles": ["OPERATOR"], "pin": "519283"}
        )
        assert added == {"person_id": "op2", "name": "PETUGAS UJI DUA", "roles": ["OPERATOR"]}
        assert "op2" in [person["person_id"] for person in machine.get("/v1/people")["people"]]
        assert counter.post("/v1/sign-in", {"person_id": "op2", "pin": "519283"})["operator"]


def test_wrong_pin_wrong_role_and_locked_are_told_apart_and_cured(rig: Rig) -> None:
    """A typing error, a technician at the counter, and guessing each get their own sentence."""
    with rig.client() as client:

        def refused(person_id: str, pin: str) -> tuple[int, str]:
            with pytest.raises(RemoteError) as caught:
                client.post("/v1/sign-in", {"person_id": person_id, "pin": pin})
            return caught.value.status, str(caught.value.body["code"])

        assert refused(TECHNICIAN[0], TECHNICIAN[1]) == (403, "wrong_role")
        assert refused("nobody", "111222") == (401, "wrong_pin")
        assert [refused(OPERATOR[0], "111222")[1] for _ in range(5)] == ["wrong_pin"] * 4 + ["pin_locked"]
        assert refused(OPERATOR[0], OPERATOR[1]) == (429, "pin_locked")


def test_a_claim_needs_somebody_signed_in(rig: Rig) -> None:
    """A credential alone opens no claim, and signing out ends it."""
    with rig.client() as client:
        with pytest.raises(RemoteError) as caught:
            client.get("/v1/claims")
        assert (caught.value.status, caught.value.body["code"]) == (401, "not_signed_in")
        signed_in = client.post("/v1/sign-in", {"person_id": OPERATOR[0], "pin": OPERATOR[1]})
        client.sign_in_token(signed_in["operator"])
        assert client.get("/v1/claims") == {"claims": []}
        client.post("/v1/sign-out")
        with pytest.raises(RemoteError):
            client.get("/v1/claims")


def test_before_enrolment_everything_but_a_claim_works(tmp_path: Path) -> None:
    """A new machine shows its devices and says what to do next."""
    with Rigs(tmp_path, enrolled=False) as rig, rig.operator() as client:
        status = client.get("/v1/status")
        assert (status["device_id"], status["site"]) == (None, None)
        assert status["devices"]["card_reader"]
        with pytest.raises(RemoteError) as caught:
            start_claim(client)
        assert caught.value.body["code"] == "not_enrolled"
        assert "mpos-agent enrol" in caught.value.body["text_id"]
        assert client.post("/v1/sync")["problem"]["code"] == "not_enrolled"


def test_a_second_enrolment_is_refused(rig: Rig) -> None:
    """What is queued was sealed with the identity there is."""
    with rig.client("cli", Scope.MACHINE) as client:
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/enrol", {"url": "https://127.0.0.1:9", "token": "x" * 32})
    assert caught.value.body["code"] == "already_enrolled"


def test_enrolment_at_a_head_office_that_is_away_leaves_no_half_identity(tmp_path: Path) -> None:
    """The cause is told, and the same command works later."""
    with Rigs(tmp_path, enrolled=False) as rig, rig.client("cli", Scope.MACHINE) as client:
        ca_pem = certificate(tmp_path)
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/enrol", {"url": "https://127.0.0.1:9", "token": "x" * 32, "ca_pem": ca_pem})
        assert caught.value.body["code"] == "head_office_connection_refused"
        assert client.get("/v1/status")["device_id"] is None


@pytest.mark.parametrize("ca_pem", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA", "s\u00e9"])
def test_an_authority_that_is_no_certificate_is_called_that(tmp_path: Path, ca_pem: str) -> None:
    """Told before anybody is connected to, and without the name of our own copy of it."""
    with Rigs(tmp_path, enrolled=False) as rig, rig.client("cli", Scope.MACHINE) as client:
        with pytest.raises(RemoteError) as caught:
            client.post("/v1/enrol", {"url": "https://127.0.0.1:9", "token": "x" * 32, "ca_pem": ca_pem})
    assert caught.value.body["code"] == "authority_file"
    assert str(caught.value.body["detail"]).startswith("--ca-file: ")


def certificate(folder: Path) -> str:
    """Some authority's certificate."""
    other = folder / "other"
    other.mkdir()
    settings = settings_for(other)
    enrol_by_hand(settings)
    return (settings.agent.state_dir / "identity" / "ca.crt").read_text()


def test_events_tell_what_happens_while_it_happens(rig: Rig) -> None:
    """Progress of the card read with its fraction, the claim's moves and the queue, without personal data."""
    seen: list[dict[str, Any]] = []
    listening, queued = threading.Event(), threading.Event()

    def listen() -> None:
        with rig.client("page") as page, page.events() as events:
            listening.set()
            for event in events:
                seen.append(event)
                if event["kind"] == "queue":
                    queued.set()
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(20)
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        assert queued.wait(20)
    thread.join(20)
    fractions = [event["fraction"] for event in seen if event["kind"] == "card_progress"]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert [event["state"] for event in seen if event["kind"] == "claim"][-1] == "QUEUED"
    assert [event["number"] for event in seen] == sorted({event["number"] for event in seen})
    assert "PESERTA" not in json.dumps(seen)
    assert "9901" not in json.dumps(seen).replace(claim_id, "")


def test_a_page_that_reconnects_gets_what_it_missed(rig: Rig) -> None:
    """The last number seen goes into Last-Event-ID; the stream begins after it."""
    with rig.operator() as client:
        claim_id = start_claim(client)
        client.post(f"/v1/claims/{claim_id}/card")
        client._http.headers["Last-Event-ID"] = "2"
        with client.events() as events:
            assert next(events)["number"] == 3


def test_the_interface_describes_itself_without_foreign_scripts(rig: Rig) -> None:
    """The description is there for integrators; pages that load scripts from elsewhere are not."""
    address = f"http://127.0.0.1:{rig.where.port}"
    described = httpx.get(f"{address}/v1/openapi.json", trust_env=False).json()
    assert "/v1/claims/{claim_id}/card" in described["paths"]
    assert "ErrorBody" in described["components"]["schemas"]
    with rig.client() as client:
        for path in ("/docs", "/redoc"):
            with pytest.raises(RemoteError) as caught:
                client.get(path)
            assert caught.value.body["code"] == "not_found"


def test_an_unknown_method_or_address_gets_the_same_kind_of_error(rig: Rig) -> None:
    """No reply of the local API is anything but JSON of one shape."""
    with rig.client() as client:
        with pytest.raises(RemoteError) as address:
            client.get("/v1/nothing")
        with pytest.raises(RemoteError) as method:
            client.post("/v1/status")
    for caught in (address, method):
        assert set(caught.value.body) == {"code", "cause", "cure", "text_id", "text_en", "retryable", "detail"}


def test_a_bug_of_ours_is_one_sentence_and_shows_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error tells the caller only that it was ours; its text may hold anything."""

    def broken() -> None:
        raise KeyError("PESERTA UJI SATU")

    monkeypatch.setattr(rig.agent, "queue", broken)
    with rig.client() as client, pytest.raises(RemoteError) as caught:
        client.get("/v1/outbox")
    assert (caught.value.status, caught.value.body["code"]) == (500, "internal")
    assert "PESERTA" not in str(caught.value.body)


def test_a_leaving_caller_ends_the_wait_for_a_card(rig: Rig) -> None:
    """A page that was closed does not keep the reader busy until the wait is over."""
    rig.card.remove()
    rig.agent._parts.card._wait_s = 600.0
    with rig.operator() as client:
        claim_id = start_claim(client)
        hasty = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(rig.where.socket)), headers=dict(client._http.headers), timeout=1.0
        )
        with hasty, pytest.raises(httpx.ReadTimeout):
            hasty.post(f"http://localhost/v1/claims/{claim_id}/card", json={})
        # No card lies there and ten minutes of waiting are left: only the caller's leaving can end it.
        assert free_within(rig, looks=200)
        rig.card.insert()
        assert client.post(f"/v1/claims/{claim_id}/card")["happened"] == "CARD_READ"


def free_within(rig: Rig, looks: int) -> bool:
    """Whether the reader is free after so many looks, ten a second."""
    for _ in range(looks):
        if not rig.agent._parts.card.in_use:
            return True
        threading.Event().wait(0.1)
    return False
