"""What is found wrong or odd in an input: a value, because the person at the counter can put it right.

A :class:`Block` stops the step it was found in and nothing else; it is reserved for what is certainly a typing
or logic error. A :class:`Caution` stops nothing, travels with the claim and becomes a flag at head office.
The sentence for each stands in ``config/tables/texts.toml`` under ``finding``.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from config.tables import Tables, Text


class Block(enum.StrEnum):
    """Certainly an error: correct it and do the step again."""

    PROGRAMME_UNKNOWN = "PROGRAMME_UNKNOWN"
    PROGRAMME_ELSEWHERE = "PROGRAMME_ELSEWHERE"
    REASON_UNKNOWN = "REASON_UNKNOWN"
    REASON_NOT_OF_PROGRAMME = "REASON_NOT_OF_PROGRAMME"
    RELATION_NEEDS_DEATH_OR_GUARDIAN = "RELATION_NEEDS_DEATH_OR_GUARDIAN"
    DEATH_NEEDS_HEIR = "DEATH_NEEDS_HEIR"
    OPERATOR_UNKNOWN = "OPERATOR_UNKNOWN"
    CONSENT_NEEDED = "CONSENT_NEEDED"
    NIK_SHAPE = "NIK_SHAPE"
    NIK_DATE = "NIK_DATE"
    NIK_TEST = "NIK_TEST"
    NIK_NOT_OF_CARD = "NIK_NOT_OF_CARD"
    CARD_OF_ANOTHER_PERSON = "CARD_OF_ANOTHER_PERSON"
    TEMPLATES_GONE = "TEMPLATES_GONE"
    NAME_MISSING = "NAME_MISSING"
    IDENTITY_NUMBER_MISSING = "IDENTITY_NUMBER_MISSING"
    BIRTH_DATE_SHAPE = "BIRTH_DATE_SHAPE"
    VALUE_UNKNOWN = "VALUE_UNKNOWN"
    MRZ_WRONG = "MRZ_WRONG"
    FIELD_UNKNOWN = "FIELD_UNKNOWN"
    FIELD_SHAPE = "FIELD_SHAPE"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    KPJ_SHAPE = "KPJ_SHAPE"
    NPP_SHAPE = "NPP_SHAPE"
    NPWP_SHAPE = "NPWP_SHAPE"
    NPWP_STATE = "NPWP_STATE"
    BANK_CODE_SHAPE = "BANK_CODE_SHAPE"
    ACCOUNT_SHAPE = "ACCOUNT_SHAPE"
    ACCOUNT_NAME_MISSING = "ACCOUNT_NAME_MISSING"
    WORKER_MISSING = "WORKER_MISSING"
    WORKER_IS_CLAIMANT = "WORKER_IS_CLAIMANT"
    WORKER_NOT_EXPECTED = "WORKER_NOT_EXPECTED"
    YEARS_SHAPE = "YEARS_SHAPE"
    DOCUMENT_UNKNOWN = "DOCUMENT_UNKNOWN"
    DOCUMENT_SHAPE = "DOCUMENT_SHAPE"
    DOCUMENT_NUMBER = "DOCUMENT_NUMBER"
    DOCUMENT_EMPTY = "DOCUMENT_EMPTY"
    DOCUMENT_KIND = "DOCUMENT_KIND"
    DOCUMENT_DAMAGED = "DOCUMENT_DAMAGED"
    DOCUMENT_LOCKED = "DOCUMENT_LOCKED"
    DOCUMENT_ACTIVE = "DOCUMENT_ACTIVE"
    DOCUMENT_TOO_LARGE = "DOCUMENT_TOO_LARGE"
    DOCUMENTS_TOO_LARGE = "DOCUMENTS_TOO_LARGE"
    DOCUMENT_PAGES = "DOCUMENT_PAGES"
    DOCUMENT_PAGES_UNKNOWN = "DOCUMENT_PAGES_UNKNOWN"
    DOCUMENT_NOT_ATTACHED = "DOCUMENT_NOT_ATTACHED"
    SUPPLEMENTS_FULL = "SUPPLEMENTS_FULL"
    SUPERVISOR_IS_OPERATOR = "SUPERVISOR_IS_OPERATOR"
    SUPERVISOR_REFUSED = "SUPERVISOR_REFUSED"
    SUPERVISOR_LOCKED = "SUPERVISOR_LOCKED"
    FALLBACK_NOT_OPEN = "FALLBACK_NOT_OPEN"
    FALLBACK_REASON = "FALLBACK_REASON"
    DEGRADED_LIMIT = "DEGRADED_LIMIT"
    MEMBER_HAS_NOT_CONFIRMED = "MEMBER_HAS_NOT_CONFIRMED"


class Caution(enum.StrEnum):
    """Odd, but perhaps right: the claim goes on and a person at head office looks at it."""

    REASON_NOT_OF_SEGMENT = "REASON_NOT_OF_SEGMENT"
    NIK_PROVINCE = "NIK_PROVINCE"
    NIK_REGENCY = "NIK_REGENCY"
    NIK_BIRTH_DATE_DIFFERS = "NIK_BIRTH_DATE_DIFFERS"
    NIK_SEX_DIFFERS = "NIK_SEX_DIFFERS"
    KPJ_UNUSUAL = "KPJ_UNUSUAL"
    NPP_MISSING = "NPP_MISSING"
    PHONE_UNUSUAL = "PHONE_UNUSUAL"
    EMAIL_UNUSUAL = "EMAIL_UNUSUAL"
    CONTACT_MISSING = "CONTACT_MISSING"
    NPWP_OLD = "NPWP_OLD"
    BANK_MISSING = "BANK_MISSING"
    BANK_UNKNOWN = "BANK_UNKNOWN"
    ACCOUNT_LENGTH = "ACCOUNT_LENGTH"
    ACCOUNT_NAME_DIFFERS = "ACCOUNT_NAME_DIFFERS"
    MOTHER_NAME_MISSING = "MOTHER_NAME_MISSING"
    ALREADY_CAPTURED = "ALREADY_CAPTURED"
    DOCUMENT_NOT_LEGIBLE = "DOCUMENT_NOT_LEGIBLE"
    DOCUMENTS_MISSING = "DOCUMENTS_MISSING"
    PHOTO_NOT_SAME = "PHOTO_NOT_SAME"
    PHOTO_UNSURE = "PHOTO_UNSURE"
    NO_TEMPLATE = "NO_TEMPLATE"
    PASSPORT_NOT_PROVEN = "PASSPORT_NOT_PROVEN"
    PASSPORT_DIFFERS = "PASSPORT_DIFFERS"
    PASSPORT_EXPIRED = "PASSPORT_EXPIRED"
    HEIR = "HEIR"
    CLOCK_DOUBTFUL = "CLOCK_DOUBTFUL"


Finding = Block | Caution


@dataclass(frozen=True, slots=True)
class Found:
    """A finding and the field it was made in, dotted (``bank.account``); empty for the step as a whole."""

    what: Finding
    field: str = ""

    def within(self, prefix: str) -> "Found":
        """The same finding, its field seen from one level further out."""
        return Found(self.what, f"{prefix}.{self.field}" if self.field else prefix)


@dataclass(frozen=True, slots=True)
class Told:
    """A finding with the sentence for it."""

    code: str
    field: str
    text: Text

    def as_json(self) -> dict[str, str]:
        """For API and ``--json``."""
        return {"code": self.code, "field": self.field, "text_id": self.text.id, "text_en": self.text.en}


def blocks(found: Iterable[Found]) -> tuple[Found, ...]:
    """Only what stops the step."""
    return tuple(item for item in found if isinstance(item.what, Block))


def cautions(found: Iterable[Found]) -> tuple[str, ...]:
    """The words of what stops nothing, for the draft."""
    return tuple(item.what.value for item in found if isinstance(item.what, Caution))


def told(found: Iterable[Found], tables: Tables) -> tuple[Told, ...]:
    """Every finding with its sentence."""
    return tuple(Told(item.what.value, item.field, tables.text(f"finding.{item.what.value}")) for item in found)
