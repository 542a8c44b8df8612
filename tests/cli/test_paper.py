"""What an operator reads: words, never the names of our fields and codes."""

from pathlib import Path

import pytest

from config.schema import Language
from mpos_agent.cli import status
from mpos_agent.cli.paper import Paper
from mpos_agent.cli.shell import Shell
from sync.edge.uploader import RoundOutcome
from tests.api.rig import settings_for
from tests.cli.test_terminal import TABLES, Keyboard


def paper(folder: Path) -> tuple[Paper, Keyboard, Shell]:
    keyboard = Keyboard(())
    shell = Shell(settings_for(folder), folder / "agent.toml", False, Language.ID, None, keyboard)
    made = Paper(shell)
    made.learn(TABLES)
    return made, keyboard, shell


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("claimant.nik", "Pemohon, NIK: x"),
        ("documents.0.pages", "Dokumen 1, Jumlah halaman: x"),
        ("bank.account", "Rekening, Nomor rekening: x"),
        ("", "✗ x"),
    ],
)
def test_where_something_is_wrong_is_said_in_words(tmp_path: Path, field: str, said: str) -> None:
    """The field's name on the form, not its path in a request."""
    shown, keyboard, _ = paper(tmp_path)
    shown.findings([{"field": field, "text_id": "x", "text_en": "y"}], blocking=True)
    assert said in keyboard.export_text()


def test_the_summary_speaks_in_words(tmp_path: Path) -> None:
    """Finger, second person, photo, tax number and papers: what is read back to the member can be read aloud."""
    shown, keyboard, _ = paper(tmp_path)
    shown.summary(
        {
            "programme": {"code": "JHT", "id": "Jaminan Hari Tua"},
            "reason": {"id": "Mengundurkan diri"},
            "finger": "NOT_DONE",
            "fallback": "NO_CHIP",
            "photo_check": "SAME",
            "npwp": "NOT_ASKED",
            "documents": ["KPJ_CARD"],
            "missing_documents": ["ID_CARD"],
        }
    )
    text = keyboard.export_text()
    for word in ("tidak dilakukan", "orang yang sama", "tidak ditanya", "Kartu peserta (KPJ)", "KTP"):
        assert word in text
    for code in ("NOT_DONE", "NO_CHIP", "SAME", "NOT_ASKED", "KPJ_CARD", "ID_CARD"):
        assert code not in text


@pytest.mark.parametrize("left", [0, 3])
@pytest.mark.parametrize("result", list(RoundOutcome))
def test_a_round_is_told_in_words(tmp_path: Path, result: RoundOutcome, left: int) -> None:
    """In both languages, however it ended, and whether or not something was left."""
    _, keyboard, shell = paper(tmp_path)
    keyboard.print(status._round(shell, {"problem": None, "result": result.value, "left": left, "sent": 4}))
    text = keyboard.export_text()
    assert " / " in text
    assert ("3" in text) == bool(left)


@pytest.mark.parametrize(("begins", "below"), [("  ✗ ", "    "), ("▸ ", "  "), ("  ", "  "), ("", "")])
def test_a_long_sentence_goes_on_below_its_words(tmp_path: Path, begins: str, below: str) -> None:
    """At 80 columns the mark stands alone on the left, and no word is cut."""
    _, keyboard, shell = paper(tmp_path)
    keyboard.width = 80
    words = " ".join(f"kata{number}" for number in range(30))
    shell.say(begins + words, "")
    lines = [line.rstrip() for line in keyboard.export_text().splitlines()]
    assert len(lines) == 3
    assert lines[0].startswith(begins + "kata0")
    assert all(line.startswith(below + "kata") for line in lines[1:])
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == (begins + words).strip()
