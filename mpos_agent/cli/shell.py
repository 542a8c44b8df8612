"""What every command shares: where the settings are, how it reaches the daemon, how it speaks.

Without ``--json`` people read standard output: Indonesian first, English beside, or the other way round with
``--lang en``. With ``--json`` programs do: one JSON object per line, an error as ``{"error": {...}}``.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape, render
from rich.padding import Padding
from rich.text import Text

from config.errors import ConfigError
from config.load import load_settings
from config.schema import Language, Settings
from mpos_agent.api.client import AgentClient, RemoteError, read_token
from mpos_agent.outcomes import TABLE, Exit, Outcome, outcome_of

DEFAULT_SETTINGS = Path("/etc/mpos-agent/agent.toml")
OWN_TOKEN = Path("~/.config/mpos-agent/token")
COMMAND_LINE_TOKEN = "cli.token"  # noqa: S105 - a file name
"""In the runtime folder: the daemon writes a new one at every start, readable by its own user and root."""

ConfigOption = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="MPOS_AGENT_CONFIG", help="Settings file.", show_default=True),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")]
LangOption = Annotated[
    Language | None, typer.Option("--lang", help="Language that comes first; default as in the settings.")
]
TokenOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="MPOS_AGENT_TOKEN_FILE", help="File with the credential of this caller (caller add)."
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class Shell:
    """One run of one command."""

    settings: Settings
    settings_file: Path
    as_json: bool
    lang: Language
    token_file: Path | None
    console: Console

    @classmethod
    def open(cls, config: Path, *, as_json: bool, lang: Language | None, token_file: Path | None = None) -> "Shell":
        """Read the settings; raises ConfigError."""
        settings = load_settings(config)
        return cls(settings, config, as_json, lang or settings.agent.language, token_file, Console(highlight=False))

    def given(self) -> list[str]:
        """The options by which another command reaches the same agent."""
        options = [] if self.settings_file == DEFAULT_SETTINGS else ["--config", str(self.settings_file)]
        return options + (["--token-file", str(self.token_file)] if self.token_file else [])

    def client(self) -> AgentClient:
        """A connection to the daemon with the best credential at hand. Raises CallerUnknownError, NoDaemonError."""
        run_dir = self.settings.agent.run_dir
        given = (self.token_file,) if self.token_file else (run_dir / COMMAND_LINE_TOKEN, OWN_TOKEN.expanduser())
        if self.token_file is None and not self.settings.api_socket.exists():
            # No daemon, no credential of it: say the cause, not the consequence.
            return AgentClient(self.settings.api_socket, "")
        return AgentClient(self.settings.api_socket, read_token(given))

    def both(self, id_text: str, en_text: str) -> str:
        """A few words in the language that comes first, the other one dimmed behind them."""
        first, second = (id_text, en_text) if self.lang is Language.ID else (en_text, id_text)
        return f"{first} [dim]/ {second}[/dim]" if second and second != first else first

    def say(self, id_text: str, en_text: str, style: str = "") -> None:
        """A sentence for people, the other language dimmed on a line of its own; nothing with ``--json``."""
        if self.as_json:
            return
        first, second = (id_text, en_text) if self.lang is Language.ID else (en_text, id_text)
        for line in _hanging(first, self.console):
            self.console.print(line, style=style or None)
        if second:
            self.console.print(Padding(second, (0, 0, 0, 4)), style="dim")

    def give(self, result: Mapping[str, Any]) -> None:
        """One JSON object on one line; nothing without ``--json``."""
        if self.as_json:
            # One write per line: events are told from a thread of their own.
            sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
            sys.stdout.flush()


def _hanging(markup: str, console: Console) -> Iterator[Text]:
    """The lines of a sentence on this console; what does not fit goes on below the words, not below the mark."""
    text = markup.lstrip(" ")
    indent = len(markup) - len(text)
    hang = 2 if text[1:2] == " " and not text[0].isalnum() else 0
    for number, line in enumerate(Text.from_markup(text).wrap(console, max(20, console.width - indent - hang))):
        yield Text(" " * (indent + (hang if number else 0))).append_text(line)


def tell_error(error: BaseException, *, as_json: bool, lang: Language) -> Exit:
    """Say one trouble the way it was asked for, and give the exit code that goes with it."""
    if isinstance(error, RemoteError):
        body, code = error.body, str(error.body.get("code"))
        exit_code = TABLE[code].exit_code if code in TABLE else Exit.BUG
        texts = (str(body.get("text_id", "")), str(body.get("text_en", "")))
    else:
        outcome: Outcome = outcome_of(error)
        body, exit_code, texts = outcome.as_json(), outcome.exit_code, (outcome.text_id, outcome.text_en)
    if as_json:
        print(json.dumps({"error": body}, ensure_ascii=False), flush=True)
        return exit_code
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    first, second = texts if lang is Language.ID else texts[::-1]
    console.print(first, style="bold red", markup=False)
    console.print(second, style="dim", markup=False)
    detail = str(body.get("detail", ""))
    if detail:
        console.print(f"({body.get('code')}: {detail})", style="dim", markup=False)
    return exit_code


def read_pin(file: Path | None, prompt: str, *, confirm: bool = False) -> str:
    """A PIN from a file of this user's alone, or typed without being shown. Raises ConfigError."""
    if file is None:
        return str(typer.prompt(render(prompt).plain, hide_input=True, confirmation_prompt=confirm))
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError(file, "--pin-file", "is open to group or others", "chmod 600 it")
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(file, "--pin-file", "cannot be read", "give a file with the PIN alone") from error


def error_text(shell: Shell, problem: Mapping[str, Any] | None) -> str:
    """One trouble in red, the second language on a line of its own; a dash where there is none."""
    if problem is None:
        return "-"
    texts = [escape(problem["text_id"]), escape(problem["text_en"])]
    first, second = texts if shell.lang is Language.ID else texts[::-1]
    return f"[red]{first}[/red]\n[dim]{second}[/dim]"


def ago(seconds: float) -> str:
    """An age the way people say it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3_600:.0f} h"
    return f"{seconds / 86_400:.0f} d"
