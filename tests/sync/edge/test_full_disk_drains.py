"""A queue that filled its disk still drains, out of its reserve; without one it does not, and that shows here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sync.edge.test_full_disk import may_mount

ROOT = Path(__file__).parents[3]


def on_a_small_disk(program: str, folder: Path) -> str:
    """What a program of this folder prints, in a mount namespace of its own."""
    ran = subprocess.run(
        [
            "unshare",
            "--map-root-user",
            "--mount",
            "--",
            sys.executable,
            "-m",
            f"tests.sync.edge.{program}",
            str(folder),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How it went on a real small disk, with the agent's own reserve and without."""
    may_mount()
    stories: dict[str, dict[str, Any]] = json.loads(on_a_small_disk("draining_child", tmp_path_factory.mktemp("disk")))
    return stories


def test_a_full_queue_starts_delivers_and_purges_on_its_full_disk(told: dict[str, dict[str, Any]]) -> None:
    """Everything queued before is acknowledged and purged although not one byte is free."""
    story = told["with"]
    assert (story["refused"], story["started"], story["stuck"]) == ("storage_full", "started", "")
    assert story["put"] > 200
    assert (story["acknowledged"], story["purged"]) == (story["put"], story["put"])
    assert max(story["recorded"]) <= 20


def test_what_is_purged_goes_back_to_the_disk_and_the_reserve_with_it(told: dict[str, dict[str, Any]]) -> None:
    """The file is a fraction of what it was, and the reserve is made again from the room."""
    assert told["with"]["shrunk_to"] < 0.1
    assert told["with"]["reserve_back"]


@pytest.mark.parametrize("build", ["with", "without"])
def test_nothing_is_lost_or_doubled_on_the_way(told: dict[str, dict[str, Any]], build: str) -> None:
    """Not even where it got stuck: every packet is here, each at head office at most once, the chain is whole."""
    assert told[build]["stored_once"]
    assert told[build]["chain"] == told[build]["put"]


def test_without_a_reserve_the_same_queue_is_stuck(told: dict[str, dict[str, Any]]) -> None:
    """What the reserve is for: were this to pass without one, it would not be needed."""
    story = told["without"]
    assert "storage_full" in (story["started"], story["stuck"])
    assert story["purged"] == 0


def test_an_upgrade_that_finds_no_room_says_so_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """Years of rows are taken over at the first start with room; until then the cause is told, not a broken disk."""
    may_mount()
    told = json.loads(on_a_small_disk("upgrade_child", tmp_path))
    assert told == {"full": ["storage_full", "storage_full"], "with_room": ["120000"]}
