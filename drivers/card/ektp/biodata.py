"""The biodata line of an e-KTP (EF ``6FF1``): 21 quoted fields to a typed record. Pure.

The chip holds ASCII text such as ``"value","value",...`` without a newline. Values contain commas and
apostrophes, so the separator is quote, comma, quote; a single comma or quote belongs to the value.
"""

import datetime
import re
from dataclasses import dataclass

from drivers.card.errors import ChipDataError

FIELDS = 21
"""Fields on every card seen; newer cards may append more."""

RIGHT_INDEX, LEFT_INDEX = 2, 7
"""Finger positions of ISO/IEC 19794-2 that stand in for an empty field."""

_DATE = re.compile(r"(\d{1,2})-(\d{1,2})-(\d{4})")


class BiodataError(ChipDataError):
    """The biodata line does not have its shape. Says which part, never what stood there."""

    def __init__(self, detail: str) -> None:
        super().__init__("chip", "reading biodata", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Biodata:
    """The holder as the chip names them. Personal data: it has no useful ``repr``."""

    nik: str
    address: str
    rt: str
    rw: str
    birth_place: str
    kecamatan: str
    kelurahan: str
    kabupaten: str
    sex: str
    """``LAKI-LAKI`` or ``PEREMPUAN``."""
    blood_group: str
    """``-`` when unknown."""
    religion: str
    marital_status: str
    occupation: str
    name: str
    birth_date: datetime.date
    province: str
    valid_until: str
    """As written: a date, or ``SEUMUR HIDUP``."""
    right_finger: int
    """ISO position 1-5 of the finger in the first minutiae file."""
    left_finger: int
    """ISO position 6-10 of the finger in the second minutiae file."""
    nationality: str
    """``WNI`` or ``WNA``."""
    field_20: str
    """No public source names it; perhaps the place of issue."""
    extra: tuple[str, ...] = ()
    """Fields beyond the 21st, kept unread."""

    def __repr__(self) -> str:
        return "<biodata of one holder>"


def parse_biodata(content: bytes) -> Biodata:
    """Read the payload of ``6FF1`` (without its length prefix; trailing zero bytes are accepted).

    Raises
    ------
    BiodataError
        Not a quoted line, fewer than 21 fields, or an impossible birth date.
    """
    # Latin-1 is ASCII with every other byte kept as a character: nothing on a card can fail to decode.
    line = content.rstrip(b"\x00").decode("latin-1")
    if len(line) < 2 or line[0] != '"' or line[-1] != '"':
        raise BiodataError("does not begin and end with a quote")
    values = [value.strip() for value in line[1:-1].split('","')]
    if len(values) < FIELDS:
        raise BiodataError(f"{len(values)} fields, expected {FIELDS}")
    return Biodata(
        nik=values[0],
        address=values[1],
        rt=values[2],
        rw=values[3],
        birth_place=values[4],
        kecamatan=values[5],
        kelurahan=values[6],
        kabupaten=values[7],
        sex=values[8],
        blood_group=values[9],
        religion=values[10],
        marital_status=values[11],
        occupation=values[12],
        name=values[13],
        birth_date=_date(values[14]),
        province=values[15],
        valid_until=values[16],
        right_finger=_position(values[17], 1, 5, RIGHT_INDEX),
        left_finger=_position(values[18], 6, 10, LEFT_INDEX),
        nationality=values[19],
        field_20=values[20],
        extra=tuple(values[FIELDS:]),
    )


def _date(text: str) -> datetime.date:
    """D-M-YYYY, days and months without leading zeros on the cards seen, with them accepted."""
    match = _DATE.fullmatch(text) if text.isascii() else None
    if match is None:
        raise BiodataError("birth date is not D-M-YYYY")
    day, month, year = (int(part) for part in match.groups())
    try:
        return datetime.date(year, month, day)
    except ValueError as error:
        raise BiodataError("birth date is not in the calendar") from error


def _position(text: str, lowest: int, highest: int, default: int) -> int:
    """A finger position of that hand; anything else means the index, the template's own byte decides anyway."""
    if text.isascii() and text.isdigit() and len(text) <= 2 and lowest <= int(text) <= highest:
        return int(text)
    return default
