"""What the network found, as minutiae between the pixels."""

import numpy as np
from numpy.typing import NDArray

from matcher.extract.network import Findings
from matcher.extract.parameters import KIND_THRESHOLD
from matcher.template import BIFURCATION, ENDING


def fine_positions(findings: Findings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of the maxima, to a fraction of a pixel.

    A parabola through the maximum and its two neighbours in each direction has its top at
    ``(before - after) / 2 / (before - 2 * middle + after)`` from the middle; at most half a pixel by construction.
    """
    blurred = findings.blurred
    rows, columns = findings.rows, findings.columns
    last_row, last_column = blurred.shape[0] - 1, blurred.shape[1] - 1
    middle = blurred[rows, columns].astype(np.float64)

    def top(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.float64]:
        bend = before - 2 * middle + after
        flat = bend > -1e-6
        return np.where(flat, 0.0, np.clip((before - after) / 2 / np.where(flat, -1.0, bend), -0.5, 0.5))

    down = top(blurred[np.maximum(rows - 1, 0), columns], blurred[np.minimum(rows + 1, last_row), columns])
    right = top(blurred[rows, np.maximum(columns - 1, 0)], blurred[rows, np.minimum(columns + 1, last_column)])
    return rows + down, columns + right


def fine_directions(findings: Findings, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Directions at those positions: the four pixels' vectors weighted by nearness, then one angle.

    Averaging vectors, not angles, is safe across the full turn; where they disagree the longer one wins.
    """
    index = np.arange(len(rows))
    v, u = rows - findings.corner[:, 0], columns - findings.corner[:, 1]
    v0, u0 = np.clip(np.floor(v).astype(np.intp), 0, 2), np.clip(np.floor(u).astype(np.intp), 0, 2)
    dv, du = (v - v0)[:, None], (u - u0)[:, None]
    field = findings.direction.astype(np.float64)
    vector = (
        (1 - dv) * (1 - du) * field[index, :, v0, u0]
        + (1 - dv) * du * field[index, :, v0, u0 + 1]
        + dv * (1 - du) * field[index, :, v0 + 1, u0]
        + dv * du * field[index, :, v0 + 1, u0 + 1]
    )
    return np.arctan2(vector[:, 1], vector[:, 0])


def kinds(findings: Findings) -> NDArray[np.int8]:
    """Ending or bifurcation, at the maximum itself."""
    index = np.arange(len(findings.rows))
    odds = findings.kind[index, findings.rows - findings.corner[:, 0], findings.columns - findings.corner[:, 1]]
    return np.where(odds >= KIND_THRESHOLD, ENDING, BIFURCATION).astype(np.int8)


def qualities(findings: Findings) -> NDArray[np.float64]:
    """The network's probability as 0 to 100."""
    values = findings.blurred[findings.rows, findings.columns].astype(np.float64)
    return np.clip(values * 100, 0, 100)
