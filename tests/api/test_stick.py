"""The stick over the local API: bytes out, bytes in, and no path of the caller's choosing."""

import httpx
import pytest

from mpos_agent.api.callers import Scope
from mpos_agent.api.client import RemoteError
from sync.checkpoint import read_batch
from sync.stick import FileName, Kind
from tests.api.rig import Rig, Rigs, up_to_summary


def test_what_waits_comes_out_and_stays_in_the_queue(rig: Rig) -> None:
    """One claim: one file under a name of ours with a signed batch in it; nothing more behind it; the row waits on."""
    with rig.operator() as client:
        claim_id = up_to_summary(client)
        client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        before = client.get("/v1/outbox")["rows"]
        made = client.next_stick_file("")
        assert made is not None
        assert client.next_stick_file(made.after) is None
        rows = client.get("/v1/outbox")["rows"]
    name = FileName.parse(made.name)
    assert name is not None
    assert (name.device_id, name.kind, made.packets) == ("dev-000001", Kind.BATCH, 1)
    batch = read_batch(made.body)
    assert (batch.claimed.nonce, len(batch.packets)) == (name.nonce, 1)
    assert [(row["state"], row["digest"]) for row in rows] == [("READY", row["digest"]) for row in before]


@pytest.mark.parametrize("after", ["core", "core:x", "elsewhere:1", "../../etc:1"])
def test_a_position_that_is_none_is_refused(rig: Rig, after: str) -> None:
    """Nothing but lanes and numbers."""
    with rig.client() as client, pytest.raises(RemoteError) as caught:
        client.next_stick_file(after)
    assert caught.value.body["code"] == "bad_request"


@pytest.mark.parametrize("receipt", [b"", b"nonsense", b"\xd2\x84\x40\xa0\x40\x40"])
def test_what_is_no_receipt_changes_nothing_and_is_named(rig: Rig, receipt: bytes) -> None:
    """The command line leaves that file out and goes on with the next."""
    with rig.client() as client, pytest.raises(RemoteError) as caught:
        client.bring_receipt(receipt)
    assert caught.value.body["code"] == "receipt"


def test_only_callers_with_a_credential(rig: Rig) -> None:
    """As every route."""
    transport = httpx.HTTPTransport(uds=str(rig.where.socket))
    with httpx.Client(transport=transport, base_url="http://localhost") as stranger:
        assert stranger.post("/v1/stick/export").status_code == 401
        assert stranger.post("/v1/stick/receipt", content=b"").status_code == 401


def test_before_enrolment_there_is_nothing_to_export(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Said as that."""
    with Rigs(tmp_path_factory.mktemp("r"), enrolled=False) as rig:
        with rig.client(scope=Scope.TECHNICIAN) as client, pytest.raises(RemoteError) as caught:
            client.next_stick_file("")
    assert caught.value.body["code"] == "not_enrolled"
