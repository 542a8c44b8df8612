"""The published description names every field, word and byte that the code has."""

import json
import re
from pathlib import Path

import pytest

from sync import commands, packet
from sync.checkpoint import Checkpoint, CommandRefused, LaneState
from sync.document_part import DocumentPart
from sync.enrolment import EnrolReply, EnrolRequest
from sync.errors import Cause, Refusal
from sync.receipt import Command, LaneHead, PacketVerdict, Receipt, Verdict
from sync.records import Choice, Record, Text, _kinds

ROOT = Path(__file__).parents[2]
PACKET_FORMAT = (ROOT / "docs" / "packet-format.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "sync-protocol.md").read_text(encoding="utf-8")
PARTS = [
    packet.ClaimPacket,
    packet.Person,
    packet.Bio,
    packet.Attempt,
    packet.Fallback,
    packet.PhotoFace,
    packet.Consent,
    packet.Contact,
    packet.Employment,
    packet.Npwp,
    packet.Bank,
    packet.Document,
    DocumentPart,
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_each_field_of_a_packet_has_its_line(part: type[Record]) -> None:
    """Name, limits, allowed values, and whether it may be left out."""
    section = PACKET_FORMAT.split(f"\n### {part.__name__}\n")[1].split("\n### ")[0]
    rows = {
        row[1].strip(" `"): row for row in (line.split("|") for line in section.splitlines() if line.startswith("| `"))
    }
    kinds = _kinds(part)
    assert set(rows) - {"type", "schema_version"} == set(kinds)
    for name, (kind, optional) in kinds.items():
        assert (rows[name][3].strip() == "optional") is optional, name
        if isinstance(kind, Choice):
            assert re.findall(r"`([^`]+)`", rows[name][2]) == [str(member) for member in kind.members], name
        if isinstance(kind, Text):
            assert f"text {kind.least}–{kind.most}" in rows[name][2], name


RECORDS = [
    Checkpoint,
    LaneState,
    CommandRefused,
    Receipt,
    LaneHead,
    PacketVerdict,
    Command,
    EnrolRequest,
    EnrolReply,
    commands.Table,
    *commands.BODIES.values(),
]


@pytest.mark.parametrize("record", RECORDS)
def test_each_field_of_the_protocol_is_named(record: type[Record]) -> None:
    """Nothing travels that the description does not name."""
    for name in _kinds(record):
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", PROTOCOL), name


def test_every_command_has_its_line() -> None:
    """Names in the order of the code; each line names the fields, and which may be left out."""
    section = PROTOCOL.split("### 4.4")[1].split("Reasons in")[0]
    lines = {row[1]: row[2] for row in re.findall(r"(?m)^(\| `(\w+)` \| (.*?) \|)", section)}
    assert list(lines) == list(commands.CommandName)
    for name, body in commands.BODIES.items():
        for field, (_, optional) in _kinds(body).items():
            assert f"`{field}{'?' if optional else ''}`" in lines[name], (name, field)


def test_every_stable_word_is_explained() -> None:
    """Reasons, causes and verdicts."""
    assert re.findall(r"^\| `(\w+)` \|", PACKET_FORMAT.split("## 4.")[1].split("## 5.")[0], re.M) == list(Refusal)
    assert re.findall(r"^\| `(\w+)` \|", PROTOCOL.split("## 7.")[1].split("## 8.")[0], re.M) == list(Cause)
    assert re.findall(
        r"^\| `(\w+)` \|", PROTOCOL.split("### 4.2")[1].split("### 4.3")[0].split("| Custody")[1], re.M
    ) == list(Verdict)


def test_the_worked_example_is_the_vector() -> None:
    """Every byte written out in the example stands in the published envelope and packet, in that order."""
    vector = json.loads((ROOT / "tests/vectors/wire/envelopes.json").read_text(encoding="ascii"))["envelopes"][0]
    example = PACKET_FORMAT.split("## 5.")[1]
    for block, data in zip(example.split("```")[1:4:2], (vector["envelope"], vector["packet"]), strict=True):
        assert re.match("".join(".*" if token == "..." else token for token in hex_tokens(block)), data)
    assert vector["digest"] in example


def hex_tokens(block: str) -> list[str]:
    """The bytes written at the beginning of each line, and "..." where some are left out."""
    tokens: list[str] = []
    for line in block.strip().splitlines():
        for token in line.split():
            if token != "..." and re.fullmatch(r"(?:[0-9a-f]{2})+", token) is None:
                break
            tokens.append(token)
    return tokens
