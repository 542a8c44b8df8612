"""Scanned files of claims on disk: in encrypted boxes, until each part lies sealed in the queue.

Each claim has a key of its own, wrapped by a key derived from the device's. Deleting that one short row, in the
commit that withdraws or forgets a claim, makes its boxes unreadable at once; the boxes themselves are then erased
a few at a time, because erasing 20 MB in one transaction would need 20 MB more of a disk that may be full.

For the same reason confirming a claim does not move its files. The commit that queues the claim's packet writes a
*promise* beside the key: what is to be sent, as what. From then on each part goes into the queue in a transaction
of its own, which also erases its box: at no time does a claim need more room than it already has, and a power cut
leaves each part in exactly one of the two places.
"""

import json
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpos_agent.claim.draft_store import DraftKey
from mpos_agent.claim.errors import DraftUnreadableError
from sync.document_part import FIRST_SUPPLEMENT, PART_BYTES, DocumentPart, MediaType, part_count
from sync.edge.database import Database, Row, Schema, Transaction
from sync.records import from_milliseconds

_KEY_BYTES, _NONCE_BYTES = 32, 12
ERASED_AT_ONCE: Final = 8
"""Boxes in one transaction: erased pages are overwritten, and a megabyte of log fits every reserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """One document that is to be sent, as its parts will say it."""

    index: int
    box: str
    type_code: str
    media_type: MediaType
    pages: int
    legible: bool
    operator_id: str
    attached_at_ms: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One document that was queued or is about to be; no personal data."""

    index: int
    type_code: str
    size_bytes: int
    parts: int
    sha256: str


def _boxes(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE document_sets ("
        " id INTEGER PRIMARY KEY, set_id TEXT NOT NULL UNIQUE, claim_id TEXT NOT NULL, wrapped_key BLOB NOT NULL,"
        " promise BLOB, unreadable INTEGER NOT NULL DEFAULT 0) STRICT"
    )
    schema.execute(
        "CREATE TABLE document_boxes ("
        " id INTEGER PRIMARY KEY, set_id TEXT NOT NULL, name TEXT NOT NULL, part INTEGER NOT NULL,"
        " box BLOB NOT NULL, UNIQUE (set_id, name, part)) STRICT"
    )
    schema.execute(
        "CREATE TABLE documents_sent ("
        " claim_id TEXT NOT NULL, idx INTEGER NOT NULL, type_code TEXT NOT NULL, size INTEGER NOT NULL,"
        " parts INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (claim_id, idx)) STRICT"
    )


STEPS: Final[tuple[Callable[[Schema], None], ...]] = (_boxes,)


class DocumentStore:
    """The boxes, in the agent's database. A set is the files of one open claim, or of one supplement."""

    def __init__(self, database: Database, key: DraftKey, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._database, self._key, self._random = database, key, random
        self._fresh: set[str] = set()
        """Supplements that are just being kept: nothing refers to them yet."""
        database.migrate("documents", STEPS)

    def keep(self, set_id: str, claim_id: str, content: bytes) -> str:
        """Encrypt a file into boxes, each in a transaction of its own; gives the name nothing refers to yet."""
        key = self._key_of(set_id) or self._new_key(set_id, claim_id)
        name = self._random(8).hex()
        for number in range(1, part_count(len(content)) + 1):
            nonce = self._random(_NONCE_BYTES)
            piece = content[(number - 1) * PART_BYTES : number * PART_BYTES]
            box = nonce + AESGCM(key).encrypt(nonce, piece, _bound(set_id, name, number))
            with self._database.transaction() as tx:
                tx.execute(
                    "INSERT INTO document_boxes (set_id, name, part, box) VALUES (?, ?, ?, ?)",
                    (set_id, name, number, box),
                )
        return name

    def drop_others(self, set_id: str, kept: Collection[str]) -> None:
        """Erase the boxes of a set that nothing refers to (any more)."""
        found = self._database.read("SELECT DISTINCT name FROM document_boxes WHERE set_id = ?", (set_id,))
        for name in (row["name"] for row in found if row["name"] not in kept):
            self._erase("set_id = ? AND name = ?", (set_id, name))

    def forget(self, set_id: str) -> None:
        """Delete a set's key, in the caller's transaction: its boxes can never be opened again. Then :meth:`sweep`."""
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM document_sets WHERE set_id = ? AND promise IS NULL", (set_id,))

    def sweep(self) -> None:
        """Erase boxes that no key opens any more, a few in each transaction; first of all the keys of supplements
        that were cut off before anything was promised."""
        with self._database.transaction() as tx:
            for row in tx.execute(
                "SELECT set_id FROM document_sets WHERE promise IS NULL AND set_id <> claim_id"
            ).fetchall():
                if row["set_id"] not in self._fresh:
                    tx.execute("DELETE FROM document_sets WHERE set_id = ?", (row["set_id"],))
        self._erase("set_id NOT IN (SELECT set_id FROM document_sets)", ())

    def promise(self, set_id: str, claim_id: str, documents: Sequence[Promised]) -> None:
        """Note what is to be sent of a set, in the caller's transaction: the one that queues or confirms."""
        with self._database.transaction() as tx:
            for one in documents:
                tx.execute(
                    "INSERT INTO documents_sent (claim_id, idx, type_code, size, parts, sha256)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (claim_id, one.index, one.type_code, one.size_bytes, part_count(one.size_bytes), one.sha256),
                )
            if not documents:
                tx.execute("DELETE FROM document_sets WHERE set_id = ?", (set_id,))
                return
            key = self._key_of(set_id)
            if key is None:
                raise DraftUnreadableError(f"the documents of {claim_id} are gone")
            nonce = self._random(_NONCE_BYTES)
            written = json.dumps([asdict(one) for one in documents]).encode()
            box = nonce + AESGCM(key).encrypt(nonce, written, _bound(set_id, "promise", 0))
            tx.execute("UPDATE document_sets SET promise = ? WHERE set_id = ?", (box, set_id))
        self._fresh.discard(set_id)

    def sent(self, claim_id: str) -> tuple[Sent, ...]:
        """Every document of a claim that was promised to head office, in order."""
        rows = self._database.read("SELECT * FROM documents_sent WHERE claim_id = ? ORDER BY idx", (claim_id,))
        return tuple(
            Sent(index=r["idx"], type_code=r["type_code"], size_bytes=r["size"], parts=r["parts"], sha256=r["sha256"])
            for r in rows
        )

    def next_supplement(self, claim_id: str) -> int:
        """The index the next document added to a sent claim gets."""
        rows = self._database.read(
            "SELECT max(idx) AS last FROM documents_sent WHERE claim_id = ? AND idx >= ?", (claim_id, FIRST_SUPPLEMENT)
        )
        return FIRST_SUPPLEMENT if rows[0]["last"] is None else int(rows[0]["last"]) + 1

    def new_set(self) -> str:
        """A name for a set of its own: a supplement."""
        name = str(uuid4())
        self._fresh.add(name)
        return name

    def unpacked(self) -> int:
        """Boxes of confirmed documents that are not in the queue yet."""
        found = self._database.read(
            "SELECT count(*) AS boxes FROM document_boxes JOIN document_sets USING (set_id) WHERE promise IS NOT NULL"
        )
        return int(found[0]["boxes"])

    def pack(
        self, device_id: str, put: Callable[[DocumentPart], object], is_ours: Callable[[str], bool] = lambda _: True
    ) -> tuple[str, ...]:
        """Move every promised part into the queue, oldest claim first; gives ids of claims that cannot be read.

        A claim that is not ``is_ours`` stays: it was made as another device, and its parts go as that one only.

        Each part is put and its box erased in one transaction, which ``put`` joins. Raises what ``put`` raises;
        what was moved until then stays moved, and the next call goes on.
        """
        unreadable = []
        for row in self._database.read(
            "SELECT set_id, claim_id FROM document_sets WHERE promise IS NOT NULL AND unreadable = 0 ORDER BY id"
        ):
            if not is_ours(row["claim_id"]):
                continue
            try:
                self._pack_set(row["set_id"], row["claim_id"], device_id, put)
            except DraftUnreadableError:
                # Damage on the disk. It must not keep the documents of others, and nobody is to find it by silence.
                with self._database.transaction() as tx:
                    tx.execute("UPDATE document_sets SET unreadable = 1 WHERE set_id = ?", (row["set_id"],))
                unreadable.append(row["claim_id"])
        return tuple(unreadable)

    def _pack_set(self, set_id: str, claim_id: str, device_id: str, put: Callable[[DocumentPart], object]) -> None:
        # Read once: what is promised no longer changes.
        key = self._key_of(set_id)
        row = self._database.read("SELECT promise FROM document_sets WHERE set_id = ?", (set_id,))
        if key is None or not row:
            return
        promise = json.loads(self._opened(key, row[0]["promise"], _bound(set_id, "promise", 0), claim_id))
        for one in (_promised(entry) for entry in promise):
            for number in range(1, part_count(one.size_bytes) + 1):
                self._pack_part(set_id, claim_id, device_id, one, number, key=key, put=put)
        with self._database.transaction() as tx:
            tx.execute("DELETE FROM document_sets WHERE set_id = ?", (set_id,))

    def _pack_part(
        self,
        set_id: str,
        claim_id: str,
        device_id: str,
        one: Promised,
        number: int,
        *,
        key: bytes,
        put: Callable[[DocumentPart], object],
    ) -> None:
        with self._database.transaction() as tx:
            box = self._box(tx, set_id, one.box, number)
            if box is None:
                return  # moved before
            put(
                DocumentPart(
                    claim_id=UUID(claim_id),
                    device_id=device_id,
                    index=one.index,
                    type_code=one.type_code,
                    media_type=one.media_type,
                    pages=one.pages,
                    legible=one.legible,
                    operator_id=one.operator_id,
                    attached_at=from_milliseconds(one.attached_at_ms),
                    size_bytes=one.size_bytes,
                    sha256=bytes.fromhex(one.sha256),
                    part_bytes=PART_BYTES,
                    part=number,
                    content=self._opened(key, box["box"], _bound(set_id, one.box, number), claim_id),
                )
            )
            tx.execute("DELETE FROM document_boxes WHERE id = ?", (box["id"],))

    def _box(self, tx: Transaction, set_id: str, name: str, number: int) -> Row | None:
        row: Row | None = tx.execute(
            "SELECT id, box FROM document_boxes WHERE set_id = ? AND name = ? AND part = ?", (set_id, name, number)
        ).fetchone()
        return row

    def _erase(self, condition: str, values: tuple[str, ...]) -> None:
        """Delete boxes in small steps; ``condition`` is constant text."""
        gone = ERASED_AT_ONCE
        while gone == ERASED_AT_ONCE:
            with self._database.transaction() as tx:
                gone = tx.execute(
                    "DELETE FROM document_boxes WHERE id IN"  # noqa: S608 - constant text
                    f" (SELECT id FROM document_boxes WHERE {condition} LIMIT {ERASED_AT_ONCE})",
                    values,
                ).rowcount

    def _new_key(self, set_id: str, claim_id: str) -> bytes:
        key, nonce = self._random(_KEY_BYTES), self._random(_NONCE_BYTES)
        wrapped = nonce + AESGCM(self._key.documents).encrypt(nonce, key, _bound(set_id, "key", 0))
        with self._database.transaction() as tx:
            tx.execute(
                "INSERT INTO document_sets (set_id, claim_id, wrapped_key) VALUES (?, ?, ?)",
                (set_id, claim_id, wrapped),
            )
        return key

    def _key_of(self, set_id: str) -> bytes | None:
        rows = self._database.read("SELECT claim_id, wrapped_key FROM document_sets WHERE set_id = ?", (set_id,))
        if not rows:
            return None
        return self._opened(
            self._key.documents, rows[0]["wrapped_key"], _bound(set_id, "key", 0), str(rows[0]["claim_id"])
        )

    def _opened(self, key: bytes, box: bytes, bound: bytes, claim_id: str) -> bytes:
        try:
            return AESGCM(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise DraftUnreadableError(f"documents of {claim_id}: other key, or changed on disk") from error


def _promised(entry: dict[str, Any]) -> Promised:
    return Promised(**{**entry, "media_type": MediaType(entry["media_type"])})


def _bound(set_id: str, name: str, number: int) -> bytes:
    return b"mpos document\x00%s\x00%s\x00%d" % (set_id.encode(), name.encode(), number)
