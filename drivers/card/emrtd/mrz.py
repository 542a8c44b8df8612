"""The machine-readable zone of a travel document (ICAO Doc 9303 parts 3 to 6): fields, check digits, the BAC key. Pure.

Three layouts: TD3 (passport, 2 lines of 44), TD2 (2 of 36), TD1 (card, 3 of 30). What is read here is personal:
nothing of it is shown by a ``repr`` or named in an error.
"""

import datetime
import enum
import re
from dataclasses import dataclass, field

from drivers.card.secure_messaging import Keys, sha1

FILLER = "<"
_WEIGHTS = (7, 3, 1)
_CHARACTERS = re.compile(r"[0-9A-Z<]+")
_SIX_DIGITS = re.compile(r"[0-9]{6}")
_SEED_SIZE = 16


class Wrong(enum.Enum):
    """What is wrong with a zone that was typed or scanned; the person at the counter can put it right."""

    SHAPE = "shape"
    """Not two lines of 44 or 36 characters, nor three of 30, of A-Z, 0-9 and <."""
    DOCUMENT_NUMBER = "document_number"
    BIRTH_DATE = "birth_date"
    EXPIRY_DATE = "expiry_date"
    COMPOSITE = "composite"
    """Every field has its check digit right, the last one over all of them is wrong."""


class MrzError(ValueError):
    """A zone that does not hold together. ``wrong`` says where; the content is not repeated."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(f"machine-readable zone: {wrong.value}")
        self.wrong = wrong


@dataclass(frozen=True, slots=True, repr=False)
class MrzKey:
    """The three fields that open a chip by basic access control.

    ``document_number`` without its fillers, ``birth_date`` and ``expiry_date`` as ``YYMMDD``.
    """

    document_number: str
    birth_date: str
    expiry_date: str

    @classmethod
    def typed(cls, document_number: str, birth_date: datetime.date, expiry_date: datetime.date) -> "MrzKey":
        """From what stands on the data page. Raises MrzError for a number no document has."""
        number = re.sub(r"[\s.\-/]+", "", document_number).upper().rstrip(FILLER)
        if not re.fullmatch(r"[0-9A-Z<]{1,22}", number):
            raise MrzError(Wrong.DOCUMENT_NUMBER)
        return cls(number, f"{birth_date:%y%m%d}", f"{expiry_date:%y%m%d}")

    @classmethod
    def scanned(cls, text: str) -> "MrzKey":
        """From the whole zone as a page scanner or a careful hand gives it. Raises MrzError."""
        zone = MrzHolder.read(text)
        return cls(zone.document_number, zone.birth_field, zone.expiry_field)

    @property
    def information(self) -> str:
        """Number, date of birth, date of expiry, each with its check digit."""
        number = self.document_number.ljust(9, FILLER)
        return "".join(part + check_digit(part) for part in (number, self.birth_date, self.expiry_date))

    def keys(self) -> Keys:
        """The chip's static keys: derived from the first 16 bytes of SHA-1 over the information."""
        return Keys.derive(sha1(self.information.encode("ascii"))[:_SEED_SIZE])


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class MrzHolder:
    """The fields of one zone. Dates stay as they are written: centuries and unknown days are the reader's guess."""

    document_code: str
    issuing_state: str
    document_number: str
    surname: str
    given_names: str
    nationality: str
    birth_field: str
    """``YYMMDD``; unknown parts are fillers."""
    sex: str
    """``M``, ``F``, or empty where the document does not say."""
    expiry_field: str
    optional: str = field(default="")

    @property
    def name(self) -> str:
        """Given names before the surname, as one line. The zone has no accents and may be cut off."""
        return f"{self.given_names} {self.surname}".strip()

    def birth_date(self, today: datetime.date) -> datetime.date | None:
        """The latest such day that is not in the future; None where a part is unknown or impossible."""
        dates = [_date(century, self.birth_field) for century in (2000, 1900)]
        return next((day for day in dates if day is not None and day <= today), None)

    def expiry_date(self) -> datetime.date | None:
        """In this century; None where it is impossible."""
        return _date(2000, self.expiry_field)

    @classmethod
    def read(cls, text: str) -> "MrzHolder":
        """The fields of a zone, its lines together or apart, spaces between characters ignored.

        Raises
        ------
        MrzError
            Another length, another character, or a check digit that is wrong.
        """
        zone = "".join(text.split()).upper()
        if not _CHARACTERS.fullmatch(zone):
            raise MrzError(Wrong.SHAPE)
        match len(zone):
            case 88:
                return _two_lines(zone, 44)
            case 72:
                return _two_lines(zone, 36)
            case 90:
                return _three_lines(zone)
            case _:
                raise MrzError(Wrong.SHAPE)


def check_digit(content: str) -> str:
    """Weights 7, 3, 1 over digits, letters (A = 10) and fillers (0), modulo 10."""
    values = (0 if character == FILLER else int(character, 36) for character in content)
    return str(sum(value * _WEIGHTS[place % 3] for place, value in enumerate(values)) % 10)


def _two_lines(zone: str, width: int) -> MrzHolder:
    upper, lower = zone[:width], zone[width:]
    number, digit, optional = lower[:9], lower[9], lower[28 : width - 1]
    birth, expiry = lower[13:19], lower[21:27]
    number, optional_left = _number(number, digit, optional)
    _check(birth, lower[19], Wrong.BIRTH_DATE)
    _check(expiry, lower[27], Wrong.EXPIRY_DATE)
    _check(lower[:10] + lower[13:20] + lower[21 : width - 1], lower[width - 1], Wrong.COMPOSITE)
    return _holder(
        upper,
        names=upper[5:],
        number=number,
        nationality=lower[10:13],
        birth=birth,
        sex=lower[20],
        expiry=expiry,
        optional=optional_left,
    )


def _three_lines(zone: str) -> MrzHolder:
    first, second, third = zone[:30], zone[30:60], zone[60:]
    number, optional = _number(first[5:14], first[14], first[15:])
    birth, expiry = second[:6], second[8:14]
    _check(birth, second[6], Wrong.BIRTH_DATE)
    _check(expiry, second[14], Wrong.EXPIRY_DATE)
    _check(first[5:] + second[:7] + second[8:15] + second[18:29], second[29], Wrong.COMPOSITE)
    return _holder(
        first,
        names=third,
        number=number,
        nationality=second[15:18],
        birth=birth,
        sex=second[7],
        expiry=expiry,
        optional=optional,
    )


def _number(number: str, digit: str, optional: str) -> tuple[str, str]:
    """The document number and what is left of the optional field: a long number goes on in there."""
    if digit == FILLER and optional[:1] not in ("", FILLER):
        rest, _, left = optional.partition(FILLER)
        number, digit, optional = number + rest[:-1], rest[-1], left
    _check(number, digit, Wrong.DOCUMENT_NUMBER)
    if not number.strip(FILLER):
        raise MrzError(Wrong.DOCUMENT_NUMBER)
    return number.rstrip(FILLER), optional


def _holder(
    first: str, *, names: str, number: str, nationality: str, birth: str, sex: str, expiry: str, optional: str
) -> MrzHolder:
    surname, _, given = names.partition(FILLER * 2)
    return MrzHolder(
        document_code=first[:2].rstrip(FILLER),
        issuing_state=first[2:5].rstrip(FILLER),
        document_number=number,
        surname=_words(surname),
        given_names=_words(given),
        nationality=nationality.rstrip(FILLER),
        birth_field=birth,
        sex=sex if sex in ("M", "F") else "",
        expiry_field=expiry,
        optional=optional.strip(FILLER),
    )


def _words(names: str) -> str:
    return " ".join(names.replace(FILLER, " ").split())


def _check(content: str, digit: str, wrong: Wrong) -> None:
    if check_digit(content) != digit:
        raise MrzError(wrong)


def _date(century: int, text: str) -> datetime.date | None:
    if not _SIX_DIGITS.fullmatch(text):
        return None
    try:
        return datetime.date(century + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        return None
