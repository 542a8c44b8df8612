"""What a claim's threshold costs: up to fourteen pictures of two fingers, each against both templates of a card.

The claim names one false match rate for all comparisons it allows (28 as the policy stands: two fingers, seven pictures
each, two templates), so every single one has to reach 10 log10 56 = 17.5 more
(``matcher/compare/fusion.py``: 28 and its margin). People are pairs of fingers of a folder;
both templates are chip-like and of one impression, the pictures are our extractor's, of other impressions, four of one
finger and then four of the other: as many as must differ before the counter gives up.
"""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.datasets import FVC2002, PEERS, Name
from bench.interop import Gallery, chip_like, peer_on_chip
from matcher import THRESHOLDS, Template
from matcher.compare.calibration import scored
from matcher.compare.fusion import MARGIN, fuse_attempts
from matcher.compare.pipeline import compare, prepare

ALLOWED = 28
PICTURES = 4
REACH = THRESHOLDS["FMR_0.01%"]
CLAIM_CAPTION = (
    f"mates refused, and strangers accepted, at FMR_0.01% ({REACH:g}; in a series of {ALLOWED} that is "
    f"{REACH + 10 * np.log10(ALLOWED * MARGIN):.1f} for each), % (as on chip)"
)
CLAIM_COLUMNS = (
    "gallery",
    "one comparison by itself",
    "first picture",
    f"{PICTURES} pictures of a finger",
    f"{PICTURES} of each finger",
    f"strangers, {PICTURES} of each",
)
Values = NDArray[np.float64]


def claim_rows(probes: Mapping[str, dict[Name, Template]], draws: int) -> Iterator[list[str]]:
    """A row for each extractor the card's templates may come from, over the folders it has templates of."""
    galleries: dict[str, Gallery] = {peer: partial(peer_on_chip, peer) for peer in PEERS}
    galleries["ours"] = lambda folder: chip_like(probes[folder])
    for name, gallery in galleries.items():
        folders = [folder for folder in probes if name == "ours" or folder in FVC2002]
        shown = track(folders, description=f"claims, {name}", console=Console(stderr=True), transient=True)
        everything = [_values(probes[folder], gallery(folder)) for folder in shown]
        generator = np.random.default_rng(2)
        mates = np.array([_claim(everything[k % len(everything)], generator, mated=True) for k in range(draws)])
        others = np.array([_claim(everything[k % len(everything)], generator, mated=False) for k in range(draws)])
        refused = [float((mates[:, k] < REACH).mean()) for k in range(mates.shape[1])]
        yield [name, *(f"{100 * share:.2f}" for share in refused), f"{100 * (others[:, -1] >= REACH).mean():.3f}"]


def _values(probes: dict[Name, Template], gallery: dict[Name, Template]) -> Values:
    """Every picture against every template, (fingers, impressions, fingers, impressions); nan against its own."""
    names = sorted(probes)
    one, two = [prepare(probes[name]) for name in names], [prepare(gallery[name]) for name in names]
    values = np.array(
        [[np.nan if k == j else compare(a, b).value for j, b in enumerate(two)] for k, a in enumerate(one)]
    )
    fingers = len({name.finger for name in names})
    return values.reshape(fingers, -1, fingers, values.shape[1] // fingers)


def _claim(values: Values, generator: Generator, *, mated: bool) -> tuple[float, float, float, float]:
    """One comparison by itself; then the series after one picture, after those of one finger, and after all."""
    target, stranger = generator.choice(values.shape[0] // 2, 2, replace=False)
    fingers = 2 * (target if mated else stranger) + np.arange(2)
    enrolled, *touches = generator.permutation(values.shape[1])
    found = values[fingers][:, touches[:PICTURES], 2 * target : 2 * target + 2, enrolled]
    series = [[scored(float(value), 0) for value in picture] for finger in found for picture in finger]
    fused = [
        fuse_attempts([score for picture in series[:count] for score in picture], ALLOWED).value
        for count in (1, PICTURES, 2 * PICTURES)
    ]
    return float(found[0, 0, 0]), fused[0], fused[1], fused[2]
