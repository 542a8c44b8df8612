"""The technician's sheet names every setting, command, exit code and trouble that there is."""

import re
from pathlib import Path

import pytest

from config.load import known_keys
from mpos_agent.cli.answers import STEP_SECTIONS, AnswersFile
from mpos_agent.cli.main import app
from mpos_agent.outcomes import TABLE, Exit
from tests.conftest import ROOT

SHEET = (ROOT / "docs" / "technician.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", [f"{section}.{key}" for section, keys in known_keys().items() for key in keys])
def test_every_setting_is_listed(key: str) -> None:
    """A key that can be set is one a technician can look up."""
    assert f"`{key}`" in SHEET


def test_every_command_is_listed() -> None:
    """Whatever --help shows is explained."""
    for info in app.registered_commands:
        assert f"`mpos-agent {info.name}" in SHEET
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for info in group.typer_instance.registered_commands:
            assert re.search(rf"`mpos-agent {group.name} .*`{info.name}`|`mpos-agent {group.name} {info.name}`", SHEET)


@pytest.mark.parametrize("code", list(Exit), ids=lambda code: code.name)
def test_every_exit_code_is_listed(code: Exit) -> None:
    """Number and name, for whoever writes a script."""
    assert f"| {code.value} | {code.name} |" in SHEET


def test_every_code_that_is_explained_exists() -> None:
    """The table of troubles speaks of codes the program can say."""
    table = SHEET.partition("## What it says")[2].partition("## The log")[0]
    codes = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", table, re.MULTILINE)
    named = {code for cell in codes for code in re.findall(r"`([a-z_]+)`", cell)}
    assert len(named) > 20
    assert named <= set(TABLE)


def test_the_example_of_answers_is_one_the_command_takes(tmp_path: Path) -> None:
    """What is shown can be copied: every section is known, and each step has one."""
    example = SHEET.partition("```toml\n")[2].partition("```")[0]
    file = tmp_path / "answers.toml"
    file.write_text(example)
    answers = AnswersFile(file)
    assert set(answers._content) == {"operator", "claim", *STEP_SECTIONS.values(), "passport", "withdraw"}
