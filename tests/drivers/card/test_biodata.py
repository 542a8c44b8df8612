"""The biodata line of the chip."""

import dataclasses
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.card.ektp.biodata import Biodata, BiodataError, parse_biodata
from drivers.card.errors import ChipDataError
from drivers.card.virtual.person import synthetic_person

NAMES = [field.name for field in dataclasses.fields(Biodata)][:21]
FIELDS = list(synthetic_person(1, None, None).fields)


def _line(**changes: str) -> bytes:
    values = [changes.get(name, value) for name, value in zip(NAMES, FIELDS, strict=True)]
    return ",".join(f'"{value}"' for value in values).encode("latin-1")


def test_every_field_lands_in_its_place() -> None:
    """All 21, each by its name."""
    biodata = parse_biodata(_line())
    assert biodata.nik == "9901011206670001"
    assert biodata.address == "JL CONTOH 1"
    assert (biodata.rt, biodata.rw) == ("001", "002")
    assert biodata.birth_place == "KOTA CONTOH"
    assert (biodata.kecamatan, biodata.kelurahan) == ("KECAMATAN CONTOH", "KELURAHAN CONTOH")
    assert biodata.kabupaten == "KOTA CONTOH"
    assert (biodata.sex, biodata.blood_group) == ("LAKI-LAKI", "B")
    assert (biodata.religion, biodata.marital_status) == ("ISLAM", "KAWIN")
    assert biodata.occupation == "KARYAWAN SWASTA"
    assert biodata.name == "PESERTA UJI SATU"
    assert biodata.birth_date == datetime.date(1967, 6, 12)
    assert biodata.province == "PROVINSI CONTOH"
    assert biodata.valid_until == "12-6-2017"
    assert (biodata.right_finger, biodata.left_finger) == (2, 7)
    assert (biodata.nationality, biodata.field_20) == ("WNI", "KOTA CONTOH")
    assert biodata.extra == ()


@pytest.mark.parametrize(
    "name", ["PESERTA UJI, S.H.", "PESERTA D'UJI", 'PESERTA "UJI" SATU', "PESERTA UJI,", "PESERT\xc9 UJI", ""]
)
def test_name_with_commas_apostrophes_quotes_and_accents_stays_whole(name: str) -> None:
    """Degrees stand behind a comma; nothing of a name may slip into the next field."""
    biodata = parse_biodata(_line(name=name))
    assert biodata.name == name
    assert biodata.birth_date == datetime.date(1967, 6, 12)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("9-9-1999", (1999, 9, 9)),
        ("09-09-1999", (1999, 9, 9)),
        ("31-1-1980", (1980, 1, 31)),
        ("29-2-2000", (2000, 2, 29)),
    ],
)
def test_birth_date_is_read_with_and_without_leading_zeros(text: str, day: tuple[int, int, int]) -> None:
    """D-M-YYYY in every shape that was seen."""
    assert parse_biodata(_line(birth_date=text)).birth_date == datetime.date(*day)


@pytest.mark.parametrize("text", ["", "31-2-1980", "1980-12-31", "0-0-1980", "1-1-80", "\xb2-1-1980", "1-1-0000"])
def test_impossible_birth_date_is_an_error_that_does_not_repeat_it(text: str) -> None:
    """The claim needs a date; the log must not get one."""
    with pytest.raises(BiodataError) as caught:
        parse_biodata(_line(birth_date=text))
    assert not text or text not in str(caught.value)


def test_zero_bytes_behind_the_line_are_no_part_of_it() -> None:
    """Files on the chip may be padded."""
    assert parse_biodata(_line() + bytes(9)).field_20 == "KOTA CONTOH"


def test_more_fields_than_known_are_kept() -> None:
    """A newer card must not be unreadable only because it says more."""
    assert parse_biodata(_line() + b',"BARU","LAGI"').extra == ("BARU", "LAGI")


def test_fewer_fields_are_a_named_error() -> None:
    """Twenty fields cannot be told apart from a shifted record."""
    with pytest.raises(BiodataError, match="20 fields, expected 21") as caught:
        parse_biodata(_line()[: -len(',"KOTA CONTOH"')])
    assert isinstance(caught.value, ChipDataError)


@pytest.mark.parametrize(
    ("right", "left", "expected"),
    [("1", "6", (1, 6)), ("", "", (2, 7)), ("7", "2", (2, 7)), ("x", "99", (2, 7)), ("05", "010", (5, 7))],
)
def test_finger_numbers_outside_their_hand_mean_the_index(right: str, left: str, expected: tuple[int, int]) -> None:
    """The template's own position byte is believed first; this is only the prompt's second source."""
    biodata = parse_biodata(_line(right_finger=right, left_finger=left))
    assert (biodata.right_finger, biodata.left_finger) == expected


@given(st.binary(max_size=400))
def test_any_bytes_are_biodata_or_a_named_error(content: bytes) -> None:
    """Whatever a chip holds, the parser ends in one of two ways."""
    try:
        biodata = parse_biodata(content)
    except BiodataError:
        return
    assert content.startswith(b'"')
    assert biodata.right_finger in range(1, 6)


@given(
    st.lists(st.text(st.characters(max_codepoint=255, exclude_characters='"\x00'), max_size=20), min_size=5, max_size=5)
)
def test_any_latin1_values_come_back(values: list[str]) -> None:
    """Every byte a card can hold in a value survives, apart from blanks around it."""
    names = ("address", "birth_place", "occupation", "name", "province")
    biodata = parse_biodata(_line(**dict(zip(names, values, strict=True))))
    assert [getattr(biodata, name) for name in names] == [value.strip() for value in values]


def test_holder_is_not_shown() -> None:
    """A record in a traceback names nobody."""
    assert repr(parse_biodata(_line())) == "<biodata of one holder>"
