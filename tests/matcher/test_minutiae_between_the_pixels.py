"""Maxima whose true place is known by construction come back to a fraction of a pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from matcher.extract.minutiae import fine_directions, fine_positions, kinds, qualities
from matcher.extract.network import Findings
from matcher.extract.resample import positions_at_500_dpi


def findings_of(
    blurred: NDArray[np.float32], row: int, column: int, direction: NDArray[np.float32] | None = None, odds: float = 0.0
) -> Findings:
    """One maximum, with its corner where the network puts it."""
    corner = np.array([[(row + 1) // 2 * 2 - 2, (column + 1) // 2 * 2 - 2]])
    field = np.zeros((1, 2, 4, 4), np.float32) if direction is None else direction
    kind = np.full((1, 4, 4), odds, np.float32)
    return Findings(blurred, np.array([row]), np.array([column]), field, kind, corner)


@pytest.mark.parametrize(("row", "column"), [(10.3, 20.7), (9.8, 20.0), (10.49, 19.51), (5.0, 30.0)])
def test_top_of_a_smooth_hill_is_found_between_the_pixels(row: float, column: float) -> None:
    """A parabola is met exactly, in each direction by itself."""
    rows, columns = np.mgrid[:24, :40]
    hill = (0.9 - 0.01 * (rows - row) ** 2 - 0.02 * (columns - column) ** 2).astype(np.float32)
    found = findings_of(hill, round(row), round(column))
    fine_rows, fine_columns = fine_positions(found)
    assert fine_rows[0] == pytest.approx(row, abs=0.01)
    assert fine_columns[0] == pytest.approx(column, abs=0.01)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (23, 39), (0, 39)])
def test_maximum_at_the_edge_stays_on_the_picture(row: int, column: int) -> None:
    """Beyond the edge there is nothing to fit: at most half a pixel out."""
    blurred = np.zeros((24, 40), np.float32)
    blurred[row, column] = 1.0
    fine_rows, fine_columns = fine_positions(findings_of(blurred, row, column))
    assert abs(fine_rows[0] - row) <= 0.5
    assert abs(fine_columns[0] - column) <= 0.5


def test_flat_top_stays_where_it_is() -> None:
    """Three equal pixels have no top between them."""
    found = findings_of(np.full((9, 9), 0.7, np.float32), 4, 4)
    assert [float(values[0]) for values in fine_positions(found)] == [4.0, 4.0]


def test_direction_is_taken_between_the_pixels_across_the_full_turn() -> None:
    """Between a pixel at 350 and one at 10 degrees lies 0, not 180."""
    angle = np.radians(np.array([350.0, 350.0, 10.0, 10.0]))[None, :] * np.ones((4, 1))
    field = np.stack([np.cos(angle), np.sin(angle)])[None].astype(np.float32)
    found = findings_of(np.zeros((24, 40), np.float32), 9, 15, field)
    middle = fine_directions(found, np.array([9.0]), np.array([15.5]))
    left = fine_directions(found, np.array([9.0]), np.array([15.0]))
    assert np.degrees(middle[0]) == pytest.approx(0, abs=0.01)
    assert np.degrees(left[0]) % 360 == pytest.approx(350, abs=0.01)


@pytest.mark.parametrize(("odds", "kind"), [(3.0, 1), (-3.0, 2)])
def test_type_and_quality_come_from_the_maximum(odds: float, kind: int) -> None:
    """Positive log-odds are an ending; the probability is the quality in percent."""
    blurred = np.zeros((24, 40), np.float32)
    blurred[9, 15] = 0.83
    found = findings_of(blurred, 9, 15, odds=odds)
    assert kinds(found).tolist() == [kind]
    assert qualities(found)[0] == pytest.approx(83, abs=0.01)


@pytest.mark.parametrize(("dpi", "given"), [(1000.0, 777), (569.0, 296), (300.0, 151)])
def test_places_come_back_at_500_dpi_without_a_scale_error(dpi: float, given: int) -> None:
    """The middle of the first and of the last pixel of the picture given lie where 500 dpi puts them."""
    sampled = round(given * 500 / dpi)
    ends = np.array([-0.5, sampled - 0.5])
    assert positions_at_500_dpi(ends, sampled, given, dpi) == pytest.approx([-0.5, given * 500 / dpi - 0.5])
