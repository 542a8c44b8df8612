"""What is known of one claim so far. Plain values, nothing biometric; saved encrypted after every step.

A draft is never changed: a step returns a new one (:func:`dataclasses.replace`), and what it was before stays
readable to whoever holds it. The vocabularies are those of the packet (``sync/packet.py``).
"""

import datetime
import enum
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter, with_config

from mpos_agent.claim.states import Event, State
from sync.document_part import MediaType
from sync.packet import (
    AttemptOutcome,
    Basis,
    BioOutcome,
    ChipAuth,
    ConsentMethod,
    IdentitySource,
    NaCode,
    NameMatch,
    NpwpAnswer,
    PhotoCompare,
    Purpose,
    Relation,
    Segment,
    Sex,
)


class FallbackCode(enum.StrEnum):
    """Why a second person was needed. The texts and coded reasons of each are in the tables."""

    CHIP_UNREADABLE = "CHIP_UNREADABLE"
    CHIP_AUTH_FAIL = "CHIP_AUTH_FAIL"
    QUALITY_LOW = "QUALITY_LOW"
    NO_MATCH_MANUAL = "NO_MATCH_MANUAL"
    FINGER_EXEMPT = "FINGER_EXEMPT"
    DEVICE_DEGRADED = "DEVICE_DEGRADED"
    NO_CHIP = "NO_CHIP"
    SUSPECTED_IMPERSONATION = "SUSPECTED_IMPERSONATION"
    NO_CONSENT = "NO_CONSENT"


class WithdrawReason(enum.StrEnum):
    """Why an open claim was given up."""

    MEMBER_CHANGED_MIND = "MEMBER_CHANGED_MIND"
    WRONG_PROGRAMME = "WRONG_PROGRAMME"
    MEMBER_LEFT = "MEMBER_LEFT"
    ENTERED_TWICE = "ENTERED_TWICE"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person as the card or the papers have it. Dates are None only where a paper lacks them."""

    nik: str | None
    """16 digits; None for a passport holder."""
    name: str
    birth_place: str = ""
    birth_date: datetime.date | None = None
    sex: Sex | None = None
    address: str = ""
    nationality: str = ""
    identity_no: str | None = None
    """Number of the paper identity was typed from, where it is not the NIK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """The member's answer, provable: which text, in which version, when, how."""

    text_version: str
    text_sha256: str
    basis: Basis
    given: bool
    method: ConsentMethod
    at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipEvidence:
    """What the read itself says about card, reader and SAM."""

    reader: str
    sam_id: str
    card_type: str
    chip_auth: ChipAuth
    data_signature: str
    """Raw result of the data signature, hex. Not the same thing as ``chip_auth``."""
    fingers: tuple[int, ...]
    """ISO finger codes of the usable templates, in file order."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One picture of a finger: numbers only."""

    finger: int
    quality: int | None
    """0 to 100; None when no picture came."""
    outcome: AttemptOutcome
    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BioResult:
    """What the fingers said, with what makes it repeatable: threshold and matcher version."""

    outcome: BioOutcome
    finger: int | None
    score_band: str | None
    paired_minutiae: int | None
    threshold_id: str
    """The false match rate and, after a slash, of how many comparisons it is that of the whole: ``FMR_0.01%/28``."""
    matcher_version: str
    parameter_digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Countersignature:
    """A second person's act: coded reason and their own comparison of photo and person."""

    code: FallbackCode
    reason: str
    photo_compare: PhotoCompare
    supervisor_id: str | None
    """None in the field when nobody was there to countersign yet."""
    at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One scanned file of an open claim; its bytes lie encrypted beside the draft (``document_store.py``)."""

    number: int
    """What the counter calls it, from 0; attaching another file under a number replaces it."""
    box: str
    """Name of its bytes in the store."""
    media_type: MediaType
    pages: int | None
    """None where the file does not tell."""
    size_bytes: int
    sha256: str
    attached_at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One supporting document: what it is, and which scanned file goes with it."""

    type: str
    pages: int
    mime: str
    size_bytes: int
    """0 when only the paper was seen."""
    sha256: str | None
    """Hex; None when only the paper was seen."""
    legible: bool
    attachment: int | None = None
    """Number of its scanned file; None when only the paper was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Employment:
    """One line of the employment history (wage earners)."""

    year_in: int
    year_out: int | None
    employer: str
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """Where head office may pay to."""

    bank_code: str
    account: str
    name_on_account: str
    name_match: NameMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimForm:
    """The typed part of a claim."""

    kpj: str
    npp: str | None = None
    company_name: str | None = None
    na_code_declared: NaCode = NaCode.UNKNOWN
    phone: str | None = None
    email: str | None = None
    mother_name: str | None = None
    employment_history: tuple[Employment, ...] = ()
    npwp_answer: NpwpAnswer = NpwpAnswer.NOT_ASKED
    npwp: str | None = None
    bank: BankAccount | None = None
    worker: Person | None = None
    """The insured worker where somebody else claims; None when the claimant is the worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """One event of the claim's own history."""

    event: Event
    at: datetime.datetime
    state: State


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDraft:
    """Everything known of one claim. ``revision`` grows by one with every save."""

    claim_id: str
    revision: int
    state: State
    opened_at: datetime.datetime
    operator_id: str
    tables_version: str
    programme: str
    reason_code: str
    segment: Segment
    relation: Relation
    purpose: Purpose = Purpose.CLAIM
    ticket: str | None = None

    consent: ConsentRecord | None = None
    failed_taps: tuple[str, ...] = ()
    """Codes of what each failed tap ran into."""
    reader_faults: int = 0
    scanner_faults: int = 0
    manual_code: FallbackCode | None = None
    """Why identity is typed by hand."""
    identity_source: IdentitySource | None = None
    claimant: Person | None = None
    chip: ChipEvidence | None = None
    attempts: tuple[Attempt, ...] = ()
    bio: BioResult | None = None
    fallback: Countersignature | None = None
    photo_check: PhotoCompare | None = None
    attachments: tuple[Attachment, ...] = ()
    documents: tuple[Document, ...] = ()
    missing_documents: tuple[str, ...] = ()
    """Mandatory types that were not there: the claim is INCOMPLETE, not refused."""
    form: ClaimForm | None = None
    warnings: tuple[str, ...] = ()
    """Findings that stop nothing and become flags at head office; sorted, each once."""
    trail: tuple[TrailEntry, ...] = ()

    @property
    def worker(self) -> Person | None:
        """Whose benefit it is: the claimant, or the worker named in the form."""
        if self.relation is Relation.SELF:
            return self.claimant
        return self.form.worker if self.form else None

    def with_warnings(self, *words: str) -> tuple[str, ...]:
        """The warnings together with ``words``, sorted, each once."""
        return tuple(sorted({*self.warnings, *words}))

    def to_json(self) -> bytes:
        """Bytes for :class:`~mpos_agent.claim.draft_store.DraftStore`, which encrypts them."""
        return _ADAPTER.dump_json(self)

    @classmethod
    def from_json(cls, content: bytes) -> "ClaimDraft":
        """What :meth:`to_json` wrote; pydantic.ValidationError for anything else."""
        return _ADAPTER.validate_json(content)


_ADAPTER: TypeAdapter[ClaimDraft] = TypeAdapter(ClaimDraft)


def masked(number: str | None) -> str:
    """A number for screens and slips: the last four characters, the rest starred."""
    return "" if not number else "*" * max(len(number) - 4, 0) + number[-4:]
