"""Open claims on disk: encrypted, nothing biometric, one row each; a restart resumes from here.

AES-256-GCM with a key of this device (a file only the agent's user may read). Claim, revision and kind of box
are bound in, so that boxes cannot be exchanged between rows. The chip's photo lies in a box of its own beside
the draft until it was compared or sealed. From the same key, but apart, comes the keyed hash by which the
device recognises a claim it captured before: the sealed queue cannot be read back.
"""

import datetime
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import ValidationError

from mpos_agent.claim.draft import ClaimDraft, FallbackCode
from mpos_agent.claim.errors import DraftKeyError, DraftUnreadableError
from sync.edge.database import Database, Schema, Transaction
from sync.edge.files import read_private, write_whole
from sync.errors import DeviceKeyError

FORMAT: Final = 1
_KEY_BYTES, _NONCE_BYTES = 32, 12


@dataclass(frozen=True, slots=True, repr=False)
class DraftKey:
    """The device's key for drafts, and the keys derived from it, one per purpose."""

    drafts: bytes
    duplicates: bytes
    documents: bytes

    def __repr__(self) -> str:
        return "<draft key>"

    @classmethod
    def of(cls, secret: bytes) -> "DraftKey":
        """Derive from 32 random bytes."""
        return cls(
            _derived(secret, b"mpos drafts v1"),
            _derived(secret, b"mpos duplicates v1"),
            _derived(secret, b"mpos documents v1"),
        )

    @classmethod
    def create_or_load(cls, file: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> "DraftKey":
        """Read the key file, or write a new one (0600) where there is none.

        Raises
        ------
        DraftKeyError
            Others may read it, or it is not 32 bytes long.
        """
        if not file.exists():
            write_whole(file, random(_KEY_BYTES))
        try:
            secret = read_private(file)
        except DeviceKeyError as error:
            raise DraftKeyError(str(error)) from error
        if len(secret) != _KEY_BYTES:
            raise DraftKeyError(f"{file} is not a key of {_KEY_BYTES} bytes; open drafts are lost with it")
        return cls.of(secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A claim that was queued here, as far as this device still knows it. No personal data."""

    claim_id: str
    reference: str
    captured_at: str
    slip: dict[str, Any]


def _drafts(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE drafts ("
        " claim_id TEXT PRIMARY KEY, format INTEGER NOT NULL, revision INTEGER NOT NULL, opened_at TEXT NOT NULL,"
        " box BLOB NOT NULL, photo BLOB) STRICT"
    )


def _captured(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE captured ("
        " claim_id TEXT PRIMARY KEY, reference TEXT NOT NULL, person_key BLOB NOT NULL, captured_at TEXT NOT NULL,"
        " degraded INTEGER NOT NULL, slip TEXT NOT NULL) STRICT"
    )
    schema.execute("CREATE INDEX captured_person ON captured (person_key)")


def _aged(schema: Schema) -> None:
    """When head office's time was first known of a draft, and how long the agent has watched it lie."""
    schema.execute("ALTER TABLE drafts ADD COLUMN confirmed_at TEXT")
    schema.execute("ALTER TABLE drafts ADD COLUMN watched_s REAL NOT NULL DEFAULT 0")


STEPS: Final[tuple[Callable[[Schema], None], ...]] = (_drafts, _captured, _aged)


class DraftStore:
    """Drafts and what is remembered of queued claims, in the agent's database."""

    def __init__(self, database: Database, key: DraftKey, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._database, self._key, self._random = database, key, random
        database.migrate("claims", STEPS)

    def transaction(self) -> AbstractContextManager[Transaction]:
        """One commit for everything inside, whoever writes it."""
        return self._database.transaction()

    def save(self, draft: ClaimDraft, photo: bytes | None = None) -> None:
        """Write a draft; a photo that was kept before stays unless another one is given."""
        with self._database.transaction() as transaction:
            transaction.execute(
                "INSERT INTO drafts (claim_id, format, revision, opened_at, box) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (claim_id) DO UPDATE SET format = excluded.format, revision = excluded.revision, "
                "box = excluded.box",
                (
                    draft.claim_id,
                    FORMAT,
                    draft.revision,
                    draft.opened_at.isoformat(),
                    self._sealed(draft.to_json(), _bound(draft.claim_id, draft.revision, b"draft")),
                ),
            )
            if photo is not None:
                transaction.execute(
                    "UPDATE drafts SET photo = ? WHERE claim_id = ?",
                    (self._sealed(photo, _bound(draft.claim_id, 0, b"photo")), draft.claim_id),
                )

    def drop_photo(self, claim_id: str) -> None:
        """Forget the chip photo of a claim."""
        with self._database.transaction() as transaction:
            transaction.execute("UPDATE drafts SET photo = NULL WHERE claim_id = ?", (claim_id,))

    def load(self, claim_id: str) -> ClaimDraft | None:
        """The draft as it was last saved; None when there is none.

        Raises
        ------
        DraftUnreadableError
            The key is another one, or the row was changed. The row stays.
        """
        rows = self._database.read("SELECT format, revision, box FROM drafts WHERE claim_id = ?", (claim_id,))
        if not rows:
            return None
        version, revision, box = rows[0]
        if version != FORMAT:
            raise DraftUnreadableError(f"draft {claim_id} has format {version}, this program reads {FORMAT}")
        content = self._opened(box, _bound(claim_id, revision, b"draft"), claim_id)
        try:
            return ClaimDraft.from_json(content)
        except ValidationError:
            # The validation error quotes what it read; it must not travel on with this one.
            raise DraftUnreadableError(f"draft {claim_id} is not of this program's version") from None

    def photo(self, claim_id: str) -> bytes | None:
        """The chip photo kept with a draft (JPEG); None when there is none (any more)."""
        rows = self._database.read("SELECT photo FROM drafts WHERE claim_id = ?", (claim_id,))
        if not rows or rows[0][0] is None:
            return None
        return self._opened(rows[0][0], _bound(claim_id, 0, b"photo"), claim_id)

    def delete(self, claim_id: str) -> None:
        """Forget a draft and its photo."""
        with self._database.transaction() as transaction:
            transaction.execute("DELETE FROM drafts WHERE claim_id = ?", (claim_id,))

    def open_ids(self) -> tuple[str, ...]:
        """Ids of all drafts, oldest first."""
        rows = self._database.read("SELECT claim_id FROM drafts ORDER BY opened_at, claim_id")
        return tuple(row[0] for row in rows)

    def confirm_time(self, claim_id: str, moment: datetime.datetime) -> None:
        """Note the time head office confirms, once: from then on a draft ages by it."""
        with self._database.transaction() as transaction:
            transaction.execute(
                "UPDATE drafts SET confirmed_at = ? WHERE claim_id = ? AND confirmed_at IS NULL",
                (moment.isoformat(), claim_id),
            )

    def watched(self, claim_id: str, seconds: float) -> None:
        """Note that so many more seconds passed on the monotonic clock while this draft lay here."""
        with self._database.transaction() as transaction:
            transaction.execute(
                "UPDATE drafts SET watched_s = watched_s + ? WHERE claim_id = ?", (max(0.0, seconds), claim_id)
            )

    def ages_s(self, confirmed_now: datetime.datetime | None) -> dict[str, float]:
        """How old each draft certainly is, readable or not: never by a clock that nobody confirmed.

        The longer of what the agent watched itself and what lies between two moments head office confirmed.
        """
        rows = self._database.read("SELECT claim_id, watched_s, confirmed_at FROM drafts ORDER BY opened_at, claim_id")
        ages: dict[str, float] = {}
        for claim_id, watched, confirmed_at in rows:
            ages[claim_id] = watched
            if confirmed_now is not None and confirmed_at is not None:
                since = confirmed_now - datetime.datetime.fromisoformat(confirmed_at)
                ages[claim_id] = max(watched, since.total_seconds())
        return ages

    def remember(
        self, draft: ClaimDraft, *, number: str, reference: str, at: datetime.datetime, slip: dict[str, Any]
    ) -> None:
        """Note that a claim was queued, recognisable by a keyed hash of the member's number and programme."""
        degraded = draft.fallback is not None and draft.fallback.code is FallbackCode.DEVICE_DEGRADED
        with self._database.transaction() as transaction:
            transaction.execute(
                "INSERT INTO captured (claim_id, reference, person_key, captured_at, degraded, slip) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    draft.claim_id,
                    reference,
                    self._person_key(number, draft.programme),
                    at.isoformat(),
                    int(degraded),
                    json.dumps(slip, ensure_ascii=False),
                ),
            )

    def captured_before(self, number: str, programme: str) -> bool:
        """Whether a claim of this member in this programme was queued on this device."""
        rows = self._database.read(
            "SELECT 1 FROM captured WHERE person_key = ? LIMIT 1", (self._person_key(number, programme),)
        )
        return bool(rows)

    def degraded_since(self, moment: datetime.datetime) -> int:
        """How many claims took the broken-device path since ``moment``."""
        rows = self._database.read(
            "SELECT count(*) FROM captured WHERE degraded = 1 AND captured_at >= ?", (moment.isoformat(),)
        )
        return int(rows[0][0])

    def captured(self, claim_id: str) -> Captured | None:
        """What is remembered of a queued claim, with its slip for printing again."""
        rows = self._database.read(
            "SELECT claim_id, reference, captured_at, slip FROM captured WHERE claim_id = ?", (claim_id,)
        )
        if not rows:
            return None
        claim, reference, at, slip = rows[0]
        return Captured(claim_id=claim, reference=reference, captured_at=at, slip=json.loads(slip))

    def _person_key(self, number: str, programme: str) -> bytes:
        return hmac.digest(self._key.duplicates, f"{number}\x00{programme}".encode(), hashlib.sha256)

    def _sealed(self, content: bytes, bound: bytes) -> bytes:
        nonce = self._random(_NONCE_BYTES)
        return nonce + AESGCM(self._key.drafts).encrypt(nonce, content, bound)

    def _opened(self, box: bytes, bound: bytes, claim_id: str) -> bytes:
        try:
            return AESGCM(self._key.drafts).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise DraftUnreadableError(f"draft {claim_id} does not decrypt: other key, or changed on disk") from error


def _bound(claim_id: str, revision: int, kind: bytes) -> bytes:
    return b"mpos draft %d\x00%s\x00%d\x00%s" % (FORMAT, claim_id.encode(), revision, kind)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=purpose).derive(secret)
