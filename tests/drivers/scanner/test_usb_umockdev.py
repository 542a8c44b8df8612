"""The USB drivers over the real libusb, on recorded devices that umockdev emulates: exactly the recorded picture.

Each replay is a program of its own (``under_umockdev.py``). ``MPOS_REPLAY_RUNS=50`` repeats each picture as often.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.drivers.scanner import recordings

RUNS = int(os.environ.get("MPOS_REPLAY_RUNS", "2"))
LONGEST_S = 100
"""Far above any replay (one second); a hang is a failure, not a wait."""

pytestmark = [pytest.mark.data, pytest.mark.usefixtures("umockdev")]


@pytest.fixture(scope="module")
def umockdev() -> None:
    """The emulator of USB devices."""
    if shutil.which("umockdev-run") is None:
        pytest.skip("no umockdev on this machine: apt-get install umockdev; USB drivers are not tried over libusb")


def replayed(shared_data: Path, starter: list[str], what: str, name: str, *more: str) -> dict[str, object]:
    """Run the program under umockdev and read what it says."""
    program = [sys.executable, "-m", "tests.drivers.scanner.under_umockdev", what, str(shared_data), name, *more]
    ran = subprocess.run([*starter, *program], cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    said: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("name", recordings.NAMES)
@pytest.mark.parametrize("run", range(RUNS))
def test_the_recorded_picture_comes_out_pixel_by_pixel(shared_data: Path, name: str, run: int) -> None:
    """What the maker's device sent is what the matcher gets, every time."""
    del run
    arguments = recordings.Recording(shared_data, name).umockdev_arguments()
    said = replayed(shared_data, ["umockdev-run", *arguments, "--"], "picture", name)
    assert said == {"same": True}


@pytest.mark.parametrize("name", recordings.NAMES)
def test_plugged_in_captured_and_pulled_out_four_times(shared_data: Path, name: str) -> None:
    """Each time it is listed, gives its picture, is gone from the list, and a capture then says that it is gone."""
    said = replayed(shared_data, ["umockdev-wrapper"], "hot-plug", name, "4")
    assert said["same"] == [True] * 4
    assert said["listed"] == [1, 0] * 4
    # The emulation of an ioctl tree goes on answering after the device was taken away; a kernel does not.
    assert said["errors"] == ([] if name == "nb1010" else ["DeviceRemovedError"] * 4)
    assert "thread" not in str(said["left"])


def test_opening_again_and_again_leaves_nothing_open(shared_data: Path) -> None:
    """A libusb context is made at each opening; none stays."""
    arguments = recordings.Recording(shared_data, "nb1010").umockdev_arguments()
    said = replayed(shared_data, ["umockdev-run", *arguments, "--"], "again", "nb1010", "6")
    assert said == {"same": [True] * 6, "left": ""}


@pytest.mark.parametrize("name", recordings.NAMES)
def test_our_own_recorder_writes_what_libusb_replays_without_the_finger(
    shared_data: Path, name: str, tmp_path: Path
) -> None:
    """Recorded at a counter, replayed by whoever looks into it: the same conversation, nobody's picture."""
    arguments = recordings.Recording(shared_data, name).umockdev_arguments()
    assert replayed(shared_data, ["umockdev-run", *arguments, "--"], "record", name, str(tmp_path)) == {"same": True}
    place = (tmp_path / "device").read_text(encoding="ascii").splitlines()[0].removeprefix("P: ")
    starter = ["umockdev-run", "-d", str(tmp_path / "device"), "-p", f"/sys{place}={tmp_path / 'capture.pcap'}", "--"]
    said = replayed(shared_data, starter, "stand-in", name)
    assert said["came"] == ("empty" if name == "upektc_img" else "picture")
    assert float(str(said["alike"])) < 0.03
