"""A technician tests and measures the scanner over the local API; no fingerprint travels over it."""

import base64
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.scanner.calibration import Calibration, load, save
from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.virtual import VirtualScannerSource
from mpos_agent.api.callers import Scope
from mpos_agent.api.client import AgentClient, RemoteError
from tests.api.rig import Rig, Rigs
from tests.drivers.scanner.test_calibration_target import page


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rigs(tmp_path) as made:
        yield made


@pytest.fixture
def technician(rig: Rig) -> Iterator[AgentClient]:
    with rig.client("tek", Scope.TECHNICIAN) as client:
        yield client


def test_the_list_says_driver_state_and_where_the_resolution_comes_from(technician: AgentClient) -> None:
    """What a technician needs to know before anything is opened."""
    (found,) = technician.get("/v1/devices")["scanners"]
    assert (found["driver"], found["state"], found["calibration"]) == ("virtual", "ready", "device")
    assert found["path"].endswith("scanner.sock")


def test_a_test_picture_is_judged_and_shown_coarsely(rig: Rig, technician: AgentClient) -> None:
    """Quality, what could be better, and 48 cells of grey; the picture itself never leaves the agent."""
    rig.scanner.place(Finger.from_seed(1).impression(1, fault=Fault.DRY))
    told = technician.post("/v1/devices/scanner/test", {})
    assert told["place_again"] is None
    assert (told["width"], told["height"], told["dpi"]) == (388, 374, 500.0)
    assert told["quality"] > 20
    assert [reason["code"] for reason in told["reasons"]] == ["too_dry"]
    assert "kering" in told["reasons"][0]["text_id"]
    preview = told["preview"]
    assert len(base64.b64decode(preview["greys"])) == preview["width"] * preview["height"] <= 48 * 48
    assert rig.agent._parts.audit.rows()[-1].act == "SCANNER_TESTED"


def test_nobody_places_a_finger(technician: AgentClient) -> None:
    """The wait ends with the reason."""
    assert technician.post("/v1/devices/scanner/test", {"raw": True})["place_again"] == "no_finger"


def test_a_scanner_that_is_not_there_is_named(technician: AgentClient) -> None:
    """A typing error in the serial number is no other scanner's test."""
    with pytest.raises(RemoteError) as caught:
        technician.post("/v1/devices/scanner/test", {"scanner": "SN-404"})
    assert caught.value.body["code"] == "device_not_found"


def test_measuring_writes_what_the_driver_reads(rig: Rig, technician: AgentClient) -> None:
    """The page lies on the glass; its resolution is kept for this driver, with the day, and its error is told."""
    rig.scanner.place(page(508, 480, 2))
    told = technician.post("/v1/devices/scanner/calibrate", {})
    assert told["dpi_x"] == pytest.approx(508, rel=1e-3)
    assert told["dpi_y"] == pytest.approx(480, rel=1e-3)
    assert 0 < told["error_x"] < 1
    kept = load(rig.settings.calibration_dir, "virtual", None)
    assert kept is not None
    assert kept.dpi_x == pytest.approx(told["dpi_x"], abs=0.01)
    assert kept.source == "target"
    assert kept.measured_on == rig.agent.now().date()
    assert rig.agent._parts.audit.rows()[-1].act == "SCANNER_CALIBRATED"


def test_what_was_measured_is_in_force_at_once(rig: Rig, technician: AgentClient) -> None:
    """The list says so, and the next picture has square pixels of that scale; raw, the sensor shows all it sees."""
    rig.scanner.place(page(508, 480, 2))
    measured = technician.post("/v1/devices/scanner/calibrate", {})
    (found,) = technician.get("/v1/devices")["scanners"]
    assert found["calibration"] == f"measured {rig.agent.now().date()}"
    rig.scanner.place(Finger.from_seed(1).impression(1))
    told = technician.post("/v1/devices/scanner/test", {})
    assert told["dpi"] == pytest.approx(measured["dpi_x"], abs=0.01)
    assert (told["width"], told["height"]) == (388, round(374 * measured["dpi_x"] / measured["dpi_y"]))
    rig.scanner.lift()
    rig.scanner.place(Finger.from_seed(1).impression(2))
    raw = technician.post("/v1/devices/scanner/test", {"raw": True})
    assert (raw["width"], raw["height"]) == (388, 374)


def test_measuring_again_keeps_the_part_of_the_picture_that_is_used(rig: Rig, technician: AgentClient) -> None:
    """A technician cut the bent rim off by hand; a new measurement is of the scale, the rim stays bent."""
    folder = rig.settings.calibration_dir
    save(folder, "virtual", None, Calibration(500.0, 500.0, crop=(12, 8, 360, 360)))
    rig.scanner.place(page(508, 480, 2))
    technician.post("/v1/devices/scanner/calibrate", {})
    kept = load(folder, "virtual", None)
    assert kept is not None
    assert kept.dpi_x == pytest.approx(508, rel=1e-3)
    assert kept.crop == (12, 8, 360, 360)


def test_a_scanner_that_signs_its_scale_is_not_measured(
    rig: Rig, technician: AgentClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody lays a page down for a file that nothing reads: refused before the wait, with the reason."""
    found = VirtualScannerSource(rig.settings.scanner.socket or Path())
    found.info = dataclasses.replace(found.info, driver="sbi", measurable=False)
    monkeypatch.setattr(rig.agent._parts.finger, "_find", lambda: [found])
    with pytest.raises(RemoteError) as caught:
        technician.post("/v1/devices/scanner/calibrate", {})
    assert (caught.value.status, caught.value.body["code"]) == (409, "scanner_scale_fixed")
    assert not rig.settings.calibration_dir.exists()


def test_a_picture_without_the_page_keeps_what_was_measured_before(rig: Rig, technician: AgentClient) -> None:
    """A finger on the glass is no measurement: it is refused, and nothing is written."""
    rig.scanner.place(Finger.from_seed(1).impression(1))
    with pytest.raises(RemoteError) as caught:
        technician.post("/v1/devices/scanner/calibrate", {})
    assert caught.value.body["code"] == "target_unclear"
    assert load(rig.settings.calibration_dir, "virtual", None) is None


def test_who_may_make_claims_may_not_take_pictures_apart_from_them(rig: Rig) -> None:
    """A counter application has no use for a finger without a claim."""
    with rig.client("loket") as counter, pytest.raises(RemoteError) as caught:
        counter.post("/v1/devices/scanner/test", {})
    assert caught.value.status == 403


def test_guidance_and_plugs_are_told_as_they_happen(rig: Rig, technician: AgentClient) -> None:
    """Whoever listens hears what the scanner wants, in both languages, and that it was unplugged."""
    heard: list[dict[str, Any]] = []
    listening = threading.Event()

    def listen() -> None:
        with rig.client("lihat", Scope.TECHNICIAN) as client, client.events() as events:
            listening.set()
            for event in events:
                heard.append(event)
                if event.get("happened") == "scanner_removed":
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert listening.wait(10)
    # Each test waits a second for a finger: the watch, which looks every two, has looked before the plug is pulled.
    for _ in range(3):
        technician.post("/v1/devices/scanner/test", {})
    rig.scanner.unplug()
    thread.join(30)
    assert not thread.is_alive()
    guided = [event for event in heard if event.get("doing") == "guide"]
    assert [event["code"] for event in guided] == ["PLACE_FINGER"] * 3
    assert guided[0]["claim_id"] is None
    assert guided[0]["text_id"] == "Letakkan jari pada kaca pemindai."
    assert heard[-1]["driver"] == "virtual"
