"""What the documents say exists: files, commands, options, make targets."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^(?: {4}|\$ |`)?((?:mpos-agent|mpos-head-office|mpos-matcher) [^`\n]*)", re.MULTILINE)
MODULES = {
    "mpos-agent": "mpos_agent",
    "mpos-head-office": "head_office.cli",
    "mpos-matcher": "matcher.cli.main",
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A newcomer follows links; each names a file or folder of this project."""
    targets = [target for target in LINK.findall(document.read_text()) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_readme_leads_from_each_step_to_one_file() -> None:
    """The table has a row for each step of the job, and each row names one file or folder that is there."""
    rows = [
        line for line in (ROOT / "README.md").read_text().splitlines() if re.match(r"\| (?:\d+|\(|the |what )", line)
    ]
    assert len(rows) >= 12
    for row in rows:
        files = LINK.findall(row)
        assert files, row
        assert all((ROOT / file).exists() for file in files), row


def help_of(program: str, words: list[str]) -> str | None:
    """What the command says of itself; None when there is no such command."""
    ran = subprocess.run(
        [sys.executable, "-m", MODULES[program], *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env={"COLUMNS": "200", "PATH": "", "HOME": "/nonexistent", "NO_COLOR": "1", "TERM": "dumb"},
    )
    return ran.stdout if ran.returncode == 0 else None


def commands_of(document: Path) -> list[str]:
    """Command lines in code blocks, without comments."""
    return [line.split("  #")[0].strip() for line in COMMAND.findall(document.read_text())]


@pytest.mark.slow
def test_every_command_of_the_readme_exists_with_its_options() -> None:
    """Each command line of the README names a command that is there and options that it takes."""
    seen: dict[tuple[str, ...], str | None] = {}
    for line in commands_of(ROOT / "README.md"):
        program, *rest = line.split()
        words = list(itertools.takewhile(lambda word: re.fullmatch(r"[a-z][a-z-]+", word), rest))
        # Trailing words may be arguments: the longest prefix that is a command counts.
        for count in range(len(words), 0, -1):
            key = (program, *words[:count])
            if key not in seen:
                seen[key] = help_of(program, words[:count])
            if seen[key] is not None:
                break
        text = seen[key]
        assert text is not None, f"no such command: {line}"
        missing = [option for option in re.findall(r"--[a-z-]+", line) if option not in text]
        assert missing == [], f"{line}: no such option"


def test_every_make_target_that_is_named_exists() -> None:
    """`make x` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for document in DOCUMENTS
        for word in re.findall(r"(?:^ {4}|`)make ([a-z]+)", document.read_text(), re.MULTILINE)
    }
    assert named - targets == set()
