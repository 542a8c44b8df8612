"""The Data Biometrik list as a verifier sees it."""

import asyncio
import re
import threading
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from head_office import audit, documents
from head_office.app import DeviceRoutes, make_app
from head_office.claims import mask_nik, parse_day
from head_office.desk.page import Desk
from head_office.desk.users import FAILURES_ALLOWED, LOCKED_S, DeskUsers
from head_office.documents import Key
from head_office.keys.authority import Authority
from head_office.keys.recipients import load_private_keys, load_recipients
from tests.head_office.conftest import Office

NAME, PASSWORD = "verifikator", "kata sandi yang panjang"
FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class DeskUnderTest:
    """The desk's routes over a head office in this process."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.now_s = 0.0
        self.users = DeskUsers(office.ledger, clock=office.clock, monotonic=lambda: self.now_s, hasher=FAST)
        self.users.add(NAME, PASSWORD, by="test")
        authority = Authority.load(office.home)
        recipients = load_recipients(office.home)
        devices = DeviceRoutes(
            office.registry, office.ingest, authority, office.signer, recipients, renewals=office.renewals
        )
        self._app: FastAPI = make_app(devices, self._desk(), lambda: None)

    def _desk(self) -> Desk:
        def read(key: Key) -> bytes:
            return b"".join(documents.content_of(self.office.ledger, load_private_keys(self.office.home), key))

        return Desk(self.office.ledger, self.users, self.office.clock, read)

    def page(self, language: str = "", **form: str) -> str:
        auth = (NAME, PASSWORD)
        address = "/desk" + (f"?lang={language}" if language else "")
        reply = self.request("POST", address, data=form, auth=auth) if form else self.get(address, auth=auth)
        assert reply.status_code == 200, reply.text
        return reply.text

    def request(self, method: str, address: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
                return await client.request(method, address, **more)

        return asyncio.run(ask())

    def get(self, address: str, **more: Any) -> httpx.Response:
        return self.request("GET", address, **more)

    def kpjs(self, **form: str) -> list[str]:
        return re.findall(r"99ZZ\d{7}", self.page(language="", **form))

    def fill(self, count: int) -> None:
        device = self.office.device()
        self.office.receive(device, *(device.seal(number=n) for n in range(1, count + 1)))
        self.office.claims()


@pytest.fixture
def desk(office: Office) -> DeskUnderTest:
    return DeskUnderTest(office)


def test_the_columns_are_those_people_know(desk: DeskUnderTest) -> None:
    """EC5071's columns in their order, in Indonesian, with the same shapes of values."""
    desk.fill(1)
    page = desk.page()
    heads = re.findall(r"<th>(.*?)</th>", page)
    assert heads == [
        "Aksi", "No Agenda Klaim", "NPP", "Nama Perusahaan", "Nama Lengkap", "KPJ", "NIK", "Tgl Agenda", "Kode NA",
        "Dokumen", "Detail",
    ]  # fmt: skip
    for value in ("1000001", "ZZ0Z0001", "PT CONTOH UJI", "PESERTA UJI SATU", "99ZZ0000001", "05-JAN-2026"):
        assert value in page
    assert "Agenda Date" in desk.page("en")


def test_the_nik_is_masked_everywhere_on_the_page(desk: DeskUnderTest) -> None:
    """The whole number never reaches the browser unless the verifier typed it."""
    desk.fill(3)
    page = desk.page()
    assert "99**********0001" in page
    assert not re.search(r"\b99\d{14}\b", page)


def test_ten_rows_a_page_newest_first(desk: DeskUnderTest) -> None:
    """Twenty-three claims fill three pages, and the counter says which rows are shown."""
    desk.fill(23)
    assert desk.kpjs() == [f"99ZZ{n:07d}" for n in range(23, 13, -1)]
    assert desk.kpjs(page="3") == ["99ZZ0000003", "99ZZ0000002", "99ZZ0000001"]
    assert "Menampilkan 21 sampai 23 dari 23 entri" in desk.page(page="3")
    assert desk.kpjs(page="99") == desk.kpjs(page="3")
    assert desk.kpjs(page="-1") == desk.kpjs(page="1")
    assert "Showing 1 to 10 of 23 entries" in desk.page("en", page="1")


@pytest.mark.parametrize(
    ("by", "keyword", "found"),
    [
        ("agenda", "1000002", [2]),
        ("agenda", "x", []),
        ("npp", "zz0z0001", [3, 2, 1]),
        ("name", "uji satu", [3, 2, 1]),
        ("name", "100%", []),
        ("name", "_", []),
        ("kpj", " 99zz-0000003 ", [3]),
        ("nik", "9900000000000002", [2]),
        ("nik", "99000000000000", []),
        ("date", "05-JAN-2026", [3, 2, 1]),
        ("date", "2026-01-05", [3, 2, 1]),
        ("date", "06-01-2026", []),
        ("date", "31-02-2026", []),
        ("kpj", "' OR 1=1 --", []),
    ],
)
def test_search(desk: DeskUnderTest, by: str, keyword: str, found: list[int]) -> None:
    """By number, company, name, card, identity or day; forgiving in form, exact in numbers."""
    desk.fill(3)
    page = desk.page(by=by, keyword=keyword, page="1")
    rows = re.findall(r'<td class="code">(10000\d\d)</td>', page)
    assert rows == [str(1_000_000 + n) for n in found]


def test_a_keyword_without_a_kind_is_not_silently_ignored(desk: DeskUnderTest) -> None:
    """Whoever forgets to choose what the keyword is sees everything, and is told why."""
    desk.fill(1)
    page = desk.page(by="", keyword="99ZZ0000009", page="1")
    assert "Pilih dahulu apa yang dicari" in page
    assert "99ZZ0000001" in page


def test_names_cannot_bring_markup_with_them(desk: DeskUnderTest) -> None:
    """A company that calls itself a script is shown as text."""
    device = desk.office.device()
    desk.office.receive(device, device.seal(company_name="<script>alert(1)</script>"))
    desk.office.claims()
    page = desk.page()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<img" not in desk.page(by="name", keyword='"><img src=x>')


def test_without_the_password_nothing_is_shown(desk: DeskUnderTest) -> None:
    """No name, a wrong name, a wrong password and nonsense are all answered alike."""
    desk.fill(1)
    replies = [
        desk.get("/desk"),
        desk.get("/desk", auth=("nobody", PASSWORD)),
        desk.get("/desk", auth=(NAME, "wrong password")),
        desk.get("/desk", headers={"Authorization": "Basic !!!"}),
        desk.get("/desk", headers={"Authorization": "Bearer x"}),
    ]
    assert {(reply.status_code, reply.text) for reply in replies} == {(401, "Masuk diperlukan.")}


def test_guessing_is_slowed_down(desk: DeskUnderTest) -> None:
    """After five failures even the right password waits a minute."""
    for _ in range(FAILURES_ALLOWED):
        assert desk.get("/desk", auth=(NAME, "wrong password")).status_code == 401
    reply = desk.get("/desk", auth=(NAME, PASSWORD))
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "60")
    desk.now_s += LOCKED_S
    assert desk.get("/desk", auth=(NAME, PASSWORD)).status_code == 200


def test_a_crowd_of_guesses_is_sent_away_and_takes_no_thread_from_devices(
    desk: DeskUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passwords are being checked: a third is answered "in a moment", in a thread no device needs."""
    threads: list[str] = []
    check = desk.users.check

    def noting(name: str, password: str) -> bool:
        threads.append(threading.current_thread().name)
        return check(name, password)

    monkeypatch.setattr(desk.users, "check", noting)
    for _ in range(2):
        assert desk.users._slots.acquire(blocking=False)
    reply = desk.get("/desk", auth=(NAME, PASSWORD))
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "1")
    for _ in range(2):
        desk.users._slots.release()
    assert desk.get("/desk", auth=(NAME, PASSWORD)).status_code == 200
    assert all(thread.startswith("desk") for thread in threads)


def test_a_claim_of_the_last_day_of_the_calendar_does_not_take_the_list_down(desk: DeskUnderTest) -> None:
    """A device's clock may say anything; the row is shown, and so are the others."""
    device = desk.office.device()
    end = datetime(9999, 12, 31, 23, 30, tzinfo=UTC)
    desk.office.receive(device, device.seal(number=1), device.seal(number=2, captured_at=end))
    assert len(desk.office.claims()) == 2
    assert desk.kpjs() == ["99ZZ0000002", "99ZZ0000001"]


def test_who_looked_is_recorded_and_what_for_is_not(desk: DeskUnderTest) -> None:
    """The record of acts names user, field and number of rows; a search for a NIK does not put it there."""
    desk.fill(1)
    desk.page(by="nik", keyword="9900000000000001", page="1")
    rows = desk.office.ledger.read("SELECT who, act, facts FROM acts")
    assert (rows[-1]["who"], rows[-1]["act"]) == (NAME, "desk_list")
    assert not any("9900000000000001" in row["facts"] for row in rows)
    assert audit.first_break(desk.office.ledger) is None


def test_a_changed_act_is_found(desk: DeskUnderTest) -> None:
    """Rewriting or removing a row breaks the chain at that row."""
    desk.page()
    desk.page()
    with desk.office.ledger.transaction() as tx:
        tx.execute("UPDATE acts SET who = 'somebody else' WHERE act_no = 2")
    assert audit.first_break(desk.office.ledger) == 2
    with desk.office.ledger.transaction() as tx:
        tx.execute("DELETE FROM acts WHERE act_no = 2")
    assert audit.first_break(desk.office.ledger) == 2


def test_the_page_is_not_kept_by_browsers_and_proxies(desk: DeskUnderTest) -> None:
    """Personal data leave no copies behind, and no foreign script or frame gets in."""
    headers = desk.get("/desk", auth=(NAME, PASSWORD)).headers
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"


def test_quarantine_and_alarms_are_in_sight(desk: DeskUnderTest) -> None:
    """Whoever works at the desk sees that packets wait for a person."""
    device = desk.office.device()
    desk.office.receive(device, device.seal(b"\xff"))
    desk.office.claims()
    assert "Paket dikarantina: 1" in desk.page()


def test_short_passwords_and_odd_names_are_refused(desk: DeskUnderTest) -> None:
    """HTTP Basic cannot carry a colon in a name, and twelve characters are the least."""
    for name, password in (("a:b", PASSWORD), ("", PASSWORD), ("ok", "short")):
        with pytest.raises(ValueError, match="characters"):
            desk.users.add(name, password, by="test")


def test_days_are_read_in_both_languages() -> None:
    """Operators type the months as they are used to."""
    assert parse_day("04-AGU-2026") == parse_day("04-aug-2026") == parse_day("2026-08-04")
    assert parse_day("yesterday") is None


def test_masks_keep_only_both_ends() -> None:
    """Province and serial of a NIK; nothing of a short number."""
    assert mask_nik("9912345678900001") == "99**********0001"
    assert mask_nik("A12345") == "******"
