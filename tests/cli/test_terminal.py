"""Questions at the terminal, one by one: what a key too many, or a slip of the finger, can and cannot do."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Literal

import pytest
from rich.console import Console
from rich.text import TextType

from config.schema import Language
from config.tables import load_tables
from mpos_agent.api import replies
from mpos_agent.cli.shell import Shell
from mpos_agent.cli.terminal import AtTheTerminal
from tests.api.rig import settings_for

TABLES = replies.tables(load_tables())


class Keyboard(Console):
    """A terminal at which these lines are typed, one for each question; keeps what was shown."""

    def __init__(self, typed: Iterable[str], *, terminal: bool = False) -> None:
        colours: Literal["truecolor"] | None = "truecolor" if terminal else None
        super().__init__(
            width=200, height=50, record=True, file=io.StringIO(), force_terminal=terminal, color_system=colours
        )
        self._typed = iter(typed)

    def input(
        self,
        prompt: TextType = "",
        *,
        markup: bool = True,
        emoji: bool = True,
        password: bool = False,
        stream: IO[str] | None = None,
    ) -> str:
        self.print(prompt, markup=markup, end="")
        try:
            line = next(self._typed)
        except StopIteration:
            raise EOFError from None
        self.print("" if password else line, markup=False)
        return line


def at(folder: Path, *typed: str) -> tuple[AtTheTerminal, Keyboard]:
    """A person who types these lines."""
    keyboard = Keyboard(typed)
    settings = settings_for(folder)
    shell = Shell(settings, folder / "agent.toml", False, Language.ID, None, keyboard)
    return AtTheTerminal(shell), keyboard


def prompt_for(step: str, **facts: Any) -> Mapping[str, Any]:
    return {"step": step, "code": step.upper(), "facts": facts}


FALLBACK = prompt_for(
    "fallback", code="NO_CHIP", codes=["CHIP_UNREADABLE", "NO_CHIP", "SUSPECTED_IMPERSONATION"], reasons=[]
)


def test_the_reason_the_claim_came_for_stands_first_and_the_accusation_last(tmp_path: Path) -> None:
    """Number one is the claim's own code; nobody is suspected by being on top of a list."""
    person, seen = at(tmp_path, "1", "1", "sup1", "739146", "1")
    answer = person.answer(FALLBACK, {}, TABLES)
    assert answer["code"] == "NO_CHIP"
    shown = seen.export_text()
    assert shown.index("1 NO_CHIP") < shown.index("2 CHIP_UNREADABLE") < shown.index("3 SUSPECTED_IMPERSONATION")


@pytest.mark.parametrize("enters", range(3))
def test_enter_chooses_nothing_that_is_evidence(tmp_path: Path, enters: int) -> None:
    """Code, reason, photo: Enter alone asks again, at every one of them."""
    numbers = ["1", "1", "sup1", "739146", "2"]
    numbers.insert((0, 1, 4)[enters], "")
    person, seen = at(tmp_path, *numbers)
    answer = person.answer(FALLBACK, {}, TABLES)
    assert (answer["code"], answer["photo_compare"]) == ("NO_CHIP", "UNSURE")
    assert "Ketik salah satu nomor" in seen.export_text()


def test_enter_says_nothing_of_photo_or_papers(tmp_path: Path) -> None:
    """The operator's own comparison, and each paper, are answered or asked again."""
    person, _ = at(tmp_path, "", "", "3")
    assert person.answer(prompt_for("photo_check"), {}, TABLES) == {"result": "NOT_SAME"}
    view = {"wanted_documents": [{"any_of": ["KPJ_CARD"], "mandatory": True}]}
    person, _ = at(tmp_path, "", "2")
    assert person.answer(prompt_for("documents"), view, TABLES) == {"documents": []}


OPEN_CLAIMS: list[Mapping[str, Any]] = [
    {
        "claim_id": f"claim-{number}",
        "state": state,
        "programme": "JHT",
        "opened_at": "2026-11-20T02:10:00+00:00",
        "operator_id": "op1",
        "ticket": ticket,
        "readable": True,
    }
    for number, (state, ticket) in enumerate((("IDENTIFIED", "A-17"), ("DRAFT", None)), 1)
]


@pytest.mark.parametrize(("typed", "chosen"), [("1", "claim-1"), ("2", "claim-2"), ("0", None), ("", None)])
def test_the_number_beside_an_open_claim_is_that_claim(tmp_path: Path, typed: str, chosen: str | None) -> None:
    """One number a claim, a new one is 0; local time, and in words where each of them stands."""
    person, seen = at(tmp_path, "3", typed)
    assert person.resume(OPEN_CLAIMS, TABLES) == chosen
    shown = [line.strip() for line in seen.export_text().splitlines()]
    assert shown[1:6] == [
        "1 JHT · 20-NOV-2026 09:10 WIB · op1 · A-17",
        "kartu terbaca, sidik jari belum cocok / card read, no finger matched yet",
        "2 JHT · 20-NOV-2026 09:10 WIB · op1",
        "dibuka, pemberitahuan belum dijawab / opened, the notice is not answered yet",
        "0 klaim baru / new claim",
    ]


def test_a_scan_that_cannot_be_taken_is_asked_for_again(tmp_path: Path) -> None:
    """A file that is not there, or that the agent refuses: said at the question, and nothing else is asked anew."""
    (tmp_path / "empty.pdf").touch()
    (tmp_path / "kpj.pdf").write_bytes(b"%PDF drawing")
    view = {"wanted_documents": [{"any_of": ["KPJ_CARD"], "mandatory": True}]}
    files = [str(tmp_path / name) for name in ("missing.pdf", "empty.pdf", "kpj.pdf")]
    person, seen = at(tmp_path, "1", "y", *files)
    sent: list[tuple[int, str]] = []

    def attach(number: int, file: Path) -> Mapping[str, Any] | None:
        sent.append((number, file.name))
        return {"pages": 2} if file.read_bytes() else None

    person.uploads(attach)
    answer = person.answer(prompt_for("documents"), view, TABLES)
    assert answer == {"documents": [{"type": "KPJ_CARD", "attachment": 0, "legible": True}]}
    assert sent == [(0, "missing.pdf"), (0, "empty.pdf"), (0, "kpj.pdf")]
    assert "missing.pdf tidak dapat dibaca" in seen.export_text()


def test_pages_are_asked_only_where_a_scan_does_not_tell(tmp_path: Path) -> None:
    """And what cannot be a number of pages is asked for again."""
    (tmp_path / "kpj.pdf").write_bytes(b"%PDF drawing")
    view = {"wanted_documents": [{"any_of": ["KPJ_CARD"], "mandatory": True}]}
    person, seen = at(tmp_path, "1", "y", str(tmp_path / "kpj.pdf"), "abc", "0", "501", "2")
    person.uploads(lambda _number, _file: {"pages": None})
    (document,) = person.answer(prompt_for("documents"), view, TABLES)["documents"]
    assert document["pages"] == 2
    assert seen.export_text().count("Ketik angka 1 sampai 500") == 3


def test_a_paper_that_was_only_seen_needs_no_file(tmp_path: Path) -> None:
    """Enter at the file: nothing is sent, only its pages are counted."""
    view = {"wanted_documents": [{"any_of": ["KPJ_CARD"], "mandatory": True}]}
    person, _ = at(tmp_path, "1", "n", "", "")
    answer = person.answer(prompt_for("documents"), view, TABLES)
    assert answer == {"documents": [{"type": "KPJ_CARD", "pages": 1, "legible": False}]}


def test_a_programme_claimed_elsewhere_is_refused_before_anything_else_is_asked(tmp_path: Path) -> None:
    """JKP: where it is claimed is said at once, and the programme is asked for again."""
    person, seen = at(tmp_path, "JKP", "JHT", "RESIGN", "PU", "SELF", "")
    assert person.start(TABLES)["programme"] == "JHT"
    shown = seen.export_text()
    assert shown.index("siapkerja.kemnaker.go.id") < shown.index("Alasan / Reason")


@pytest.mark.parametrize(
    ("typed", "given"),
    [("y", True), ("Y", True), ("ya", True), ("yes", True), ("t", False), ("tidak", False), ("n", False)],
)
def test_yes_and_no_are_understood_in_both_languages(tmp_path: Path, typed: str, given: bool) -> None:
    """What people type; anything else, and Enter where nothing is offered, asks again."""
    person, seen = at(tmp_path, "", "hm", typed)
    assert person.confirm({}) == {"member_confirms": given}
    assert seen.export_text().count("Ketik y (ya) atau t (tidak)") == 2


def test_only_what_was_wrong_of_an_identity_is_typed_again(tmp_path: Path) -> None:
    """Eight fields typed, one of them wrong: one is asked for again, and the others stay."""
    typed = ["1", "990101", "", "PESERTA UJI DUA", "KOTA UJI", "1985-07-01", "PEREMPUAN", "JL CONTOH 2", "WNI"]
    person, _ = at(tmp_path, *typed, "9901014107850001")
    first = person.answer(prompt_for("identity_by_hand"), {}, TABLES)
    person.blocked("identity_by_hand", ["claimant.nik"])
    second = person.answer(prompt_for("identity_by_hand"), {}, TABLES)
    assert second["fields"] == {**first["fields"], "nik": "9901014107850001"}
    assert second["source"] == first["source"] == "KTP_MANUAL"


def test_a_mistake_that_is_in_no_field_asks_for_all_with_what_was_typed(tmp_path: Path) -> None:
    """The source itself was wrong: it is chosen again; Enter keeps each field."""
    typed = ["1", "", "A 99", "PESERTA UJI DUA", "", "1985-07-01", "", "", ""]
    person, _ = at(tmp_path, *typed, "4", *[""] * 8)
    first = person.answer(prompt_for("identity_by_hand"), {}, TABLES)
    person.blocked("identity_by_hand", ["source"])
    second = person.answer(prompt_for("identity_by_hand"), {}, TABLES)
    assert (second["source"], second["fields"]) == ("PASSPORT", first["fields"])
