"""The rules of the domain as versioned data: programmes, reasons, documents, codes, places, banks, texts.

One TOML file each in ``config/tables/``, every one with its own ``version``. What they refer to in each other
is checked when they are read, so that a table that names an unknown document is found by the technician who
installed it, not by a member at the counter. ``Tables.version`` names the whole set and travels with a claim.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from config.errors import ConfigError

T = TypeVar("T")

_STRICT: Final = ConfigDict(extra="forbid", frozen=True)

FILES: Final = (
    "banks",
    "consent",
    "documents",
    "fallback",
    "kanwil",
    "policy",
    "programmes",
    "provinces",
    "reasons",
    "texts",
)


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One sentence in both languages. Indonesian first: that is what is read at the counter."""

    id: str
    en: str

    def filled(self, **facts: object) -> "Text":
        """The sentence with its ``{placeholders}`` replaced."""
        return Text(id=self.id.format(**facts), en=self.en.format(**facts))


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """One social-security programme. ``elsewhere`` explains why it is not claimed here, when it is not."""

    code: str
    name: Text
    elsewhere: Text | None = None
    paid_within_working_days: int | None = None


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentType:
    """A kind of supporting document."""

    code: str
    name: Text


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that must be shown: any one of these documents. Empty ``segments`` means all of them."""

    any_of: tuple[str, ...]
    segments: tuple[str, ...] = ()
    mandatory: bool = True


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a benefit is claimed."""

    code: str
    name: Text
    programmes: tuple[str, ...]
    segments: tuple[str, ...] = ()
    """Memberships it fits; empty means all. Another one is a warning."""
    heirs_only: bool = False
    percent: int | None = None
    waiting: Text | None = None
    confidence: str
    """How sure the source is, A (text of a law seen) to D (our conclusion)."""
    requires: tuple[Requirement, ...] = ()


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """A fallback code with the coded reasons a second person may give for it."""

    code: str
    name: Text
    reasons: tuple[str, ...]


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A code and what it means."""

    code: str
    name: Text


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """A bank and the usual length of its account numbers; another length is a warning."""

    code: str
    name: str
    digits_min: int
    digits_max: int
    example: bool = False
    """Not a real entry: shows the shape only."""


@with_config(_STRICT)
@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentText:
    """The notice a member agrees to. ``sha256`` is of both languages as they stand, and is checked."""

    version: str
    basis: str
    sha256: str
    text: Text

    def digest(self) -> str:
        """SHA-256 over the UTF-8 text as it is shown: Indonesian, a line end, English; as hex."""
        return hashlib.sha256(f"{self.text.id}\n{self.text.en}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Every table, read and checked."""

    version: str
    """The versions of all files joined, newest first part; names the whole set."""
    digest: str
    """SHA-256 over all files in alphabetical order, hex."""
    programmes: Mapping[str, Programme]
    reasons: Mapping[str, Reason]
    documents: Mapping[str, DocumentType]
    always_required: tuple[Requirement, ...]
    manual_identity_requires: tuple[Requirement, ...]
    fallbacks: Mapping[str, Fallback]
    fallback_reasons: Mapping[str, Named]
    provinces: Mapping[str, str]
    kanwil: Mapping[str, str]
    banks: Mapping[str, Bank]
    consent: ConsentText
    policy: Mapping[str, int | float | str | bool]
    texts: Mapping[str, Text] = field(repr=False)
    """Sentences by dotted key, such as ``finding.NIK_SHAPE``."""

    def text(self, key: str, **facts: object) -> Text:
        """One sentence, filled in. KeyError for a key nobody wrote a sentence for (a test rules that out)."""
        return self.texts[key].filled(**facts)

    def reasons_of(self, programme: str) -> tuple[Reason, ...]:
        """The reasons that fit a programme, in table order."""
        return tuple(reason for reason in self.reasons.values() if programme in reason.programmes)

    def required(self, reason: str, segment: str, *, manual_identity: bool) -> tuple[Requirement, ...]:
        """What must be shown for this reason and membership."""
        wanted = (*self.always_required, *self.reasons[reason].requires)
        if manual_identity:
            wanted += self.manual_identity_requires
        return tuple(item for item in wanted if not item.segments or segment in item.segments)


def tables_folder() -> Path:
    """The tables that came with the program."""
    return Path(__file__).parent / "tables"


def load_tables(folder: Path | None = None, instead: Mapping[str, bytes] | None = None) -> Tables:
    """Read and check every table.

    Parameters
    ----------
    folder
        Where they lie; None: those that came with the program.
    instead
        Content of some of them, by name, that counts in place of the file.

    Raises
    ------
    ConfigError
        A file is missing, is not TOML, has an unknown or missing key, refers to a code that does not exist,
        or the consent text differs from its checksum.
    """
    place = folder or tables_folder()
    other = instead or {}
    read = {
        name: _parsed_toml(place / f"{name}.toml", other[name]) if name in other else _read(place / f"{name}.toml")
        for name in FILES
    }
    content = {name: document for name, (document, _) in read.items()}
    versions = {name: _version(place / f"{name}.toml", document) for name, document in content.items()}
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(read[name][1])

    tables = Tables(
        version=f"{max(versions.values())}+{digest.hexdigest()[:12]}",
        digest=digest.hexdigest(),
        programmes={
            row.code: row for row in _rows(place / "programmes.toml", "programme", content["programmes"], Programme)
        },
        reasons={row.code: row for row in _rows(place / "reasons.toml", "reason", content["reasons"], Reason)},
        documents={
            row.code: row for row in _rows(place / "documents.toml", "document", content["documents"], DocumentType)
        },
        always_required=tuple(_rows(place / "documents.toml", "always", content["documents"], Requirement)),
        manual_identity_requires=tuple(
            _rows(place / "documents.toml", "manual_identity", content["documents"], Requirement)
        ),
        fallbacks={row.code: row for row in _rows(place / "fallback.toml", "fallback", content["fallback"], Fallback)},
        fallback_reasons={
            row.code: row for row in _rows(place / "fallback.toml", "reason", content["fallback"], Named)
        },
        provinces=_parsed(place / "provinces.toml", "province", content["provinces"], dict[str, str]),
        kanwil=_parsed(place / "kanwil.toml", "kanwil", content["kanwil"], dict[str, str]),
        banks={row.code: row for row in _rows(place / "banks.toml", "bank", content["banks"], Bank)},
        consent=_parsed(place / "consent.toml", "consent", content["consent"], ConsentText),
        policy=_parsed(place / "policy.toml", "policy", content["policy"], dict[str, int | float | str | bool]),
        texts=_flattened(place / "texts.toml", content["texts"]),
    )
    _check_references(tables, place)
    return tables


def table_version(name: str, raw: bytes) -> str:
    """The version one table names, a date as text: later ones sort behind. Raises ConfigError."""
    file = Path(f"{name}.toml")
    return _version(file, _parsed_toml(file, raw)[0])


def table_bytes(name: str, folder: Path | None = None) -> bytes:
    """One table as it stands in its file. Raises ConfigError."""
    return _read((folder or tables_folder()) / f"{name}.toml")[1]


def _read(file: Path) -> tuple[dict[str, Any], bytes]:
    try:
        return _parsed_toml(file, file.read_bytes())
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read ({error.strerror})", "install the whole set of tables") from error


def _parsed_toml(file: Path, raw: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        return tomllib.loads(raw.decode("utf-8")), raw
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(file, "", f"is not valid TOML ({error})", "install the table again") from error


def _version(file: Path, document: Mapping[str, Any]) -> str:
    version = document.get("version")
    if not isinstance(version, str) or not version:
        raise ConfigError(file, "version", "is missing", 'write the date of the table, such as version = "2026-01-15"')
    return version


def _rows(file: Path, key: str, document: Mapping[str, Any], kind: type[T]) -> list[T]:
    return _parsed(file, key, document, list[kind])  # type: ignore[valid-type]


def _parsed(file: Path, key: str, document: Mapping[str, Any], kind: type[T]) -> T:
    if key not in document:
        raise ConfigError(file, key, "is missing", "install the table again")
    try:
        return TypeAdapter(kind).validate_python(document[key])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in (key, *first["loc"]))
        raise ConfigError(file, where, first["msg"], "correct that row or install the table again") from error


def _flattened(file: Path, document: Mapping[str, Any]) -> dict[str, Text]:
    texts: dict[str, Text] = {}
    for group, rows in document.items():
        if isinstance(rows, Mapping):
            for code in rows:
                texts[f"{group}.{code}"] = _parsed(file, code, rows, Text)
    return texts


def _check_references(tables: Tables, place: Path) -> None:
    """Every code that a table uses exists in the table that defines it."""
    for reason in tables.reasons.values():
        _known(place / "reasons.toml", f"{reason.code}.programmes", reason.programmes, tables.programmes)
        for requirement in reason.requires:
            _known(place / "reasons.toml", f"{reason.code}.requires", requirement.any_of, tables.documents)
    for requirement in (*tables.always_required, *tables.manual_identity_requires):
        _known(place / "documents.toml", "always", requirement.any_of, tables.documents)
    for fallback in tables.fallbacks.values():
        _known(place / "fallback.toml", f"{fallback.code}.reasons", fallback.reasons, tables.fallback_reasons)
    if tables.consent.sha256 != tables.consent.digest():
        raise ConfigError(
            place / "consent.toml",
            "consent.sha256",
            "the text is not the one that was approved under this version",
            "install the table again; a changed text needs a new version and checksum",
        )


def _known(file: Path, key: str, used: tuple[str, ...], defined: Mapping[str, object]) -> None:
    for code in used:
        if code not in defined:
            raise ConfigError(file, key, f"names {code}, which no table defines", "correct the code or add its row")
