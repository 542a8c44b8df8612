"""The rearranged graph gives what the published network gives.

The figures were taken once from the original program (pyfing 0.7.3 on TensorFlow 2.21) on the same pixels: counts and
sums only, nothing a finger could be told by.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from matcher.extract.network import Network
from matcher.extract.pipeline import extract


class Figures(NamedTuple):
    """Of the maxima at 0.6: how many, sums of rows, columns, cosines and sines of the direction, and endings."""

    found: int
    rows: int
    columns: int
    cosines: float
    sines: float
    endings: int


ORIGINAL = {
    "fvc2002/db1_b/101_1": Figures(28, 4793, 5732, -9.573, 2.823, 25),
    "fvc2002/db3_b/105_3": Figures(14, 2579, 1723, -2.068, -3.722, 7),
    "fvc2002/db4_b/103_2": Figures(28, 7754, 4718, 2.376, -16.705, 20),
    "fvc2000/db1_b/102_2": Figures(57, 9136, 7849, 20.873, -2.577, 20),
    "fvc2000/db2_b/107_5": Figures(54, 9954, 6357, -9.115, -0.678, 44),
    "fvc2000/db4_b/109_1": Figures(22, 2639, 3034, -9.912, 3.276, 12),
    "fvc2002/db1_b/110_7": Figures(44, 10053, 7566, -8.588, -4.408, 26),
    "fvc2002/db2_b/104_4": Figures(50, 13298, 8594, -9.820, -12.793, 28),
}


class Whole(NamedTuple):
    """Of the original program's minutiae: how many, means of x, y (px at 500 dpi), cosines and sines of the angle."""

    found: int
    x: float
    y: float
    cosine: float
    sine: float


WHOLE = {
    "fvc2000/db1_b/102_5": Whole(51, 159.6, 162.1, 0.261, -0.057),
    "fvc2000/db2_b/102_6": Whole(52, 125.5, 199.4, 0.306, -0.075),
    "fvc2000/db3_b/102_7": Whole(22, 235.5, 172.6, 0.535, 0.059),
    "fvc2000/db4_b/102_8": Whole(27, 144.1, 194.1, -0.437, -0.394),
    "fvc2002/db1_b/103_1": Whole(36, 213.9, 225.6, -0.243, 0.101),
    "fvc2002/db2_b/103_2": Whole(44, 141.0, 275.8, 0.299, 0.116),
}


def filled_like_the_original(path: Path) -> NDArray[np.float32]:
    """Right and below with the first pixel, to multiples of 32."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    height, width = image.shape
    filled = np.full((-(-height // 32) * 32, -(-width // 32) * 32), image[0, 0], np.float32)
    filled[:height, :width] = image
    return filled


@pytest.mark.data
@pytest.mark.parametrize("name", ORIGINAL)
def test_same_minutiae_as_the_original(name: str, network: Network, shared_data: Path) -> None:
    """Same number, same pixels, same directions and types on pictures of seven sensors."""
    found = network.look(filled_like_the_original(shared_data / "fingerprints" / f"{name}.png"), 0.6)
    index = np.arange(len(found.rows))
    at = (found.rows - found.corner[:, 0], found.columns - found.corner[:, 1])
    vector = found.direction[index, :, *at]
    angle = np.arctan2(vector[:, 1], vector[:, 0])
    expected = ORIGINAL[name]
    assert len(found.rows) == expected.found
    assert (int(found.rows.sum()), int(found.columns.sum())) == (expected.rows, expected.columns)
    assert float(np.cos(angle).sum()) == pytest.approx(expected.cosines, abs=0.01)
    assert float(np.sin(angle).sum()) == pytest.approx(expected.sines, abs=0.01)
    assert int((found.kind[index, *at] >= 0).sum()) == expected.endings


@pytest.mark.data
@pytest.mark.parametrize("name", WHOLE)
def test_whole_extraction_gives_the_original_programs_minutiae(name: str, network: Network, shared_data: Path) -> None:
    """From file to template, cut, resampled and refined between the pixels: the same minutiae of probability 0.6 up."""
    image = cv2.imread(str(shared_data / "fingerprints" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    template = extract(np.asarray(image, np.uint8), 569 if "2002/db2" in name else 500, network)
    certain = template.subset(template.quality >= 60)
    expected = WHOLE[name]
    assert len(certain) == expected.found
    assert float(certain.x.mean()) == pytest.approx(expected.x, abs=0.5)
    assert float(certain.y.mean()) == pytest.approx(expected.y, abs=0.5)
    assert float(np.cos(certain.angle).mean()) == pytest.approx(expected.cosine, abs=0.01)
    assert float(np.sin(certain.angle).mean()) == pytest.approx(expected.sine, abs=0.01)


@pytest.mark.parametrize("shape", [(32, 32), (64, 128), (256, 96)])
def test_blank_picture_has_no_minutiae(shape: tuple[int, int], network: Network) -> None:
    """Any size on the grid runs; with nothing to find every list is empty."""
    found = network.look(np.full(shape, 200, np.float32), 0.6)
    assert len(found.rows) == len(found.columns) == len(found.direction) == len(found.kind) == 0


def test_noise_gives_a_bounded_number_of_minutiae(network: Network) -> None:
    """A picture of noise at a threshold of nothing costs bounded memory."""
    noise = np.random.default_rng(7).integers(0, 256, (512, 512)).astype(np.float32)
    assert len(network.look(noise, 1e-9).rows) <= 512


def test_minutiae_at_the_very_edge_are_looked_at_too(network: Network) -> None:
    """The surroundings of a maximum in the first or last pixels reach beyond the picture; they come out finite."""
    stripes = np.tile(np.where(np.arange(96) % 9 < 5, 30, 220).astype(np.float32), (96, 1))
    found = network.look(stripes, 1e-6)
    edge = (found.rows < 2) | (found.columns < 2) | (found.rows > 93) | (found.columns > 93)
    assert edge.any()
    assert np.isfinite(found.direction).all()
    assert ((found.rows - found.corner[:, 0] == 1) | (found.rows - found.corner[:, 0] == 2)).all()
