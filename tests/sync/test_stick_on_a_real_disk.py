"""A stick that is really full, really locked and really pulled out, in a mount namespace of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each; skipped where a test may not mount anything."""
    enter = ["unshare", "--map-root-user", "--mount"]
    try:
        tried = subprocess.run([*enter, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare(1) here: a stick of its own cannot be mounted")
    if tried.returncode:
        pytest.skip("this user may not mount a stick of its own")
    folder = tmp_path_factory.mktemp("stick")
    program = [*enter, "--", sys.executable, "-m", "tests.sync.stick_child", str(folder)]
    ran = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return dict(line.split(": ", 1) for line in ran.stdout.splitlines())


def test_a_full_stick_keeps_what_is_whole_and_nothing_else(told: dict[str, str]) -> None:
    """The second file does not fit: it says so, leaves no half file, and goes on once there is room."""
    assert (told["first"], told["full"], told["on it"], told["room again"]) == ("ok", "stick_full", "True", "ok")


def test_a_locked_stick_can_be_read(told: dict[str, str]) -> None:
    """Its switch is on: receipts come in, nothing goes out."""
    assert (told["locked"], told["locked read"]) == ("stick_read_only", "ok")


def test_a_stick_pulled_out_takes_nothing_to_the_machines_own_disk(told: dict[str, str]) -> None:
    """The folder it was mounted on is still there, and stays empty."""
    assert (told["pulled out"], told["left behind"]) == ("stick_gone", "0")
