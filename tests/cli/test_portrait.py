"""The chip's photo at the terminal: seen where it can be seen, recorded as what it was, and nowhere on disk."""

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from config.schema import Language
from drivers.card.virtual.person import synthetic_person
from mpos_agent.api.callers import Scope
from mpos_agent.cli.claim import _Walk
from mpos_agent.cli.portrait import portrait
from mpos_agent.cli.shell import Shell
from mpos_agent.cli.terminal import AtTheTerminal
from mpos_agent.outcomes import Exit
from tests.api.rig import NOW, OPERATOR, SUPERVISOR, Rig, Rigs
from tests.cli.test_terminal import Keyboard


def half_white() -> bytes:
    """A picture, black on the left and white on the right, 120 wide and 160 high."""
    pixels = np.zeros((160, 120, 3), dtype=np.uint8)
    pixels[:, 60:] = 255
    done, jpeg = cv2.imencode(".jpg", pixels)
    assert done
    return jpeg.tobytes()


def test_a_photo_is_shown_upright_and_in_its_proportions() -> None:
    """Two pixels a cell: dark on the left, light on the right, three by four as it was taken."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80, height=50)
    shown = portrait(half_white(), console)
    assert shown is not None
    lines = shown.plain.splitlines()
    assert {len(line) for line in lines} == {48}
    assert len(lines) == 32
    first, last = shown.get_style_at_offset(console, 2), shown.get_style_at_offset(console, 45)
    assert first.color is not None
    assert last.bgcolor is not None
    assert max(first.color.get_truecolor()) < 30
    assert min(last.bgcolor.get_truecolor()) > 225


def test_without_colours_there_are_shades() -> None:
    """An old terminal shows characters of different weight."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80, height=50)
    shown = portrait(half_white(), console)
    assert shown is not None
    line = shown.plain.splitlines()[10]
    assert (line[3], line[44]) == (" ", "@")


def test_what_is_no_picture_is_not_shown() -> None:
    """A damaged photo of a card stops nobody."""
    assert portrait(b"no picture", Console(file=io.StringIO())) is None


@pytest.mark.parametrize("terminal", [True, False])
def test_the_record_says_which_photo_was_compared(rig: Rig, terminal: bool) -> None:
    """At a terminal the chip's photo appears and its showing is recorded; elsewhere the printed one is named."""
    token = rig.folder / "token"
    token.touch(mode=0o600)
    token.write_text(rig.callers.add("terminal", Scope.COUNTER, NOW))
    typed = [*OPERATOR, "", "RESIGN", "", "", "", "y", "2", "1", "NO_TEMPLATE_ON_CHIP", *SUPERVISOR, "1"]
    keyboard = Keyboard(typed, terminal=terminal)
    shell = Shell(rig.settings, rig.folder / "agent.toml", False, Language.ID, token, keyboard)
    with shell.client() as client:
        ended = _Walk(shell, client, AtTheTerminal(shell)).walk(None)
    assert ended is Exit.NOT_QUEUED
    shown = keyboard.export_text()
    assert ("▀▀▀▀" in shown) is terminal
    assert ("foto yang tercetak" in shown) is not terminal
    rows = rig.agent._parts.audit.rows()
    assert ("PHOTO_SHOWN" in {row.act for row in rows}) is terminal
    (signed,) = (row for row in rows if row.act == "FALLBACK")
    assert signed.facts["photo_shown"] is terminal
    assert files_with(photo_on_the_chip(), rig.folder) == []


def test_a_photo_left_on_disk_would_be_found(tmp_path: Path) -> None:
    """The search above finds the chip's photo wherever it stands in a file, and a part of it alone."""
    photo = photo_on_the_chip()
    (tmp_path / "whole").write_bytes(b"something before it" + photo)
    (tmp_path / "begin").write_bytes(photo[:100])
    (tmp_path / "other").write_bytes(b"\xff\xd8\xff" + bytes(1000))
    assert [file.name for file in files_with(photo, tmp_path)] == ["begin", "whole"]


def photo_on_the_chip() -> bytes:
    """What the card of the rig holds."""
    return synthetic_person(1, None, None).photo


def files_with(photo: bytes, folder: Path) -> list[Path]:
    """Files in which the photo begins. 32 bytes: in the sealed claims three of them stand by chance now and then."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and photo[:32] in file.read_bytes())


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An enrolled agent with a card that holds no finger."""
    with Rigs(tmp_path) as made:
        yield made
