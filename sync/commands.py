"""What head office may ask of a device, with the shape of each order; pure.

A command travels in a receipt as id, name and body (receipt.Command); here are the names and bodies. Its signature
is the receipt's. A device that meets a name it does not know, or a body that does not fit, reports the command as
refused with the reason, and head office stops repeating it.
"""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from sync import cbor, compression
from sync.envelope import DIGEST_BYTES, EPOCH_BYTES, FIRST_SEQ, MAX_SEQ, Lane
from sync.errors import CborError, CommandError, Refusal, WireError
from sync.receipt import MAX_COMMAND_BYTES, Command
from sync.records import Blob, Choice, Day, Flag, Identifier, Instant, Many, Nested, Record, Text, Whole

MAX_TABLE_BYTES = 128 * 1024
"""Of one table, expanded."""
CODE = Text(32, pattern=r"[A-Z0-9][A-Z0-9_]*")
"""A code of a versioned table: reasons, documents."""
RESEND_AT_MOST = 10_000


class CommandName(enum.StrEnum):
    """Every command there is."""

    POLICY = "policy"
    TABLES = "tables"
    DENY = "deny"
    ROTATE_KEYS = "rotate_keys"
    RESEND = "resend"
    SUPPLEMENT = "supplement"
    DECISION = "decision"
    NEW_EPOCH = "new_epoch"
    MOVE = "move"


class TableName(enum.StrEnum):
    """The tables head office may replace. Sentences and defaults belong to the program that needs them."""

    BANKS = "banks"
    CONSENT = "consent"
    DOCUMENTS = "documents"
    FALLBACK = "fallback"
    KANWIL = "kanwil"
    PROGRAMMES = "programmes"
    PROVINCES = "provinces"
    REASONS = "reasons"


class DecisionStatus(enum.StrEnum):
    """What people at head office decided of a claim."""

    APPROVED = "approved"
    RETURNED = "returned"
    """Something has to be completed; a supplement says what."""
    REJECTED = "rejected"


class _Body(Record):
    """The body of a command."""

    __slots__ = ()
    refuse: ClassVar[type[WireError]] = CommandError


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(_Body):
    """Numbers of the claim at the counter. What is absent is as the device's own tables say; the last one counts."""

    card_taps: Annotated[int | None, Whole(1, 10)] = None
    attempts_per_finger: Annotated[int | None, Whole(1, 10)] = None
    poor_pictures_per_finger: Annotated[int | None, Whole(1, 10)] = None
    minimum_quality: Annotated[int | None, Whole(0, 100)] = None
    threshold_id: Annotated[str | None, Text(16, pattern=r"FMR_[0-9.]{1,8}%")] = None
    degraded_per_day: Annotated[int | None, Whole(0, 500)] = None
    send_chip_photo: Annotated[bool | None, Flag()] = None
    """False keeps the photo at the counter; true changes nothing where the site says no."""
    photo_retention_days: Annotated[int | None, Whole(0, 36_500)] = None

    def named(self) -> dict[str, object]:
        """What it sets."""
        return self.to_map()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(_Body):
    """One table, whole."""

    name: Annotated[TableName, Choice(TableName)]
    sha256: Annotated[bytes, Blob(DIGEST_BYTES)]
    """Of the TOML, expanded."""
    content: Annotated[bytes, Blob(MAX_COMMAND_BYTES, least=1)]
    """The TOML as one zstd frame."""

    @classmethod
    def of(cls, name: TableName, toml: bytes) -> "Table":
        """A table to be sent. Raises CommandError when it is too long."""
        if len(toml) > MAX_TABLE_BYTES:
            raise CommandError(Refusal.TOO_LONG, name.value, f"at most {MAX_TABLE_BYTES} bytes")
        return cls(name=name, sha256=hashlib.sha256(toml).digest(), content=compression.frame(toml))

    def toml(self) -> bytes:
        """The TOML. Raises CommandError: NOT_EXPANDED, or CONTRADICTION when it is not what the checksum says."""
        data = compression.expanded(self.content, MAX_TABLE_BYTES, CommandError, self.name.value)
        if hashlib.sha256(data).digest() != self.sha256:
            raise CommandError(Refusal.CONTRADICTION, f"{self.name.value}.sha256")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables(_Body):
    """Tables in place of the device's own; those not named stay. Taken all or none, after the device checked them."""

    tables: Annotated[tuple[Table, ...], Many(Nested(Table), len(TableName))]

    def check_together(self) -> None:
        """At least one, each once."""
        if not self.tables or len({table.name for table in self.tables}) != len(self.tables):
            raise CommandError(Refusal.CONTRADICTION, "tables", "none, or one twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny(_Body):
    """No new claims on this device from now on; what is queued is still taken until the deny list closes the door."""

    reason: Annotated[str, Text(200)]
    """For the operator's screen."""
    lift: Annotated[bool | None, Flag()] = None
    """True takes an earlier one back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKeys(_Body):
    """Make new keys and renew the certificates with them. Head office's own keys travel otherwise (trust.py)."""

    tls: Annotated[bool, Flag()]
    signing: Annotated[bool, Flag()]

    def check_together(self) -> None:
        """Something is asked for."""
        if not (self.tls or self.signing):
            raise CommandError(Refusal.CONTRADICTION, "tls", "nothing to change")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend(_Body):
    """Send these places of a chain again, if their bytes are still there."""

    lane: Annotated[Lane, Choice(Lane)]
    epoch: Annotated[bytes, Blob(EPOCH_BYTES)]
    first_seq: Annotated[int, Whole(FIRST_SEQ, MAX_SEQ)]
    last_seq: Annotated[int, Whole(FIRST_SEQ, MAX_SEQ)]

    def check_together(self) -> None:
        """In order, and not without end."""
        if not 0 <= self.last_seq - self.first_seq < RESEND_AT_MOST:
            raise CommandError(Refusal.CONTRADICTION, "last_seq", f"at most {RESEND_AT_MOST} places, in order")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEpoch(_Body):
    """End this chain, which head office has frozen, and begin another."""

    lane: Annotated[Lane, Choice(Lane)]
    epoch: Annotated[bytes, Blob(EPOCH_BYTES)]
    """The one that ends; a device that has begun another already has nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplement(_Body):
    """Documents asked for after a claim was sent."""

    packet_id: Annotated[UUID, Identifier()]
    """Which claim."""
    documents: Annotated[tuple[str, ...], Many(CODE, 64)]
    """Kinds of document, by the versioned table."""
    note: Annotated[str, Text(500, least=0)] = ""
    """For operator and member."""
    asked_at: Annotated[datetime, Instant()]
    until: Annotated[date | None, Day()] = None

    def check_together(self) -> None:
        """Something is asked for, each document once."""
        if not self.documents or len(set(self.documents)) != len(self.documents):
            raise CommandError(Refusal.CONTRADICTION, "documents", "none, or one twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(_Body):
    """What was decided of a claim, for the slip. People decided it; the device only says so."""

    packet_id: Annotated[UUID, Identifier()]
    status: Annotated[DecisionStatus, Choice(DecisionStatus)]
    agenda_no: Annotated[int | None, Whole(1, 999_999_999_999)] = None
    reason_code: Annotated[str | None, CODE] = None
    reason: Annotated[str | None, Text(500)] = None
    """Member-facing wording; there for every status but approved."""
    decided_at: Annotated[datetime, Instant()]

    def check_together(self) -> None:
        """Nobody is sent away without being told why."""
        if self.status is not DecisionStatus.APPROVED and self.reason is None:
            raise CommandError(Refusal.CONTRADICTION, "reason", f"{self.status.value} without a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(_Body):
    """From the next round on, head office is there: the same authority, the same keys, another cluster."""

    url: Annotated[str, Text(300, pattern=r"https://[\x21-\x7e]+")]


Body = Policy | Tables | Deny | RotateKeys | Resend | Supplement | Decision | NewEpoch | Move

BODIES: Mapping[CommandName, type[Body]] = {
    CommandName.POLICY: Policy,
    CommandName.TABLES: Tables,
    CommandName.DENY: Deny,
    CommandName.ROTATE_KEYS: RotateKeys,
    CommandName.RESEND: Resend,
    CommandName.SUPPLEMENT: Supplement,
    CommandName.DECISION: Decision,
    CommandName.NEW_EPOCH: NewEpoch,
    CommandName.MOVE: Move,
}
_NAMES = {body: name for name, body in BODIES.items()}


def name_of(body: Body) -> CommandName:
    """The name a body belongs to."""
    return _NAMES[type(body)]


def make(command_id: bytes, body: Body) -> Command:
    """The command as a receipt carries it. Raises CommandError when it is too long for one."""
    encoded = cbor.encode(body.to_map())
    if len(encoded) > MAX_COMMAND_BYTES:
        raise CommandError(Refusal.TOO_LONG, name_of(body).value, f"at most {MAX_COMMAND_BYTES} bytes")
    return Command(id=command_id, name=name_of(body).value, body=encoded)


def read(command: Command) -> Body:
    """What a command of a verified receipt asks.

    Raises
    ------
    CommandError
        UNKNOWN_TYPE for a name that is not ours; else the named fault of the body.
    """
    try:
        kind = BODIES[CommandName(command.name)]
    except ValueError as error:
        raise CommandError(Refusal.UNKNOWN_TYPE, "name") from error
    try:
        return kind.from_map(cbor.decode(command.body, max_bytes=MAX_COMMAND_BYTES, max_items=256, max_depth=5))
    except CborError as error:
        raise CommandError(error.refusal, error.field, error.detail) from error
