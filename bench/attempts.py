"""``python -m bench attempts``: do series of attempts, and two fingers, keep the false match rate they name.

Strangers are drawn from the real prints: every draw takes a gallery impression of one finger and probes of others.
``same finger``: three impressions of one stranger's finger. ``any finger``: three different strangers' fingers, as
somebody would who tries what fits. ``two templates``: each of three attempts against both templates of a person.
``two fingers``: one stranger's two fingers against the two of another (any two fingers of a folder are a person).
Mates are drawn the same way. Accepted: the share whose fused score reaches a threshold.

A second table is a claim at the counter against chip-like templates of every extractor: see ``bench/claim_series.py``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.claim_series import CLAIM_CAPTION, CLAIM_COLUMNS, claim_rows
from bench.datasets import DPI, Name, our_templates
from bench.report import heading, table
from matcher import THRESHOLDS, Network, Score, Template
from matcher.compare.calibration import scored
from matcher.compare.fusion import fuse_attempts, fuse_fingers
from matcher.compare.pipeline import compare, prepare

Values = NDArray[np.float64]
"""(fingers, impressions, fingers, impressions): every impression against every other, nan against itself."""
Draw = Callable[[Values, Generator, bool], Score]
ATTEMPTS = 3


def all_values(folder: str, templates: Mapping[Name, Template]) -> Values:
    """Every impression of a folder against every other."""
    fingers = sorted({name.finger for name in templates})
    impressions = sorted({name.impression for name in templates})
    prepared = [prepare(template) for _, template in sorted(templates.items())]
    assert len(prepared) == len(fingers) * len(impressions), "a folder has every impression of every finger"
    values = np.full((len(prepared), len(prepared)), np.nan)
    shown = track(range(len(prepared)), description=f"compare {folder}", console=Console(stderr=True), transient=True)
    for one in shown:
        for two in range(one):
            values[one, two] = values[two, one] = compare(prepared[one], prepared[two]).value
    return values.reshape(len(fingers), len(impressions), len(fingers), len(impressions))


def _score(value: float) -> Score:
    return scored(value, 0)


def single(values: Values, generator: Generator, mated: bool) -> Score:
    """One attempt."""
    return _score(_series(values, generator, mated, 1)[0])


def unpaid(values: Values, generator: Generator, mated: bool) -> Score:
    """Best of three, taken as if it were one attempt: what fusion is for."""
    return _score(max(_series(values, generator, mated, ATTEMPTS)))


def same_finger(values: Values, generator: Generator, mated: bool) -> Score:
    """Three impressions of one finger."""
    return fuse_attempts([_score(value) for value in _series(values, generator, mated, ATTEMPTS)], ATTEMPTS)


def any_finger(values: Values, generator: Generator, mated: bool) -> Score:
    """Three fingers of three strangers; mates have only the one."""
    if mated:
        return same_finger(values, generator, mated)
    target, *others = generator.choice(values.shape[0], ATTEMPTS + 1, replace=False)
    enrolled, *touches = generator.integers(0, values.shape[1], ATTEMPTS + 1)
    scores = [_score(values[finger, touch, target, enrolled]) for finger, touch in zip(others, touches, strict=True)]
    return fuse_attempts(scores, ATTEMPTS)


def two_templates(values: Values, generator: Generator, mated: bool) -> Score:
    """Three attempts with one finger, each against both templates of a person."""
    target, second, stranger = generator.choice(values.shape[0], 3, replace=False)
    probe = target if mated else stranger
    enrolled, *touches = generator.choice(values.shape[1], ATTEMPTS + 1, replace=False)
    scores = [_score(values[probe, touch, finger, enrolled]) for touch in touches for finger in (target, second)]
    return fuse_attempts(scores, 2 * ATTEMPTS)


def two_fingers(values: Values, generator: Generator, mated: bool) -> Score:
    """A person's two fingers, one attempt each. Any two fingers are a person."""
    fingers = generator.choice(values.shape[0], 4, replace=False)
    probes = fingers[:2] if mated else fingers[2:]
    enrolled, touch = generator.choice(values.shape[1], 2, replace=False)
    right, left = (
        _score(values[probe, touch, target, enrolled]) for probe, target in zip(probes, fingers[:2], strict=True)
    )
    return fuse_fingers(right, left)


def _series(values: Values, generator: Generator, mated: bool, count: int) -> list[float]:
    target, stranger = generator.choice(values.shape[0], 2, replace=False)
    enrolled, *touches = generator.choice(values.shape[1], count + 1, replace=False)
    probe = target if mated else stranger
    return [float(values[probe, touch, target, enrolled]) for touch in touches]


DRAWS: dict[str, Draw] = {
    "one attempt": single,
    "best of 3, unpaid": unpaid,
    "3 attempts, same finger": same_finger,
    "3 attempts, any finger": any_finger,
    "3 attempts, two templates": two_templates,
    "two fingers": two_fingers,
}


def accepted(everything: Sequence[Values], draw: Draw, draws: int, generator: Generator, *, mated: bool) -> list[float]:
    """Share of draws that reach each threshold."""
    found = np.array([draw(everything[k % len(everything)], generator, mated).value for k in range(draws)])
    return [float((found >= value).mean()) for value in THRESHOLDS.values()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench attempts", description=__doc__)
    parser.add_argument("folders", nargs="*", default=list(DPI), help="default: all eight")
    parser.add_argument("--draws", type=int, default=100_000, help="draws of strangers; a tenth of it of mates")
    options = parser.parse_args(arguments)
    network = Network.load()
    templates = {folder: our_templates(folder, network) for folder in options.folders}
    everything = [all_values(folder, own) for folder, own in templates.items()]
    generator = np.random.default_rng(1)
    print(heading("series of attempts and two fingers, % accepted") + "\n")
    for who, mated, draws in (("strangers", False, options.draws), ("mates", True, options.draws // 10)):
        rows = [
            [name, *(f"{100 * share:.3f}" for share in accepted(everything, draw, draws, generator, mated=mated))]
            for name, draw in track(DRAWS.items(), description=who, console=Console(stderr=True), transient=True)
        ]
        print(table([who, *THRESHOLDS], rows) + "\n")
    print(CLAIM_CAPTION + "\n")
    print(table(CLAIM_COLUMNS, list(claim_rows(templates, options.draws // 10))))


if __name__ == "__main__":
    main()
