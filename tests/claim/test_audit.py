"""The audit chain: what gets in, what does not, and what shows when somebody changes it."""

import enum
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpos_agent.audit import FIRST_PREVIOUS, Act, AuditFactError, AuditLog, _chained
from mpos_agent.claim.states import State
from sync.edge.database import Database
from tests.claim.desk import NIK, Bench, StillClock


@pytest.fixture
def log(tmp_path: Path) -> Any:
    """An empty log."""
    with Database(tmp_path / "agent.db") as database:
        yield AuditLog(database, StillClock())


def test_rows_are_chained(log: AuditLog) -> None:
    """Each row's hash is the next one's beginning; the head is the last."""
    assert log.head() == FIRST_PREVIOUS
    first = log.record(Act.STARTED)
    second = log.record(Act.CARD_READ, fingers=2)
    assert log.head() == second != first
    verdict = log.verify()
    assert (verdict.holds, verdict.rows, verdict.head) == (True, 2, second)


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "PESERTA UJI SATU"},
        {"nik": NIK},
        {"code": NIK},
        {"outcome": "PESERTA"},
        {"quality": 101},
        {"quality": True},
        {"quality": "80"},
        {"cause": "PESERTA UJI SATU"},
        {"version": NIK},
        {"version": "PESERTA"},
        {"digest": b"short"},
        {"given": 1},
        {"finger": int(NIK)},
    ],
)
def test_personal_data_has_no_way_in(log: AuditLog, facts: dict[str, Any]) -> None:
    """Not by a new name, not by a wrong kind, not as text where a word of ours belongs. Nothing is written."""
    with pytest.raises(AuditFactError):
        log.record(Act.CARD_READ, facts)
    assert log.verify().rows == 0


@pytest.mark.parametrize(
    "ids", [{"claim_id": NIK}, {"claim_id": "PESERTA"}, {"person_id": NIK}, {"person_id": "PESERTA UJI"}]
)
def test_ids_are_ids(log: AuditLog, ids: dict[str, Any]) -> None:
    """A claim's id is a UUID, a person's begins with a letter and has no space."""
    with pytest.raises(AuditFactError):
        log.record(Act.CARD_READ, **ids)


def test_every_member_of_an_enumeration_is_short_and_ours(log: AuditLog) -> None:
    """What is accepted comes back as its word."""
    log.record(Act.CLAIM_OPENED, state=State.DRAFT)
    assert log.rows()[0].facts == {"state": "DRAFT"}


def _delete_middle(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE number = 2")


def _change_fact(database: sqlite3.Connection) -> None:
    database.execute("""UPDATE audit SET facts = '{"quality":99}' WHERE number = 2""")


def _change_person(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET person_id = 'somebody' WHERE number = 2")


def _swap(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET number = 99 WHERE number = 2")
    database.execute("UPDATE audit SET number = 2 WHERE number = 3")
    database.execute("UPDATE audit SET number = 3 WHERE number = 99")


def _insert(database: sqlite3.Connection) -> None:
    database.execute(
        "INSERT INTO audit SELECT 5, at, act, claim_id, person_id, facts, digest FROM audit WHERE number = 4"
    )


def _forge(database: sqlite3.Connection) -> None:
    """Change a fact and compute that row's hash anew, as somebody who read our code would."""
    (previous,) = database.execute("SELECT digest FROM audit WHERE number = 1").fetchone()
    row = database.execute("SELECT number, at, act, claim_id, person_id FROM audit WHERE number = 2").fetchone()
    facts = '{"quality":99}'
    digest = _chained(previous, (*row, facts))
    database.execute("UPDATE audit SET facts = ?, digest = ? WHERE number = 2", (facts, digest))


@pytest.mark.parametrize("tamper", [_forge, _delete_middle, _change_fact, _change_person, _swap, _insert])
def test_tampering_with_the_file_shows(tmp_path: Path, tamper: Callable[[sqlite3.Connection], None]) -> None:
    """Somebody with the file and a SQLite shell removes the guards and changes a row: verify names it."""
    path = tmp_path / "agent.db"
    with Database(path) as database:
        log = AuditLog(database, StillClock())
        for quality in (10, 20, 30, 40):
            log.record(Act.FINGER_ATTEMPT, quality=quality)
    shell = sqlite3.connect(path)
    for guard in ("audit_no_update", "audit_no_delete"):
        shell.execute(f"DROP TRIGGER {guard}")
    tamper(shell)
    shell.commit()
    shell.close()
    with Database(path) as database:
        verdict = AuditLog(database, StillClock()).verify()
    assert not verdict.holds
    assert verdict.broken_at in (2, 3, 5)


def test_cutting_off_the_end_shows_against_a_head_that_travelled(at_counter: Bench) -> None:
    """The chain alone cannot know its own end; the head inside the packet does."""
    claim = at_counter.filled()
    claim.confirm(member_confirms=True)
    (packet,) = at_counter.packets()
    heads = [row.digest for row in at_counter.counter.audit.rows()]
    assert packet.audit_head in heads


def test_our_own_code_cannot_change_a_row(tmp_path: Path) -> None:
    """Triggers refuse it, whichever code path tries."""
    with Database(tmp_path / "agent.db") as database:
        AuditLog(database, StillClock()).record(Act.STARTED)
        for statement in ("DELETE FROM audit", "UPDATE audit SET act = 'STOPPED'"):
            with pytest.raises(sqlite3.IntegrityError, match="only ever added"), database.transaction() as transaction:
                transaction.execute(statement)


def test_a_row_is_undone_with_the_transaction_it_tells_of(tmp_path: Path) -> None:
    """No audit of what did not happen."""
    with Database(tmp_path / "agent.db") as database:
        log = AuditLog(database, StillClock())

        def fail_after_writing() -> None:
            with database.transaction():
                log.record(Act.STARTED)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_after_writing()
        assert log.verify().rows == 0


def test_a_whole_claim_tells_its_story_without_naming_anybody(at_counter: Bench) -> None:
    """Acts in order; no number, name, account or telephone of the member in any row."""
    claim = at_counter.filled()
    claim.summary()
    claim.confirm(member_confirms=True)
    assert at_counter.acts(claim.claim_id) == [
        "CLAIM_OPENED",
        "CONSENT_RECORDED",
        "CARD_READ",
        "FINGER_ATTEMPT",
        "PHOTO_CHECKED",
        "DOCUMENTS_LISTED",
        "FORM_FILLED",
        "SUMMARY_SHOWN",
        "CONFIRMED",
        "PACKET_QUEUED",
    ]
    told = str([(row.facts, row.person_id) for row in at_counter.counter.audit.rows()])
    for personal in (NIK, "PESERTA", "CONTOH", "0000000001", "080000000001", "99ZZ"):
        assert personal not in told


def test_every_act_is_its_own_word() -> None:
    """Names are what is stored: two acts never share one."""
    assert all(isinstance(act, enum.Enum) and act.name == act.value for act in Act)
