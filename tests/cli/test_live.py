"""What the terminal shows while the scanner waits: the agent's guidance, in the language that comes first."""

import io
import json
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console
from rich.progress import Progress

from config.load import settings_from
from config.schema import Language
from mpos_agent.api.client import AgentClient
from mpos_agent.cli.live import Live
from mpos_agent.cli.shell import Shell

GUIDE = {
    "kind": "finger",
    "claim_id": "c-1",
    "doing": "guide",
    "code": "CENTRE",
    "text_id": "Geser jari ke tengah kaca.",
    "text_en": "Move the finger to the middle of the glass.",
}


class Shown:
    """A progress line that remembers what stood on it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, _task: object, *, description: str) -> None:
        self.lines.append(description)


def live(folder: Path, *, as_json: bool) -> Live:
    """A claim being followed; nobody is connected."""
    settings = settings_from({"agent": {"state_dir": "s", "run_dir": "r"}}, folder / "agent.toml")
    shell = Shell(settings, folder / "agent.toml", as_json, Language.ID, None, Console(file=io.StringIO()))
    return Live(shell, cast("AgentClient", None), "c-1")


def test_guidance_takes_the_place_of_the_waiting_line(tmp_path: Path) -> None:
    """The operator reads to the member what the scanner wants now."""
    shown, following = Shown(), live(tmp_path, as_json=False)
    following._progress = cast("Progress", shown)
    following._show({"kind": "finger", "claim_id": "c-1", "doing": "place_finger"})
    following._show(GUIDE)
    assert shown.lines == [
        "letakkan jari pada pemindai [dim]/ place the finger on the scanner[/dim]",
        "Geser jari ke tengah kaca. [dim]/ Move the finger to the middle of the glass.[/dim]",
    ]


def test_programs_get_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A counter application that reads the command's output keys on the code, not on a sentence."""
    live(tmp_path, as_json=True)._show(GUIDE)
    (line,) = capsys.readouterr().out.splitlines()
    told: dict[str, Any] = json.loads(line)
    assert (told["progress"], told["code"]) == ("guide", "CENTRE")
