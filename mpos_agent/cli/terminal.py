"""Answers from a person at the terminal: questions in Indonesian first, English beside, defaults in brackets."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.prompt import Prompt

from mpos_agent.claim.steps.documents import MOST_PAGES
from mpos_agent.claim.steps.slip import local_time
from mpos_agent.cli.answers import Attach, Fields
from mpos_agent.cli.shell import Shell
from sync.packet import TimeZone

Choice = tuple[str, str, str]
"""Code or field name, Indonesian, English."""

_METHODS: tuple[Choice, ...] = (("ON_SCREEN", "di layar", "on screen"), ("READ_ALOUD", "dibacakan", "read aloud"))
_SEGMENTS: tuple[Choice, ...] = (
    ("PU", "penerima upah", "employee"),
    ("BPU", "bukan penerima upah", "self-employed"),
    ("PMI", "pekerja migran", "migrant worker"),
    ("JAKON", "jasa konstruksi", "construction"),
)
_RELATIONS: tuple[Choice, ...] = (
    ("SELF", "peserta sendiri", "the member"),
    ("SPOUSE", "suami/istri", "spouse"),
    ("CHILD", "anak", "child"),
    ("PARENT", "orang tua", "parent"),
    ("OTHER_HEIR", "ahli waris lain", "other heir"),
    ("GUARDIAN", "wali", "guardian"),
)
_SOURCES: tuple[Choice, ...] = (
    ("KTP_MANUAL", "KTP tanpa chip", "card without chip"),
    ("SUKET", "surat keterangan", "letter"),
    ("IKD", "identitas digital", "digital identity"),
    ("PASSPORT", "paspor", "passport"),
)
_CHIP_CODES: tuple[Choice, ...] = (
    ("CHIP_UNREADABLE", "chip tidak terbaca", "chip not readable"),
    ("CHIP_AUTH_FAIL", "keaslian chip belum pasti", "chip not authenticated"),
    ("NO_CHIP", "tanpa chip", "no chip"),
    ("DEVICE_DEGRADED", "pembaca rusak", "reader broken"),
)
_COMPARED: tuple[Choice, ...] = (
    ("SAME", "orang yang sama", "the same person"),
    ("UNSURE", "tidak yakin", "not sure"),
    ("NOT_SAME", "bukan orang yang sama", "not the same person"),
)
_WITHDRAWALS: tuple[Choice, ...] = (
    ("MEMBER_CHANGED_MIND", "peserta berubah pikiran", "the member changed their mind"),
    ("WRONG_PROGRAMME", "program salah", "wrong programme"),
    ("MEMBER_LEFT", "peserta pergi", "the member left"),
    ("ENTERED_TWICE", "tercatat dua kali", "entered twice"),
    ("OTHER", "lainnya", "other"),
)
_NPWP: tuple[Choice, ...] = (
    ("NOT_ASKED", "tidak ditanya", "not asked"),
    ("GIVEN", "diberikan", "given"),
    ("REFUSED", "ditolak", "refused"),
)
_IDENTITY: tuple[Choice, ...] = (
    ("nik", "NIK (kosong bila paspor)", "NIK (empty for a passport)"),
    ("identity_no", "Nomor dokumen lain", "Number of the other paper"),
    ("name", "Nama", "Name"),
    ("birth_place", "Tempat lahir", "Place of birth"),
    ("birth_date", "Tanggal lahir TTTT-BB-HH", "Date of birth YYYY-MM-DD"),
    ("sex", "LAKI-LAKI atau PEREMPUAN", "LAKI-LAKI (male) or PEREMPUAN (female)"),
    ("address", "Alamat", "Address"),
    ("nationality", "Kewarganegaraan", "Nationality"),
)
_FORM: tuple[Choice, ...] = (
    ("kpj", "Nomor kartu peserta (KPJ)", "Member card number (KPJ)"),
    ("npp", "Nomor perusahaan (NPP)", "Employer number (NPP)"),
    ("company_name", "Nama perusahaan", "Employer"),
    ("phone", "Telepon", "Phone"),
    ("email", "Surel", "E-mail"),
    ("mother_name", "Nama ibu kandung", "Mother's maiden name"),
)


_YES = frozenset({"y", "ya", "yes"})
_NO = frozenset({"t", "tidak", "n", "no"})
_ACCUSATION = "SUSPECTED_IMPERSONATION"


class AtTheTerminal:
    """One question at a time; what was typed is checked by the agent, which asks again where it must."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._staff_number = ""
        self._form: Fields = {}
        self._identity: Fields = {}
        self._wrong: frozenset[str] = frozenset()
        self._attach: Attach | None = None

    def uploads(self, attach: Attach) -> None:
        """Each file goes to the agent as soon as it is named, so that another can be named when it is refused."""
        self._attach = attach

    def sign_in(self) -> Fields:
        """Staff number and PIN; the number typed before stands in brackets."""
        self._staff_number = self._ask("Nomor petugas", "Staff number", default=self._staff_number)
        return {"person_id": self._staff_number, "pin": self._ask("PIN", "PIN", hidden=True)}

    def resume(self, open_claims: list[Mapping[str, Any]], tables: Mapping[str, Any]) -> str | None:
        """Offer the open claims, by their numbers; 0 or Enter begins a new one."""
        if not open_claims:
            return None
        self._shell.console.print(self._shell.both("Lanjutkan klaim terbuka?", "Go on with an open claim?"))
        for number, one in enumerate(open_claims, 1):
            state = tables["words"]["state"][one["state"]]
            opened = local_time(
                datetime.datetime.fromisoformat(one["opened_at"]), TimeZone(self._shell.settings.site.zone.value)
            )
            facts = (one["programme"], opened, one["operator_id"], one["ticket"] or "")
            self._shell.console.print(f"  [bold]{number}[/bold] {escape(' · '.join(fact for fact in facts if fact))}")
            self._shell.console.print(f"    {self._shell.both(state['name_id'], state['name_en'])}")
        self._shell.console.print(f"  [bold]0[/bold] {self._shell.both('klaim baru', 'new claim')}")
        while True:
            typed = self._typed("0")
            if typed.isdigit() and int(typed) <= len(open_claims):
                return str(open_claims[int(typed) - 1]["claim_id"]) if int(typed) else None
            self._say_numbers()

    def start(self, tables: Mapping[str, Any]) -> Fields:
        """Programme, reason, membership, relation."""
        programme = self._programme(tables)
        reasons = [row for row in tables["reasons"] if programme in row["programmes"]] or tables["reasons"]
        reason = self._choose("Alasan", "Reason", _coded(reasons))
        return {
            "programme": programme,
            "reason_code": reason,
            "segment": self._choose("Kepesertaan", "Membership", _SEGMENTS, enter=1),
            "relation": self._choose("Yang mengajukan", "Who claims", _RELATIONS, enter=1),
            "ticket": self._ask("Nomor antrean (boleh kosong)", "Queue ticket (may be empty)", empty=True) or None,
        }

    def _programme(self, tables: Mapping[str, Any]) -> str:
        """One that is claimed here; of another one it is said at once where it is claimed."""
        elsewhere = {row["code"]: row["elsewhere"] for row in tables["programmes"] if row["elsewhere"]}
        while True:
            programme = self._choose("Program", "Programme", _coded(tables["programmes"]), enter=1)
            if programme not in elsewhere:
                return programme
            where = elsewhere[programme]
            self._shell.say(f"  ✗ {escape(where['name_id'])}", escape(where["name_en"]), "red")

    def answer(self, prompt: Mapping[str, Any], view: Mapping[str, Any], tables: Mapping[str, Any]) -> Fields:
        """Ask for what this step needs."""
        match prompt["step"]:
            case "consent":
                given = self._confirm("Peserta setuju?", "Does the member agree?")
                return {"given": given, "method": self._choose("Cara", "How", _METHODS)}
            case "identity_by_hand":
                return self._identity_by_hand()
            case "fallback":
                return self._second_person(prompt["facts"], tables)
            case "photo_check":
                return {"result": self._choose("Foto dan orangnya", "Photo and person", _COMPARED)}
            case "documents":
                return {"documents": self._documents(view, tables)}
            case "form":
                return {"fields": self._filled_form(view, tables)}
        return {}

    def confirm(self, summary: Mapping[str, Any]) -> Fields:
        """The member's yes."""
        return {"member_confirms": self._confirm("Peserta membenarkan ringkasan?", "Does the member confirm?")}

    def withdraw(self) -> Fields:
        """Why the claim is taken back."""
        return {"reason": self._choose("Mengapa klaim dibatalkan?", "Why is the claim taken back?", _WITHDRAWALS)}

    def go_on(self, step: str, failures: int) -> bool:
        """Ask after every failure."""
        return self._confirm("Ulangi?", "Try again?", default=True)

    def passport(self) -> Fields | None:
        """Not offered here: identity is typed from the passport's page."""
        return None

    def without_chip(self, view: Mapping[str, Any]) -> Fields | None:
        """Offer the path by hand."""
        if not self._confirm("Lanjutkan tanpa chip?", "Go on without the chip?", default=False):
            return None
        return {"code": self._choose("Sebab", "Why", _CHIP_CODES)}

    def without_finger(self, view: Mapping[str, Any]) -> Fields | None:
        """The agent itself calls for a second person when it is time; here the claim may be left open."""
        return None

    def blocked(self, step: str, fields: Sequence[str]) -> None:
        """Only these are asked for again, where the step knows how to."""
        self._wrong = frozenset(fields)

    def corrects(self) -> bool:
        """A person can type something else."""
        return True

    def _identity_by_hand(self) -> Fields:
        """Identity from papers; after a mistake only what was wrong, and what was typed stands in brackets."""
        wrong = [row for row in _IDENTITY if f"claimant.{row[0]}" in self._wrong]
        fields = dict(self._identity.get("fields", {}))
        if wrong and len(wrong) == len(self._wrong):
            for name, *_ in wrong:
                fields.pop(name, None)
            fields |= self._fields(wrong, self._identity["fields"])
            self._identity = {**self._identity, "fields": fields}
        else:
            source = self._choose("Sumber identitas", "Identity taken from", _SOURCES)
            self._identity = {"source": source, "fields": self._fields(_IDENTITY, fields)}
        self._wrong = frozenset()
        return self._identity

    def _second_person(self, facts: Mapping[str, Any], tables: Mapping[str, Any]) -> Fields:
        # What this claim came here for first; the accusation is never what a tired finger finds on top.
        codes = sorted(
            (row for row in tables["fallbacks"] if row["code"] in facts["codes"]),
            key=lambda row: (row["code"] == _ACCUSATION, row["code"] != facts["code"]),
        )
        code = self._choose("Sebab", "Why", _coded(codes))
        wanted = {name for row in codes if row["code"] == code for name in row["reasons"]}
        reasons = [row for row in tables["fallback_reasons"] if row["code"] in wanted]
        reason = self._choose("Alasan", "Reason", _coded(reasons))
        supervisor = self._ask("Nomor petugas kedua", "Staff number of the second person", empty=True)
        return {
            "code": code,
            "reason": reason,
            "supervisor_id": supervisor or None,
            "pin": self._ask("PIN petugas kedua", "PIN of the second person", hidden=True) if supervisor else "",
            "photo_compare": self._choose("Foto dan orangnya", "Photo and person", _COMPARED),
        }

    def _documents(self, view: Mapping[str, Any], tables: Mapping[str, Any]) -> list[Fields]:
        names = {row["code"]: row for row in tables["documents"]}
        shown: list[Fields] = []
        for wanted in view["wanted_documents"]:
            offered = [(code, names[code]["name_id"], names[code]["name_en"]) for code in wanted["any_of"]]
            choices = [*offered, ("", "tidak ada", "not there")]
            code = self._choose("Dokumen", "Document", choices)
            if code:
                shown.append({"type": code, **self.scan(len(shown))})
        return shown

    def document_type(self, tables: Mapping[str, Any]) -> str:
        """One of the table."""
        return self._choose("Jenis dokumen", "Kind of document", _coded(tables["documents"]))

    def scan(self, number: int) -> Fields:
        """A scanned file under a number, looked at by the agent at once; without one only the paper was seen."""
        legible = self._confirm("Terbaca jelas?", "Legible?", default=True)
        while True:
            name = self._ask("Berkas pindaian (kosong: hanya dilihat)", "Scanned file (empty: only seen)", empty=True)
            if not name:
                return {"pages": self._pages(), "legible": legible}
            found = self._sent(number, name)
            if found is not None:
                # Where the file does not tell, somebody has to.
                pages = {} if found["pages"] else {"pages": self._pages()}
                return {"attachment": number, "legible": legible, **pages}

    def _sent(self, number: int, name: str) -> Mapping[str, Any] | None:
        assert self._attach is not None, "told before the first question"
        try:
            return self._attach(number, Path(name).expanduser())
        except (OSError, RuntimeError):
            # RuntimeError: the home folder of somebody who does not exist.
            self._shell.say(
                f"  ✗ {escape(name)} tidak dapat dibaca; ketik lagi.",
                "This file cannot be read; type it again.",
                "red",
            )
            return None

    def _pages(self) -> int:
        while True:
            pages = self._ask("Jumlah halaman", "Pages", default="1")
            if pages.isascii() and pages.isdigit() and len(pages) < 9 and 1 <= int(pages) <= MOST_PAGES:
                return int(pages)
            self._shell.say(f"  ✗ Ketik angka 1 sampai {MOST_PAGES}.", f"Type a number, 1 to {MOST_PAGES}.", "red")

    def _filled_form(self, view: Mapping[str, Any], tables: Mapping[str, Any]) -> Fields:
        """The form; what was typed before stands in brackets when something has to be corrected."""
        fields = self._fields(_FORM, self._form)
        answer = self._choose("NPWP", "Tax number", _NPWP, enter=1)
        fields["npwp_answer"] = answer
        if answer == "GIVEN":
            fields["npwp"] = self._ask("Nomor NPWP", "Tax number", default=self._form.get("npwp", ""))
        if self._confirm("Ada rekening?", "A bank account?", default=True):
            banks, before = [(row["code"], row["name"], "") for row in tables["banks"]], self._form.get("bank", {})
            fields["bank"] = {
                "code": self._choose("Bank", "Bank", banks),
                "account": self._ask("Nomor rekening", "Account number", default=before.get("account", "")),
                "name_on_account": self._ask("Atas nama", "In the name of", default=before.get("name_on_account", "")),
            }
        if view["relation"] != "SELF":
            self._shell.say("Data peserta yang diwakili:", "Data of the member who is represented:")
            fields["worker"] = self._fields(_IDENTITY, self._form.get("worker", {}))
        self._form = fields
        return fields

    def _fields(self, wanted: Sequence[Choice], before: Mapping[str, Any]) -> Fields:
        fields: Fields = {}
        for name, id_text, en_text in wanted:
            value = self._ask(id_text, en_text, default=str(before.get(name, "")), empty=True)
            if value:
                fields[name] = value
        return fields

    def _ask(self, id_text: str, en_text: str, *, default: str = "", hidden: bool = False, empty: bool = False) -> str:
        question = self._shell.both(id_text, en_text)
        while True:
            answer = Prompt.ask(
                question, console=self._shell.console, password=hidden, default=default, show_default=bool(default)
            ).strip()
            if answer or empty:
                return answer

    def _confirm(self, id_text: str, en_text: str, *, default: bool | None = None) -> bool:
        """Yes or no in either language: ``y`` (ya, yes), ``t`` (tidak) or ``n`` (no)."""
        keys = "" if default is None else "y" if default else "t"
        question = f"{self._shell.both(id_text, en_text)} [bold magenta]\\[y/t][/bold magenta]"
        while True:
            answer = Prompt.ask(question, console=self._shell.console, default=keys, show_default=bool(keys))
            word = answer.strip().lower()
            if word in _YES:
                return True
            if word in _NO:
                return False
            self._shell.say("Ketik y (ya) atau t (tidak).", "Type y (yes) or n (no).", "yellow")

    def _choose(self, id_text: str, en_text: str, choices: Sequence[Choice], *, enter: int = 0) -> str:
        """A numbered list; the number or the code itself is taken.

        ``enter``: the number that Enter alone stands for, shown in brackets. Left out where an answer is evidence or
        has legal weight: nobody states that two people are the same by pressing a key once too often.
        """
        self._shell.console.print(self._shell.both(id_text, en_text))
        for number, (code, first, second) in enumerate(choices, 1):
            self._shell.console.print(f"  [bold]{number}[/bold] {code} {self._shell.both(first, second)}")
        while True:
            typed = self._typed(str(enter or ""))
            if typed.isdigit() and 1 <= int(typed) <= len(choices):
                return choices[int(typed) - 1][0]
            for code, _, _ in choices:
                if code and typed.upper() == code:
                    return code
            self._say_numbers()

    def _typed(self, enter: str) -> str:
        answer = Prompt.ask("▸", console=self._shell.console, default=enter, show_default=bool(enter))
        return answer.strip()

    def _say_numbers(self) -> None:
        self._shell.say("Ketik salah satu nomor.", "Type one of the numbers.", "yellow")


def _coded(rows: Sequence[Mapping[str, Any]]) -> list[Choice]:
    return [(str(row["code"]), str(row["name_id"]), str(row["name_en"])) for row in rows]
