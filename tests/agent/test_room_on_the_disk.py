"""New work is refused in good time, with a sentence and its cure; what is open is finished, what waits is sent."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from mpos_agent.api.callers import Scope
from mpos_agent.api.client import RemoteError
from mpos_agent.audit import Act
from mpos_agent.errors import StorageLowError
from sync.checkpoint import StorageMark
from sync.commands import CommandName, NewEpoch, Resend
from sync.edge.marks import Marks
from sync.envelope import Lane
from tests.api.rig import WISH, Rig, Rigs, start_claim, up_to_summary

PLENTY = Marks(
    warn_free=0,
    stop_documents_free=0,
    stop_claims_free=0,
    warn_queue=10**15,
    stop_documents_queue=10**15,
    stop_claims_queue=10**15,
)
NEVER_ENOUGH = dict.fromkeys(("warn_free_bytes", "stop_documents_free_bytes", "stop_claims_free_bytes"), 10**17)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rigs(tmp_path, storage=NEVER_ENOUGH) as opened:
        yield opened


def free_some(rig: Rig) -> None:
    """As far as the agent can tell."""
    rig.agent._parts.queue._watch._marks = PLENTY


def test_below_the_last_mark_a_claim_is_not_begun_and_the_operator_is_told_why(rig: Rig) -> None:
    """One sentence with cause and cure in both languages, and numbers for the technician."""
    with rig.operator() as client:
        with pytest.raises(RemoteError) as refused:
            client.post("/v1/claims", WISH)
        assert client.get("/v1/claims")["claims"] == []
    body = refused.value.body
    assert (refused.value.status, body["code"], body["retryable"]) == (503, "storage_low", True)
    assert "klaim baru tidak dapat dimulai" in body["text_id"]
    assert "MB free" in body["detail"]


def test_with_room_again_claims_begin_again_by_themselves(rig: Rig) -> None:
    """Nothing has to be restarted."""
    with pytest.raises(StorageLowError):
        rig.agent._parts.queue.refuse_new_claims()
    free_some(rig)
    with rig.operator() as client:
        assert client.post("/v1/claims", WISH)["accepted"]


def test_a_claim_that_was_open_is_finished_below_the_mark(tmp_path: Path) -> None:
    """A member who sits at the counter is not sent away in the middle."""
    with Rigs(tmp_path) as rig, rig.operator() as client:
        claim_id = up_to_summary(client)
        queue = rig.agent._parts.queue
        queue._watch._free_bytes = lambda: 0
        with pytest.raises(RemoteError, match="MB free"):
            client.post("/v1/claims", WISH)
        assert client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})["accepted"]
        assert rig.agent.queue().waiting == 1


def test_scans_stop_one_mark_before_claims(tmp_path: Path) -> None:
    """What a claim needs first is let in longest."""
    with Rigs(tmp_path, storage={"warn_free_bytes": 10**17, "stop_documents_free_bytes": 10**17}) as rig:
        with pytest.raises(StorageLowError):
            rig.agent._parts.queue.refuse_new_documents()
        with rig.operator("open") as client:
            start_claim(client)


def test_the_mark_is_told_to_everybody_who_asks(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Status, systemd's line, head office's checkpoint, and the log once."""
    with rig.client("tek", Scope.TECHNICIAN) as client:
        client.post("/v1/sync")
        storage = client.get("/v1/status")["storage"]
    assert (storage["mark"], storage["reserve"], storage["problem"]["code"]) == ("stop_claims", True, "storage_low")
    assert storage["free_bytes"] > 0
    assert storage["queue_bytes"] > 0
    caplog.clear()
    rig.agent._parts.queue._seen = StorageMark.OK
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert rig.agent.one_line().startswith("DISK stop_claims; ")
    assert sum("mark=stop_claims" in record.getMessage() for record in caplog.records) == 1
    free_some(rig)
    assert "DISK" not in rig.agent.one_line()


def test_a_reserve_that_had_to_go_is_made_again_by_itself(tmp_path: Path) -> None:
    """Until then no new claim; tidying up makes it."""
    with Rigs(tmp_path) as rig:
        queue = rig.agent._parts.queue
        assert rig.settings.reserve_file.stat().st_blocks * 512 >= 16 * 1024 * 1024
        rig.settings.reserve_file.unlink()
        assert queue.room().mark is StorageMark.STOP_CLAIMS
        queue.tidy(None, rig.agent.now())
        assert queue.room().mark is StorageMark.OK


def test_a_technician_begins_a_new_chain_and_it_is_on_record(tmp_path: Path) -> None:
    """What waits keeps its place; a counter's credential is not enough."""
    with Rigs(tmp_path) as rig:
        with rig.operator() as client:
            claim_id = up_to_summary(client)
            client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
            with pytest.raises(RemoteError) as refused:
                client.post("/v1/outbox/new-epoch", {"lane": "core"})
        assert refused.value.body["code"] == "caller_forbidden"
        with rig.client("tek", Scope.TECHNICIAN) as technician:
            begun = technician.post("/v1/outbox/new-epoch", {"lane": "core"})
        assert (begun["lane"], begun["last_seq"], begun["still_waiting"]) == ("core", 1, 1)
        assert begun["ended"] != begun["begun"]
        (row,) = (row for row in rig.agent._parts.audit.rows() if row.act == Act.EPOCH_BEGUN.value)
        assert row.facts == {"lane": "core", "packets": 1, "seq": 1}
        assert rig.agent._parts.outbox.check_chain() == 1


def test_orders_of_head_office_to_the_queue_are_on_record_with_their_act(tmp_path: Path) -> None:
    """The agent has a handler for each, and each writes its row in the act's own transaction."""
    with Rigs(tmp_path) as rig:
        with rig.operator() as client:
            claim_id = up_to_summary(client)
            client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        epoch = rig.agent._parts.outbox.counts()[0].epoch
        handlers = rig.agent._parts.queue.handlers()
        handlers[CommandName.RESEND](Resend(lane=Lane.CORE, epoch=epoch, first_seq=1, last_seq=1))
        handlers[CommandName.NEW_EPOCH](NewEpoch(lane=Lane.CORE, epoch=epoch))
        handlers[CommandName.NEW_EPOCH](NewEpoch(lane=Lane.CORE, epoch=epoch))
        acts = [row.act for row in rig.agent._parts.audit.rows()]
        assert [acts.count(act.value) for act in (Act.PACKETS_ASKED_AGAIN, Act.EPOCH_BEGUN)] == [1, 1]
        register = rig.agent._parts.receipts._commands
        assert register is not None
        assert set(handlers) <= set(register._handlers)


def test_marks_that_are_not_in_order_are_refused_with_the_key(tmp_path: Path) -> None:
    """A mark nobody ever reaches would be a silent mistake."""
    with pytest.raises(Exception, match=r"storage\.stop_claims_free_bytes.*at most stop_documents_free_bytes"):
        Rigs(tmp_path, storage={"stop_claims_free_bytes": 400_000_000}).__enter__()
    with pytest.raises(Exception, match=r"storage\.stop_claims_queue_bytes.*at least stop_documents_queue_bytes"):
        Rigs(tmp_path, storage={"stop_claims_queue_bytes": 2_000_000}).__enter__()


def test_purging_is_recorded_step_by_step(tmp_path: Path) -> None:
    """How many, never whose; the record joins the act."""
    with Rigs(tmp_path, upload={"retention_days": 1}) as rig:
        parts = rig.agent._parts
        with rig.operator() as client:
            claim_id = up_to_summary(client)
            client.post(f"/v1/claims/{claim_id}/confirm", {"member_confirms": True})
        with parts.database.transaction() as tx:
            tx.execute("INSERT INTO outbox_receipts VALUES (1, 0, x'00', x'00')")
            tx.execute("UPDATE outbox_rows SET state = 'ACKED', receipt_id = 1, acked_at_ms = 0, verdict = 'accepted'")
        later = rig.agent.now() + timedelta(days=2)
        parts.queue.tidy(later, later)
        rows = [row for row in parts.audit.rows() if row.act == Act.PACKET_PURGED.value]
        assert [json.dumps(row.facts) for row in rows] == ['{"packets": 1}']
        assert parts.database.read("SELECT count(*) FROM outbox_envelopes")[0][0] == 0
