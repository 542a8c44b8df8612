"""Numbers as people type them: what blocks, what warns, what passes."""

import calendar
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.tables import load_tables
from mpos_agent.claim import checks
from mpos_agent.claim.findings import Block, Caution
from sync.packet import NpwpAnswer, Sex

TODAY = datetime.date(2026, 11, 20)
TABLES = load_tables()


def findings(nik: str, *, test_profile: bool = True) -> list[str]:
    found = checks.check_nik(nik, today=TODAY, provinces=TABLES.provinces, test_profile=test_profile)
    return [item.what.value for item in found]


def nik(date: str, *, province: str = "99", regency: str = "01", serial: str = "0001") -> str:
    return f"{province}{regency}01{date}{serial}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "990101010785000",
        "99010101078500011",
        "99010101078500O1",
        " 9901010107850001",
        "9901010107850001\n",
        "9" * 16,
        "0" * 16,
        nik("010785", serial="0000"),
        "٩٩٠١٠١٠١٠٧٨٥٠٠٠١",
    ],
)
def test_what_is_no_number_at_all_blocks(text: str) -> None:
    """Wrong length, letters, spaces, another script's digits, one digit sixteen times, serial 0000."""
    assert findings(text) == [Block.NIK_SHAPE]


@pytest.mark.parametrize("day", [0, 32, 39, 40, 72, 80, 81, 85, 99])
def test_a_day_that_no_calendar_has_blocks(day: int) -> None:
    """81 to 99 must block: a check that takes the day modulo 40 lets them through."""
    assert findings(nik(f"{day:02d}0785")) == [Block.NIK_DATE]


@pytest.mark.parametrize("day", [1, 31, 41, 71])
def test_first_and_last_day_of_men_and_women_pass(day: int) -> None:
    """Women's day has 40 added."""
    assert findings(nik(f"{day:02d}0785")) == []


@pytest.mark.parametrize(("date", "fine"), [("290200", True), ("290204", True), ("290201", False), ("690296", True)])
def test_the_29th_of_february_exists_in_some_years(date: str, fine: bool) -> None:
    """2000 was a leap year and 1900 was not; 01 is one in neither century."""
    assert findings(nik(date)) == ([] if fine else [Block.NIK_DATE])


@pytest.mark.parametrize(
    ("date", "born"),
    [
        ("010100", datetime.date(2000, 1, 1)),
        ("010109", datetime.date(2009, 1, 1)),
        ("201109", datetime.date(2009, 11, 20)),
        ("211109", datetime.date(1909, 11, 21)),
        ("010110", datetime.date(1910, 1, 1)),
        ("010126", datetime.date(1926, 1, 1)),
        ("010127", datetime.date(1927, 1, 1)),
        ("010199", datetime.date(1999, 1, 1)),
        ("290212", datetime.date(1912, 2, 29)),
    ],
)
def test_century_is_the_latest_that_makes_the_holder_17(date: str, born: datetime.date) -> None:
    """Years 00 to 09 are adults of this century by now; somebody of 16 cannot hold the card."""
    parts = checks.nik_parts(nik(date), TODAY)
    assert parts is not None
    assert parts.birth_date == born


def test_test_identities_need_the_test_profile() -> None:
    """Province 99 is nobody's."""
    assert findings(nik("010785"), test_profile=False) == [Block.NIK_TEST]
    assert findings(nik("010785"), test_profile=True) == []


def test_old_provinces_and_regencies_only_warn() -> None:
    """A NIK is for life: the place it was given in may be gone."""
    assert findings(nik("010785", province="54")) == [Caution.NIK_PROVINCE]
    assert findings(nik("010785", regency="70")) == [Caution.NIK_REGENCY]
    assert findings(nik("010785", regency="00")) == [Caution.NIK_REGENCY]


def test_difference_between_number_and_card_only_warns() -> None:
    """Old NIKs hold errors, and a corrected birth date keeps the number."""
    woman = nik("410785")
    same = {"birth_date": datetime.date(1985, 7, 1), "sex": Sex.FEMALE, "today": TODAY}
    assert checks.check_nik_against(woman, **same) == []  # type: ignore[arg-type]
    other = {"birth_date": datetime.date(1985, 7, 2), "sex": Sex.MALE, "today": TODAY}
    found = checks.check_nik_against(woman, **other)  # type: ignore[arg-type]
    assert [item.what for item in found] == [Caution.NIK_BIRTH_DATE_DIFFERS, Caution.NIK_SEX_DIFFERS]


def test_a_hundred_year_old_is_not_taken_for_a_baby() -> None:
    """The century is guessed, so it is not compared with the card's."""
    assert checks.check_nik_against(nik("010125"), birth_date=datetime.date(1925, 1, 1), sex=None, today=TODAY) == []


@given(st.dates(datetime.date(1927, 1, 1), datetime.date(2009, 11, 20)), st.sampled_from(Sex), st.integers(1, 9999))
def test_every_adult_gets_through_with_their_own_birth_date(born: datetime.date, sex: Sex, serial: int) -> None:
    """For everybody between 17 and 99 the number says when they were born and what sex they are."""
    day = born.day + (40 if sex is Sex.FEMALE else 0)
    number = nik(f"{day:02d}{born:%m%y}", serial=f"{serial:04d}")
    assert findings(number) == []
    parts = checks.nik_parts(number, TODAY)
    assert parts is not None
    assert (parts.birth_date, parts.sex) == (born, sex)


@given(st.text("0123456789", min_size=16, max_size=16))
def test_no_number_of_16_digits_breaks_the_check(digits: str) -> None:
    """It passes, warns or blocks; and it blocks exactly when it cannot be taken apart or is a test identity."""
    found = findings(digits)
    assert (checks.nik_parts(digits, TODAY) is None) == bool({"NIK_SHAPE", "NIK_DATE"} & set(found))


@given(st.text(max_size=40))
def test_no_text_breaks_any_check(text: str) -> None:
    """Whatever is pasted into a field gives findings, never a crash."""
    checks.check_nik(text, today=TODAY, provinces=TABLES.provinces, test_profile=False)
    checks.check_kpj(text)
    checks.check_npp(text, expected=True)
    checks.check_phone(text)
    checks.check_email(text)
    checks.check_npwp(NpwpAnswer.GIVEN, text)
    checks.check_account(text, text, TABLES.banks)
    assert isinstance(checks.same_name(text, text), bool)
    clean = checks.clean_text(text, 30)
    assert len(clean) <= 30
    assert clean == checks.clean_text(clean, 30)


@given(st.integers(1, 12), st.integers(0, 99), st.integers(0, 99))
def test_dates_follow_the_calendar(month: int, year: int, day: int) -> None:
    """Day, month and year are possible together in one of the two centuries, or it blocks."""
    real = day - 40 if 41 <= day <= 71 else day
    possible = any(1 <= real <= calendar.monthrange(century + year, month)[1] for century in (1900, 2000))
    assert (findings(nik(f"{day:02d}{month:02d}{year:02d}")) == []) == possible


@pytest.mark.parametrize(
    ("typed", "kept", "found"),
    [
        ("99ZZ0000001", "99ZZ0000001", []),
        (" 99zz 000-00.01 ", "99ZZ0000001", []),
        ("12345678901", "12345678901", []),
        ("ZZ990000001", "ZZ990000001", [Caution.KPJ_UNUSUAL]),
        ("1234567890", "1234567890", [Block.KPJ_SHAPE]),
        ("99ZZ00000011", "99ZZ00000011", [Block.KPJ_SHAPE]),
        ("99ZZ000000Ü", "99ZZ000000Ü", [Block.KPJ_SHAPE]),
        ("", "", [Block.KPJ_SHAPE]),
    ],
)
def test_member_card_numbers(typed: str, kept: str, found: list[Block | Caution]) -> None:
    """Eleven letters or digits; eleven digits only would refuse real cards."""
    number, seen = checks.check_kpj(typed)
    assert (number, [item.what for item in seen]) == (kept, found)


def test_employer_number_may_be_missing() -> None:
    """Wage earners are asked for it, self-employed people have none."""
    assert checks.check_npp("", expected=False) == (None, [])
    assert [item.what for item in checks.check_npp("", expected=True)[1]] == [Caution.NPP_MISSING]
    assert checks.check_npp("zz0z-0001", expected=True) == ("ZZ0Z0001", [])
    assert [item.what for item in checks.check_npp("ZZ0Z001", expected=True)[1]] == [Block.NPP_SHAPE]


@pytest.mark.parametrize(
    ("answer", "typed", "kept", "found"),
    [
        (NpwpAnswer.NOT_ASKED, "", None, []),
        (NpwpAnswer.REFUSED, "", None, []),
        (NpwpAnswer.GIVEN, "", None, [Block.NPWP_STATE]),
        (NpwpAnswer.NOT_ASKED, "0000000000000000", None, [Block.NPWP_STATE]),
        (NpwpAnswer.GIVEN, "00.000.000.0-000.000", "000000000000000", [Caution.NPWP_OLD]),
        (NpwpAnswer.GIVEN, "0000000000000001", "0000000000000001", []),
        (NpwpAnswer.GIVEN, "123", None, [Block.NPWP_SHAPE]),
    ],
)
def test_tax_number_only_when_given(
    answer: NpwpAnswer, typed: str, kept: str | None, found: list[Block | Caution]
) -> None:
    """The balance is not known here, so nobody is made to have one."""
    number, seen = checks.check_npwp(answer, typed)
    assert (number, [item.what for item in seen]) == (kept, found)


@pytest.mark.parametrize(
    ("code", "account", "found"),
    [
        ("999", "0000000001", []),
        ("999", "00-0000 0001", []),
        ("999", "001", [Caution.ACCOUNT_LENGTH]),
        ("998", "00000001", [Caution.BANK_UNKNOWN]),
        ("998", "0000001", [Caution.BANK_UNKNOWN, Caution.ACCOUNT_LENGTH]),
        ("99", "0000000001", [Block.BANK_CODE_SHAPE]),
        ("999", "12AB", [Block.ACCOUNT_SHAPE]),
        ("", "", [Block.BANK_CODE_SHAPE, Block.ACCOUNT_SHAPE]),
    ],
)
def test_bank_accounts(code: str, account: str, found: list[Block | Caution]) -> None:
    """An unknown bank or length is looked at by a person; what is no number is a typing error."""
    assert [item.what for item in checks.check_account(code, account, TABLES.banks)[2]] == found


@pytest.mark.parametrize("typed", ["080000000001", "+6280000000001", "0800-0000-0001", "(0800) 0000 0001"])
def test_usual_phone_numbers(typed: str) -> None:
    """Separators do not matter."""
    assert checks.check_phone(typed)[1] == []


def test_unusual_phone_and_mail_only_warn() -> None:
    """A landline is a way to reach somebody."""
    assert [item.what for item in checks.check_phone("021000000")[1]] == [Caution.PHONE_UNUSUAL]
    assert [item.what for item in checks.check_phone("no number")[1]] == [Block.FIELD_SHAPE]
    assert [item.what for item in checks.check_email("somebody at home")[1]] == [Caution.EMAIL_UNUSUAL]
    assert checks.check_email("peserta@contoh.example") == ("peserta@contoh.example", [])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("PESERTA UJI SATU", "Peserta  Uji Satu", True),
        ("PESERTA UJI SATU, S.H.", "PESERTA UJI SATU", True),
        ("H. PESERTA UJI SATU", "PESERTA UJI SATU", True),
        ("PESERTA'UJI SATU", "PESERTAUJI SATU", True),
        ("PESERTA UJI SATU", "PESERTA UJI DUA", False),
        ("PESERTA UJI SATU", "SATU UJI PESERTA", False),
        ("DR", "DR", True),
        ("DR", "IR", False),
        ("", "", False),
    ],
)
def test_names_are_the_same_but_for_spelling(one: str, other: str, same: bool) -> None:
    """Case, spaces, punctuation and titles do not count; the words and their order do."""
    assert checks.same_name(one, other) is same
    assert checks.same_name(other, one) is same
