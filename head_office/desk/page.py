"""The Data Biometrik list (EC5071) over HTTP Basic: read-only, ten rows a page, NIK masked.

Searches are posted, not put into the address: a NIK has no business in a browser's history or a proxy's log.
"""

import asyncio
import base64
import binascii
import json
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from head_office import audit, claims, documents
from head_office.claims import Page, SearchBy
from head_office.custody import receipt_name
from head_office.desk.reasons import sentence
from head_office.desk.texts import words
from head_office.desk.users import DeskCrowdedError, DeskUsers
from head_office.documents import DocumentState, Key, Shown
from head_office.errors import DocumentNotReadError
from head_office.ledger.base import Ledger, Row
from head_office.moment import Clock, to_ms
from head_office.quarantine import Entry, entries
from head_office.requests_in import read_body

log = logging.getLogger(__name__)

SUFFIXES = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}
HERE = Path(__file__).parent
MOST_HELD = 500  # What a person reads through; the command lists all.
DESK_THREADS = 4  # Its own: whoever floods the sign-in takes no thread from devices, which have the common forty.
LARGEST_FORM = 4 << 10
LONGEST_KEYWORD = 100
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Desk:
    """The desk's routes, and who may use them."""

    def __init__(self, ledger: Ledger, users: DeskUsers, clock: Clock, read_document: Callable[[Key], bytes]) -> None:
        """``read_document`` opens one for a moment; DocumentNotReadError when it cannot here and now."""
        self._ledger, self._users, self._clock, self._read_document = ledger, users, clock, read_document
        self._threads = ThreadPoolExecutor(DESK_THREADS, thread_name_prefix="desk")
        self._style = (HERE / "style.css").read_bytes()
        templates = Environment(
            loader=FileSystemLoader(HERE), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
        )
        self._template = templates.get_template("list.html")
        self._quarantine_template = templates.get_template("quarantine.html")

    def add_to(self, app: FastAPI) -> None:
        app.add_route("/desk", self.list, methods=["GET", "POST"])
        app.add_route("/desk/documents/{agenda_no:int}/{index:int}", self.document, methods=["GET"])
        app.add_route("/desk/quarantine", self.quarantine, methods=["GET"])
        app.add_route("/desk/style.css", self.style, methods=["GET"])

    async def _in_thread(self, answer: Callable[..., Response], *arguments: object) -> Response:
        return await asyncio.get_running_loop().run_in_executor(self._threads, answer, *arguments)

    async def style(self, _request: Request) -> Response:
        return Response(self._style, media_type="text/css", headers={"X-Content-Type-Options": "nosniff"})

    async def list(self, request: Request) -> Response:
        language = "en" if request.query_params.get("lang") == "en" else "id"
        form = await _form(request)
        return await self._in_thread(self._list, request.headers.get("authorization", ""), language, form)

    def _list(self, authorization: str, language: str, form: dict[str, str]) -> Response:
        text = words(language)
        name, refusal = self._signed_in(authorization, text)
        if refusal is not None:
            return refusal
        by = SearchBy(form["by"]) if form.get("by") in set(SearchBy) else None
        keyword = form.get("keyword", "")[:LONGEST_KEYWORD]
        number = int(form["page"]) if form.get("page", "").isdecimal() and len(form["page"]) < 9 else 1
        page = claims.search(self._ledger, by, keyword, number)
        # Who looked, by which field, and how much was found; never what was looked for.
        with self._ledger.transaction() as tx:
            audit.record(
                tx, at_ms=to_ms(self._clock()), who=name, act="desk_list", by=by, page=page.number, found=page.total
            )
        return Response(self._render(name, language, by, keyword, page), media_type="text/html", headers=HEADERS)

    async def quarantine(self, request: Request) -> Response:
        language = "en" if request.query_params.get("lang") == "en" else "id"
        return await self._in_thread(self._quarantine, request.headers.get("authorization", ""), language)

    def _quarantine(self, authorization: str, language: str) -> Response:
        text = words(language)
        name, refusal = self._signed_in(authorization, text)
        if refusal is not None:
            return refusal
        found = entries(self._ledger)
        page = self._quarantine_template.render(
            t=text, language=language, user=name, packets=[_held(entry, text, language) for entry in found[:MOST_HELD]]
        )
        return Response(page, media_type="text/html", headers=HEADERS)

    async def document(self, request: Request) -> Response:
        language = "en" if request.query_params.get("lang") == "en" else "id"
        agenda_no, index = int(request.path_params["agenda_no"]), int(request.path_params["index"])
        authorization = request.headers.get("authorization", "")
        return await self._in_thread(self._document, authorization, language, agenda_no, index)

    def _document(self, authorization: str, language: str, agenda_no: int, index: int) -> Response:
        """One complete document, to be saved: never shown inside a page of ours, never taken for anything else."""
        name, refusal = self._signed_in(authorization, words(language))
        if refusal is not None:
            return refusal
        rows = self._ledger.read("SELECT device_id, packet_id FROM claims WHERE agenda_no = ?", (agenda_no,))
        shown = documents.of_claim(self._ledger, rows[0]["device_id"], bytes(rows[0]["packet_id"])) if rows else []
        found = next((one for one in shown if one.index == index and one.state is DocumentState.COMPLETE), None)
        # Before it is opened: what could not be recorded is not shown.
        with self._ledger.transaction() as tx:
            audit.record(
                tx,
                at_ms=to_ms(self._clock()),
                who=name,
                act="desk_document",
                agenda_no=agenda_no,
                index=index,
                found=found is not None,
            )
        if found is None:
            return _plain(404, words(language)["no_document"], {})
        try:
            content = self._read_document(Key(rows[0]["device_id"], bytes(rows[0]["packet_id"]), index))
        except DocumentNotReadError as error:
            log.warning("agenda %d, document %d: %s", agenda_no, index, error)
            return _plain(503, words(language)["not_read"], {})
        file = f"{agenda_no}-{index}-{found.type_code}.{SUFFIXES[str(found.media_type)]}"
        return Response(
            content,
            media_type=found.media_type,
            headers={
                **HEADERS,
                "Content-Disposition": f'attachment; filename="{file}"',
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cross-Origin-Resource-Policy": "same-origin",
            },
        )

    def _signed_in(self, authorization: str, text: dict[str, str]) -> tuple[str, Response | None]:
        """Who this is; or the answer that asks them to sign in."""
        name, password = _credentials(authorization)
        wait_s = self._users.locked_for_s(name)
        if wait_s > 0:
            return "", _plain(429, text["locked"], {"Retry-After": str(math.ceil(wait_s))})
        try:
            known = bool(name) and self._users.check(name, password)
        except DeskCrowdedError:
            return "", _plain(429, text["crowded"], {"Retry-After": "1"})
        if not known:
            challenge = {"WWW-Authenticate": 'Basic realm="MPOS desk", charset="UTF-8"'}
            return "", _plain(401, text["sign_in"], challenge)
        return name, None

    def _render(self, user: str, language: str, by: SearchBy | None, keyword: str, page: Page) -> str:
        text = words(language)
        return self._template.render(
            t=text,
            language=language,
            user=user,
            counts=self._counts(),
            choices=[(choice.value, text[choice.value]) for choice in SearchBy],
            by=by or "",
            keyword=keyword,
            notice=text["choose_first"] if keyword.strip() and by is None else "",
            claims=[
                _shown(row, text, language, shown)
                for row, shown in zip(page.rows, documents.of_claims(self._ledger, page.rows), strict=True)
            ],
            page=page,
            entries=text["entries"].format(first=page.first_entry, last=page.last_entry, total=page.total),
            page_of=text["page"].format(number=page.number, last=page.last_number),
        )

    def _counts(self) -> dict[str, int]:
        row = self._ledger.read(
            "SELECT (SELECT count(*) FROM packets WHERE opening IN ('HELD', 'QUARANTINED')) AS q,"
            " (SELECT count(*) FROM packets WHERE opening = 'WAITING') AS w, (SELECT count(*) FROM alarms) AS a"
        )[0]
        return {"quarantined": row["q"], "waiting": row["w"], "alarms": row["a"]}


def _held(entry: Entry, text: dict[str, str], language: str) -> dict[str, str]:
    since = claims.at_head_office(entry.at_ms)
    return {
        "receipt": entry.receipt or "-",
        "device": entry.device_id,
        "place": "-" if entry.seq is None else f"{entry.lane} {entry.seq}",
        "reason": entry.reason,
        "why": sentence(entry.reason, language),
        "where": text[f"packet_{entry.state}"],
        "since": f"{since:%Y-%m-%d %H:%M} WIB",
        "asked": entry.asked or "-",
    }


def _scan(one: Shown, text: dict[str, str]) -> dict[str, object]:
    """One document in a claim's detail."""
    known = f"{one.have} / {one.parts}" if one.parts else ""
    return {
        "index": one.index,
        "name": one.type_code + (f" ({text['supplement']})" if one.supplement else ""),
        "state": text[f"document_{one.state}"],
        "parts": known if one.state is DocumentState.WAITING else "",
        "open": one.state is DocumentState.COMPLETE,
        "altered": one.state is DocumentState.ALTERED,
    }


def _shown(row: Row, text: dict[str, str], language: str, scans: Sequence[Shown]) -> dict[str, object]:
    months = claims.MONTHS_EN if language == "en" else claims.MONTHS_ID
    captured = claims.at_head_office(row["captured_at"])
    return {
        "status": text.get(row["status"], row["status"]),
        "agenda_no": row["agenda_no"],
        "npp": row["npp"] or "-",
        "company_name": row["company_name"] or "-",
        "full_name": row["full_name"],
        "kpj": row["kpj"],
        "nik": claims.mask_nik(row["nik"]),
        "agenda_date": claims.print_day(row["agenda_at"], months),
        "na_code": text.get(row["na_code"], row["na_code"]),
        "scans": [_scan(one, text) for one in scans],
        "counted": documents.counted(scans),
        "flags": [text.get(flag, flag) for flag in json.loads(row["flags"])],
        "detail": [
            (text["receipt"], receipt_name(row["receipt_no"])),
            (text["programme"], row["programme"]),
            (text["reason"], row["reason_code"]),
            (text["path"], text.get(row["path"], row["path"])),
            (text["branch"], " / ".join(filter(None, (row["branch_code"], row["kanwil_code"], row["partner_code"])))),
            (text["device"], row["device_id"]),
            (text["captured"], f"{captured:%Y-%m-%d %H:%M} WIB"),
        ],
    }


async def _form(request: Request) -> dict[str, str]:
    if request.method != "POST":
        return {}
    body = await read_body(request, LARGEST_FORM)
    return {key: values[-1] for key, values in parse_qs(body.decode("utf-8", "replace"), max_num_fields=10).items()}


def _credentials(authorization: str) -> tuple[str, str]:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _plain(status: int, sentence: str, headers: dict[str, str]) -> Response:
    return Response(sentence, status, media_type="text/plain", headers={**HEADERS, **headers})
