"""Every act on this device, one row each, each row chained to the one before. No personal data, by construction.

A fact has a name from :data:`FACTS` and a value that its kind allows: a member of one of our enumerations, a
bounded number, true or false, a digest, a claim's id, a device error's own code. Free text has no way in, so
neither a name nor an identity number can get here. Rows join the transaction of the act they tell of.

A row's hash covers its content and the hash before it, so that changing, removing or inserting a row shows
(:meth:`AuditLog.verify`). The head travels in every packet, so that cutting off the end shows at head office.
"""

import datetime
import enum
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from drivers.errors import DeviceError
from matcher.errors import MatcherError
from mpos_agent.clock import Clock
from sync.edge.database import Database, Schema

Fact = enum.Enum | int | bool | bytes | str

FIRST_PREVIOUS: Final = bytes(32)
"""What stands before the first row."""


class Act(enum.Enum):
    """What was done."""

    CLAIM_OPENED = "CLAIM_OPENED"
    CLAIM_REFUSED = "CLAIM_REFUSED"
    CLAIM_RESUMED = "CLAIM_RESUMED"
    CONSENT_RECORDED = "CONSENT_RECORDED"
    CARD_READ = "CARD_READ"
    CARD_NOT_READ = "CARD_NOT_READ"
    CHIP_GIVEN_UP = "CHIP_GIVEN_UP"
    IDENTITY_TYPED = "IDENTITY_TYPED"
    PASSPORT_READ = "PASSPORT_READ"
    FINGER_ATTEMPT = "FINGER_ATTEMPT"
    SCANNER_FAILED = "SCANNER_FAILED"
    FALLBACK = "FALLBACK"
    PHOTO_CHECKED = "PHOTO_CHECKED"
    PHOTO_SHOWN = "PHOTO_SHOWN"
    DOCUMENT_ATTACHED = "DOCUMENT_ATTACHED"
    DOCUMENTS_LISTED = "DOCUMENTS_LISTED"
    DOCUMENTS_UNREADABLE = "DOCUMENTS_UNREADABLE"
    SUPPLEMENTED = "SUPPLEMENTED"
    FORM_FILLED = "FORM_FILLED"
    SUMMARY_SHOWN = "SUMMARY_SHOWN"
    CONFIRMED = "CONFIRMED"
    PACKET_QUEUED = "PACKET_QUEUED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    STEP_BLOCKED = "STEP_BLOCKED"
    SIGNED_IN = "SIGNED_IN"
    SIGN_IN_REFUSED = "SIGN_IN_REFUSED"
    SIGNED_OUT = "SIGNED_OUT"
    PERSON_ADDED = "PERSON_ADDED"
    PERSON_REMOVED = "PERSON_REMOVED"
    CALLER_ADDED = "CALLER_ADDED"
    CALLER_REMOVED = "CALLER_REMOVED"
    ENROLLED = "ENROLLED"
    IDENTITY_RENEWED = "IDENTITY_RENEWED"
    STARTED = "STARTED"
    STOPPED = "STOPPED"
    PACKET_SETTLED = "PACKET_SETTLED"
    PACKET_PURGED = "PACKET_PURGED"
    PACKETS_ASKED_AGAIN = "PACKETS_ASKED_AGAIN"
    EPOCH_BEGUN = "EPOCH_BEGUN"
    STORAGE_REOPENED = "STORAGE_REOPENED"
    TABLES_TAKEN = "TABLES_TAKEN"
    POLICY_TAKEN = "POLICY_TAKEN"
    SUPPLEMENT_ASKED = "SUPPLEMENT_ASKED"
    DECISION_HEARD = "DECISION_HEARD"
    STICK_EXPORTED = "STICK_EXPORTED"
    SCANNER_TESTED = "SCANNER_TESTED"
    SCANNER_CALIBRATED = "SCANNER_CALIBRATED"


def _member(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    raise ValueError("must be a member of an enumeration")


def _whole(least: int, most: int) -> Callable[[object], object]:
    def check(value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise ValueError(f"must be a whole number from {least} to {most}")

    return check


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def _digest(value: object) -> object:
    if isinstance(value, bytes) and len(value) == 32:
        return value.hex()
    raise ValueError("must be a digest of 32 bytes")


def _cause(value: object) -> object:
    """The code of an error class of devices or matcher: a closed set, found by walking the classes."""
    if isinstance(value, str) and value in {*_codes(DeviceError), *_codes(MatcherError)}:
        return value
    raise ValueError("must be the code of a device's or the matcher's error")


def _codes(kind: type[DeviceError] | type[MatcherError]) -> Iterator[str]:
    yield kind.code
    for child in kind.__subclasses__():
        yield from _codes(child)


_VERSION = re.compile(r"[0-9a-z]{1,12}([.+-][0-9a-z]{1,12}){0,5}")


def _version(value: object) -> object:
    # A run of digits as long as an identity number is no version.
    if isinstance(value, str) and _VERSION.fullmatch(value) and not re.search(r"\d{9}", value):
        return value
    raise ValueError("must be a version")


FACTS: Final[Mapping[str, Callable[[object], object]]] = {
    "state": _member,
    "event": _member,
    "purpose": _member,
    "given": _flag,
    "cause": _cause,
    "authentication": _member,
    "fingers": _whole(0, 10),
    "finger": _whole(0, 10),
    "quality": _whole(0, 100),
    "outcome": _member,
    "ms": _whole(0, 3_600_000),
    "code": _member,
    "photo": _member,
    "photo_shown": _flag,
    "pending": _flag,
    "documents": _whole(0, 500),
    "document": _whole(0, 500),
    "pages": _whole(0, 500),
    "missing": _whole(0, 500),
    "cautions": _whole(0, 500),
    "blocks": _whole(0, 500),
    "taps": _whole(0, 1_000),
    "size": _whole(0, 1 << 32),
    "packets": _whole(0, 1 << 32),
    "seq": _whole(0, (1 << 63) - 1),
    "lane": _member,
    "anew": _flag,
    "digest": _digest,
    "role": _member,
    "refusal": _member,
    "reason": _member,
    "verdict": _member,
    "decision": _member,
    "tables": _version,
    "version": _version,
}
"""Every fact there is, and what its value may be."""

_PERSON = re.compile(r"[A-Za-z][A-Za-z0-9._@-]{0,63}")


class AuditFactError(Exception):
    """A fact that is not enumerated or not of its kind: a bug of ours, caught before it is written."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One act as it was written."""

    number: int
    at: str
    act: str
    claim_id: str | None
    person_id: str | None
    facts: Mapping[str, Any]
    digest: bytes


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the chain holds. ``broken_at`` is the number of the first row that does not fit."""

    rows: int
    head: bytes
    broken_at: int | None

    @property
    def holds(self) -> bool:
        """Every row fits the one before it."""
        return self.broken_at is None


def _chain(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE audit ("
        " number INTEGER PRIMARY KEY, at TEXT NOT NULL, act TEXT NOT NULL, claim_id TEXT, person_id TEXT,"
        " facts TEXT NOT NULL, digest BLOB NOT NULL) STRICT"
    )
    schema.execute("CREATE INDEX audit_claim ON audit (claim_id)")
    # No code path changes or deletes a row; this makes it so for every code path to come.
    for deed in ("UPDATE", "DELETE"):
        schema.execute(
            f"CREATE TRIGGER audit_no_{deed.lower()} BEFORE {deed} ON audit"
            " BEGIN SELECT RAISE(ABORT, 'audit rows are only ever added'); END"
        )


STEPS: Final[tuple[Callable[[Schema], None], ...]] = (_chain,)


class AuditLog:
    """The audit table of this device. Rows are only ever added."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        database.migrate("audit", STEPS)

    def record(
        self,
        act: Act,
        facts: Mapping[str, Fact] | None = None,
        *,
        claim_id: str | None = None,
        person_id: str | None = None,
        **more: Fact,
    ) -> bytes:
        """Write one row, inside the caller's transaction where there is one; gives the new head.

        Raises
        ------
        AuditFactError
            A fact that :data:`FACTS` does not know, or a value its kind does not allow.
        """
        checked = _checked(claim_id, person_id, {**(facts or {}), **more})
        with self._database.transaction() as transaction:
            number, previous = self._last()
            at = self._clock.now().astimezone(datetime.UTC).isoformat(timespec="milliseconds")
            written = _canonical(checked)
            digest = _chained(previous, (number + 1, at, act.value, claim_id, person_id, written))
            transaction.execute(
                "INSERT INTO audit (number, at, act, claim_id, person_id, facts, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (number + 1, at, act.value, claim_id, person_id, written, digest),
            )
        return digest

    def head(self) -> bytes:
        """Hash of the last row; 32 zero bytes before the first."""
        return self._last()[1]

    def rows(self, *, claim_id: str | None = None, limit: int = 200) -> tuple[AuditRow, ...]:
        """The latest rows, oldest first; of one claim where it is named."""
        condition, values = ("WHERE claim_id = ?", (claim_id, limit)) if claim_id else ("", (limit,))
        found = self._database.read(
            "SELECT number, at, act, claim_id, person_id, facts, digest FROM audit "  # noqa: S608 - fixed words only
            f"{condition} ORDER BY number DESC LIMIT ?",
            values,
        )
        return tuple(
            AuditRow(number, at, act, claim, person, json.loads(facts), digest)
            for number, at, act, claim, person, facts, digest in reversed(found)
        )

    def has(self, act: Act, claim_id: str) -> bool:
        """Whether this was ever done in this claim."""
        return bool(
            self._database.read("SELECT 1 FROM audit WHERE claim_id = ? AND act = ? LIMIT 1", (claim_id, act.value))
        )

    def verify(self) -> AuditVerdict:
        """Walk the whole chain."""
        previous, count = FIRST_PREVIOUS, 0
        for number, at, act, claim_id, person_id, facts, digest in self._database.read(
            "SELECT number, at, act, claim_id, person_id, facts, digest FROM audit ORDER BY number"
        ):
            expected = _chained(previous, (count + 1, at, act, claim_id, person_id, facts))
            if number != count + 1 or digest != expected:
                return AuditVerdict(count, previous, number)
            previous, count = digest, number
        return AuditVerdict(count, previous, None)

    def _last(self) -> tuple[int, bytes]:
        rows = self._database.read("SELECT number, digest FROM audit ORDER BY number DESC LIMIT 1")
        return (rows[0][0], rows[0][1]) if rows else (0, FIRST_PREVIOUS)


def _checked(claim_id: str | None, person_id: str | None, facts: Mapping[str, Fact]) -> dict[str, object]:
    if claim_id is not None:
        try:
            UUID(claim_id)
        except ValueError as error:
            raise AuditFactError("claim_id is not a UUID") from error
    if person_id is not None and not _PERSON.fullmatch(person_id):
        raise AuditFactError("person_id is not a staff id")
    checked: dict[str, object] = {}
    for name, value in facts.items():
        if name not in FACTS:
            raise AuditFactError(f"{name} is not an enumerated fact")
        try:
            checked[name] = FACTS[name](value)
        except ValueError as error:
            raise AuditFactError(f"{name} {error}") from error
    return checked


def _canonical(facts: Mapping[str, object]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def _chained(previous: bytes, row: tuple[int, str, str, str | None, str | None, str]) -> bytes:
    return hashlib.sha256(previous + json.dumps(row, separators=(",", ":")).encode()).digest()
