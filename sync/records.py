"""Typed records over CBOR maps: a frozen dataclass declares its fields, limits included, and is the format; pure.

    class Contact(Record):
        phone: Annotated[str | None, Text(24)] = None

A record is checked when it is made, with the same rules as when it is read, so that whatever was made can be
encoded and whatever was decoded encodes to the same bytes. On the wire a record is a map from field name to
value; a field that is None is left out, everything else is always there, and nothing else may be there.
"""

import abc
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints
from uuid import UUID

from sync.errors import Refusal, WireError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Kind(abc.ABC):
    """How one field is checked, written and read."""

    @abc.abstractmethod
    def check(self, value: Any, error: type[WireError], path: str) -> Any:
        """The value as the record keeps it. Raises ``error`` when the field may not have it."""

    def to_wire(self, value: Any) -> object:
        """The checked value as CBOR carries it."""
        return value

    def from_wire(self, value: object, error: type[WireError], path: str) -> Any:
        """The inverse of :meth:`to_wire`, checked."""
        return self.check(value, error, path)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """Text of ``least`` to ``most`` characters, without control characters, matching ``pattern`` in full."""

    most: int
    least: int = 1
    pattern: str | None = None

    def check(self, value: Any, error: type[WireError], path: str) -> str:
        if not isinstance(value, str):
            raise error(Refusal.WRONG_TYPE, path, "not text")
        if len(value) > self.most:
            raise error(Refusal.FIELD_TOO_LONG, path, f"at most {self.most} characters")
        if len(value) < self.least:
            raise error(Refusal.BAD_VALUE, path, f"at least {self.least} characters")
        if self.pattern is not None and not _fits(self.pattern, value):
            raise error(Refusal.BAD_VALUE, path, f"must match {self.pattern}")
        if _CONTROL.search(value) is not None or (not value.isascii() and not _is_unicode(value)):
            raise error(Refusal.BAD_VALUE, path, "control characters or lone surrogates")
        return value if type(value) is str else str(value)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _fits(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


def _is_unicode(value: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """An integer from ``least`` to ``most``."""

    least: int
    most: int

    def check(self, value: Any, error: type[WireError], path: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise error(Refusal.WRONG_TYPE, path, "not an integer")
        if not self.least <= value <= self.most:
            raise error(Refusal.BAD_VALUE, path, f"must lie from {self.least} to {self.most}")
        return value if type(value) is int else int(value)


class Flag(Kind):
    """True or false."""

    def check(self, value: Any, error: type[WireError], path: str) -> bool:
        if not isinstance(value, bool):
            raise error(Refusal.WRONG_TYPE, path, "not true or false")
        return value


@dataclass(frozen=True, slots=True)
class Blob(Kind):
    """Bytes, ``least`` to ``most`` of them; ``Blob(32)`` is exactly 32 with ``least`` left out."""

    most: int
    least: int | None = None

    def check(self, value: Any, error: type[WireError], path: str) -> bytes:
        if not isinstance(value, bytes):
            raise error(Refusal.WRONG_TYPE, path, "not bytes")
        if len(value) > self.most:
            raise error(Refusal.FIELD_TOO_LONG, path, f"at most {self.most} bytes")
        if len(value) < (self.most if self.least is None else self.least):
            raise error(Refusal.BAD_VALUE, path, "too few bytes")
        return value


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """A member of a string enumeration, carried as its value."""

    members: type[enum.StrEnum]

    def check(self, value: Any, error: type[WireError], path: str) -> enum.StrEnum:
        if type(value) is self.members:
            return value
        if not isinstance(value, str):
            raise error(Refusal.WRONG_TYPE, path, "not text")
        try:
            return self.members(value)
        except ValueError as cause:
            raise error(Refusal.BAD_VALUE, path, f"not one of {', '.join(self.members)}") from cause

    def to_wire(self, value: Any) -> object:
        return str(value.value)


class Instant(Kind):
    """A moment in UTC, whole milliseconds, carried as integer milliseconds since 1970-01-01T00:00:00Z."""

    def check(self, value: Any, error: type[WireError], path: str) -> datetime:
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise error(Refusal.WRONG_TYPE, path, "not a time with its zone")
        if value.tzinfo is UTC and value.year >= _EPOCH.year and value.microsecond % 1000 == 0:
            return value  # as it will be read again
        return self.from_wire(milliseconds(value), error, path)

    def to_wire(self, value: Any) -> object:
        return milliseconds(value)

    def from_wire(self, value: object, error: type[WireError], path: str) -> datetime:
        if isinstance(value, bool) or not isinstance(value, int):
            raise error(Refusal.WRONG_TYPE, path, "not milliseconds")
        if not 0 <= value <= LAST_MILLISECOND:
            raise error(Refusal.BAD_VALUE, path, "outside the years 1970 to 9999")
        return from_milliseconds(value)


LAST_MILLISECOND = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: what a datetime can still hold."""


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970 in UTC; what is finer is cut off."""
    return (moment - _EPOCH) // _MILLISECOND


def from_milliseconds(value: int) -> datetime:
    """The moment in UTC; ``value`` lies in 0..LAST_MILLISECOND."""
    return _EPOCH + timedelta(milliseconds=value)


class Moment(Kind):
    """A moment in UTC, whole milliseconds, carried as ISO 8601 text ``2026-11-20T03:04:05.678Z``."""

    def check(self, value: Any, error: type[WireError], path: str) -> datetime:
        return Instant().check(value, error, path)

    def to_wire(self, value: Any) -> object:
        return f"{value.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"

    def from_wire(self, value: object, error: type[WireError], path: str) -> datetime:
        if not isinstance(value, str):
            raise error(Refusal.WRONG_TYPE, path, "not text")
        if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value, re.ASCII) is None:
            raise error(Refusal.BAD_VALUE, path, "not YYYY-MM-DDThh:mm:ss.mmmZ")
        try:
            return datetime.fromisoformat(value)
        except ValueError as cause:
            raise error(Refusal.BAD_VALUE, path, "no such moment") from cause


class Day(Kind):
    """A calendar day, carried as ISO 8601 text ``1990-12-31``."""

    def check(self, value: Any, error: type[WireError], path: str) -> date:
        if not isinstance(value, date) or isinstance(value, datetime):
            raise error(Refusal.WRONG_TYPE, path, "not a day")
        return value

    def to_wire(self, value: Any) -> object:
        return str(value.isoformat())

    def from_wire(self, value: object, error: type[WireError], path: str) -> date:
        if not isinstance(value, str):
            raise error(Refusal.WRONG_TYPE, path, "not text")
        if re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII) is None:
            raise error(Refusal.BAD_VALUE, path, "not YYYY-MM-DD")
        try:
            return date.fromisoformat(value)
        except ValueError as cause:
            raise error(Refusal.BAD_VALUE, path, "no such day") from cause


class Identifier(Kind):
    """A UUID, carried as its 16 bytes."""

    def check(self, value: Any, error: type[WireError], path: str) -> UUID:
        if not isinstance(value, UUID):
            raise error(Refusal.WRONG_TYPE, path, "not a UUID")
        return value

    def to_wire(self, value: Any) -> object:
        return bytes(value.bytes)

    def from_wire(self, value: object, error: type[WireError], path: str) -> UUID:
        return UUID(bytes=Blob(16).check(value, error, path))


@dataclass(frozen=True, slots=True)
class Many(Kind):
    """A tuple of at most ``most`` values of one kind, carried as an array."""

    kind: Kind
    most: int

    def check(self, value: Any, error: type[WireError], path: str) -> tuple[Any, ...]:
        return self._each(self.kind.check, value, error, path)

    def to_wire(self, value: Any) -> object:
        return [self.kind.to_wire(item) for item in value]

    def from_wire(self, value: object, error: type[WireError], path: str) -> tuple[Any, ...]:
        return self._each(self.kind.from_wire, value, error, path)

    def _each(self, act: Any, value: object, error: type[WireError], path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise error(Refusal.WRONG_TYPE, path, "not a list")
        if len(value) > self.most:
            raise error(Refusal.FIELD_TOO_LONG, path, f"at most {self.most}")
        return tuple(act(item, error, f"{path}[{at}]") for at, item in enumerate(value))


@dataclass(frozen=True, slots=True)
class Words(Kind):
    """A map of at most ``most`` short texts to short texts: program versions and the like."""

    most: int
    key: Text
    value: Text

    def check(self, value: Any, error: type[WireError], path: str) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise error(Refusal.WRONG_TYPE, path, "not a map")
        if len(value) > self.most:
            raise error(Refusal.FIELD_TOO_LONG, path, f"at most {self.most}")
        return {
            self.key.check(word, error, f"{path}.*"): self.value.check(text, error, f"{path}.*")
            for word, text in value.items()
        }


@dataclass(frozen=True, slots=True)
class Nested(Kind):
    """Another record."""

    record: "type[Record]"

    def check(self, value: Any, error: type[WireError], path: str) -> "Record":
        if not isinstance(value, self.record):
            raise error(Refusal.WRONG_TYPE, path, f"not a {self.record.__name__}")
        return value

    def to_wire(self, value: Any) -> object:
        return dict(value.to_map())

    def from_wire(self, value: object, error: type[WireError], path: str) -> "Record":
        return self.record.from_map(value, path)


class Record:
    """Base of the wire's dataclasses: ``@dataclass(frozen=True, slots=True, kw_only=True)``."""

    __slots__ = ()

    refuse: ClassVar[type[WireError]] = WireError

    def __post_init__(self) -> None:
        refuse = self.refuse
        for name, (kind, optional) in _kinds(type(self)).items():
            value = getattr(self, name)
            if value is None and optional:
                continue
            checked = kind.check(value, refuse, name)
            # Most checks give back what they were given; a receipt makes four thousand of them.
            if checked is not value:
                object.__setattr__(self, name, checked)
        self.check_together()

    def check_together(self) -> None:
        """Rules between fields; raises ``refuse`` with CONTRADICTION."""

    def to_map(self) -> dict[str, object]:
        """The record as a CBOR map."""
        members: dict[str, object] = {}
        for name, (kind, _) in _kinds(type(self)).items():
            value = getattr(self, name)
            if value is not None:
                members[name] = kind.to_wire(value)
        return members

    @classmethod
    def from_map(cls, value: object, path: str = "") -> Self:
        """Read a CBOR map. Raises ``refuse`` naming the field and the reason."""
        if not isinstance(value, dict):
            raise cls.refuse(Refusal.WRONG_TYPE, path, "not a map")
        kinds = _kinds(cls)
        unknown = [key for key in value if key not in kinds]
        if unknown:
            raise cls.refuse(Refusal.UNKNOWN_KEY, path, f"{len(unknown)} unknown")
        members: dict[str, Any] = {}
        for name, (kind, optional) in kinds.items():
            here = f"{path}.{name}" if path else name
            if name in value:
                members[name] = kind.from_wire(value[name], cls.refuse, here)
            elif not optional:
                raise cls.refuse(Refusal.MISSING_KEY, here)
            else:
                members[name] = None
        try:
            return cls(**members)
        except WireError as error:
            # Made from checked fields, so only rules between fields are left to fail: say where.
            where = ".".join(part for part in (path, error.field) if part)
            raise cls.refuse(error.refusal, where, error.detail) from error


_KINDS: dict[type[Record], dict[str, tuple[Kind, bool]]] = {}


def _kinds(record: type[Record]) -> dict[str, tuple[Kind, bool]]:
    """Each field's kind, and whether it may be None, in the order of the class body; read once per class."""
    known = _KINDS.get(record)
    if known is not None:
        return known
    kinds: dict[str, tuple[Kind, bool]] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        inner, *extras = get_args(hint)
        kind = next(extra for extra in extras if isinstance(extra, Kind))
        kinds[name] = (kind, NoneType in get_args(inner))
    _KINDS[record] = kinds
    return kinds
