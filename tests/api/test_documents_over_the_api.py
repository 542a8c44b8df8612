"""Scanned files over the local API: bytes in, a finding or a fact out, and after the claim a document at a time."""

import hashlib
import io
from typing import Any, BinaryIO, cast

import httpx
import pytest

from mpos_agent.api.callers import Scope
from mpos_agent.api.client import AgentClient, RemoteError
from tests.api.rig import NOW, Rig, up_to_summary
from tests.claim.scans import jpeg, pdf, png


def attach(client: AgentClient, claim_id: str, number: int, content: bytes) -> dict[str, Any]:
    return client.send_file("PUT", f"/v1/claims/{claim_id}/documents/{number}", io.BytesIO(content))


def test_a_claim_takes_its_scans_along(rig: Rig) -> None:
    """Attached, named in the list, confirmed: the packet first, then every part of every file."""
    scans = [png(400, 400), jpeg(), pdf(2)]
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        facts = [attach(client, claim_id, number, scan)["details"] for number, scan in enumerate(scans)]
        assert [fact["media_type"] for fact in facts] == ["image/png", "image/jpeg", "application/pdf"]
        assert facts[2]["sha256"] == hashlib.sha256(scans[2]).hexdigest()
        listed = [{"type": kind, "attachment": n} for n, kind in enumerate(("KPJ_CARD", "PAKLARING", "KK"))]
        assert client.post(f"/v1/claims/{claim_id}/documents", {"documents": listed})["accepted"]
        view = client.get(f"/v1/claims/{claim_id}")
        assert [one["pages"] for one in view["attachments"]] == [1, 1, 2]
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        rows = client.get("/v1/outbox")["rows"]
        assert [row["lane"] for row in reversed(rows)] == ["core", *["documents"] * 4]
        sent = client.get(f"/v1/claims/{claim_id}/documents")["documents"]
        assert [(one["type"], one["parts"], one["parts_queued"], one["parts_accepted"]) for one in sent] == [
            ("KPJ_CARD", 2, 2, 0),
            ("PAKLARING", 1, 1, 0),
            ("KK", 1, 1, 0),
        ]


def test_a_file_that_cannot_be_taken_is_a_finding_with_its_cure(rig: Rig) -> None:
    """Whatever it is called: not by its name, not by what the request says it is."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        reply = attach(client, claim_id, 0, b"MZ a program, called kk.pdf")
        assert (reply["accepted"], reply["blocks"][0]["code"]) == (False, "DOCUMENT_KIND")
        assert "PDF" in reply["blocks"][0]["text_id"]
        assert reply["state"] == "FILLED"
        assert client.get(f"/v1/claims/{claim_id}")["attachments"] == []


def test_a_file_that_is_too_large_is_refused_and_never_held_whole(rig: Rig) -> None:
    """Somewhat too large: with its cure. Without an end: cut off."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        limit = rig.agent.document_limit
        reply = attach(client, claim_id, 0, b"%PDF-" + bytes(limit))
        assert reply["blocks"][0]["code"] == "DOCUMENT_TOO_LARGE"
        with pytest.raises(RemoteError) as caught:
            client.send_file("PUT", f"/v1/claims/{claim_id}/documents/0", cast("BinaryIO", Endless()))
        assert caught.value.body["code"] == "request_too_large"


class Endless:
    """A file without an end."""

    def read(self, size: int) -> bytes:
        return bytes(size)


def test_a_file_needs_an_operator_and_a_claim_of_theirs(rig: Rig) -> None:
    """No sign-in, no file; somebody else's claim takes none; a number beyond the last is no address."""
    with rig.operator() as client, rig.client("stranger") as nobody:
        claim_id = up_to_summary(client)
        with pytest.raises(RemoteError) as caught:
            attach(nobody, claim_id, 0, png())
        assert caught.value.body["code"] == "not_signed_in"
        with pytest.raises(RemoteError) as caught:
            attach(client, claim_id, 64, png())
        assert caught.value.status == 422
        with pytest.raises(RemoteError) as caught:
            attach(client, "0" * 8 + "-0000-0000-0000-" + "0" * 12, 0, png())
        assert caught.value.body["code"] == "not_found"


def test_a_document_is_added_to_a_claim_that_was_sent(rig: Rig) -> None:
    """It gets an index of its own and joins the queue; the same file again is told, and sent once."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        address = f"/v1/claims/{claim_id}/supplements"
        with pytest.raises(RemoteError) as caught:
            client.send_file("POST", address, io.BytesIO(png()), type="KK")
        assert caught.value.body["code"] == "not_found"
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        first = client.send_file("POST", address, io.BytesIO(png()), type="KK")
        again = client.send_file("POST", address, io.BytesIO(png()), type="KK")
        assert (first["document"]["index"], first["document"]["again"]) == (64, False)
        assert (again["document"]["index"], again["document"]["again"]) == (64, True)
        refused = client.send_file("POST", address, io.BytesIO(b"?"), type="KK")
        assert (refused["accepted"], refused["blocks"][0]["code"]) == (False, "DOCUMENT_KIND")
        sent = client.get(f"/v1/claims/{claim_id}/documents")["documents"]
        assert [(one["index"], one["type"], one["parts_queued"]) for one in sent] == [(64, "KK", 1)]


def test_a_page_of_another_site_cannot_attach_anything(rig: Rig) -> None:
    """The gate stands before the file is read."""
    token = rig.callers.add("page", Scope.COUNTER, NOW)
    with httpx.Client(base_url=f"http://127.0.0.1:{rig.where.port}") as page:
        reply = page.put(
            "/v1/claims/00000000-0000-0000-0000-000000000000/documents/0",
            content=png(),
            headers={"Authorization": f"Bearer {token}", "Origin": "https://elsewhere.example"},
        )
    assert reply.json()["code"] == "foreign_page"
