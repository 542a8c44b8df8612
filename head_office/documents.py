"""Scanned documents of claims: which parts are there, and whether together they are what the claim says.

Nothing of a document's content is stored here. Its parts stay sealed as they came, and a person who wants to see it
has it opened for that moment (document_reader.py): one copy to keep, to purge and to protect, and none in plain.

Parts come in any order, before their claim, twice, or for a claim nobody knows. Each is counted once; none keeps
what is behind it waiting.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from head_office.custody import Alarm, LaneKey, Place, alarm
from head_office.device_registry import signing_keys
from head_office.ledger.base import Ledger, Row, Transaction
from head_office.unsealing import RecipientKeys, packet_bytes
from sync import cbor, document_part
from sync.document_part import FIRST_SUPPLEMENT, DocumentPart
from sync.envelope import Lane
from sync.errors import WireError
from sync.packet import ClaimPacket

CHECKED_AT_ONCE = 20


class DocumentState(StrEnum):
    """How far a document has come."""

    PAPER = "PAPER"
    """The claim lists it, and only the paper was seen at the counter: nothing will come."""
    WAITING = "WAITING"
    """Not all of its parts are there."""
    GATHERED = "GATHERED"
    """All parts are there and nobody has looked at them together yet."""
    UNCLAIMED = "UNCLAIMED"
    """Whole, and its claim has not come."""
    COMPLETE = "COMPLETE"
    """Whole, and what the claim says it is."""
    ALTERED = "ALTERED"
    """All parts are there and it is not what they, or the claim, say; the reason stands beside."""


class Altered(StrEnum):
    """Why a document is not what it should be."""

    CONTENT = "content"
    """Its parts together do not have the checksum they name."""
    DIFFERS = "differs_from_claim"
    """The claim names another size, checksum or kind."""
    NOT_LISTED = "not_in_claim"
    """The claim does not list it."""
    UNREADABLE = "unreadable"
    """A part that could be opened when it came no longer can."""


class Taken(StrEnum):
    """What became of a part."""

    NEW = "new"
    AGAIN = "part_again"
    """The same content came before, in another envelope."""
    DIFFERS = "part_differs"
    """Other content came before under this number."""
    CONTRADICTS = "part_contradicts"
    """It says something else of the document than the part before it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One document."""

    device_id: str
    claim_id: bytes
    index: int

    @property
    def values(self) -> tuple[str, bytes, int]:
        return self.device_id, self.claim_id, self.index


_THIS = "device_id = ? AND claim_id = ? AND idx = ?"


def announced(tx: Transaction, packet: ClaimPacket, now_ms: int) -> None:
    """Note what a claim that was just opened lists; parts that came before it are looked at again."""
    for index, one in enumerate(packet.documents):
        tx.execute(
            "INSERT INTO documents (device_id, claim_id, idx, state, listed_type, listed_mime, listed_pages,"
            " listed_size, listed_sha256, have, first_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"
            " ON CONFLICT (device_id, claim_id, idx) DO UPDATE SET listed_type = excluded.listed_type,"
            " listed_mime = excluded.listed_mime, listed_pages = excluded.listed_pages,"
            " listed_size = excluded.listed_size, listed_sha256 = excluded.listed_sha256",
            (
                packet.device_id,
                packet.packet_id.bytes,
                index,
                DocumentState.WAITING if one.size_bytes else DocumentState.PAPER,
                one.type_code,
                one.mime,
                one.pages,
                one.size_bytes,
                one.sha256,
                now_ms,
            ),
        )


def take(tx: Transaction, row: Row, part: DocumentPart, now_ms: int) -> Taken:
    """Note one opened part; ``row`` is its packet's. What is not NEW changes nothing."""
    key = Key(row["device_id"], part.claim_id.bytes, part.index)
    holders = {
        held["device_id"] for held in tx.execute("SELECT device_id FROM claims WHERE packet_id = ?", (key.claim_id,))
    }
    if holders and key.device_id not in holders:
        # Never put beside a claim another device made: it waits for one of its own, and people look.
        lane = LaneKey(row["device_id"], Lane(row["lane"]), bytes(row["epoch"]))
        alarm(tx, Alarm.CLAIM_OF_ANOTHER_DEVICE, Place(lane, row["seq"]), now_ms)
    facts, content = facts_of(part), hashlib.sha256(part.content).digest()
    known = tx.execute(f"SELECT * FROM documents WHERE {_THIS} FOR UPDATE", key.values)  # noqa: S608 - constant
    if not known:
        tx.execute(
            "INSERT INTO documents (device_id, claim_id, idx, state, have, first_at) VALUES (?, ?, ?, ?, 0, ?)"
            " ON CONFLICT DO NOTHING",
            (*key.values, DocumentState.WAITING, now_ms),
        )
        known = tx.execute(f"SELECT * FROM documents WHERE {_THIS} FOR UPDATE", key.values)  # noqa: S608 - constant
    document = known[0]
    if document["facts"] is not None and bytes(document["facts"]) != facts:
        return Taken.CONTRADICTS
    before = tx.execute(
        f"SELECT content_sha256 FROM document_parts WHERE {_THIS} AND part = ?",  # noqa: S608 - constant
        (*key.values, part.part),
    )
    if before:
        return Taken.AGAIN if bytes(before[0]["content_sha256"]) == content else Taken.DIFFERS
    tx.execute(
        "INSERT INTO document_parts (device_id, claim_id, idx, part, receipt_no, content_sha256)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (*key.values, part.part, row["receipt_no"], content),
    )
    have = int(document["have"]) + 1
    tx.execute(
        "UPDATE documents SET facts = ?, type_code = ?, media_type = ?, pages = ?, size = ?, sha256 = ?, parts = ?,"  # noqa: S608 - constant
        f" have = ?, state = ? WHERE {_THIS}",
        (
            facts,
            part.type_code,
            part.media_type.value,
            part.pages,
            part.size_bytes,
            part.sha256,
            part.parts,
            have,
            DocumentState.GATHERED if have == part.parts else DocumentState.WAITING,
            *key.values,
        ),
    )
    return Taken.NEW


def facts_of(part: DocumentPart) -> bytes:
    """A digest of what a part says of its whole document: all parts of one document have the same."""
    return hashlib.sha256(
        cbor.encode({name: value for name, value in part.to_map().items() if name not in ("part", "content")})
    ).digest()


def check_all_gathered(ledger: Ledger, keys: RecipientKeys, now_ms: int) -> None:
    """Look at every document whose parts are all there."""
    while check_gathered(ledger, keys, now_ms) == CHECKED_AT_ONCE:
        continue


def check_gathered(ledger: Ledger, keys: RecipientKeys, now_ms: int) -> int:
    """Look at documents whose parts are all there, and at whole ones whose claim has come since; gives how many."""
    rows = ledger.read(
        "SELECT * FROM documents d WHERE state = 'GATHERED' OR (state = 'UNCLAIMED' AND EXISTS"
        " (SELECT 1 FROM claims c WHERE c.device_id = d.device_id AND c.packet_id = d.claim_id)) LIMIT ?",
        (CHECKED_AT_ONCE,),
    )
    for row in rows:
        key = Key(row["device_id"], bytes(row["claim_id"]), row["idx"])
        # Before the transaction: opening its parts takes milliseconds each.
        content = _is_whole(ledger, keys, key, bytes(row["sha256"]))
        with ledger.transaction() as tx:
            _settle(tx, key, content, now_ms)
    return len(rows)


def _is_whole(ledger: Ledger, keys: RecipientKeys, key: Key, sha256: bytes) -> Altered | None:
    digest = hashlib.sha256()
    try:
        for piece in content_of(ledger, keys, key):
            digest.update(piece)
    except WireError:
        return Altered.UNREADABLE
    return None if digest.digest() == sha256 else Altered.CONTENT


def _settle(tx: Transaction, key: Key, content: Altered | None, now_ms: int) -> None:
    row = tx.execute(f"SELECT * FROM documents WHERE {_THIS} FOR UPDATE", key.values)[0]  # noqa: S608 - constant
    claimed = bool(
        tx.execute("SELECT 1 FROM claims WHERE device_id = ? AND packet_id = ?", (key.device_id, key.claim_id))
    )
    listed = row["listed_type"] is not None
    reason = content
    if reason is None and listed and not _as_listed(row):
        reason = Altered.DIFFERS
    if reason is None and claimed and not listed and key.index < FIRST_SUPPLEMENT:
        reason = Altered.NOT_LISTED
    state = DocumentState.ALTERED if reason else DocumentState.COMPLETE if claimed else DocumentState.UNCLAIMED
    tx.execute(
        f"UPDATE documents SET state = ?, reason = ?, settled_at = ? WHERE {_THIS}",  # noqa: S608 - constant
        (state, reason, now_ms, *key.values),
    )


def _as_listed(row: Row) -> bool:
    said = (row["type_code"], row["media_type"], row["pages"], row["size"], bytes(row["sha256"]))
    listed_sha256 = None if row["listed_sha256"] is None else bytes(row["listed_sha256"])
    return said == (row["listed_type"], row["listed_mime"], row["listed_pages"], row["listed_size"], listed_sha256)


def content_of(ledger: Ledger, keys: RecipientKeys, key: Key) -> Iterator[bytes]:
    """The document, part after part, opened now and kept nowhere. Raises WireError when a part cannot be opened."""
    rows = ledger.read(
        f"SELECT receipt_no FROM document_parts WHERE {_THIS} ORDER BY part",  # noqa: S608 - constant
        key.values,
    )
    signing = signing_keys(ledger, key.device_id)
    for row in rows:
        packet = ledger.read(
            "SELECT * FROM packets WHERE receipt_no = ? AND device_id = ?", (row["receipt_no"], key.device_id)
        )[0]
        opened = packet_bytes(packet, signing, keys)
        # A signing key that is gone: no part can be read any more, and decode says so.
        yield document_part.decode(opened or b"").content


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One document as lists show it."""

    index: int
    type_code: str
    media_type: str | None
    """None as long as only the paper is known of."""
    pages: int | None
    size: int | None
    have: int
    parts: int | None
    """None until the first part has come."""
    state: DocumentState
    reason: str | None

    @property
    def supplement(self) -> bool:
        """Whether it was added after the claim was sent."""
        return self.index >= FIRST_SUPPLEMENT


def of_claim(ledger: Ledger, device_id: str, claim_id: bytes) -> list[Shown]:
    """Every document of one claim, in order."""
    rows = ledger.read(
        "SELECT * FROM documents WHERE device_id = ? AND claim_id = ? ORDER BY idx", (device_id, claim_id)
    )
    return [_shown(row) for row in rows]


def of_claims(ledger: Ledger, rows: Sequence[Row]) -> list[list[Shown]]:
    """The documents of each of these claims; for the rows of one page."""
    return [of_claim(ledger, row["device_id"], bytes(row["packet_id"])) for row in rows]


def unclaimed(ledger: Ledger) -> list[Row]:
    """Documents whose claim has not come, oldest first."""
    return ledger.read(
        "SELECT d.* FROM documents d LEFT JOIN claims c ON c.device_id = d.device_id AND c.packet_id = d.claim_id"
        " WHERE d.listed_type IS NULL AND c.packet_id IS NULL ORDER BY d.first_at, d.idx"
    )


def counted(shown: Iterable[Shown]) -> dict[str, int]:
    """How many scanned documents a claim has, and how many of them are complete or altered."""
    scans = [one for one in shown if one.state is not DocumentState.PAPER]
    return {
        "expected": len(scans),
        "complete": sum(one.state is DocumentState.COMPLETE for one in scans),
        "altered": sum(one.state is DocumentState.ALTERED for one in scans),
    }


def as_json(one: Shown) -> dict[str, object]:
    """For ``--json``."""
    return {
        "index": one.index,
        "type": one.type_code,
        "supplement": one.supplement,
        "state": one.state.value,
        "reason": one.reason,
        "media_type": one.media_type,
        "pages": one.pages,
        "size_bytes": one.size,
        "parts": one.parts,
        "parts_here": one.have,
    }


def claim_name(claim_id: bytes) -> str:
    """A claim's id as devices print it."""
    return str(UUID(bytes=claim_id))


def _shown(row: Row) -> Shown:
    return Shown(
        index=row["idx"],
        type_code=row["listed_type"] or row["type_code"],
        media_type=row["media_type"] or (row["listed_mime"] if row["listed_size"] else None),
        pages=row["listed_pages"] or row["pages"],
        size=row["listed_size"] or row["size"],
        have=row["have"],
        parts=row["parts"],
        state=DocumentState(row["state"]),
        reason=row["reason"],
    )
