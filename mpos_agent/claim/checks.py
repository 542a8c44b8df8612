"""Numbers and names as people write them: what certainly is a typing error, and what is only unusual. Pure.

A check normalises first and gives back what the claim keeps. Digits are ASCII digits: other scripts' digits
look alike and compare unequal.
"""

import datetime
import re
import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

from config.tables import Bank
from mpos_agent.claim.findings import Block, Caution, Found
from sync.packet import NpwpAnswer, Sex

TEST_PROVINCE: Final = "99"
"""Unassigned: synthetic identities begin with it."""
_CARD_AGE: Final = 17
"""An identity card is issued from this age (or at marriage, before)."""

_NIK = re.compile(r"[0-9]{16}")
_KPJ = re.compile(r"[0-9A-Z]{11}")
_KPJ_USUAL = re.compile(r"[0-9]{11}|[0-9]{2}[A-Z]{2}[0-9]{7}")
_NPP = re.compile(r"[0-9A-Z]{8}")
_PHONE = re.compile(r"\+?[0-9]{1,23}")
_PHONE_USUAL = re.compile(r"(\+62|0)8[0-9]{7,11}")
_EMAIL_USUAL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_SEPARATORS = re.compile(r"[\s.\-]+")
_TITLES: Final = frozenset({"H", "HJ", "DR", "DRS", "DRA", "IR", "PROF", "SH", "SE", "SPD", "ST", "MM", "MSI", "AMD"})
"""Titles that banks and registers write or leave out, without dots."""


class NikParts(NamedTuple):
    """What a NIK says of its holder. Evidence for warnings only: old NIKs hold errors."""

    province: str
    regency: str
    district: str
    birth_date: datetime.date
    sex: Sex
    serial: str


def nik_parts(nik: str, today: datetime.date) -> NikParts | None:
    """Take a NIK ``PPRRSS DDMMYY NNNN`` apart; None when its structure is impossible.

    Women's day of birth has 40 added. The century is not written: a holder of a card has an age of 17 or more,
    so the latest century that gives it is meant; where none does, the latest in which the date exists.
    """
    if not _NIK.fullmatch(nik) or len(set(nik)) == 1 or nik[12:] == "0000":
        return None
    day, month, year = int(nik[6:8]), int(nik[8:10]), int(nik[10:12])
    # Not "day modulo 40": that would also take 81 to 99 for days.
    if 41 <= day <= 71:
        sex, day = Sex.FEMALE, day - 40
    elif 1 <= day <= 31:
        sex = Sex.MALE
    else:
        return None
    dates = [date for century in (2000, 1900) if (date := _date(century + year, month, day)) is not None]
    if not dates:
        return None
    born = next((date for date in dates if _age(date, today) >= _CARD_AGE), dates[0])
    return NikParts(nik[:2], nik[2:4], nik[4:6], born, sex, nik[12:])


def check_nik(
    nik: str, *, today: datetime.date, provinces: Mapping[str, str], test_profile: bool, field: str = "nik"
) -> list[Found]:
    """Structure blocks; an unknown province or regency only warns, because a NIK is for life."""
    if not _NIK.fullmatch(nik) or len(set(nik)) == 1 or nik[12:] == "0000":
        return [Found(Block.NIK_SHAPE, field)]
    parts = nik_parts(nik, today)
    if parts is None:
        return [Found(Block.NIK_DATE, field)]
    found = []
    if parts.province == TEST_PROVINCE:
        if not test_profile:
            return [Found(Block.NIK_TEST, field)]
    elif parts.province not in provinces:
        found.append(Found(Caution.NIK_PROVINCE, field))
    # 01-69 are regencies, 71-99 cities.
    if not (1 <= int(parts.regency) <= 69 or 71 <= int(parts.regency) <= 99):
        found.append(Found(Caution.NIK_REGENCY, field))
    return found


def check_nik_against(
    nik: str, *, birth_date: datetime.date | None, sex: Sex | None, today: datetime.date, field: str = "nik"
) -> list[Found]:
    """Compare what a (structurally sound) NIK says with card or papers; differences only warn."""
    parts = nik_parts(nik, today)
    if parts is None:
        return []
    found = []
    # The century is guessed, so only what is written in the NIK is compared.
    if birth_date is not None and f"{birth_date:%d%m%y}" != f"{parts.birth_date:%d%m%y}":
        found.append(Found(Caution.NIK_BIRTH_DATE_DIFFERS, field))
    if sex is not None and sex is not parts.sex:
        found.append(Found(Caution.NIK_SEX_DIFFERS, field))
    return found


def check_kpj(text: str, field: str = "kpj") -> tuple[str, list[Found]]:
    """Member card number: 11 letters or digits."""
    kpj = _SEPARATORS.sub("", text).upper()
    if not _KPJ.fullmatch(kpj):
        return kpj, [Found(Block.KPJ_SHAPE, field)]
    return kpj, [] if _KPJ_USUAL.fullmatch(kpj) else [Found(Caution.KPJ_UNUSUAL, field)]


def check_npp(text: str, *, expected: bool, field: str = "npp") -> tuple[str | None, list[Found]]:
    """Employer number: 8 letters or digits. ``expected``: leaving it out is worth a warning."""
    npp = _SEPARATORS.sub("", text).upper()
    if not npp:
        return None, [Found(Caution.NPP_MISSING, field)] if expected else []
    return npp, [] if _NPP.fullmatch(npp) else [Found(Block.NPP_SHAPE, field)]


def check_phone(text: str, field: str = "contact.phone") -> tuple[str | None, list[Found]]:
    """An Indonesian mobile number is usual; another number warns; what is no number at all blocks."""
    phone = re.sub(r"[\s().\-]+", "", text)
    if not phone:
        return None, []
    if not _PHONE.fullmatch(phone):
        return phone, [Found(Block.FIELD_SHAPE, field)]
    return phone, [] if _PHONE_USUAL.fullmatch(phone) else [Found(Caution.PHONE_UNUSUAL, field)]


def check_email(text: str, field: str = "contact.email") -> tuple[str | None, list[Found]]:
    """Warn about what cannot be an address; never block."""
    email = text.strip()
    if not email:
        return None, []
    return email, [] if _EMAIL_USUAL.fullmatch(email) else [Found(Caution.EMAIL_UNUSUAL, field)]


def check_npwp(answer: NpwpAnswer, text: str, field: str = "npwp") -> tuple[str | None, list[Found]]:
    """Tax number: 16 digits, 15 in the old form; there exactly when the member gave it."""
    npwp = _SEPARATORS.sub("", text)
    if (answer is NpwpAnswer.GIVEN) != bool(npwp):
        return None, [Found(Block.NPWP_STATE, field)]
    if not npwp:
        return None, []
    if not re.fullmatch(r"[0-9]{15,16}", npwp):
        return None, [Found(Block.NPWP_SHAPE, field)]
    return npwp, [Found(Caution.NPWP_OLD, field)] if len(npwp) == 15 else []


def check_account(
    bank_code: str, account: str, banks: Mapping[str, Bank], field: str = "bank"
) -> tuple[str, str, list[Found]]:
    """Bank code (3 digits) and account number; length and bank only warn."""
    code, number = bank_code.strip(), _SEPARATORS.sub("", account)
    found = []
    if not re.fullmatch(r"[0-9]{3}", code):
        found.append(Found(Block.BANK_CODE_SHAPE, f"{field}.code"))
    if not re.fullmatch(r"[0-9]{1,34}", number):
        found.append(Found(Block.ACCOUNT_SHAPE, f"{field}.account"))
    if found:
        return code, number, found
    bank = banks.get(code)
    if bank is None:
        found.append(Found(Caution.BANK_UNKNOWN, f"{field}.code"))
    least, most = (bank.digits_min, bank.digits_max) if bank else (8, 16)
    if not least <= len(number) <= most:
        found.append(Found(Caution.ACCOUNT_LENGTH, f"{field}.account"))
    return code, number, found


def same_name(one: str, other: str) -> bool:
    """Whether two spellings are the same name: case, accents, punctuation, spaces and titles do not count."""
    return bool(_name_words(one)) and _name_words(one) == _name_words(other)


def clean_text(text: str, limit: int) -> str:
    """One line as the packet takes it: control characters become spaces, runs of spaces one, cut at ``limit``."""
    plain = "".join(" " if unicodedata.category(character) in ("Cc", "Cs") else character for character in text)
    return " ".join(plain.split())[:limit].rstrip()


def _name_words(name: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", name)
    # Dots end nothing (S.H.) and commas begin titles (…, S.H.): both only separate or vanish.
    plain = re.sub(r"[.'’`\-]", "", plain).upper()
    words = re.findall(r"[A-Z0-9]+", "".join(c if c.isascii() else "" for c in plain))
    return [word for word in words if word not in _TITLES] or words


def _date(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def _age(born: datetime.date, today: datetime.date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
