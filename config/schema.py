"""Every setting of the agent: one frozen section each, units in the names, secrets as paths to files.

No defaults stand here. They stand in ``defaults.toml``, once, with unit and reason; what that file leaves out
a site must decide. ``load.py`` lays a site's file over it and checks the result against these classes.
"""

import enum
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator


class Language(enum.StrEnum):
    """Which language comes first on screens and slips; the other one stands beside it."""

    ID = "id"
    EN = "en"


class Zone(enum.StrEnum):
    """The three time zones of Indonesia."""

    WIB = "WIB"
    WITA = "WITA"
    WIT = "WIT"


class CardTransport(enum.StrEnum):
    """How card bytes travel."""

    PCSC = "pcsc"
    SOCKET = "socket"


class ScannerDriver(enum.StrEnum):
    """Which driver looks for a scanner; AUTO asks every one that has what it needs."""

    AUTO = "auto"
    VIRTUAL = "virtual"
    URU4000 = "uru4000"
    NB1010 = "nb1010"
    UPEKTC_IMG = "upektc_img"
    ZFM = "zfm"
    UVC = "uvc"
    SBI = "sbi"
    VENDOR = "vendor"


class KeyStoreName(enum.StrEnum):
    """Where a private key of this device lies."""

    FILE = "file"
    SYSTEMD_CREDS = "systemd-creds"
    PKCS11 = "pkcs11"


class KeyAlgorithm(enum.StrEnum):
    """How packets are signed."""

    EDDSA = "EdDSA"
    ES256 = "ES256"


class LogLevel(enum.StrEnum):
    """How talkative the log is. TRAFFIC shows lengths and status words of device traffic, payloads masked."""

    TRAFFIC = "TRAFFIC"
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _empty_is_none(value: Any) -> Any:
    """TOML has no null: an empty string says "not set"."""
    return None if value == "" else value


def _from_settings_folder(value: Path | None, info: ValidationInfo) -> Path | None:
    """A relative path starts at the folder of the settings file, wherever the agent was started."""
    if value is None or value.is_absolute():
        return value
    folder = (info.context or {}).get("folder")
    return Path(folder) / value if folder is not None else value


def _https(value: str | None) -> str | None:
    if value is not None and not value.startswith("https://"):
        raise ValueError("must begin with https://")
    return value


def _octal_mode(value: Any) -> Any:
    """``"0660"`` reads as people write file modes; a bare 660 would be another number."""
    if isinstance(value, str) and re.fullmatch("0[0-7]{3}", value):
        mode = int(value, 8)
        if mode & 0o600 == 0o600 and not mode & 0o007:
            return mode
    raise ValueError('must be a file mode in quotes that lets the owner in and others out, such as "0660"')


PathSetting = Annotated[Path, AfterValidator(_from_settings_folder)]
OptionalPath = Annotated[Path | None, BeforeValidator(_empty_is_none), AfterValidator(_from_settings_folder)]
OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]


class Section(BaseModel):
    """Frozen, strict about names: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True)


class AgentSection(Section):
    """Where the agent lives on this machine."""

    state_dir: PathSetting
    run_dir: PathSetting
    device_serial: OptionalText
    language: Language
    accept_test_identities: bool
    """True lets identity numbers of the unassigned province 99 pass: demonstration and drill, never a counter."""


class SiteSection(Section):
    """Where the machine stands. Branch, region and partner codes come from enrolment, not from here."""

    zone: Zone
    station: str = Field(max_length=40)


class CardSection(Section):
    """Card reader and SAM."""

    transport: CardTransport
    card_reader: str
    sam_reader: str
    slot_switch: Annotated[Annotated[int, Field(ge=1, le=2)] | None, BeforeValidator(_empty_is_none)]
    card_socket: OptionalPath
    sam_socket: OptionalPath
    sam_secrets_file: OptionalPath
    record_dir: OptionalPath
    wait_s: float = Field(gt=0, le=600)


class Uru4000Section(Section):
    """U.are.U 4000 and 4500."""

    response_key_file: OptionalPath


class ZfmSection(Section):
    """Serial modules."""

    port: OptionalText
    password_file: OptionalPath


class UvcSection(Section):
    """Cameras."""

    device: OptionalPath


class SbiEnvironment(enum.StrEnum):
    """What a device of such a service may be meant for."""

    STAGING = "Staging"
    DEVELOPER = "Developer"
    PRE_PRODUCTION = "Pre-Production"
    PRODUCTION = "Production"


class SbiSection(Section):
    """Scanners behind a device service of their maker's."""

    first_port: int = Field(ge=1_024, le=65_535)
    last_port: int = Field(ge=1_024, le=65_535)
    roots_dir: OptionalPath
    environment: SbiEnvironment

    @field_validator("last_port")
    @classmethod
    def _a_range(cls, value: int, info: ValidationInfo) -> int:
        first = info.data.get("first_port", value)
        if not first <= value < first + 200:
            raise ValueError("must be at least first_port, and less than 200 ports later: each is asked")
        return value


class VendorSection(Section):
    """Scanners behind a library of their maker's."""

    library: OptionalPath


class ScannerSection(Section):
    """Fingerprint scanner."""

    driver: ScannerDriver
    socket: OptionalPath
    capture_timeout_s: float = Field(gt=0, le=600)
    calibration_dir: OptionalPath
    uru4000: Uru4000Section
    zfm: ZfmSection
    uvc: UvcSection
    sbi: SbiSection
    vendor: VendorSection


class MatcherSection(Section):
    """Extraction and comparison on this machine."""

    network_file: OptionalPath


class ClaimSection(Section):
    """What differs from site to site; attempts, qualities and thresholds are tables (``tables/policy.toml``)."""

    send_chip_photo: bool
    draft_lifetime_h: float = Field(gt=0, le=24 * 31)
    tables_dir: OptionalPath


class IdentitySection(Section):
    """Where new keys of this device are made. A key that is there stays where its identity says it is."""

    key_store: KeyStoreName
    tls_key_store: Annotated[KeyStoreName | None, BeforeValidator(_empty_is_none)]
    algorithm: KeyAlgorithm
    seal_file: PathSetting
    pkcs11_module: OptionalPath
    token_label: OptionalText
    pin_file: OptionalPath

    @field_validator("tls_key_store")
    @classmethod
    def _not_a_token(cls, value: KeyStoreName | None) -> KeyStoreName | None:
        if value is KeyStoreName.PKCS11:
            raise ValueError('must be "file" or "systemd-creds": the HTTP client cannot use a token')
        return value

    @property
    def tls_store(self) -> KeyStoreName:
        """As set; else where the signing key is, as far as the HTTP client can use it."""
        if self.tls_key_store is not None:
            return self.tls_key_store
        return KeyStoreName.FILE if self.key_store is KeyStoreName.PKCS11 else self.key_store


class UploadSection(Section):
    """The way to head office."""

    url: Annotated[OptionalText, AfterValidator(_https)]
    ca_file: OptionalPath
    poll_s: float = Field(ge=1, le=3_600)
    connect_timeout_s: float = Field(gt=0, le=300)
    read_timeout_s: float = Field(gt=0, le=600)
    retention_days: Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, BeforeValidator(_empty_is_none)]


class StorageSection(Section):
    """How much room is left when new work stops; open claims are finished and the queue is sent in any case."""

    warn_free_bytes: int = Field(ge=0)
    stop_documents_free_bytes: int = Field(ge=0)
    stop_claims_free_bytes: int = Field(ge=20_000_000)
    warn_queue_bytes: int = Field(ge=1_000_000)
    stop_documents_queue_bytes: int = Field(ge=1_000_000)
    stop_claims_queue_bytes: int = Field(ge=1_000_000)

    @field_validator("stop_documents_free_bytes", "stop_claims_free_bytes")
    @classmethod
    def _less_room(cls, value: int, info: ValidationInfo) -> int:
        before = _BEFORE[str(info.field_name)]
        if value > info.data.get(before, value):
            raise ValueError(f"must be at most {before}: the marks are reached one after the other")
        return value

    @field_validator("stop_documents_queue_bytes", "stop_claims_queue_bytes")
    @classmethod
    def _longer_queue(cls, value: int, info: ValidationInfo) -> int:
        before = _BEFORE[str(info.field_name)]
        if value < info.data.get(before, value):
            raise ValueError(f"must be at least {before}: the marks are reached one after the other")
        return value


_BEFORE = {
    "stop_documents_free_bytes": "warn_free_bytes",
    "stop_claims_free_bytes": "stop_documents_free_bytes",
    "stop_documents_queue_bytes": "warn_queue_bytes",
    "stop_claims_queue_bytes": "stop_documents_queue_bytes",
}


class ApiSection(Section):
    """The local API: a Unix socket, and a port on 127.0.0.1 only."""

    socket: OptionalPath
    socket_mode: Annotated[int, BeforeValidator(_octal_mode)]
    port: int = Field(ge=0, le=65_535)
    request_limit_bytes: int = Field(ge=1_024, le=64 * 1024 * 1024)
    sign_in_idle_s: float = Field(gt=0, le=86_400)


class LogSection(Section):
    """What is written to standard error, where the journal picks it up."""

    level: LogLevel
    journal_prefix: bool


class Settings(Section):
    """All of it. Read by ``wiring`` and ``daemon``; by the command line only to find the daemon."""

    agent: AgentSection
    site: SiteSection
    card: CardSection
    scanner: ScannerSection
    matcher: MatcherSection
    claim: ClaimSection
    identity: IdentitySection
    upload: UploadSection
    storage: StorageSection
    api: ApiSection
    log: LogSection

    @property
    def api_socket(self) -> Path:
        """Where the local API listens: as set, else in the runtime folder."""
        return self.api.socket or self.agent.run_dir / "agent.sock"

    @property
    def database_file(self) -> Path:
        """The agent's only SQLite file."""
        return self.agent.state_dir / "agent.db"

    @property
    def reserve_file(self) -> Path:
        """Room kept back beside the database, for a disk that is full."""
        return self.agent.state_dir / "agent.reserve"

    @property
    def calibration_dir(self) -> Path:
        """Where measured resolutions of scanners lie: as set, else in the state folder."""
        return self.scanner.calibration_dir or self.agent.state_dir / "calibration"

    @property
    def callers_file(self) -> Path:
        """Who may call the local API, as hashes."""
        return self.agent.state_dir / "callers.json"
