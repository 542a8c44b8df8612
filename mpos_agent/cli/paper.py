"""What a claim shows on the terminal: prompts, hints, findings, the summary read back, the slip."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from mpos_agent.cli.shell import Shell
from mpos_agent.cli.verdict import Standing, because, decision, standing

_SUMMARY = (
    ("claimant.name", "Nama", "Name"),
    ("claimant.nik", "NIK", "NIK"),
    ("claimant.birth_date", "Tanggal lahir", "Born"),
    ("worker.name", "Peserta", "Member"),
    ("kpj", "KPJ", "KPJ"),
    ("npp", "NPP", "NPP"),
    ("company_name", "Perusahaan", "Employer"),
    ("finger", "Sidik jari", "Finger"),
    ("fallback", "Jalur manual", "Manual path"),
    ("photo_check", "Foto", "Photo"),
    ("phone", "Telepon", "Phone"),
    ("email", "Surel", "E-mail"),
    ("mother_name", "Nama ibu", "Mother"),
    ("npwp", "NPWP", "Tax number"),
    ("bank.name", "Bank", "Bank"),
    ("bank.account", "Rekening", "Account"),
    ("bank.name_on_account", "Atas nama", "In the name of"),
)
# Which values of the summary are codes, and of which group of words.
_GROUPS = {"finger": "outcome", "photo_check": "photo", "npwp": "npwp"}
_OUTCOMES = {"MATCH": "green", "NO_MATCH": "yellow", "QUALITY_LOW": "yellow"}
# Of how many strangers' fingers one would be taken for the holder's, by the name of the score band.
_ONE_IN = {"FMR_1%": "100", "FMR_0.1%": "1.000", "FMR_0.01%": "10.000", "FMR_0.001%": "100.000"}


class Paper:
    """Lines for people; silent with ``--json``."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._tables: Mapping[str, Any] = {}

    def learn(self, tables: Mapping[str, Any]) -> None:
        """The agent's tables: from here on codes are shown as words."""
        self._tables = tables

    def opened(self, view: Mapping[str, Any]) -> None:
        """Which claim this is."""
        what = f"{view['programme']} {view['reason']}"
        self._shell.say(f"Klaim {view['claim_id']}: {what}", f"Claim {view['claim_id']}: {what}", "bold")

    def prompt(self, prompt: Mapping[str, Any]) -> None:
        """What is to be done next."""
        self._shell.say(f"▸ {escape(prompt['text_id'])}", escape(prompt["text_en"]), "bold cyan")

    def consent(self, notice: Mapping[str, Any]) -> None:
        """The notice, for showing or reading aloud."""
        if not self._shell.as_json:
            title = self._shell.both(f"Pemberitahuan {notice['version']}", "Notice")
            text = notice["text_id"] if self._shell.lang == "id" else notice["text_en"]
            self._shell.console.print(Panel(escape(text), title=title))

    def outcome(self, step: str, reply: Mapping[str, Any]) -> None:
        """What came of a step."""
        if reply["text_id"]:
            style = {"FINGER_MATCHES": "green"}.get(reply["happened"], "")
            self._shell.say(f"  {escape(reply['text_id'])}", escape(reply["text_en"]), style)
        if step == "capture_finger" and "quality" in reply["details"]:
            self._attempt(reply["details"])
        if step == "read_card" and reply["happened"] == "CARD_READ":
            count = len(reply["details"].get("fingers", ()))
            self._shell.say(f"  e-KTP terbaca, {count} sidik jari.", f"e-KTP read, {count} fingers.", "green")
        if reply["happened"] == "PASSPORT_READ":
            self._shell.say("  Chip paspor terbaca.", "The passport's chip was read.", "green")
        if reply["happened"] == "FALLBACK_COUNTERSIGNED":
            self._shell.say("  Petugas kedua sudah menandatangani.", "The second person has countersigned.", "green")
        if step == "confirm" and "size_bytes" in reply["details"]:
            facts = reply["details"]
            self._shell.say(
                f"  Paket {facts['size_bytes']} bita disegel; antrean {facts['lane']} nomor {facts['seq']}.",
                f"Packet of {facts['size_bytes']} bytes sealed; queue {facts['lane']} number {facts['seq']}.",
                "green",
            )
            if facts.get("documents"):
                self._shell.say(
                    f"  {facts['documents']} dokumen menyusul di antrean dokumen.",
                    f"{facts['documents']} document{'s' * (facts['documents'] != 1)} to follow in the documents queue.",
                    "green",
                )
        self.findings(reply["blocks"], blocking=True)
        self.findings(reply["cautions"], blocking=False)

    def attached(self, name: str, reply: Mapping[str, Any]) -> None:
        """What the agent found in a scanned file, or what is wrong with it."""
        if reply["accepted"]:
            self._taken(name, reply["details"])
            if reply["details"]["removed_bytes"]:
                self._shell.say(
                    "    Data lain di dalam foto (tempat, alat) dibuang; gambarnya tetap.",
                    "What else was in the picture (place, device) was cut out; the picture is the same.",
                    "dim",
                )
        self.findings(reply["blocks"], blocking=True)

    def supplemented(self, name: str, reply: Mapping[str, Any]) -> None:
        """A document that was added to a claim, or what is wrong with it."""
        if reply["accepted"]:
            self._taken(name, reply["document"])
            if reply["document"]["again"]:
                self._shell.say("    Sudah pernah ditambahkan.", "It was added before; it is sent once.", "dim")
        self.findings(reply["blocks"], blocking=True)

    def _taken(self, name: str, facts: Mapping[str, Any]) -> None:
        kind, kilobytes = str(facts["media_type"]).rpartition("/")[2].upper(), max(1, round(facts["size_bytes"] / 1000))
        pages_id = f", {facts['pages']} halaman" if facts["pages"] else ""
        pages_en = f", {facts['pages']} page{'s' * (facts['pages'] != 1)}" if facts["pages"] else ""
        self._shell.say(
            f"  {escape(name)}: {kind}{pages_id}, {kilobytes} kB.",
            f"{escape(name)}: {kind}{pages_en}, {kilobytes} kB.",
            "green",
        )

    def sent_documents(self, sent: Iterable[Mapping[str, Any]]) -> None:
        """How far the documents of a claim have come."""
        for one in sent:
            done = one["parts_accepted"] == one["parts"]
            told = (
                f"{one['parts_accepted']} dari {one['parts']} bagian",
                f"{one['parts_accepted']} of {one['parts']} parts",
            )
            if one["parts_held"]:
                told = (f"{told[0]}, {one['parts_held']} ditahan", f"{told[1]}, {one['parts_held']} held")
            if one["parts_refused"]:
                told = (f"{told[0]}, {one['parts_refused']} ditolak", f"{told[1]}, {one['parts_refused']} refused")
            self._shell.say(
                f"  {self._document(one['type'])}: {'di kantor pusat' if done else told[0]}",
                f"{one['type']}: {'at head office' if done else told[1]}",
                "green" if done else "red" if one["parts_refused"] else "yellow",
            )

    def findings(self, found: Iterable[Mapping[str, Any]], *, blocking: bool) -> None:
        """What is wrong (red, has to be corrected) or odd (yellow, may go on)."""
        for one in found:
            place_id, place_en = self._place(one["field"])
            mark, style = ("✗", "red") if blocking else ("!", "yellow")
            self._shell.say(f"  {mark} {escape(place_id + one['text_id'])}", escape(place_en + one["text_en"]), style)

    def trouble(self, body: Mapping[str, Any]) -> None:
        """What a device did: cause and cure."""
        self._shell.say(f"  ✗ {escape(str(body['text_id']))}", escape(str(body["text_en"])), "red")

    def summary(self, summary: Mapping[str, Any]) -> None:
        """Everything that is read back to the member before confirming."""
        if self._shell.as_json:
            return
        table = Table(show_header=False, box=None)
        programme, reason = summary["programme"], summary["reason"]
        table.add_row(self._shell.both("Program", "Programme"), f"{programme['code']} {programme['id']}")
        table.add_row(self._shell.both("Alasan", "Reason"), reason["id"])
        for path, id_text, en_text in _SUMMARY:
            value = _at(summary, path)
            if value:
                table.add_row(self._shell.both(id_text, en_text), self._said(path, str(value)))
        shown = ", ".join(self._document(code) for code in summary["documents"]) or "-"
        missing = ", ".join(self._document(code) for code in summary["missing_documents"])
        table.add_row(self._shell.both("Dokumen", "Documents"), shown)
        if missing:
            table.add_row(self._shell.both("Belum ada", "Missing"), f"[yellow]{missing}[/yellow]")
        self._shell.console.print(Panel(table, title=self._shell.both("Ringkasan klaim", "Summary")))

    def slip(self, slip: Mapping[str, Any]) -> None:
        """The member's slip: a local reference, no identity number, no balance."""
        if self._shell.as_json:
            return
        table = Table(show_header=False, box=None)
        table.add_row(self._shell.both("Nomor", "Reference"), f"[bold]{slip['reference']}[/bold]")
        table.add_row(self._shell.both("Waktu", "Time"), slip["captured_at"])
        table.add_row(self._shell.both("Program", "Programme"), slip["programme_id"])
        place = " · ".join(part for part in (slip["branch_code"], slip["station"], slip["device_id"]) if part)
        table.add_row(self._shell.both("Tempat", "Place"), place)
        table.add_row("", self._shell.both(escape(slip["next_id"]), escape(slip["next_en"])))
        table.add_row(self._shell.both("Informasi", "Ask"), slip["contact"])
        self._shell.console.print(Panel(table, title=self._shell.both("Tanda terima", "Slip"), border_style="green"))

    def receipt(self, packet: Mapping[str, Any] | None) -> None:
        """Whether head office has it already: only its signed receipt says so."""
        where = standing(packet)
        if packet is None or where is Standing.WAITING:
            self._shell.say(
                "Menunggu dikirim; paket aman di mesin ini dan berangkat sendiri bila ada jaringan.",
                "Waiting to be sent; the packet is safe on this machine and leaves by itself when there is a network.",
                "yellow",
            )
            return
        because_id, because_en = (escape(text) for text in because(packet))
        if where is Standing.ACCEPTED:
            self._shell.say(
                f"Kantor pusat menerima: {packet['receipt_no']} (tanda tangan diperiksa).",
                f"Head office has it: {packet['receipt_no']} (signature verified).",
                "green",
            )
        elif where is Standing.HELD:
            self._shell.say(
                f"Kantor pusat: disimpan, tetapi ditahan: {because_id}; {packet['receipt_no']}. Panggil penyelia.",
                f"Head office: stored, but held: {because_en}; {packet['receipt_no']}. Call the supervisor.",
                "bold yellow",
            )
        else:
            self._shell.say(
                f"Kantor pusat menolak paket ini: {because_id}. Paket tetap di mesin ini; panggil teknisi.",
                f"Head office refused this packet: {because_en}. It stays on this machine; call the technician.",
                "red",
            )
        decided = decision(packet)
        if decided is not None:
            colour, text_id, text_en = decided
            self._shell.say(f"Keputusan kantor pusat: {text_id}.", f"Head office's decision: {text_en}.", colour)

    def _word(self, group: str, code: str) -> tuple[str, str]:
        """A code in both languages; the code itself where the tables do not know it."""
        row = self._tables.get("words", {}).get(group, {}).get(code)
        return (row["name_id"], row["name_en"]) if row else (code, code)

    def _place(self, path: str) -> tuple[str, str]:
        """Where something was found: ``documents.0.pages`` is "Dokumen 1, Jumlah halaman: "."""
        places: list[tuple[str, str]] = []
        for part in path.split(".") if path else ():
            if part.isdigit() and places:
                number = int(part) + 1
                places[-1] = (f"{places[-1][0]} {number}", f"{places[-1][1]} {number}")
            else:
                places.append(self._word("field", part))
        ids, ens = (", ".join(names) for names in zip(*places, strict=True)) if places else ("", "")
        return (f"{ids}: ", f"{ens}: ") if places else ("", "")

    def _said(self, path: str, value: str) -> str:
        """A value of the summary as people say it."""
        if path in _GROUPS:
            return self._shell.both(*map(escape, self._word(_GROUPS[path], value)))
        if path == "fallback":
            rows = {row["code"]: row for row in self._tables.get("fallbacks", ())}
            if value in rows:
                return self._shell.both(escape(rows[value]["name_id"]), escape(rows[value]["name_en"]))
        return escape(value)

    def _document(self, code: str) -> str:
        rows = {row["code"]: row for row in self._tables.get("documents", ())}
        language = "name_id" if self._shell.lang == "id" else "name_en"
        return escape(str(rows[code][language])) if code in rows else escape(code)

    def _attempt(self, facts: Mapping[str, Any]) -> None:
        colour = _OUTCOMES.get(facts["outcome"], "yellow")
        outcome_id, outcome_en = self._word("outcome", str(facts["outcome"]))
        line_id = f"  percobaan {facts['attempt']}: mutu {facts['quality']}, {outcome_id}, {facts['ms']} ms"
        line_en = f"attempt {facts['attempt']}: quality {facts['quality']}, {outcome_en}"
        self._shell.say(line_id, line_en, colour)
        for hint in facts.get("hints", ()):
            self._shell.say(f"  → {escape(hint['id'])}", escape(hint["en"]), "yellow")
        one_in = _ONE_IN.get(str(facts.get("score_band")))
        if one_in:
            self._shell.say(
                f"  arti skor: kurang dari 1 di antara {one_in} jari orang lain akan terbaca cocok.",
                f"the score means: fewer than 1 in {one_in.replace('.', ',')} fingers of other people would match.",
                colour,
            )


def _at(summary: Mapping[str, Any], path: str) -> Any:
    value: Any = summary
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
