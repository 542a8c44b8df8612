"""A picture becomes minutiae: same finger at any resolution, polarity, place and size; anything else is told."""

import contextlib
from pathlib import Path

import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from matcher.errors import MatcherError, UnusableImageError
from matcher.extract.network import Network
from matcher.extract.pipeline import extract
from matcher.extract.segment import finger_mask
from matcher.template import Template

Image = NDArray[np.uint8]

PRINTS = ["fvc2002/db1_b/103_1", "fvc2002/db3_b/102_4", "fvc2000/db1_b/105_2", "fvc2000/db2_b/101_3"]


def print_of(shared_data: Path, name: str) -> Image:
    image = cv2.imread(str(shared_data / "fingerprints" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return np.asarray(image, np.uint8)


def found_again(one: Template, two: Template, reach: float = 3.0, turn: float = 10.0) -> float:
    """Share of the certain minutiae of ``one`` that ``two`` has within ``reach`` px and ``turn`` degrees."""
    one = one.subset(one.quality >= 60)
    gap = np.hypot(one.x[:, None] - two.x[None], one.y[:, None] - two.y[None])
    angle = np.abs(np.angle(np.exp(1j * (one.angle[:, None] - two.angle[None]))))
    return float(((gap < reach) & (angle < np.radians(turn))).any(axis=1).mean())


@pytest.mark.data
@pytest.mark.parametrize("name", PRINTS)
@pytest.mark.parametrize("dpi", [300, 400, 569, 750, 1000])
def test_other_resolutions_give_the_same_finger(name: str, dpi: int, network: Network, shared_data: Path) -> None:
    """A scanner of 300 to 1000 dpi gives most of the minutiae at the same place as one of 500."""
    image = print_of(shared_data, name)
    size = (round(image.shape[1] * dpi / 500), round(image.shape[0] * dpi / 500))
    other = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if dpi < 500 else cv2.INTER_CUBIC))
    one, two = extract(image, 500, network), extract(other.astype(np.uint8), dpi, network)
    assert found_again(one, two) > (0.6 if dpi < 400 else 0.85)


@pytest.mark.data
@pytest.mark.parametrize("name", ["fvc2002/db1_b/103_1", "fvc2002/db3_b/102_4", "fvc2000/db4_b/104_4"])
def test_scanner_with_light_ridges_gives_the_same_finger(name: str, network: Network, shared_data: Path) -> None:
    """A negative on black is turned before anything else."""
    image = print_of(shared_data, name)
    one, two = extract(image, 500, network), extract(255 - image, 500, network)
    assert found_again(one, two) > 0.85


@pytest.mark.data
def test_place_on_the_glass_does_not_matter(network: Network, shared_data: Path) -> None:
    """A finger in the corner of a large platen gives the same minutiae, moved."""
    image = print_of(shared_data, "fvc2002/db1_b/103_1")
    platen = np.full((900, 1000), image[0, 0], np.uint8)
    platen[480 : 480 + image.shape[0], 570 : 570 + image.shape[1]] = image
    one, two = extract(image, 500, network), extract(platen, 500, network)
    moved = Template.of(one.x + 570, one.y + 480, one.angle, one.kind, one.quality)
    assert found_again(moved, two, reach=1.0, turn=3.0) > 0.9


@pytest.mark.data
def test_flipped_picture_gives_flipped_minutiae(network: Network, shared_data: Path) -> None:
    """Turned by half a turn, positions mirror through the middle and directions turn: the axes are what they say."""
    image = print_of(shared_data, "fvc2002/db1_b/103_1")
    one, two = extract(image, 500, network), extract(np.ascontiguousarray(image[::-1, ::-1]), 500, network)
    height, width = image.shape
    turned = Template.of(width - 1 - two.x, height - 1 - two.y, two.angle + np.pi)
    assert found_again(one, turned) > 0.8


@pytest.mark.parametrize("shape", [(128, 128), (128, 1000), (1000, 128), (131, 257), (1000, 1000)])
def test_sizes_a_scanner_may_have_are_taken(shape: tuple[int, int], network: Network) -> None:
    """From 128 to 1000 px; nothing on the glass gives a template without minutiae."""
    assert len(extract(np.full(shape, 230, np.uint8), 500, network)) == 0


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_finger(seed: int, network: Network) -> None:
    """Pure noise gives hardly any minutiae, and no error."""
    noise = np.random.default_rng(seed).integers(0, 256, (300, 260)).astype(np.uint8)
    assert len(extract(noise, 500, network)) < 20


@pytest.mark.parametrize(
    ("pixels", "dpi", "word"),
    [
        (np.zeros((300, 300, 3), np.uint8), 500, "grey"),
        (np.zeros((300, 300), np.float64), 500, "8-bit"),
        (np.zeros((0, 300), np.uint8), 500, "small"),
        (np.zeros((63, 300), np.uint8), 500, "small"),
        (np.zeros((100, 100), np.uint8), 1000, "small"),
        (np.zeros((4001, 300), np.uint8), 500, "more"),
        (np.zeros((300, 300), np.uint8), 72, "dpi"),
        (np.zeros((300, 300), np.uint8), float("nan"), "dpi"),
        (np.zeros((300, 300), np.uint8), 0, "dpi"),
    ],
)
def test_what_is_no_picture_of_a_finger_is_refused_with_the_cause(
    pixels: Image, dpi: float, word: str, network: Network
) -> None:
    """Wrong type, size or resolution: an error that says which."""
    with pytest.raises(UnusableImageError, match=word):
        extract(pixels, dpi, network)


def test_picture_given_is_left_as_it_was(network: Network) -> None:
    """Who captured the picture wipes it; extraction does not write into it."""
    picture = np.random.default_rng(1).integers(0, 256, (200, 200)).astype(np.uint8)
    before = picture.copy()
    extract(picture, 500, network)
    assert np.array_equal(picture, before)


def test_no_copy_of_the_picture_is_left_behind(network: Network) -> None:
    """What extraction made of the picture on the way is zeros when it returns; the map of minutiae too."""
    seen: dict[str, NDArray[np.generic]] = {}
    picture = np.random.default_rng(2).integers(0, 256, (300, 280)).astype(np.uint8)
    extract(picture, 600, network, lambda name, value: seen.update({name: value}))
    assert set(seen) == {"image", "mask", "blurred"}
    assert not seen["image"].any()
    assert not seen["blurred"].any()
    assert picture.any()


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.tuples(st.integers(0, 200), st.integers(0, 200)),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 9, 40]),
    st.sampled_from([0.0, 249.0, 250.0, 500.0, 1100.0, float("inf")]),
)
def test_any_frame_gives_a_template_or_a_matcher_error(
    network: Network, shape: tuple[int, int], seed: int, grain: int, dpi: float
) -> None:
    """Whatever a broken scanner sends: noise of any grain, any size, any resolution it may claim."""
    coarse = np.random.default_rng(seed).integers(0, 256, (shape[0] // grain + 1, shape[1] // grain + 1))
    frame = coarse.repeat(grain, 0).repeat(grain, 1)[: shape[0], : shape[1]].astype(np.uint8)
    with contextlib.suppress(MatcherError):
        template = extract(frame, dpi, network)
        assert np.isfinite(template.x).all()
        assert ((template.quality >= 12) & (template.quality <= 100)).all()


def test_finger_is_told_from_background() -> None:
    """Ridges drawn in a disc are the mask; the flat rest is not."""
    rows, columns = np.mgrid[:300, :260]
    disc = np.hypot(rows - 150, columns - 120) < 80
    image = np.where(disc, 128 + 90 * np.sin(columns * 2 * np.pi / 9), 220).astype(np.uint8)
    mask = cv2.resize(finger_mask(image), (260, 300), interpolation=cv2.INTER_NEAREST) > 0
    assert (mask & disc).sum() > 0.95 * disc.sum()
    assert (mask & ~disc).sum() < 0.15 * disc.sum()
