"""Typed requests and replies of the local API. Times are UTC; a name ends in its unit."""

import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.schema import Language, Zone
from mpos_agent.api.callers import Scope
from mpos_agent.claim.draft import FallbackCode, WithdrawReason
from mpos_agent.people import Role
from sync.checkpoint import StorageMark
from sync.edge.stick import Brought
from sync.envelope import Lane
from sync.packet import ConsentMethod, Declaration, IdentitySource, PhotoCompare, Relation, Segment


class Message(BaseModel):
    """Unknown fields are an error: a misspelt optional one would otherwise be lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class ErrorBody(Message):
    """Every refusal: ``code`` and ``retryable`` for programs, the texts for people."""

    code: str
    cause: str
    cure: str
    text_id: str
    text_en: str
    retryable: bool
    detail: str = ""


# --- state of the machine ---


class ScannerFound(Message):
    """A scanner that is plugged in."""

    driver: str
    name: str
    serial: str | None
    dpi: float | None
    """None until calibrated, or until it was opened once."""
    path: str
    state: str
    """ready, busy, no_permission or not_configured: as far as it shows without opening it."""
    calibration: str | None
    """Where the resolution comes from: device, model, measured and a day; None: not known."""


class ScannerTestRequest(Message):
    """A test picture, or one of the calibration target."""

    scanner: str | None = None
    """Path or serial number; without it the one a claim would use."""
    raw: bool = False
    """As the sensor gives it, also where its resolution is not known."""


class CalibrateRequest(Message):
    """Measure by the printed target."""

    scanner: str | None = None
    pitch_mm: float = Field(default=1.0, ge=0.5, le=2.0)
    """Distance of the lines on this print: 1 where the ruler beside them is 100 mm long."""


class PreviewReply(Message):
    """A picture too coarse for ridges: grey values row by row, base64."""

    width: int
    height: int
    greys: str


class AdviceReply(Message):
    """One thing that could be better."""

    code: str
    text_id: str
    text_en: str


class ScannerTestReply(Message):
    """What came of a test. The picture itself stays in the agent and is wiped."""

    scanner: ScannerFound
    place_again: str | None
    """Why there is no picture."""
    width: int
    height: int
    dpi: float | None
    quality: float | None
    reasons: tuple[AdviceReply, ...]
    preview: PreviewReply | None


class CalibratedReply(Message):
    """What was measured and kept, with its standard error."""

    scanner: ScannerFound | None
    place_again: str | None
    dpi_x: float | None = None
    dpi_y: float | None = None
    error_x: float | None = None
    error_y: float | None = None
    turned_deg: float | None = None


class DevicesReply(Message):
    """Readers and scanners, as they are right now."""

    transport: str
    readers: tuple[str, ...]
    """Every reader and slot the card service knows."""
    card_reader: str | None
    sam_reader: str | None
    card_present: bool | None
    """None where nobody watches (transport "socket")."""
    card_problem: ErrorBody | None
    sam_problem: ErrorBody | None
    scanners: tuple[ScannerFound, ...]
    scanner_problem: ErrorBody | None


class QueueReply(Message):
    """The truth about the queue in four numbers; never one green light."""

    waiting: int
    accepted: int
    held: int
    """Stored at head office and set apart there, each with its reason: on nobody's desk until somebody looks."""
    refused: int
    """Set aside for good by head office, with its reason; never dropped here."""
    oldest_waiting_s: float | None


class DecisionReply(Message):
    """What people at head office decided of a claim. This machine decides nothing."""

    status: str
    """``approved``, ``returned`` or ``rejected``."""
    agenda_no: int | None
    reason_code: str | None
    reason: str | None
    """For the member; there unless approved."""
    decided_at: datetime.datetime


class AskedReply(Message):
    """Documents head office asks for after a claim was sent."""

    documents: tuple[str, ...]
    """Codes of ``/v1/tables``."""
    still: tuple[str, ...]
    """Those of them that were not added to the claim yet."""
    note: str
    asked_at: datetime.datetime
    until: datetime.date | None


class AnswerReply(Message):
    """Head office's last words on one claim."""

    claim_id: str
    asked: AskedReply | None
    decided: DecisionReply | None


class StorageReply(Message):
    """How much room is left on the disk of the queue, and what follows from it."""

    mark: StorageMark
    free_bytes: int
    queue_bytes: int
    """Of the database: queue, drafts, records."""
    reserve: bool
    """Whether the room kept back for a full disk is there."""
    problem: ErrorBody | None
    """Why no new claim may begin; None while one may."""


class NewEpochRequest(Message):
    """Let a lane begin a new chain."""

    lane: Lane


class NewEpochReply(Message):
    """The chain that ended, and what follows it."""

    lane: Lane
    ended: str
    begun: str
    last_seq: int
    still_waiting: int
    """Packets of the ended chain that wait: they are delivered under it."""


class FrozenReply(Message):
    """A lane in which head office holds whatever comes until somebody there has looked."""

    lane: str
    reason: str
    since: datetime.datetime


class OutboxRowReply(Message):
    """One packet in the queue. The device cannot read it: these are its label, not its content."""

    packet_id: str
    lane: str
    seq: int
    state: str
    size_bytes: int
    digest: str
    """SHA-256 of the sealed packet, hex: what a receipt names."""
    queued_at: datetime.datetime
    attempts: int
    next_attempt_at: datetime.datetime | None
    last_error: str | None
    verdict: str | None
    reason: str | None
    receipt_no: str | None
    acked_at: datetime.datetime | None
    answer: AnswerReply | None = None
    """What head office asked for or decided since."""


class OutboxReply(QueueReply):
    """The queue with its rows, newest first."""

    rows: tuple[OutboxRowReply, ...]
    frozen: tuple[FrozenReply, ...]
    asking: tuple[AnswerReply, ...]
    """Claims head office waits for documents of, oldest request first."""


class SyncReply(Message):
    """What the last round with head office came to."""

    at: datetime.datetime | None
    result: str | None
    """None before the first round."""
    problem: ErrorBody | None
    sent: int
    accepted: int
    held: int
    left: int
    """Of what was sent, what head office did not take: it is still here and goes again."""
    next_round_s: float | None


class StickReceiptReply(Message):
    """What a receipt from a stick came to."""

    brought: Brought
    """``settled``; ``known``: taken over before; ``other_device``: left alone."""
    accepted: int
    held: int
    refused: int
    left: int
    """Named by head office and not taken: they go out with the next export."""


class SiteReply(Message):
    """Where head office says this device stands."""

    branch_code: str
    kanwil_code: str
    partner_code: str | None
    site_type: str


class IdentityReply(Message):
    """This device's identity as it may be shown: nothing secret."""

    device_id: str
    device_serial: str
    enrolled_at: datetime.datetime
    key_store: str
    """Where the signing key is, as recorded when it was made: file, systemd-creds or pkcs11."""
    where: str
    algorithm: str
    kid: str
    """The signing key's id, as it stands in every packet."""
    tls_key_store: str
    expires_at: datetime.datetime
    """When the first of the two certificates runs out."""
    renews_from: datetime.datetime
    warn: bool
    """It runs out within 14 days, or has."""
    trust_serial: int
    receipt_keys: tuple[str, ...]
    recipients: tuple[str, ...]
    rotation_ordered: bool
    """Head office asked for new keys, and they are not made yet."""
    problem: ErrorBody | None
    """Why the last renewal failed."""


class StatusReply(Message):
    """Everything a technician asks first."""

    version: str
    started_at: datetime.datetime
    device_id: str | None
    """None until enrolled."""
    site: SiteReply | None
    station: str
    zone: Zone
    language: Language
    clock_trusted: bool
    identity: IdentityReply | None = None
    """None until enrolled, and while the identity cannot be opened: see ``identity_problem``."""
    identity_problem: ErrorBody | None = None
    denied: str | None = None
    """Head office's reason why no new claim may be begun here."""
    open_claims: int
    damage: tuple[ErrorBody, ...]
    """What lies damaged on the disk until somebody sees to it; empty when all is well."""
    queue: QueueReply
    storage: StorageReply
    frozen: tuple[FrozenReply, ...]
    asking: int
    """Claims head office waits for documents of; ``/v1/outbox`` names them."""
    sync: SyncReply
    devices: DevicesReply


class RenewRequest(Message):
    """Renew the certificates now."""

    new_keys: bool = False
    """Make both keys anew, in the store they are in."""


class EnrolRequest(Message):
    """Turn a one-time token into this device's identity."""

    url: str = Field(pattern=r"^https://")
    token: SecretStr
    ca_pem: str | None = Field(default=None, max_length=64 * 1024)
    """Head office's certificate authority; None: the one in ``upload.ca_file``."""
    again: bool = False
    """In place of the identity there is, which is kept beside the new one."""
    leave_waiting: bool = False
    """Although packets wait that only the identity before can deliver."""


class EnrolReply(Message):
    """Who this device is from now on."""

    device_id: str
    site: SiteReply


# --- people ---


class PersonRequest(Message):
    """Somebody who may sign in, with a PIN they choose."""

    person_id: str
    name: str = ""
    roles: frozenset[Role]
    pin: SecretStr


class PersonReply(Message):
    """Somebody who may sign in."""

    person_id: str
    name: str
    roles: frozenset[Role]


class PeopleReply(Message):
    """Everybody who may sign in."""

    people: tuple[PersonReply, ...]


class SignInRequest(Message):
    """Number and PIN of an operator or supervisor."""

    person_id: str
    pin: SecretStr


class SignInReply(Message):
    """Send ``operator`` as the header ``X-Operator`` with every request about a claim."""

    operator: str
    person_id: str
    name: str
    roles: frozenset[Role]
    idle_s: float


class CallerReply(Message):
    """Whose credential a request carried."""

    name: str
    scope: Scope


# --- a claim, step by step ---


class StartRequest(Message):
    """Open a claim. Codes are those of ``/v1/tables``."""

    programme: str
    reason_code: str
    segment: Segment
    relation: Relation = Relation.SELF
    ticket: str | None = None


class ConsentRequest(Message):
    """The member's answer to the notice."""

    given: bool
    method: ConsentMethod


class GiveChipUpRequest(Message):
    """Go on without the chip, and why."""

    code: FallbackCode


class IdentityRequest(Message):
    """Identity typed from a paper, when the chip is not used."""

    source: IdentitySource
    fields: dict[str, Any]
    """nik or identity_no, name, birth_place, birth_date, sex, address, nationality."""


class PassportRequest(Message):
    """What opens a passport's chip: the printed zone, or three fields of the data page."""

    mrz: str | None = None
    """Both lines, as a page scanner gives them or as they are typed."""
    document_number: str | None = None
    birth_date: datetime.date | None = None
    expiry_date: datetime.date | None = None


class FallbackRequest(Message):
    """A second person's countersignature. Without ``supervisor_id``: pending, in the field only."""

    code: FallbackCode
    reason: str
    supervisor_id: str | None = None
    pin: SecretStr = SecretStr("")
    photo_compare: PhotoCompare


class PhotoCheckRequest(Message):
    """The operator's comparison of the chip photo with the person."""

    result: PhotoCompare


class DocumentsRequest(Message):
    """What was shown; each with type, legible, and attachment (the number of its scanned file) or pages."""

    documents: list[dict[str, Any]]


class FormRequest(Message):
    """The typed part of the claim; ``docs/claim-session.md`` lists the fields."""

    fields: dict[str, Any]


class ConfirmRequest(Message):
    """The member heard the summary and says yes."""

    member_confirms: bool
    declaration: Declaration = Declaration.CONFIRMED_ON_SCREEN


class WithdrawRequest(Message):
    """Why an open claim is given up."""

    reason: WithdrawReason


class Finding(Message):
    """Something found wrong or odd in an input, with its sentence."""

    code: str
    field: str
    text_id: str
    text_en: str


class NextPrompt(Message):
    """What is to be done next, with the words to say."""

    code: str
    step: str | None
    """Name of the step; None when the claim is over."""
    text_id: str
    text_en: str
    facts: dict[str, Any]


class StepReply(Message):
    """What came of one step."""

    happened: str
    accepted: bool
    """False when something blocks: correct it and do the step again."""
    state: str
    blocks: tuple[Finding, ...]
    cautions: tuple[Finding, ...]
    text_id: str | None
    text_en: str | None
    details: dict[str, Any]
    next: NextPrompt


class StartReply(Message):
    """An open claim, or what keeps it from being one."""

    accepted: bool
    claim_id: str | None
    claim: dict[str, Any] | None
    """As ``GET /v1/claims/{claim_id}`` gives it."""
    blocks: tuple[Finding, ...]
    elsewhere_id: str | None
    elsewhere_en: str | None


class OpenClaimReply(Message):
    """An open claim in a list, without personal data."""

    claim_id: str
    state: str
    programme: str
    opened_at: str
    operator_id: str
    ticket: str | None
    readable: bool


class OpenClaimsReply(Message):
    """Claims that were begun and not finished, oldest first."""

    claims: tuple[OpenClaimReply, ...]


class SupplementReply(Message):
    """A document that was added to a claim already sent, or what keeps it from being one."""

    accepted: bool
    blocks: tuple[Finding, ...]
    document: dict[str, Any] | None
    """index, type, media_type, pages, size_bytes, sha256, parts; ``again``: it was added before, and is sent once."""


class SentDocumentReply(Message):
    """One document of a claim that was sent."""

    index: int
    type: str
    size_bytes: int
    parts: int
    parts_queued: int
    """In the queue or beyond; the rest follows when the disk has room."""
    parts_accepted: int
    """Signed for by head office."""
    parts_held: int
    """Stored at head office and set apart there."""
    parts_refused: int
    """Not stored there, and never will be as they are: kept here for a technician."""


class SentDocumentsReply(Message):
    """All of them."""

    documents: tuple[SentDocumentReply, ...]


class SlipReply(Message):
    """The member's slip, and what head office has said of the packet so far."""

    claim_id: str
    reference: str
    slip: dict[str, Any]
    packet: OutboxRowReply | None
