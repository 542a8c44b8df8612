"""Scanned files of a claim: kept encrypted, sent in parts after the claim, gone with it."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpos_agent.claim.draft import WithdrawReason
from mpos_agent.claim.errors import NotNowError
from mpos_agent.claim.findings import Block
from mpos_agent.claim.session import ClaimSession
from mpos_agent.claim.states import State
from mpos_agent.claim.steps.supplement import Paper
from mpos_agent.errors import NotFoundError
from sync.document_part import FIRST_SUPPLEMENT, PART_BYTES, DocumentPart
from sync.edge.database import Transaction
from sync.edge.outbox_row import RowState
from sync.errors import StorageFullError
from tests.claim.desk import Bench, bench
from tests.claim.scans import jpeg, pdf, png

WORDS = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(9_000))
"""What a scan says: 288 kB that occur nowhere else."""
LETTER = pdf(3, payload=WORDS)
"""Three parts, and nothing of it is compressed: it would be found."""


def with_letter(at: Bench) -> ClaimSession:
    """A claim ready to be confirmed, with one scanned letter and one paper that was only seen."""
    claim = at.filled()
    assert claim.attach(0, LETTER).accepted
    assert claim.documents([{"type": "KPJ_CARD"}, {"type": "PAKLARING", "attachment": 0}]).accepted
    return claim


def words_found(folder: Path) -> list[str]:
    """Files below that hold any 16 bytes of the letter."""
    pieces = [WORDS[at : at + 16] for at in range(0, len(WORDS), 1024)]
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(piece in content for content in [path.read_bytes()] for piece in pieces)
    ]


def boxes(at: Bench) -> int:
    return int(at.database.read("SELECT count(*) FROM document_boxes")[0][0])


def content_of(parts: list[DocumentPart]) -> bytes:
    return b"".join(part.content for part in sorted(parts, key=lambda one: one.part))


def test_a_scanned_letter_follows_its_claim_in_parts(at_counter: Bench) -> None:
    """The packet names size and digest; the parts come after it, in their own lane, and say what the packet says."""
    claim = with_letter(at_counter)
    outcome = claim.confirm(member_confirms=True)
    assert outcome.details["documents"] == 1
    (packet,) = at_counter.packets()
    seen, letter = packet.documents
    assert (seen.size_bytes, seen.sha256) == (0, None)
    parts = at_counter.parts()
    assert content_of(parts) == LETTER
    assert (letter.size_bytes, letter.sha256) == (len(LETTER), hashlib.sha256(LETTER).digest())
    for part in parts:
        assert (part.claim_id, part.index, part.type_code, part.pages) == (packet.packet_id, 1, "PAKLARING", 3)
        assert (part.media_type, part.sha256, part.operator_id) == (letter.mime, letter.sha256, "op1")
    assert [len(part.content) for part in parts[:-1]] == [PART_BYTES] * (len(parts) - 1)
    assert boxes(at_counter) == 0


def test_no_plaintext_of_a_document_is_ever_on_the_disk(tmp_path: Path) -> None:
    """While it waits for the member, after a restart, in the queue, and after a withdrawal: not 16 bytes of it."""
    with bench(tmp_path) as at:
        claim = with_letter(at)
        assert words_found(tmp_path) == []
        withdrawn = with_letter(at)
        assert boxes(at) == 6
        withdrawn.withdraw(WithdrawReason.MEMBER_LEFT)
        assert boxes(at) == 3
        assert words_found(tmp_path) == []
    with bench(tmp_path) as at:
        assert words_found(tmp_path) == []
        resumed = at.desk.resume(claim.claim_id)
        assert resumed.confirm(member_confirms=True).accepted
        assert content_of(at.parts()) == LETTER
        assert words_found(tmp_path) == []
    assert words_found(tmp_path) == []
    leaking = tmp_path / "leak"
    leaking.write_bytes(LETTER[1000:3000])
    assert words_found(tmp_path) == ["leak"]


def test_a_withdrawn_claim_takes_its_files_along(at_counter: Bench) -> None:
    """Its key goes in the same commit as the draft; its boxes, and nobody else's, right after."""
    other, claim = with_letter(at_counter), with_letter(at_counter)
    claim.withdraw(WithdrawReason.MEMBER_CHANGED_MIND)
    kept = at_counter.database.read("SELECT DISTINCT set_id FROM document_boxes")
    assert [row[0] for row in kept] == [other.claim_id]
    assert at_counter.database.read("SELECT set_id FROM document_sets WHERE set_id = ?", (claim.claim_id,)) == []


def test_the_plug_pulled_right_after_a_withdrawal_leaves_boxes_nobody_opens(
    at_counter: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit of the withdrawal took the key; the next start erases what is left."""
    claim = with_letter(at_counter)
    monkeypatch.setattr(at_counter.counter.documents, "sweep", lambda: None)
    claim.withdraw(WithdrawReason.MEMBER_LEFT)
    monkeypatch.undo()
    assert boxes(at_counter) == 3
    assert at_counter.database.read("SELECT * FROM document_sets") == []
    at_counter.desk.pack()
    assert boxes(at_counter) == 0


def test_another_file_under_the_same_number_replaces_the_first(at_counter: Bench) -> None:
    """Also when it is in the list already: what is sent is the one that was attached last."""
    claim = with_letter(at_counter)
    better = jpeg(seed=5)
    facts = claim.attach(0, better).details
    assert boxes(at_counter) == 1
    assert claim.state is State.FILLED
    claim.confirm(member_confirms=True)
    (part,) = at_counter.parts()
    assert (part.media_type, part.pages, part.sha256.hex()) == ("image/jpeg", 1, facts["sha256"])
    assert at_counter.packets()[0].documents[1].sha256 == part.sha256


def test_a_file_that_is_not_listed_is_not_sent(at_counter: Bench) -> None:
    """What the operator left out of the list stays here and is erased."""
    claim = with_letter(at_counter)
    claim.attach(1, png())
    claim.confirm(member_confirms=True)
    assert {part.index for part in at_counter.parts()} == {1}
    assert boxes(at_counter) == 0


@pytest.mark.parametrize(
    ("content", "changes", "block"),
    [
        (b"", {}, Block.DOCUMENT_EMPTY),
        (b"a letter", {}, Block.DOCUMENT_KIND),
        (png(), {"document_bytes": 100}, Block.DOCUMENT_TOO_LARGE),
        (png(), {"claim_documents_bytes": 100}, Block.DOCUMENTS_TOO_LARGE),
        (pdf(3), {"document_pages": 2}, Block.DOCUMENT_PAGES),
    ],
)
def test_a_file_that_cannot_be_taken_is_told_with_its_cure(
    tmp_path: Path, content: bytes, changes: dict[str, Any], block: Block
) -> None:
    """The claim stays as it was, nothing is kept, and another file can be tried."""
    with bench(tmp_path, **changes) as at:
        claim = at.filled()
        outcome = claim.attach(0, content)
        assert [told.code for told in outcome.blocks] == [block]
        assert outcome.blocks[0].text.id
        assert claim.state is State.FILLED
        assert boxes(at) == 0
        assert [told.code for told in claim.attach(64, png()).blocks] == [Block.DOCUMENT_NUMBER] or changes


def test_a_list_cannot_name_a_file_that_is_not_there(at_counter: Bench) -> None:
    """Nor promise a checksum of one: what is listed with a file is sent with it."""
    claim = at_counter.filled()
    (told,) = claim.documents([{"type": "KPJ_CARD", "attachment": 3}]).blocks
    assert (told.code, told.field) == (Block.DOCUMENT_NOT_ATTACHED, "documents.0.attachment")
    (told,) = claim.documents([{"type": "KPJ_CARD", "sha256": "00" * 32}]).blocks
    assert told.code == Block.FIELD_UNKNOWN


def test_pages_of_a_pdf_that_does_not_tell_are_asked_for(at_counter: Bench) -> None:
    """And taken from the list."""
    claim = at_counter.filled()
    claim.attach(0, pdf(2).replace(b"/Type /Catalog", b"/Type /Katalog"))
    (told,) = claim.documents([{"type": "KPJ_CARD", "attachment": 0}]).blocks
    assert told.code == Block.DOCUMENT_PAGES_UNKNOWN
    assert claim.documents([{"type": "KPJ_CARD", "attachment": 0, "pages": 4}]).accepted
    claim.confirm(member_confirms=True)
    assert at_counter.parts()[0].pages == 4


def test_a_disk_that_fills_up_after_the_confirmation_loses_nothing(at_counter: Bench) -> None:
    """The claim is queued and says so; the parts that did not fit follow once there is room, none twice."""
    claim = with_letter(at_counter)
    put = at_counter.counter.part_put
    went: list[int] = []

    def full_at_the_second(part: DocumentPart) -> None:
        if len(went) == 1:
            raise StorageFullError("agent.db", "write")
        put(part)
        went.append(part.part)

    object.__setattr__(at_counter.counter, "part_put", full_at_the_second)
    assert claim.confirm(member_confirms=True).state is State.QUEUED
    assert (len(at_counter.parts()), boxes(at_counter)) == (1, 2)
    object.__setattr__(at_counter.counter, "part_put", put)
    at_counter.desk.pack()
    assert content_of(at_counter.parts()) == LETTER
    assert [row.seq for row in at_counter.outbox.rows() if row.lane == "documents"] == [3, 2, 1]
    assert boxes(at_counter) == 0


def test_no_transaction_of_a_large_claim_is_large(at_counter: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many megabytes of scans: confirming writes the packet alone, then a part at a time."""
    claim = at_counter.filled()
    scans = [pdf(1, payload=np.random.default_rng(number).bytes(2 * 1024 * 1024)) for number in (1, 2, 3)]
    for number, scan in enumerate(scans):
        assert claim.attach(number, scan).accepted
    types = ("KPJ_CARD", "PAKLARING", "KK")
    claim.documents([{"type": kind, "attachment": number} for number, kind in enumerate(types)])
    written: list[int] = []
    execute = Transaction.execute

    def weighed(self: Transaction, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith("INSERT"):
            values = parameters.values() if isinstance(parameters, dict) else parameters
            written.append(sum(len(value) for value in values if isinstance(value, bytes | str)))
        return execute(self, sql, parameters)

    transaction, sizes = at_counter.database.transaction, []

    def measured() -> Any:
        class Measured:
            def __enter__(self) -> Transaction:
                self.outermost = not measuring
                measuring.append(1)
                self.inner = transaction()
                return self.inner.__enter__()

            def __exit__(self, *error: Any) -> Any:
                measuring.pop()
                if self.outermost:
                    sizes.append(sum(written))
                    written.clear()
                return self.inner.__exit__(*error)

        return Measured()

    measuring: list[int] = []
    monkeypatch.setattr(Transaction, "execute", weighed)
    monkeypatch.setattr(at_counter.database, "transaction", measured)
    claim.confirm(member_confirms=True)
    monkeypatch.undo()
    assert sum(sizes) > 6 * 1024 * 1024
    assert max(sizes) < PART_BYTES + 64 * 1024
    assert {part.index for part in at_counter.parts()} == {0, 1, 2}
    assert at_counter.parts()[-1].sha256 == hashlib.sha256(scans[2]).digest()


def test_a_damaged_box_keeps_nobody_elses_documents_back(at_counter: Bench) -> None:
    """It is told and recorded; the claim itself and every other claim's documents are sent."""
    put = at_counter.counter.part_put
    object.__setattr__(at_counter.counter, "part_put", _full)
    damaged, whole = with_letter(at_counter), with_letter(at_counter)
    damaged.confirm(member_confirms=True)
    whole.confirm(member_confirms=True)
    with at_counter.database.transaction() as tx:
        tx.execute("UPDATE document_boxes SET box = zeroblob(500) WHERE set_id = ? AND part = 2", (damaged.claim_id,))
    object.__setattr__(at_counter.counter, "part_put", put)
    at_counter.desk.pack()
    at_counter.desk.pack()
    assert "DOCUMENTS_UNREADABLE" in at_counter.acts(damaged.claim_id)
    assert at_counter.acts().count("DOCUMENTS_UNREADABLE") == 1
    assert content_of([part for part in at_counter.parts() if str(part.claim_id) == whole.claim_id]) == LETTER


def _full(_: DocumentPart) -> None:
    raise StorageFullError("agent.db", "write")


def test_a_document_that_comes_later_is_added_to_its_claim(tmp_path: Path) -> None:
    """Another day, after a restart: it gets an index of its own, and the same file is never sent twice."""
    with bench(tmp_path) as at:
        claim = with_letter(at)
        claim.confirm(member_confirms=True)
        sent = len(at.parts())
    with bench(tmp_path) as at:
        paper = Paper(type_code="KK", legible=True)
        first = at.desk.supplement(claim.claim_id, operator_id="op1", paper=paper, content=png())
        again = at.desk.supplement(claim.claim_id, operator_id="op1", paper=paper, content=png())
        second = at.desk.supplement(claim.claim_id, operator_id="op1", paper=paper, content=png(seed=2))
        assert isinstance(first, dict)
        assert isinstance(again, dict)
        assert isinstance(second, dict)
        assert (first["index"], first["again"]) == (FIRST_SUPPLEMENT, False)
        assert (again["index"], again["again"]) == (FIRST_SUPPLEMENT, True)
        assert second["index"] == FIRST_SUPPLEMENT + 1
        added = at.parts()[sent:]
        assert [(part.index, str(part.claim_id)) for part in added] == [
            (FIRST_SUPPLEMENT, claim.claim_id),
            (FIRST_SUPPLEMENT + 1, claim.claim_id),
        ]
        assert boxes(at) == 0
        assert [one.index for one in at.desk.sent_documents(claim.claim_id)] == [1, 64, 65]
        assert words_found(tmp_path) == []


def test_only_a_claim_of_this_machine_takes_a_supplement(at_counter: Bench) -> None:
    """Not an open one, not one nobody knows, not one head office refused for good; a bad file is told as ever."""
    paper = Paper(type_code="KK", legible=True)
    claim = with_letter(at_counter)
    with pytest.raises(NotFoundError):
        at_counter.desk.supplement(claim.claim_id, operator_id="op1", paper=paper, content=png())
    claim.confirm(member_confirms=True)
    told = at_counter.desk.supplement(claim.claim_id, operator_id="op1", paper=paper, content=b"no scan")
    assert isinstance(told, tuple)
    assert [one.code for one in told] == [Block.DOCUMENT_KIND]
    object.__setattr__(at_counter.counter, "claim_row", lambda _: RowState.DEAD)
    with pytest.raises(NotNowError):
        at_counter.desk.supplement(claim.claim_id, operator_id="op1", paper=paper, content=png())
    assert boxes(at_counter) == 0


def test_a_supplement_cut_off_before_it_was_promised_leaves_nothing(tmp_path: Path) -> None:
    """The plug is pulled between keeping and promising: nothing is sent, and the next start erases the boxes."""
    with bench(tmp_path) as at:
        with_letter(at).confirm(member_confirms=True)
        sent = len(at.parts())
        at.counter.documents.keep(at.counter.documents.new_set(), "a claim", png())
        at.desk.pack()
        assert boxes(at) == 1
    with bench(tmp_path) as at:
        at.desk.pack()
        assert boxes(at) == 0
        assert len(at.parts()) == sent
