"""What a picture shows, cell by cell: grey levels, ridge direction agreement, period, thickness, noise."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher import quality_parameters as par

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CellMaps:
    """Arrays of (rows, columns) of cells of 8x8 px; each cell is averaged with its neighbours.

    lively : bool, grey levels vary as on a finger.
    mean, darkest : grey levels 0 to 255; ``darkest`` is the least within two ridges.
    amplitude : grey levels, root mean square of what lies between noise and shading.
    coherence : 0 to 1, agreement of gradient directions (1 parallel ridges, 0 none).
    direction : rad, across the ridges, doubled angles averaged.
    period : px, ``2 pi sqrt(E[band^2] / E[|grad|^2])``: exact for a sine, smaller for noise.
    duty : 0 to 1, share of pixels darker than the middle between local darkest and lightest.
    background : grey level of the glass beside the finger (95th percentile of the picture).
    """

    lively: NDArray[np.bool_]
    mean: Map
    darkest: Map
    amplitude: Map
    coherence: Map
    direction: Map
    period: Map
    duty: Map
    background: float


def cell_maps(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> CellMaps:
    """Measure a picture.

    Parameters
    ----------
    image : (H, W) uint8
        At 500 dpi, ridges dark.
    mask : (h, w) uint8
        1 on the finger, any smaller grid over the same picture.
    """
    grid = (max(1, image.shape[1] // par.CELL), max(1, image.shape[0] // par.CELL))

    def cells(values: NDArray[np.generic]) -> Map:
        small = cv2.resize(np.asarray(values), grid, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.blur(small, (3, 3)), np.float32)

    grey = image.astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), par.FINE_BLUR)
    coarse = cv2.GaussianBlur(grey, (0, 0), par.COARSE_BLUR)
    band = fine - coarse
    right = cv2.Sobel(fine, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(fine, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    xx, yy, xy = cells(right * right), cells(down * down), cells(right * down)
    # cv2.blur keeps a running sum: squares average to a little below zero where there is nothing.
    steepness = np.maximum(xx + yy, 0)
    energy = np.maximum(cells(band * band), 0)
    window = np.ones((par.WINDOW, par.WINDOW), np.uint8)
    darkest, lightest = cv2.erode(fine, window), cv2.dilate(fine, window)
    lively = cv2.resize(mask.astype(np.float32), grid, interpolation=cv2.INTER_AREA) > 0
    return CellMaps(
        lively=np.asarray(lively, np.bool_),
        mean=cells(grey),
        darkest=cells(darkest),
        amplitude=np.sqrt(energy),
        coherence=np.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (steepness + 1e-3),
        direction=np.arctan2(2 * xy, xx - yy) / 2,
        period=np.asarray(2 * np.pi * np.sqrt(energy / (steepness + 1e-6)), np.float32),
        duty=cells((fine < (darkest + lightest) / 2).astype(np.float32)),
        background=float(np.percentile(image[::4, ::4], 95)),
    )


def ridge_cells(maps: CellMaps) -> NDArray[np.bool_]:
    """Cells that show ridges: lively, of one direction, at a period ridges have, above the noise."""
    least, most = par.RIDGE_PERIOD
    return np.asarray(
        maps.lively
        & (maps.coherence > par.RIDGE_COHERENCE)
        & (maps.period > least)
        & (maps.period < most)
        & (maps.amplitude > par.RIDGE_AMPLITUDE)
    )
