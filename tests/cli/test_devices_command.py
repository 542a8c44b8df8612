"""The scanner in a technician's hands at a terminal: list, test, measure, watch."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.virtual_server import VirtualScannerServer
from mpos_agent.outcomes import Exit
from tests.cli.daemon import PROGRAM, Daemon, ask, objects, write_settings
from tests.drivers.scanner.test_calibration_target import page


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running daemon; its settings file."""
    file = write_settings(tmp_path_factory.mktemp("s"), scanner={"capture_timeout_s": 3.0})
    with Daemon(file):
        yield file


@pytest.fixture
def glass(config: Path) -> Iterator[VirtualScannerServer]:
    """The scanner of that machine, plugged in for one test."""
    with VirtualScannerServer(config.parent / "scanner.sock") as server:
        yield server


def test_the_list_for_people_and_for_programs(config: Path, glass: VirtualScannerServer) -> None:
    """Driver, state and where the resolution comes from."""
    shown = ask(config, "devices", "list").stdout
    assert "virtual" in shown
    assert "siap" in shown
    assert "device" in shown
    assert ask(config, "devices").stdout == shown
    (told,) = objects(ask(config, "devices", "--json").stdout)
    assert told["scanners"][0]["state"] == "ready"


def test_a_dry_finger_is_shown_with_its_quality(config: Path, glass: VirtualScannerServer) -> None:
    """A coarse picture in characters, the numbers, and what to do about it; nothing is written anywhere."""
    before = _files(config.parent)
    glass.place(Finger.from_seed(1).impression(1, fault=Fault.DRY))
    shown = ask(config, "devices", "test")
    assert shown.returncode == Exit.DONE
    assert "388 x 374 px, 500 dpi" in shown.stdout
    assert "/100" in shown.stdout
    assert "terlalu kering" in shown.stdout
    assert sum(len(line) == 48 for line in shown.stdout.splitlines()) >= 20
    assert _files(config.parent) == before


def test_nobody_touches_it(config: Path, glass: VirtualScannerServer) -> None:
    """A script learns it by the exit code, a person by the sentence."""
    shown = ask(config, "devices", "test", "--raw")
    assert shown.returncode == Exit.DEVICE
    assert "Tidak ada jari" in shown.stdout


def test_nothing_is_plugged_in(config: Path) -> None:
    """The usual sentence and code for a device that is not there."""
    shown = ask(config, "devices", "test", "--json")
    assert shown.returncode == Exit.DEVICE
    assert objects(shown.stdout)[-1]["error"]["code"] == "device_not_found"


def test_measuring_tells_the_error(config: Path, glass: VirtualScannerServer) -> None:
    """Both axes with their error; in force at once."""
    glass.place(page(508, 480, 2))
    shown = ask(config, "devices", "calibrate", lang="en").stdout
    assert "508.0 ± " in shown
    assert "480.0 ± " in shown
    glass.place(page(508, 480, 3))
    # The printer made the ruler 98 mm long.
    (told,) = [
        one
        for one in objects(ask(config, "devices", "calibrate", "--ruler-mm", "98", "--json").stdout)
        if "dpi_x" in one
    ]
    assert told["dpi_x"] == pytest.approx(508 / 0.98, rel=2e-3)
    # The other tests find this scanner as nobody measured it.
    (config.parent / "state" / "calibration" / "virtual.toml").unlink()


def test_watching_shows_a_plug_pulled(config: Path, glass: VirtualScannerServer) -> None:
    """What happens at the scanner is seen while it happens."""
    watching = subprocess.Popen(
        [*PROGRAM, "devices", "watch", "--config", str(config), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(config.parent)},
    )
    assert watching.stdout is not None
    try:
        # A test's guidance comes first: from then on somebody listens, and a look or two later a change is seen.
        for _ in range(2):
            ask(config, "devices", "test", "--raw")
        glass.unplug()
        for line in watching.stdout:
            event = json.loads(line)
            if event["kind"] == "scanner":
                assert event["happened"] == "scanner_removed"
                assert event["driver"] == "virtual"
                break
        else:
            pytest.fail("the watch ended by itself")
    finally:
        watching.kill()
        watching.wait(10)
        watching.stdout.close()


def _files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}
