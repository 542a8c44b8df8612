"""The opened claims: numbered for the agenda, found again by the desk and the command line."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum

from head_office.ledger.base import Ledger, Row, Transaction, Value
from head_office.ledger.gapless import next_number
from head_office.moment import from_ms, to_ms

PAGE_SIZE = 10
LAST_SHOWN_MS = 253_402_214_400_000  # 9999-12-31T00:00Z: a day later there is no such time in Jakarta.
JAKARTA = timezone(timedelta(hours=7), "WIB")  # Head office's day. Indonesia has no summer time.


class SearchBy(StrEnum):
    """What the keyword of a search is."""

    AGENDA = "agenda"
    NPP = "npp"
    NAME = "name"
    KPJ = "kpj"
    NIK = "nik"
    DATE = "date"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedClaim:
    """The row of one claim: what the list, the rules and the later decision need of the packet.

    ``nik`` is the number of the passport or letter where there is no card; ``path`` is BIOMETRIC or MANUAL;
    ``detail`` holds the packet's fields, without the photo.
    """

    packet_id: bytes
    device_id: str
    branch_code: str
    kanwil_code: str
    partner_code: str | None
    programme: str
    reason_code: str
    npp: str | None
    company_name: str | None
    full_name: str
    kpj: str
    nik: str
    na_code: str
    path: str
    flags: tuple[str, ...]
    captured_at: datetime
    detail: dict[str, object]


@dataclass(frozen=True, slots=True)
class Page:
    """Ten rows of a list, and where they lie in it; ``number`` counts from 1."""

    rows: list[Row]
    number: int
    total: int

    @property
    def last_number(self) -> int:
        return max(1, -(-self.total // PAGE_SIZE))

    @property
    def first_entry(self) -> int:
        return (self.number - 1) * PAGE_SIZE + 1 if self.total else 0

    @property
    def last_entry(self) -> int:
        return min(self.number * PAGE_SIZE, self.total)


def insert(tx: Transaction, receipt_no: int, claim: OpenedClaim, now: datetime) -> int:
    """Store an opened claim as PENDING and return the agenda number it was given."""
    agenda_no = next_number(tx, "agenda")
    columns: dict[str, Value] = {
        **{name: value for name, value in asdict(claim).items() if name not in ("flags", "detail", "captured_at")},
        "receipt_no": receipt_no,
        "agenda_no": agenda_no,
        "agenda_at": to_ms(now),
        "status": "PENDING",
        "flags": json.dumps(claim.flags),
        "captured_at": to_ms(claim.captured_at),
        "detail": json.dumps(claim.detail, ensure_ascii=False),
    }
    # Names come from the code above, never from outside.
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    tx.execute(f"INSERT INTO claims ({names}) VALUES ({places})", tuple(columns.values()))  # noqa: S608
    return agenda_no


def search(ledger: Ledger, by: SearchBy | None, keyword: str, page_number: int) -> Page:
    """One page of the list, newest agenda first; a keyword that cannot be what ``by`` says finds nothing."""
    condition, values = _condition(by, keyword.strip())
    total = int(ledger.read(f"SELECT count(*) AS n FROM claims WHERE {condition}", values)[0]["n"])  # noqa: S608
    last_page = max(1, -(-total // PAGE_SIZE))
    number = min(max(1, page_number), last_page)
    rows = ledger.read(
        f"SELECT * FROM claims WHERE {condition} ORDER BY agenda_no DESC LIMIT ? OFFSET ?",  # noqa: S608
        (*values, PAGE_SIZE, (number - 1) * PAGE_SIZE),
    )
    return Page(rows, number, total)


def all_claims(ledger: Ledger) -> list[Row]:
    """Every claim, oldest agenda first."""
    return ledger.read(
        "SELECT c.*, p.digest, p.lane, p.seq, p.stored_at FROM claims c"
        " JOIN packets p ON p.receipt_no = c.receipt_no AND p.device_id = c.device_id ORDER BY c.agenda_no"
    )


def _condition(by: SearchBy | None, keyword: str) -> tuple[str, tuple[Value, ...]]:
    """An SQL condition made of constant text, and its values."""
    code = re.sub(r"[\s.\-]", "", keyword).upper()
    if by is None or not keyword:
        return "1 = 1", ()
    match by:
        case SearchBy.AGENDA:
            return ("agenda_no = ?", (int(code),)) if re.fullmatch(r"[0-9]{1,12}", code) else ("1 = 0", ())
        case SearchBy.NPP:
            return "npp = ?", (code,)
        case SearchBy.KPJ:
            return "kpj = ?", (code,)
        case SearchBy.NIK:
            return "nik = ?", (code,)
        case SearchBy.NAME:
            plain = re.sub(r"([\\%_])", r"\\\1", keyword.upper())
            return "upper(full_name) LIKE ? ESCAPE '\\'", (f"%{plain}%",)
        case SearchBy.DATE:
            day = parse_day(keyword)
            if day is None:
                return "1 = 0", ()
            start = datetime(day.year, day.month, day.day, tzinfo=JAKARTA)
            return "agenda_at >= ? AND agenda_at < ?", (to_ms(start), to_ms(start + timedelta(days=1)))


MONTHS_ID = ("JAN", "FEB", "MAR", "APR", "MEI", "JUN", "JUL", "AGU", "SEP", "OKT", "NOV", "DES")
MONTHS_EN = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def at_head_office(ms: int) -> datetime:
    """That moment on head office's clock. A device may say any time up to the end of the year 9999, UTC."""
    return from_ms(min(ms, LAST_SHOWN_MS)).astimezone(JAKARTA)


def print_day(ms: int, months: tuple[str, ...]) -> str:
    """``04-APR-2018``, the day at head office."""
    moment = at_head_office(ms)
    return f"{moment.day:02d}-{months[moment.month - 1]}-{moment.year}"


def parse_day(text: str) -> date | None:
    """Read ``04-APR-2018`` with Indonesian or English months, ``04-04-2018`` or ``2018-04-04``."""
    parts = text.strip().upper().split("-")
    if len(parts) != 3:
        return None
    day, month, year = parts if len(parts[2]) == 4 else reversed(parts)
    for months in (MONTHS_ID, MONTHS_EN):
        if month in months:
            month = str(months.index(month) + 1)
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def mask_nik(nik: str) -> str:
    """Province and serial stay readable, district and birth date do not."""
    return nik[:2] + "*" * (len(nik) - 6) + nik[-4:] if len(nik) > 6 else "*" * len(nik)
