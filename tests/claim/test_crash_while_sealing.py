"""Power cuts while a claim is sealed: afterwards there is the draft or the queued packet, never both, never none."""

import os
from pathlib import Path
from typing import Any

import pytest

from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim.states import State
from sync.edge.database import Transaction
from sync.packet import ConsentMethod
from tests.claim.desk import Bench, bench, queued_nothing
from tests.claim.scans import pdf, png

SCANS = (png(400, 400), pdf(2))


def _state_on_disk(at: Bench, claim_id: str) -> tuple[int, int, int]:
    """How many drafts, packets and remembered claims there are of this claim."""
    packet = bytes.fromhex(claim_id.replace("-", ""))
    counts = (
        at.database.read("SELECT count(*) FROM drafts WHERE claim_id = ?", (claim_id,)),
        at.database.read("SELECT count(*) FROM outbox_rows WHERE packet_id = ?", (packet,)),
        at.database.read("SELECT count(*) FROM captured WHERE claim_id = ?", (claim_id,)),
    )
    return counts[0][0][0], counts[1][0][0], counts[2][0][0]


def _dying_at(statement: int, die: Any) -> Any:
    """``Transaction.execute`` that dies right before its n-th statement."""
    real = Transaction.execute
    count = 0

    def execute(self: Transaction, *arguments: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == statement:
            die()
        return real(self, *arguments, **more)

    return execute


def _statements_of_a_seal(folder: Path) -> int:
    with bench(folder) as at:
        claim = _with_scans(at)
        real, seen = Transaction.execute, 0

        def execute(self: Transaction, *arguments: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            return real(self, *arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Transaction, "execute", execute)
            claim.confirm(member_confirms=True)
    return seen


def _with_scans(at: Bench) -> ClaimSession:
    """A claim with two scanned files, three parts in all."""
    claim = at.filled()
    for number, scan in enumerate(SCANS):
        assert claim.attach(number, scan).accepted
    assert claim.documents([{"type": "KPJ_CARD", "attachment": 0}, {"type": "PAKLARING", "attachment": 1}]).accepted
    return claim


def test_killed_at_every_statement_of_the_seal(tmp_path: Path) -> None:
    """The process is gone without a word, at each statement in turn; the claim is confirmed again, or was queued.

    Whichever it is, its packet and every part of its scanned files are in the queue once, and no box is left.
    """
    (tmp_path / "count").mkdir()
    statements = _statements_of_a_seal(tmp_path / "count")
    assert statements > 5
    seen: set[tuple[int, int, int]] = set()
    for statement in range(1, statements + 1):
        folder = tmp_path / str(statement)
        folder.mkdir()
        with bench(folder) as at:
            claim_id = _with_scans(at).claim_id
        child = os.fork()
        if child == 0:
            # In the child nothing may be returned to pytest: it ends by the kill, or with another code.
            with bench(folder) as at:
                claim = at.desk.resume(claim_id)
                Transaction.execute = _dying_at(statement, lambda: os._exit(9))  # type: ignore[method-assign]
                claim.confirm(member_confirms=True)
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        with bench(folder) as at:
            found = _state_on_disk(at, claim_id)
            seen.add(found)
            assert found in ((1, 0, 0), (0, 1, 1)), statement
            assert at.counter.audit.verify().holds
            if found == (1, 0, 0):
                claim = at.desk.resume(claim_id)
                assert claim.state is State.FILLED
                assert claim.confirm(member_confirms=True).accepted
                assert _state_on_disk(at, claim_id) == (0, 1, 1)
            at.desk.pack()
            parts = at.parts()
            assert [(part.index, part.part) for part in parts] == [(0, 1), (0, 2), (1, 1)], statement
            assert b"".join(part.content for part in parts) == b"".join(SCANS)
            assert at.database.read("SELECT * FROM document_boxes") == []
            assert at.database.read("SELECT * FROM document_sets") == []
    assert len(seen) == 2


def test_killed_right_after_the_commit(tmp_path: Path) -> None:
    """The packet is there, the draft is not, and the slip can be printed again."""
    with bench(tmp_path) as at:
        claim_id = at.filled().claim_id
    child = os.fork()
    if child == 0:
        with bench(tmp_path) as at:
            at.desk.resume(claim_id).confirm(member_confirms=True)
            os._exit(9)
    os.waitpid(child, 0)
    with bench(tmp_path) as at:
        assert _state_on_disk(at, claim_id) == (0, 1, 1)
        remembered = at.desk.captured(claim_id)
        assert remembered is not None
        assert remembered.slip["reference"] == remembered.reference


def test_an_error_while_sealing_leaves_the_claim_as_it_was(at_counter: Bench) -> None:
    """Rolled back whatever fails, audit rows as well, and the next confirmation works."""
    claim = at_counter.filled()
    rows = len(at_counter.acts())
    put = at_counter.counter.outbox_put
    object.__setattr__(at_counter.counter, "outbox_put", queued_nothing)
    with pytest.raises(RuntimeError):
        claim.confirm(member_confirms=True)
    assert claim.state is State.FILLED
    assert _state_on_disk(at_counter, claim.claim_id) == (1, 0, 0)
    assert len(at_counter.acts()) == rows
    object.__setattr__(at_counter.counter, "outbox_put", put)
    assert claim.confirm(member_confirms=True).accepted
    assert _state_on_disk(at_counter, claim.claim_id) == (0, 1, 1)


def test_a_step_that_fails_to_save_has_not_happened(at_counter: Bench) -> None:
    """Draft and audit row come together or not at all, in memory as on disk."""
    claim = at_counter.start()

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    record = at_counter.counter.audit.record
    vars(at_counter.counter.audit)["record"] = broken
    with pytest.raises(OSError, match="No space"):
        claim.consent(given=True, method=ConsentMethod.ON_SCREEN)
    vars(at_counter.counter.audit)["record"] = record
    assert claim.state is State.DRAFT
    stored = at_counter.counter.store.load(claim.claim_id)
    assert stored is not None
    assert (stored.state, stored.revision) == (State.DRAFT, 0)
