"""A claim with three scanned documents over a slow line: the claim is at head office long before its scans are."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.faults.link_proxy import LinkProxy, Trouble
from head_office import claims, documents
from head_office.documents import Key
from head_office.keys.home import Home
from head_office.keys.recipients import load_private_keys
from head_office.ledger.sqlite import SqliteLedger
from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.stage import Stage, command, program, wait_until
from mpos_agent.demo.story import answers_toml
from tests.claim.scans import pdf
from tests.flow.walk import CLAIM_TIMEOUT_S, objects

SLOW = Trouble("slow", bits_per_s=640_000.0, one_way_s=0.3)
"""80 kB a second and the delay of a satellite."""
STALLS = Trouble("stalls", up=60_000, then="stall", bits_per_s=640_000.0, one_way_s=0.3)
"""Room for claims; the first scan stays in the middle of the line until the agent gives that connection up."""
SCANS = {
    kind: pdf(2, payload=np.random.default_rng(number).bytes(100_000))
    for number, kind in enumerate(("KPJ_CARD", "PAKLARING", "KK"))
}
LATER = pdf(1, payload=np.random.default_rng(9).bytes(20_000))


@pytest.fixture
def line(tmp_path: Path, counter: VirtualCounter) -> Iterator[tuple[Stage, LinkProxy]]:
    """An enrolled agent, and its only way to head office."""
    upload = {"upload": {"read_timeout_s": 4.0}}
    with Stage(tmp_path / "s", counter.settings(), more_settings=upload) as stage, LinkProxy(stage.port) as line:
        stage.found_head_office()
        stage.start_head_office()
        stage.start_agent()
        line.trouble, stage.url = STALLS, line.url
        stage.enrol()
        yield stage, line


def claim_with_scans(stage: Stage, folder: Path) -> str:
    """``mpos-agent claim --answers`` with a file for each document; gives the claim's number."""
    folder.mkdir()
    rows = ""
    for kind, content in SCANS.items():
        (folder / f"{kind}.pdf").write_bytes(content)
        rows += f'[[documents]]\ntype = "{kind}"\nfile = "{kind}.pdf"\n'
    answers = folder / "answers.toml"
    answers.write_text(answers_toml({}) + rows)
    made = [*program("mpos-agent"), "claim", "--answers", str(answers), "--json", "--config", str(stage.config)]
    said = objects(command(made, timeout_s=CLAIM_TIMEOUT_S).stdout)
    assert said[-1]["result"] == "QUEUED"
    assert [one["accepted"] for one in said if one.get("step") == "attach"] == [True] * 3
    return str(said[-1]["claim_id"])


def documents_at_desk(stage: Stage) -> str:
    """Complete of expected, as the desk counts; empty as long as the claim is not there."""
    ledger = SqliteLedger(Home(stage.head_office_home).ledger)
    try:
        for row in claims.all_claims(ledger):
            counted = documents.counted(documents.of_claim(ledger, row["device_id"], bytes(row["packet_id"])))
            return f"{counted['complete']}/{counted['expected']}"
        return ""
    finally:
        ledger.close()


@pytest.mark.pcsc
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_claim_is_on_the_desk_before_its_documents_are(
    line: tuple[Stage, LinkProxy], counter: VirtualCounter, tmp_path: Path
) -> None:
    """First the claim with none of them, then all three, and one more that comes later: byte for byte what was scanned.

    Nothing of any of them is in plain on the agent's disk or at head office.
    """
    far, wire = line
    counter.insert_card(1)
    counter.touch(2)
    claim_id = claim_with_scans(far, tmp_path / "scans")
    wait_until(lambda: documents_at_desk(far) != "", 60, "the claim should be on the desk")
    assert documents_at_desk(far) == "0/3"
    wire.trouble = SLOW
    wait_until(lambda: documents_at_desk(far) == "3/3", 90, "the documents should follow")

    later = tmp_path / "scans" / "later.pdf"
    later.write_bytes(LATER)
    added = far.agent_json(
        "claim",
        "supplement",
        claim_id,
        str(later),
        "--type",
        "BANK_BOOK",
        "--answers",
        str(tmp_path / "scans" / "answers.toml"),
    )
    assert [one["type"] for one in added["documents"]] == ["KPJ_CARD", "PAKLARING", "KK", "BANK_BOOK"]
    wait_until(lambda: documents_at_desk(far) == "4/4", 60, "the supplement should follow")
    (row,) = far.claims_at_head_office()
    told = json.loads(far.head_office("claims", "show", str(row["agenda_no"]), "--json"))["documents"]
    assert [(one["type"], one["state"], one["supplement"]) for one in told] == [
        ("KPJ_CARD", "COMPLETE", False),
        ("PAKLARING", "COMPLETE", False),
        ("KK", "COMPLETE", False),
        ("BANK_BOOK", "COMPLETE", True),
    ]
    assert opened(far, row) == [*SCANS.values(), LATER]
    wait_until(lambda: far.waiting() == 0, 60, "the queue should drain")
    assert in_plain(far) == []


def opened(stage: Stage, row: dict[str, str]) -> list[bytes]:
    """What a person at the desk would be given, document after document."""
    home = Home(stage.head_office_home)
    ledger, keys = SqliteLedger(home.ledger), load_private_keys(home)
    try:
        claim_id = bytes.fromhex(row["packet_id"])
        return [
            b"".join(documents.content_of(ledger, keys, Key(row["device_id"], claim_id, one.index)))
            for one in documents.of_claim(ledger, row["device_id"], claim_id)
        ]
    finally:
        ledger.close()


def in_plain(stage: Stage) -> list[str]:
    """Files of agent and head office that hold any 16 bytes of a scan."""
    pieces = [
        content[at : at + 16] for content in (*SCANS.values(), LATER) for at in range(1000, len(content) - 1000, 997)
    ]
    return [
        path.name
        for path in stage.folder.rglob("*")
        if path.is_file()
        for content in [path.read_bytes()]
        if any(piece in content for piece in pieces)
    ]
