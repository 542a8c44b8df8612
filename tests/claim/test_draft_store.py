"""Open claims on disk: whole, secret, and not to be exchanged."""

import dataclasses
import datetime
import sqlite3
from pathlib import Path

import pytest

from mpos_agent.claim.draft import ClaimDraft, Countersignature, FallbackCode, WithdrawReason
from mpos_agent.claim.draft_store import DraftKey
from mpos_agent.claim.errors import DraftKeyError, DraftUnreadableError
from sync.packet import PhotoCompare, Relation
from tests.claim.desk import FORM, NIK, PHOTO, WORKER, Bench, bench


def test_a_draft_comes_back_as_it_was(at_counter: Bench) -> None:
    """Every field, dates and enumerations included."""
    claim = at_counter.filled(programme="JKM", reason="DEATH", relation=Relation.CHILD, ticket="A-017")
    claim.form({**FORM, "worker": WORKER, "email": "peserta@contoh.example", "npwp_answer": "REFUSED"})
    kept = at_counter.counter.store.load(claim.claim_id)
    assert kept == claim._draft
    assert kept is not None
    assert ClaimDraft.from_json(kept.to_json()) == kept
    assert at_counter.counter.store.photo(claim.claim_id) == PHOTO


def test_a_draft_holds_no_field_for_anything_of_a_finger() -> None:
    """By type: nothing in a draft can carry bytes."""

    def kinds(record: type) -> set[str]:
        found = set()
        for field in dataclasses.fields(record):
            found.add(str(field.type))
        return found

    assert not [kind for kind in kinds(ClaimDraft) if "bytes" in kind or "Any" in kind]


def _shell(at: Bench, *statements: str) -> None:
    """What somebody with the file can do."""
    with at.database.transaction() as transaction:
        for statement in statements:
            transaction.execute(statement)


def test_boxes_cannot_be_exchanged_between_claims(at_counter: Bench) -> None:
    """A draft put into another claim's row does not open, and neither row is lost."""
    one, other = at_counter.start(), at_counter.start()
    _shell(
        at_counter,
        f"UPDATE drafts SET box = (SELECT box FROM drafts WHERE claim_id = '{one.claim_id}') "
        f"WHERE claim_id = '{other.claim_id}'",
    )
    with pytest.raises(DraftUnreadableError):
        at_counter.counter.store.load(other.claim_id)
    assert at_counter.counter.store.load(one.claim_id) is not None
    at_counter.restart()
    assert [claim.readable for claim in at_counter.desk.open_claims()].count(False) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE drafts SET revision = revision + 1",
        "UPDATE drafts SET box = substr(box, 1, length(box) - 1)",
        "UPDATE drafts SET box = x'00'",
        "UPDATE drafts SET box = x''",
        "UPDATE drafts SET format = 2",
    ],
)
def test_a_changed_draft_does_not_open(at_counter: Bench, change: str) -> None:
    """Revision, length, content, format: told as unreadable, and kept for the technician."""
    claim = at_counter.start()
    _shell(at_counter, change)
    with pytest.raises(DraftUnreadableError):
        at_counter.counter.store.load(claim.claim_id)
    at_counter.clock.pass_time(48 * 3600)
    at_counter.restart()
    assert at_counter.desk.expire() == 0
    assert len(at_counter.desk.open_claims()) == 1


def test_a_photo_is_not_taken_for_a_draft(at_counter: Bench) -> None:
    """The two boxes of a row are bound to what they are."""
    claim = at_counter.identified()
    _shell(at_counter, "UPDATE drafts SET box = photo, revision = 0")
    with pytest.raises(DraftUnreadableError):
        at_counter.counter.store.load(claim.claim_id)


def test_another_devices_key_opens_nothing(tmp_path: Path) -> None:
    """A copied database is worth nothing without the key file."""
    with bench(tmp_path) as at:
        claim_id = at.identified().claim_id
    (tmp_path / "draft.key").unlink()
    with bench(tmp_path) as at, pytest.raises(DraftUnreadableError):
        at.desk.resume(claim_id)


def test_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """0600, 32 bytes, the same key ever after."""
    file = tmp_path / "draft.key"
    key = DraftKey.create_or_load(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_bytes()) == 32
    assert DraftKey.create_or_load(file) == key
    assert key.drafts != key.duplicates
    assert key.drafts.hex() not in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message names the file and the mode it should have."""
    file = tmp_path / "draft.key"
    DraftKey.create_or_load(file)
    file.chmod(mode)
    with pytest.raises(DraftKeyError, match="0600"):
        DraftKey.create_or_load(file)


def test_half_a_key_is_refused(tmp_path: Path) -> None:
    """A damaged key is not silently replaced: the drafts behind it would be lost."""
    file = tmp_path / "draft.key"
    file.write_bytes(b"short")
    file.chmod(0o600)
    with pytest.raises(DraftKeyError):
        DraftKey.create_or_load(file)


def test_an_earlier_claim_is_known_by_a_keyed_hash_only(tmp_path: Path) -> None:
    """Same person and programme: yes. Other programme, or another device's key: no. The number is nowhere."""
    with bench(tmp_path) as at:
        at.filled().confirm(member_confirms=True)
        store = at.counter.store
        assert store.captured_before(NIK, "JHT")
        assert not store.captured_before(NIK, "JKM")
        rows = at.database.read("SELECT person_key, slip FROM captured")
        assert NIK.encode() not in bytes(rows[0][0]) + rows[0][1].encode()
    (tmp_path / "draft.key").unlink()
    with bench(tmp_path) as at:
        assert not at.counter.store.captured_before(NIK, "JHT")


def test_broken_device_claims_are_counted_per_day(at_counter: Bench) -> None:
    """Only that code counts."""
    at_counter.filled().confirm(member_confirms=True)
    assert at_counter.counter.store.degraded_since(at_counter.clock.now() - datetime.timedelta(days=1)) == 0
    claim = at_counter.start()
    draft = dataclasses.replace(claim._draft, claim_id="0190a000-0000-7000-8000-000000000001")
    degraded = dataclasses.replace(
        draft,
        fallback=Countersignature(
            code=FallbackCode.DEVICE_DEGRADED,
            reason="SCANNER_BROKEN",
            photo_compare=PhotoCompare.SAME,
            supervisor_id="sup1",
            at=at_counter.clock.now(),
        ),
    )
    at_counter.counter.store.remember(degraded, number=NIK, reference="R", at=at_counter.clock.now(), slip={})
    assert at_counter.counter.store.degraded_since(at_counter.clock.now()) == 1
    assert at_counter.counter.store.degraded_since(at_counter.clock.now() + datetime.timedelta(seconds=1)) == 0


def test_deleted_drafts_leave_no_bytes_in_the_file(tmp_path: Path) -> None:
    """Even the ciphertext goes: space of deleted rows is overwritten."""
    with bench(tmp_path) as at:
        claim = at.start()
        box = bytes(at.database.read("SELECT box FROM drafts")[0][0])
        claim.withdraw(WithdrawReason.OTHER)
    assert box not in (tmp_path / "agent.db").read_bytes()
    with sqlite3.connect(tmp_path / "agent.db") as shell:
        assert shell.execute("SELECT count(*) FROM drafts").fetchone() == (0,)
    shell.close()
