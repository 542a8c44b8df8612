"""What is known of one claim so far. Plain values, nothing biometric; saved encrypted after every step.

A draft is never changed: a step returns a new one (:func:`dataclasses.replace`), and what it was before stays
readable to whoever holds it. Words in capitals travel in the packet as they stand.
"""

import datetime
import enum
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter, with_config

from mpos_agent.claim.states import Event, State


class Segment(enum.StrEnum):
    """Kind of membership: wage earner, self-employed, migrant worker, construction."""

    PU = "PU"
    BPU = "BPU"
    PMI = "PMI"
    JAKON = "JAKON"


class Relation(enum.StrEnum):
    """Who stands at the counter, seen from the worker."""

    SELF = "SELF"
    SPOUSE = "SPOUSE"
    CHILD = "CHILD"
    PARENT = "PARENT"
    OTHER_HEIR = "OTHER_HEIR"
    GUARDIAN = "GUARDIAN"


class IdentitySource(enum.StrEnum):
    """Where the claimant's identity was taken from."""

    CHIP = "CHIP"
    KTP_MANUAL = "KTP_MANUAL"
    IKD = "IKD"
    SUKET = "SUKET"
    PASSPORT = "PASSPORT"


class ConsentMethod(enum.StrEnum):
    """How the notice reached the member."""

    SHOWN = "SHOWN"
    READ_ALOUD = "READ_ALOUD"


class ChipAuth(enum.StrEnum):
    """Result of the mutual authentication with the chip. FAIL is evidence for a reviewer, not a verdict."""

    OK = "OK"
    FAIL = "FAIL"
    NONE = "NONE"


class AttemptOutcome(enum.StrEnum):
    """What one picture of a finger was worth."""

    MATCH = "MATCH"
    NO_MATCH = "NO_MATCH"
    QUALITY_LOW = "QUALITY_LOW"


class BioOutcome(enum.StrEnum):
    """What all attempts together say."""

    MATCH = "MATCH"
    NO_MATCH = "NO_MATCH"
    QUALITY_LOW = "QUALITY_LOW"
    EXEMPT = "EXEMPT"
    DEVICE_DEGRADED = "DEVICE_DEGRADED"
    NOT_DONE = "NOT_DONE"


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


class PhotoCompare(enum.StrEnum):
    """A person's answer to "is this the person on the photo?"."""

    SAME = "SAME"
    NOT_SAME = "NOT_SAME"
    UNSURE = "UNSURE"


class NpwpState(enum.StrEnum):
    """The balance is not known here, so the tax number is asked for, never demanded."""

    NOT_ASKED = "NOT_ASKED"
    GIVEN = "GIVEN"
    REFUSED = "REFUSED"


class NameMatch(enum.StrEnum):
    """Whether the account is in the claimant's name, after normalising."""

    SAME = "SAME"
    DIFFERENT = "DIFFERENT"


class Declaration(enum.StrEnum):
    """How the member confirmed."""

    CONFIRMED_ON_SCREEN = "CONFIRMED_ON_SCREEN"
    PAPER_F5 = "PAPER_F5"


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
    sex: str = ""
    address: str = ""
    nationality: str = ""
    document_number: str | None = None
    """Number of the paper identity was typed from, where it is not the NIK."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """The member's answer, provable: which text, in which version, when, how."""

    text_version: str
    text_sha256: str
    basis: str
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
    quality: int
    outcome: AttemptOutcome
    ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BioResult:
    """What the fingers said, with what makes it repeatable: threshold and matcher version."""

    outcome: BioOutcome
    finger: int | None
    score_band: str | None
    threshold_id: str
    matcher_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Countersignature:
    """A second person's act: coded reason and their own comparison of photo and person."""

    code: FallbackCode
    reason: str
    photo_compare: PhotoCompare
    supervisor_id: str
    at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One supporting document: what it is and the fingerprint of its file."""

    type: str
    pages: int
    mime: str
    size_bytes: int
    sha256: str
    legible: bool


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
    na_code_declared: str = "UNKNOWN"
    phone: str | None = None
    email: str | None = None
    mother_name: str | None = None
    employment_history: tuple[Employment, ...] = ()
    npwp_state: NpwpState = NpwpState.NOT_ASKED
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
    best_score_band: str | None = None
    bio: BioResult | None = None
    fallback: Countersignature | None = None
    photo_check: PhotoCompare | None = None
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
