"""A page of known lines says how many pixels make an inch, however it lies on the glass."""

import re
from collections.abc import Callable
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.scanner.calibration_target import PITCH_MM, measure, svg
from drivers.scanner.errors import TargetUnclearError
from drivers.scanner.synthetic.finger import Finger


def page(
    dpi_x: float, dpi_y: float, turned_deg: float, *, bent: float = 0.0, pitch_mm: float = 1.0
) -> NDArray[np.uint8]:
    """The target as a sensor of 384x290 sees it: drawn three times finer, shaded unevenly, with noise."""
    height, width = 290, 384
    y, x = np.mgrid[0 : height * 3, 0 : width * 3] / 3.0
    x = x * (1 + bent * x / width)
    right, down, turned = x * 25.4 / dpi_x, y * 25.4 / dpi_y, np.radians(turned_deg)
    across = (right * np.cos(turned) - down * np.sin(turned) + 0.3) / pitch_mm
    along = (right * np.sin(turned) + down * np.cos(turned) + 0.7) / pitch_mm
    ink = (across % 1 < 0.4) | (along % 1 < 0.4)
    paper = cv2.resize(np.where(ink, 40, 225).astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    shade = 0.8 + 0.2 * np.cos(3 * np.arange(width) / width)
    noise = np.random.default_rng(1).normal(0, 6, paper.shape)
    return np.asarray(np.clip(paper * shade + noise, 0, 255), dtype=np.uint8)


@pytest.mark.parametrize(
    ("dpi_x", "dpi_y", "turned_deg"),
    [(500, 500, 0), (500, 500, 4), (700, 520, -7), (385, 385, 12), (508, 508, 1), (381, 381, -3)],
)
def test_the_resolution_comes_out_as_drawn(dpi_x: float, dpi_y: float, turned_deg: float) -> None:
    """Square pixels or not, straight or laid down by hand: within a thousandth, and the error it names is honest."""
    found = measure(page(dpi_x, dpi_y, turned_deg))
    assert found.dpi_x == pytest.approx(dpi_x, rel=1e-3)
    assert found.dpi_y == pytest.approx(dpi_y, rel=1e-3)
    assert found.turned_deg == pytest.approx(turned_deg, abs=0.1)
    assert max(found.error_x, found.error_y) < 0.5


def test_a_printer_that_scales_is_corrected_by_its_ruler() -> None:
    """The ruler came out 98 mm long: the lines are 0.98 mm apart."""
    print_of_98 = page(500, 500, 2, pitch_mm=0.98)
    assert measure(print_of_98, 0.98).dpi_x == pytest.approx(500, rel=2e-3)
    assert measure(print_of_98).dpi_x == pytest.approx(490, rel=2e-3)


def test_a_bent_page_is_told_by_its_error() -> None:
    """Where the picture stretches from one side to the other, the error grows; where it is too much, it is refused."""
    assert measure(page(500, 500, 0, bent=0.02)).error_x > 1.0
    with pytest.raises(TargetUnclearError, match="differ"):
        measure(page(500, 500, 0, bent=0.2))


@pytest.mark.parametrize("what", ["finger", "bare", "noise", "stripes", "small"])
def test_what_is_no_target_is_refused(what: str) -> None:
    """A finger, a bare glass, noise or lines one way only give no resolution."""
    sights: dict[str, Callable[[], NDArray[np.uint8]]] = {
        "finger": lambda: Finger.from_seed(1).impression(1),
        "bare": lambda: np.full((290, 384), 240, np.uint8),
        "noise": lambda: np.random.default_rng(1).integers(0, 255, (290, 384), dtype=np.uint8),
        "stripes": lambda: np.tile(np.where(np.arange(384) % 20 < 8, 40, 225).astype(np.uint8), (290, 1)),
        "small": lambda: page(500, 500, 0)[:40, :40],
    }
    with pytest.raises(TargetUnclearError):
        measure(sights[what]())


def test_the_page_that_is_printed_has_the_lines_that_are_measured() -> None:
    """A4 in millimetres: lines one pitch apart both ways, and a ruler of 100 mm to check the printer by."""
    root = ElementTree.fromstring(svg())
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("210mm", "297mm", "0 0 210 297")
    bars = [{key: float(value) for key, value in one.attrib.items()} for one in root.iter() if one.tag.endswith("rect")]
    upright = sorted(bar["x"] for bar in bars if bar["height"] == 60)
    level = sorted(bar["y"] for bar in bars if bar["width"] == 60)
    for lines in (upright, level):
        assert len(lines) == 60
        assert np.diff(lines) == pytest.approx(PITCH_MM)
    assert any(bar["width"] == 100 for bar in bars)
    assert re.search("100 mm", svg())
