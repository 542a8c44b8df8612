"""The machine-readable zone: the standard's own specimens, and what typing makes of them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.card.emrtd.mrz import MrzError, MrzHolder, MrzKey, Wrong, check_digit

TD3 = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
TD2 = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6"
TD1 = "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"
"""Specimens of ICAO Doc 9303 parts 4, 6 and 5."""
TODAY = datetime.date(2026, 11, 20)


@pytest.mark.parametrize("zone", [TD3, TD2, TD1], ids=["passport", "two lines of 36", "three lines of 30"])
def test_specimens_of_the_standard_are_read(zone: str) -> None:
    """Holder and dates, from each of the three layouts."""
    holder = MrzHolder.read(zone)
    assert (holder.surname, holder.given_names, holder.name) == ("ERIKSSON", "ANNA MARIA", "ANNA MARIA ERIKSSON")
    assert (holder.issuing_state, holder.nationality, holder.sex) == ("UTO", "UTO", "F")
    assert holder.birth_date(TODAY) == datetime.date(1974, 8, 12)
    assert holder.expiry_date() == datetime.date(2012, 4, 15)
    assert holder.document_number in ("L898902C3", "D23145890")


def test_key_of_the_worked_example_is_derived() -> None:
    """ICAO Doc 9303 part 11, appendix D: information, then both keys."""
    key = MrzKey("L898902C<", "690806", "940623")
    assert key.information == "L898902C<369080619406236"
    assert key.keys().enc.hex().upper() == "AB94FDECF2674FDFB9B391F85D7F76F2"
    assert key.keys().mac.hex().upper() == "7962D9ECE03D1ACD4C76089DCE131543"


def test_scanned_and_typed_zone_give_the_same_key() -> None:
    """A page scanner's lines, or three fields copied by the operator, with the spaces people put in."""
    typed = MrzKey.typed(" l89-8902 c3 ", datetime.date(1974, 8, 12), datetime.date(2012, 4, 15))
    assert MrzKey.scanned(TD3.lower().replace("\n", "\r\n ")) == typed
    assert MrzKey.typed("L898902C", datetime.date(1969, 8, 6), datetime.date(1994, 6, 23)).information == (
        "L898902C<369080619406236"
    )


def test_number_longer_than_its_field_goes_on_in_the_optional_one() -> None:
    """Cards of some states have such numbers; their key holds the whole number and its digit."""
    number = "D23145890734"
    first = f"I<UTO{number[:9]}<{number[9:]}{check_digit(number)}".ljust(30, "<")
    second = "7408122F1204159UTO<<<<<<<<<<<"
    composite = check_digit(first[5:] + second[:7] + second[8:15] + second[18:29])
    holder = MrzHolder.read(first + second + composite + "ERIKSSON<<ANNA".ljust(30, "<"))
    assert holder.document_number == number
    assert MrzKey.scanned(first + second + composite + "ERIKSSON<<ANNA".ljust(30, "<")).information.startswith(
        number + check_digit(number)
    )


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (44, Wrong.DOCUMENT_NUMBER),
        (44 + 13, Wrong.BIRTH_DATE),
        (44 + 21, Wrong.EXPIRY_DATE),
        (44 + 30, Wrong.COMPOSITE),
        (87, Wrong.COMPOSITE),
    ],
)
def test_mistyped_character_names_its_field(place: int, wrong: Wrong) -> None:
    """The operator looks at one field again instead of at two lines."""
    zone = TD3.replace("\n", "")
    with pytest.raises(MrzError) as caught:
        MrzHolder.read(zone[:place] + ("8" if zone[place] != "8" else "9") + zone[place + 1 :])
    assert caught.value.wrong is wrong


@given(st.text(max_size=100) | st.from_regex(r"[A-Z0-9<]{88}", fullmatch=True))
def test_whatever_is_scanned_is_read_or_refused_by_name(text: str) -> None:
    """Nothing else comes out, and the refusal repeats nothing of it."""
    said: str | None = None
    try:
        MrzHolder.read(text)
    except MrzError as error:
        said = str(error)
    assert said is None or said in {f"machine-readable zone: {wrong.value}" for wrong in Wrong}


@pytest.mark.parametrize("birth", ["74<<<<", "740230", "<<<<<<"])
def test_birth_date_nobody_knows_is_no_date(birth: str) -> None:
    """Such documents exist; the chip still opens with what is printed."""
    zone = TD3.replace("\n", "")
    lower = zone[44:57] + birth + check_digit(birth) + zone[64:87]
    composite = check_digit(lower[:10] + lower[13:20] + lower[21:43])
    assert MrzHolder.read(zone[:44] + lower + composite).birth_date(TODAY) is None


def test_nothing_of_holder_or_key_is_shown() -> None:
    """Tracebacks and logs print arguments."""
    shown = repr(MrzHolder.read(TD3)) + repr(MrzKey.scanned(TD3))
    assert "ERIKSSON" not in shown
    assert "L898902C" not in shown
