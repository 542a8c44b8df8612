"""What head office asks of a device: each command read as it was meant, or refused for a named reason."""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync import cbor, commands, compression
from sync.commands import (
    Body,
    CommandName,
    Decision,
    DecisionStatus,
    Deny,
    Move,
    NewEpoch,
    Policy,
    Resend,
    RotateKeys,
    Supplement,
    Table,
    TableName,
    Tables,
)
from sync.envelope import Lane
from sync.errors import CommandError, Refusal
from sync.receipt import MAX_COMMAND_BYTES, Command
from tests.sync.foreign import read_or_refusal

ID = bytes(range(16))
CLAIM = UUID("0199e2a4-6f00-7000-8000-000000000001")
NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)
ONE_OF_EACH: Mapping[CommandName, Body] = {
    CommandName.POLICY: Policy(attempts_per_finger=3, send_chip_photo=False),
    CommandName.TABLES: Tables(tables=(Table.of(TableName.KANWIL, b'version = "2026-11-20"\n'),)),
    CommandName.DENY: Deny(reason="Mesin dilaporkan hilang"),
    CommandName.ROTATE_KEYS: RotateKeys(tls=True, signing=False),
    CommandName.RESEND: Resend(lane=Lane.CORE, epoch=bytes(16), first_seq=3, last_seq=9),
    CommandName.SUPPLEMENT: Supplement(
        packet_id=CLAIM, documents=("DEATH_CERTIFICATE",), note="Halaman 2", asked_at=NOW, until=date(2026, 12, 4)
    ),
    CommandName.DECISION: Decision(
        packet_id=CLAIM,
        status=DecisionStatus.RETURNED,
        agenda_no=1234567,
        reason_code="NAME_DIFFERS",
        reason="Nama pada KTP dan KK berbeda",
        decided_at=NOW,
    ),
    CommandName.NEW_EPOCH: NewEpoch(lane=Lane.DOCUMENTS, epoch=bytes([7]) * 16),
    CommandName.MOVE: Move(url="https://head-office-2.example:8443"),
}


@pytest.mark.parametrize("name", list(CommandName))
def test_every_command_arrives_as_it_was_asked(name: CommandName) -> None:
    """A command added without an example here fails loudly."""
    body = ONE_OF_EACH[name]
    command = commands.make(ID, body)
    assert (command.id, command.name, commands.read(command)) == (ID, name.value, body)


def refusal_of(name: str, body: object) -> Refusal:
    data = body if isinstance(body, bytes) else cbor.encode(body)
    with pytest.raises(CommandError) as caught:
        commands.read(Command(id=ID, name=name, body=data))
    return caught.value.refusal


def changed(name: CommandName, **members: Any) -> dict[str, object]:
    return {key: value for key, value in (ONE_OF_EACH[name].to_map() | members).items() if value is not ...}


@pytest.mark.parametrize(
    ("name", "body", "refusal"),
    [
        ("reboot", {}, Refusal.UNKNOWN_TYPE),
        ("policy", b"", Refusal.TRUNCATED),
        ("policy", [], Refusal.WRONG_TYPE),
        ("policy", {"accept_test_identities": True}, Refusal.UNKNOWN_KEY),
        ("policy", {"attempts_per_finger": 0}, Refusal.BAD_VALUE),
        ("policy", {"minimum_quality": 101}, Refusal.BAD_VALUE),
        ("policy", {"threshold_id": "none"}, Refusal.BAD_VALUE),
        ("tables", {"tables": []}, Refusal.CONTRADICTION),
        ("tables", {"tables": [Table.of(TableName.BANKS, b"x").to_map()] * 2}, Refusal.CONTRADICTION),
        ("tables", {"tables": [{"name": "texts", "sha256": bytes(32), "content": b"x"}]}, Refusal.BAD_VALUE),
        ("rotate_keys", {"tls": False, "signing": False}, Refusal.CONTRADICTION),
        ("resend", changed(CommandName.RESEND, last_seq=2), Refusal.CONTRADICTION),
        ("resend", changed(CommandName.RESEND, last_seq=20_000), Refusal.CONTRADICTION),
        ("supplement", changed(CommandName.SUPPLEMENT, documents=[]), Refusal.CONTRADICTION),
        ("supplement", changed(CommandName.SUPPLEMENT, note="x" * 501), Refusal.FIELD_TOO_LONG),
        ("decision", changed(CommandName.DECISION, status="paid"), Refusal.BAD_VALUE),
        ("decision", changed(CommandName.DECISION, reason=...), Refusal.CONTRADICTION),
        ("new_epoch", changed(CommandName.NEW_EPOCH, epoch=bytes(15)), Refusal.BAD_VALUE),
        ("move", {"url": "http://head-office-2.example"}, Refusal.BAD_VALUE),
    ],
)
def test_each_fault_has_its_name(name: str, body: object, refusal: Refusal) -> None:
    """What a device reports back is enough to put the order right."""
    assert refusal_of(name, body) is refusal


def test_a_table_that_is_not_the_one_signed_for_is_refused() -> None:
    """A checksum inside the signature, and a bound on what it expands to."""
    table = Table.of(TableName.BANKS, b"banks" * 100)
    other = Table(name=table.name, sha256=table.sha256, content=compression.frame(b"other"))
    bomb = Table(name=table.name, sha256=table.sha256, content=compression.frame(bytes(10_000_000)))
    assert table.toml() == b"banks" * 100
    for wrong, refusal in ((other, Refusal.CONTRADICTION), (bomb, Refusal.NOT_EXPANDED)):
        with pytest.raises(CommandError) as caught:
            wrong.toml()
        assert caught.value.refusal is refusal


def test_a_command_too_long_for_a_receipt_stops_at_head_office() -> None:
    """It is refused where somebody can cut it up, not on every device."""
    documents = tuple(f"{at:032d}".replace("0", "A") for at in range(64))
    body = Supplement(packet_id=CLAIM, documents=tuple(dict.fromkeys(documents)), note="n" * 500, asked_at=NOW)
    assert len(commands.make(ID, body).body) < MAX_COMMAND_BYTES
    with pytest.raises(CommandError) as caught:
        commands.make(
            ID,
            Tables(tables=tuple(Table.of(name, os.urandom(20_000)) for name in (TableName.BANKS, TableName.REASONS))),
        )
    assert caught.value.refusal is Refusal.TOO_LONG


@given(name=st.sampled_from(CommandName), body=st.binary(max_size=200))
def test_any_body_gives_a_command_or_a_named_refusal(name: CommandName, body: bytes) -> None:
    """Signed nonsense of a broken head office never crashes a device."""
    command = Command(id=ID, name=name.value, body=body)
    read_or_refusal(lambda _: commands.read(command), b"", CommandError)
