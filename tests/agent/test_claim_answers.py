"""What head office said of a claim reaches slip, list and status of the counter it came from; nothing else does."""

import io
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rich.console import Console

from config.schema import Language
from mpos_agent.audit import Act
from mpos_agent.cli import outbox as outbox_page
from mpos_agent.cli import status as status_page
from mpos_agent.cli.paper import Paper
from mpos_agent.cli.shell import Shell
from sync import commands as wire
from sync.commands import Decision, DecisionStatus, Supplement
from sync.envelope import Lane
from sync.keys import Algorithm
from sync.receipt import LaneHead, Receipt, sign, verify_receipt
from sync.recipients import RecipientPrivateKey, Suite
from tests.api.rig import Rig, Rigs
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import DEVICE_ID, Desk, DeviceKeys

NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
NONCE = bytes(16)


class Counter:
    """A machine that has sent one claim, and receipts of head office to give it."""

    def __init__(self, folder: Path) -> None:
        state = folder / "state"
        state.mkdir(mode=0o700)
        self.keys = DeviceKeys(
            a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519)
        )
        desk = Desk(state / "agent.db", self.keys)
        self.row = desk.put(1)
        self.claim: UUID = self.row.packet_id
        desk.database.close()
        self.number = 0

    def receipt(self, *bodies: wire.Body, frozen: str | None = None) -> Any:
        """A verified receipt that asks for these."""
        commands = []
        for body in bodies:
            self.number += 1
            commands.append(wire.make(bytes([self.number]) * 16, body))
        head = LaneHead(lane=Lane.CORE, epoch=self.row.epoch, next_seq=2, head_hash=self.row.digest, frozen=frozen)
        content = Receipt(
            device_id=DEVICE_ID, nonce=NONCE, server_time=NOW, lanes=(head,), next_poll_s=60, commands=tuple(commands)
        )
        office = self.keys.office
        return verify_receipt(sign(content, office), {office.kid: office.public_key}, DEVICE_ID, NONCE)

    def decision(self, status: DecisionStatus, after_s: int = 0, **more: Any) -> Decision:
        return Decision(packet_id=self.claim, status=status, decided_at=NOW + timedelta(seconds=after_s), **more)

    def supplement(self, after_s: int = 0) -> Supplement:
        return Supplement(
            packet_id=self.claim,
            documents=("DEATH_CERTIFICATE", "FAMILY_CARD"),
            note="Halaman 2 tidak terbaca",
            asked_at=NOW + timedelta(seconds=after_s),
            until=date(2026, 12, 4),
        )


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


def pages(rig: Rig) -> tuple[Any, Any]:
    """What a caller sees: status and outbox."""
    with rig.client(f"caller-{os.urandom(4).hex()}") as client:
        return client.get("/v1/status"), client.get("/v1/outbox")


def answer_in_the_list(rig: Rig) -> Any:
    return pages(rig)[1]["rows"][0]["answer"]


def test_a_decision_stands_beside_the_claim_it_is_about(counter: Counter, tmp_path: Path) -> None:
    """Status, reason and agenda number, in the list and for the slip; after a restart, too."""
    reason = "Nama pada KTP dan KK berbeda"
    with Rigs(tmp_path) as rig:
        assert answer_in_the_list(rig) is None
        order = counter.decision(DecisionStatus.RETURNED, agenda_no=1234567, reason_code="NAME_DIFFERS", reason=reason)
        taken = rig.agent._parts.receipts.take(counter.receipt(order))
        assert [str(name) for name in taken.commands.done] == ["decision"]
        decided = answer_in_the_list(rig)["decided"]
        assert (decided["status"], decided["agenda_no"], decided["reason"]) == ("returned", 1234567, reason)
        rows = rig.agent._parts.audit.rows(claim_id=str(counter.claim))
        assert [(row.act, row.facts) for row in rows] == [(Act.DECISION_HEARD.value, {"decision": "returned"})]
    with Rigs(tmp_path) as rig:
        said = rig.agent.answer(str(counter.claim))
        assert said is not None
        assert said.decided is not None
        assert said.decided.reason == reason


def test_the_last_word_counts_in_whatever_order_words_come(counter: Counter, tmp_path: Path) -> None:
    """A stick brings last week's "returned" after today's "approved"."""
    with Rigs(tmp_path) as rig:
        take = rig.agent._parts.receipts.take
        take(counter.receipt(counter.decision(DecisionStatus.APPROVED, after_s=60)))
        take(counter.receipt(counter.decision(DecisionStatus.RETURNED, reason="dulu")))
        assert answer_in_the_list(rig)["decided"]["status"] == "approved"


def test_a_request_for_documents_is_shown_until_head_office_decides(counter: Counter, tmp_path: Path) -> None:
    """Which claim, which documents, until when; an approval ends it, a return does not."""
    with Rigs(tmp_path) as rig:
        take = rig.agent._parts.receipts.take
        take(counter.receipt(counter.supplement()))
        (one,) = pages(rig)[1]["asking"]
        assert (one["claim_id"], one["asked"]["documents"], one["asked"]["until"]) == (
            str(counter.claim),
            ["DEATH_CERTIFICATE", "FAMILY_CARD"],
            "2026-12-04",
        )
        assert one["asked"]["still"] == one["asked"]["documents"]
        assert pages(rig)[0]["asking"] == 1
        take(counter.receipt(counter.decision(DecisionStatus.RETURNED, after_s=5, reason="kurang lengkap")))
        assert pages(rig)[0]["asking"] == 1
        take(counter.receipt(counter.decision(DecisionStatus.APPROVED, after_s=9)))
        assert pages(rig)[0]["asking"] == 0


def test_a_claim_that_was_not_sent_from_here_is_nobodys_business(counter: Counter, tmp_path: Path) -> None:
    """Head office addressed the wrong machine: it is told so, and nothing is kept."""
    counter.claim = UUID("0199e2a4-6f00-7000-8000-0000000000ff")
    with Rigs(tmp_path) as rig:
        taken = rig.agent._parts.receipts.take(
            counter.receipt(counter.supplement(), counter.decision(DecisionStatus.APPROVED))
        )
        assert [one.reason for one in taken.commands.refused] == ["unknown_claim", "unknown_claim"]
        assert rig.agent.answer(str(counter.claim)) is None


def test_people_see_it_in_the_terminal(counter: Counter, tmp_path: Path) -> None:
    """A frozen lane, the documents asked for and the decision, in words."""
    with Rigs(tmp_path) as rig:
        order = counter.decision(DecisionStatus.RETURNED, after_s=5, agenda_no=1234567, reason="kurang lengkap")
        rig.agent._parts.receipts.take(counter.receipt(counter.supplement(), order, frozen="fork"))
        status, outbox = pages(rig)
        assert [(one["lane"], one["reason"]) for one in status["frozen"]] == [("core", "fork")]
        console = Console(width=200, record=True, file=io.StringIO())
        shell = Shell(rig.settings, tmp_path, as_json=False, lang=Language.ID, token_file=None, console=console)
        console.print(status_page._table(shell, status))
        shell.say(*outbox_page._asked(outbox["asking"][0]))
        shown = console.export_text()
        for words in ("DIBEKUKAN", "core (fork)", "1 klaim", "DEATH_CERTIFICATE", "2026-12-04", "Halaman 2"):
            assert words in shown, words
        row = outbox["rows"][0]
        assert "dikembalikan (agenda 1234567): kurang lengkap" in outbox_page._decided(shell, row)
        Paper(shell).receipt({**row, "state": "ACKED", "receipt_no": "R-000000001", "verdict": "accepted"})
        assert "Keputusan kantor pusat: dikembalikan (agenda 1234567): kurang lengkap." in console.export_text()
