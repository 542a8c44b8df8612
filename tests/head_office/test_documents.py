"""Scanned documents at head office: in parts, in any order, complete, altered, or without a claim."""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import requests

from head_office import custody, documents
from head_office.desk.users import DeskUsers
from head_office.document_reader import DocumentReader
from head_office.documents import DocumentState, Key, Shown
from head_office.errors import DocumentNotReadError
from head_office.keys.home import Home
from head_office.ledger.sqlite import SqliteLedger
from sync import document_part
from sync.document_part import FIRST_SUPPLEMENT, MIN_PART_BYTES, DocumentPart, MediaType
from sync.envelope import Lane
from sync.packet import Document, new_packet_id
from tests.head_office.conftest import Office, Service
from tests.head_office.device import Device, Link, claim_packet
from tests.head_office.test_desk import NAME, PASSWORD, DeskUnderTest

WORDS = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(1_250))
LETTER = b"%PDF-1.7\n" + WORDS
"""40 kB that occur nowhere else: three parts."""
CLAIM = new_packet_id(1_790_000_000_000, bytes(range(10)))


def parts_of(
    device: Device, content: bytes = LETTER, index: int = 0, *, only: Sequence[int] | None = None, **changes: Any
) -> list[bytes]:
    """A document cut into parts, sealed in the order of its chain; ``only`` some of them, counted from 0."""
    pieces = cut(device, content, index, **changes)
    wanted = range(len(pieces)) if only is None else only
    return [device.seal(pieces[at].encode(), lane=Lane.DOCUMENTS) for at in wanted]


def cut(device: Device, content: bytes = LETTER, index: int = 0, **changes: Any) -> list[DocumentPart]:
    whole: dict[str, Any] = {
        "claim_id": CLAIM,
        "device_id": device.device_id,
        "index": index,
        "type_code": "PAKLARING",
        "media_type": MediaType.PDF,
        "pages": 2,
        "legible": True,
        "operator_id": "petugas-1",
        "attached_at": datetime(2026, 1, 5, 3, 2, tzinfo=UTC),
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).digest(),
        "part_bytes": MIN_PART_BYTES,
        **changes,
    }
    count = document_part.part_count(len(content), MIN_PART_BYTES)
    pieces = [content[at * MIN_PART_BYTES : (at + 1) * MIN_PART_BYTES] for at in range(count)]
    return [DocumentPart(**whole, part=number, content=piece) for number, piece in enumerate(pieces, 1)]


def listed(content: bytes = LETTER, **changes: Any) -> Document:
    """What the claim says of a document."""
    facts: dict[str, Any] = {
        "type_code": "PAKLARING",
        "pages": 2,
        "mime": "application/pdf",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).digest() if content else None,
        "legible": True,
    }
    return Document(**{**facts, **changes})


def claim(device: Device, *papers: Document, packet_id: UUID = CLAIM) -> bytes:
    return device.seal(claim_packet(device.device_id, packet_id=packet_id, documents=papers).encode())


def shown(office: Office, device: Device) -> list[Shown]:
    office.claims()
    return documents.of_claim(office.ledger, device.device_id, CLAIM.bytes)


def states(office: Office, device: Device) -> list[tuple[str, str | None]]:
    return [(one.state.value, one.reason) for one in shown(office, device)]


def reasons(office: Office) -> list[str]:
    return [row["reason"] for row in custody.quarantined(office.ledger)]


def test_a_document_is_complete_when_its_last_part_is_there(office: Office) -> None:
    """Waiting, with how many of how many, until then; the paper that was only seen waits for nothing."""
    device = office.device()
    office.receive(device, claim(device, listed(), listed(b"", type_code="KPJ_CARD")))
    assert states(office, device) == [("WAITING", None), ("PAPER", None)]
    assert shown(office, device)[0].parts is None
    first, second, third = parts_of(device)
    office.receive(device, first, second)
    one = shown(office, device)[0]
    assert (one.state, one.have, one.parts) == (DocumentState.WAITING, 2, 3)
    office.receive(device, third)
    assert states(office, device) == [("COMPLETE", None), ("PAPER", None)]
    assert documents.counted(shown(office, device)) == {"expected": 1, "complete": 1, "altered": 0}
    assert custody.quarantined(office.ledger) == []


def test_parts_may_come_in_any_order(office: Office) -> None:
    """Each says which it is."""
    device = office.device()
    office.receive(device, claim(device, listed(), listed(), listed()))
    for index, order in enumerate([(2, 0, 1), (1, 2, 0), (2, 1, 0)]):
        office.receive(device, *parts_of(device, LETTER, index, only=order))
    assert states(office, device) == [("COMPLETE", None)] * 3


def test_parts_that_come_before_their_claim_wait_for_it(office: Office) -> None:
    """Whole and unclaimed, on nobody's desk and in nobody's way; with the claim they are complete."""
    device = office.device()
    office.receive(device, *parts_of(device))
    assert states(office, device) == [("UNCLAIMED", None)]
    assert [row["idx"] for row in documents.unclaimed(office.ledger)] == [0]
    assert custody.quarantined(office.ledger) == []
    office.receive(device, claim(device, listed()))
    assert states(office, device) == [("COMPLETE", None)]
    assert documents.unclaimed(office.ledger) == []


def test_a_part_for_a_claim_nobody_knows_holds_nothing_up(office: Office) -> None:
    """It waits, it is listed, and what comes after it is opened."""
    device = office.device()
    stray = parts_of(device, b"%PDF stray", claim_id=new_packet_id(1, bytes(10)))
    office.receive(device, *stray, *parts_of(device), claim(device, listed()))
    assert states(office, device) == [("COMPLETE", None)]
    assert [row["state"] for row in documents.unclaimed(office.ledger)] == ["UNCLAIMED"]


def test_the_same_part_in_another_envelope_counts_once(office: Office) -> None:
    """A reinstalled device sends it again in a new chain: taken into custody, opened, without effect."""
    device = office.device()
    office.receive(device, claim(device, listed()), *parts_of(device, only=(0, 1)))
    device.new_epoch(Lane.DOCUMENTS)
    office.receive(device, *parts_of(device, only=(0, 1)))
    one = shown(office, device)[0]
    assert (one.state, one.have) == (DocumentState.WAITING, 2)
    assert reasons(office) == []
    opened = office.ledger.read(
        "SELECT opening, opening_reason FROM packets WHERE lane = 'documents' ORDER BY receipt_no"
    )
    assert [tuple(row) for row in opened] == [("OPENED", None)] * 2 + [("OPENED", "part_again")] * 2


def test_other_content_under_the_same_number_is_set_aside(office: Office) -> None:
    """What came first stands; the second is kept apart with its reason, and the rest goes on."""
    device = office.device()
    pieces = cut(device)
    forged = replace(pieces[0], content=bytes(MIN_PART_BYTES))
    office.receive(
        device,
        claim(device, listed()),
        *(device.seal(part.encode(), lane=Lane.DOCUMENTS) for part in (pieces[0], forged, pieces[1], pieces[2])),
    )
    assert states(office, device) == [("COMPLETE", None)]
    assert reasons(office) == ["part_differs"]


def test_a_part_that_says_something_else_of_its_document_is_set_aside(office: Office) -> None:
    """Another size, another checksum, another kind: not this document."""
    device = office.device()
    more = parts_of(device, only=(0, 1)) + parts_of(device, LETTER + b"more", only=(2,))
    office.receive(device, claim(device, listed()), *more)
    assert states(office, device) == [("WAITING", None)]
    assert reasons(office) == ["part_contradicts"]


@pytest.mark.parametrize("first", ["claim", "parts"])
def test_a_document_that_is_not_what_the_claim_says_is_altered(office: Office, first: str) -> None:
    """Another checksum, size or kind than the claim names, whichever of the two comes first."""
    device = office.device()
    said: list[dict[str, Any]] = [
        {"sha256": hashlib.sha256(b"another").digest()},
        {"size_bytes": 17},
        {"mime": "image/png"},
        {"type_code": "KK"},
        {"pages": 3},
        {"size_bytes": 0, "sha256": None},
        {},
    ]
    named = [claim(device, *(listed(**changes) for changes in said))]
    parts = [part for index in range(len(said)) for part in parts_of(device, LETTER, index)]
    for packets in (named, parts) if first == "claim" else (parts, named):
        office.receive(device, *packets)
        office.claims()
    assert states(office, device) == [("ALTERED", "differs_from_claim")] * 6 + [("COMPLETE", None)]
    assert documents.counted(shown(office, device)) == {"expected": 7, "complete": 1, "altered": 6}


def test_parts_that_together_are_not_what_they_name_are_an_altered_document(office: Office) -> None:
    """Each part fits, the whole does not have the checksum."""
    device = office.device()
    pieces = cut(device)
    pieces[1] = replace(pieces[1], content=bytes(MIN_PART_BYTES))
    office.receive(device, claim(device, listed()))
    office.receive(device, *(device.seal(part.encode(), lane=Lane.DOCUMENTS) for part in pieces))
    assert states(office, device) == [("ALTERED", "content")]


def test_a_document_the_claim_does_not_list_is_altered_and_a_supplement_is_not(office: Office) -> None:
    """Below the claim's own list nothing can be added; from 64 on it is a supplement, and expected like the others."""
    device = office.device()
    office.receive(device, claim(device, listed()), *parts_of(device), *parts_of(device, b"%PDF hidden", 1))
    office.receive(device, *parts_of(device, b"%PDF later", FIRST_SUPPLEMENT))
    assert states(office, device) == [("COMPLETE", None), ("ALTERED", "not_in_claim"), ("COMPLETE", None)]
    assert [one.supplement for one in shown(office, device)] == [False, False, True]


def test_parts_of_another_devices_claim_never_reach_it(office: Office) -> None:
    """An alarm is raised; the claim keeps its own documents, the parts wait for a claim of their own device."""
    owner, other = office.device("SN-0001"), office.device("SN-0002")
    office.receive(owner, claim(owner, listed()))
    office.claims()
    office.receive(other, *parts_of(other))
    assert states(office, owner) == [("WAITING", None)]
    assert states(office, other) == [("UNCLAIMED", None)]
    assert set(office.alarm_kinds()) == {"claim_of_another_device"}
    office.receive(owner, *parts_of(owner))
    assert states(office, owner) == [("COMPLETE", None)]


def test_a_part_that_names_another_device_is_set_aside(office: Office) -> None:
    """The name under the encryption is the envelope's."""
    device = office.device()
    office.receive(device, *parts_of(device, device_id="dev-999999"), claim(device))
    assert len(office.claims()) == 1
    assert reasons(office) == ["wrong_device"] * 3


def test_a_worker_that_dies_before_it_looked_at_the_whole_is_followed_by_one_that_does(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last part is noted, the process is gone: the next one finds the document waiting to be looked at."""
    device = office.device()
    office.receive(device, claim(device, listed()), *parts_of(device))
    monkeypatch.setattr(documents, "check_all_gathered", lambda *_: None)
    assert states(office, device) == [("GATHERED", None)]
    monkeypatch.undo()
    assert states(office, device) == [("COMPLETE", None)]


def test_nothing_of_a_documents_content_is_stored_in_plain(office: Office) -> None:
    """No file of head office's folder holds 16 bytes of it, while it comes and when it is complete."""
    device = office.device()
    office.receive(device, claim(device, listed()), *parts_of(device))
    assert states(office, device) == [("COMPLETE", None)]
    pieces = [WORDS[at : at + 16] for at in range(0, len(WORDS), 512)]
    files = [path for path in office.home.folder.rglob("*") if path.is_file()]
    assert [path for path in files if any(piece in path.read_bytes() for piece in pieces)] == []


# --- at the desk ---


def test_the_desk_counts_documents_and_saves_a_complete_one(office: Office) -> None:
    """Complete of expected in the list; the file itself only as a download, with an act recorded before."""
    device = office.device()
    office.receive(device, claim(device, listed(), listed(b"%PDF 2")), *parts_of(device))
    office.claims()
    desk = DeskUnderTest(office)
    page = desk.page()
    assert re.search(r"<td class=\"code\">1 / 2</td>", page)
    (address,) = re.findall(r"href=\"(/desk/documents/[^\"]+)\"", page)
    reply = desk.get(address, auth=(NAME, PASSWORD))
    assert (reply.status_code, reply.content) == (200, LETTER)
    assert reply.headers["content-type"] == "application/pdf"
    assert reply.headers["content-disposition"] == 'attachment; filename="1000001-0-PAKLARING.pdf"'
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "sandbox" in reply.headers["content-security-policy"]
    act = office.ledger.read("SELECT * FROM acts WHERE act = 'desk_document'")[0]
    assert act["who"] == NAME
    assert json.loads(act["facts"]) == {"agenda_no": 1_000_001, "index": 0, "found": True}


def test_a_document_is_served_to_nobody_else_and_only_when_it_is_complete(office: Office) -> None:
    """No sign-in, no document; an altered or a waiting one is not served, and the attempt is recorded."""
    device = office.device()
    office.receive(device, claim(device, listed(type_code="KK"), listed()), *parts_of(device))
    office.claims()
    desk = DeskUnderTest(office)
    assert desk.get("/desk/documents/1000001/0").status_code == 401
    assert desk.get("/desk/documents/1000001/0", auth=(NAME, "wrong password")).status_code == 401
    for address in ("1000001/0", "1000001/1", "1000001/7", "9999999/0"):
        assert desk.get(f"/desk/documents/{address}", auth=(NAME, PASSWORD)).status_code == 404, address
    assert "BERUBAH" in desk.page()
    assert len(office.ledger.read("SELECT * FROM acts WHERE act = 'desk_document'")) == 4


def test_the_running_service_opens_a_document_for_a_signed_in_person(service: Service, home: Home) -> None:
    """Over TLS, through the process that holds the keys; the command line shows the same states."""
    link = service.start()
    device, line = service.enrol(link, home.folder.parent)
    line.sync(device, claim(device, listed()), *parts_of(device, only=(0, 1)))
    service.claims(1)
    _password(service)
    told = json.loads(service.run("claims", "show", "1000001", "--json"))["documents"]
    assert [(one["type"], one["state"]) for one in told] == [("PAKLARING", "WAITING")]
    line.sync(device, *parts_of(device, only=(2,)))
    reply = _wait_for_document(line, "/desk/documents/1000001/0")
    assert reply.content == LETTER
    assert json.loads(service.run("claims", "list", "--json"))[0]["documents"] == "1/1"
    assert json.loads(service.run("packets", "unclaimed", "--json")) == []


def _password(service: Service) -> None:
    ledger = SqliteLedger(service.home.ledger)
    DeskUsers(ledger).add(NAME, PASSWORD, by="test")
    ledger.close()


def _wait_for_document(line: Link, address: str) -> requests.Response:
    """The reply once it is the document; a busy machine gets a minute for opening it."""
    deadline = time.monotonic() + 60
    while True:
        reply = requests.get(line.url + address, verify=str(line.ca_file), auth=(NAME, PASSWORD), timeout=60)
        if reply.status_code == 200 or time.monotonic() > deadline:
            return reply
        time.sleep(0.2)


def test_the_desk_says_when_a_document_cannot_be_opened_here(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the keys are another user's: a sentence, not an error page, and the list works as ever."""
    device = office.device()
    office.receive(device, claim(device, listed()), *parts_of(device))
    office.claims()
    desk = DeskUnderTest(office)

    def no_keys(*_: object) -> bytes:
        raise DocumentNotReadError("no keys here")

    monkeypatch.setattr(documents, "content_of", no_keys)
    reply = desk.get("/desk/documents/1000001/0", auth=(NAME, PASSWORD))
    assert (reply.status_code, reply.text) == (503, "Dokumen tidak dapat dibuka di sini sekarang.")
    assert "1 / 1" in desk.page()


def test_a_reader_that_was_killed_is_started_again(home: Home) -> None:
    """The next question starts another; without keys it says that it cannot, and nobody waits for ever."""
    made = Office(home)
    device = made.device()
    made.receive(device, claim(device, listed()), *parts_of(device))
    made.claims()
    made.ledger.close()
    reader, key = DocumentReader(home), Key(device.device_id, CLAIM.bytes, 0)
    try:
        assert reader.read(key) == LETTER
        assert reader._process is not None
        reader._process.kill()
        reader._process.join()
        assert reader.read(key) == LETTER
        reader.stop()
        for file in home.recipient_keys.iterdir():
            file.unlink()
        with pytest.raises(DocumentNotReadError):
            reader.read(key)
    finally:
        reader.stop()
