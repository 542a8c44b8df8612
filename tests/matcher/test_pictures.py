"""Pictures for technicians show minutiae where they are, clear ridges green, and lines between matched minutiae."""

from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from matcher.drawing import Drawing
from matcher.pictures import COLOURS, ENLARGE, minutiae_picture, pairs_picture, quality_picture
from matcher.template import BIFURCATION, ENDING, Template

SVG = "{http://www.w3.org/2000/svg}"


def pixels_of(drawing: Drawing) -> NDArray[np.uint8]:
    """Red, green, blue of the drawing's PNG."""
    decoded = cv2.imdecode(np.frombuffer(drawing.png(), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[:, :, ::-1], np.uint8)


def test_minutia_is_drawn_at_its_place_with_its_tail_along_its_direction() -> None:
    """A ridge ending at (50, 80) pointing up: red around (101, 161), a tail above it, nothing below."""
    sheet = pixels_of(
        minutiae_picture(np.full((200, 150), 255, np.uint8), 500, Template.of([50], [80], [np.pi / 2], [1]))
    )
    assert sheet.shape == (400, 300, 3)
    red = (sheet[:, :, 0].astype(int) - sheet[:, :, 1]) > 60
    rows, columns = np.nonzero(red)
    assert abs(columns.mean() - 50.5 * ENLARGE) < 2
    assert rows.min() == pytest.approx((80.5 - 12) * ENLARGE, abs=2)
    assert rows.max() == pytest.approx((80.5 + 3) * ENLARGE, abs=2)


def test_endings_and_forks_differ_in_colour() -> None:
    """SVG and PNG use the same colours."""
    template = Template.of([50, 90], [80, 80], [0, 0], [ENDING, BIFURCATION])
    drawing = minutiae_picture(np.full((200, 150), 255, np.uint8), 500, template)
    rings = ElementTree.fromstring(drawing.svg()).findall(f"{SVG}circle")
    assert [ring.get("stroke") for ring in rings] == [f"rgb{COLOURS[ENDING]}", f"rgb{COLOURS[BIFURCATION]}"]
    assert float(rings[1].get("cx", "0")) == pytest.approx(90.5 * ENLARGE)


def test_pairs_are_joined_by_lines_on_templates_without_pictures() -> None:
    """A template against itself, moved: every minutia is joined with itself."""
    rng = np.random.default_rng(4)
    one = Template.of(rng.uniform(40, 260, 30), rng.uniform(40, 300, 30), rng.uniform(0, 6.28, 30))
    two = Template.of(one.x + 15, one.y + 9, one.angle)
    drawing = pairs_picture(one, two)
    joined = [line for line in drawing.lines if line[4] == (30, 150, 60)]
    assert len(joined) > 24
    shift = joined[0][2] - joined[0][0]
    assert all(line[2] - line[0] == pytest.approx(shift, abs=8) for line in joined)
    assert ElementTree.fromstring(drawing.svg()).findall(f"{SVG}line")


def test_empty_templates_give_a_picture_too() -> None:
    """Nothing to join is no reason to fail."""
    assert not pairs_picture(Template.empty(), Template.of([10], [10], [0])).rings[1:]


def test_quality_picture_is_green_on_clear_ridges_only() -> None:
    """Stripes on the left half, nothing on the right."""
    columns = np.mgrid[:300, :400][1]
    stripes = np.where(columns < 200, 128 + 100 * np.sin(columns * 2 * np.pi / 9), 235).astype(np.uint8)
    sheet = pixels_of(quality_picture(stripes, 500)).astype(int)
    green = sheet[:, :, 1] - sheet[:, :, 0]
    assert np.median(green[100:500, 60:340]) > 20
    assert np.abs(green[:, 460:]).max() < 5
