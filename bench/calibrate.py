"""``python -m bench calibrate``: fit the weights of the score, and what a score means. Prints lines to paste.

Weights: logistic regression of "one finger" on the evidence of whole prints, ours against ours and against foreign and
chip-like templates. Level: what one stranger in a hundred reaches, by quantile regression on the parts of the evidence
that say how easily the two meet by chance, every folder and gallery counting the same; the weights are taken minus it.
How far both carry over is shown with the folder and the extractor judged left out of the fit.
Smallness: the weight under which small windows cut from prints reach the 0.1 % threshold as often as whole prints.
Meaning: shares of strangers at given raw scores, every folder and gallery counting the same, then an exponential tail
(maximum likelihood above the 0.1 % point) over these and the made-up strangers of ``bench/made_up_strangers.py``.
Cross-validated by finger: fitted without a fifth of the fingers, measured on the pairs those fingers are in.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.datasets import FVC2000, FVC2002, PEERS, Name, impostors_and_mates, our_templates, peer_templates
from bench.interop import chip_like, mindtct
from bench.made_up_strangers import made_up_tasks
from bench.rates import TARGETS, curve
from bench.report import heading, table
from matcher import THRESHOLDS, Network, Template
from matcher.compare import parameters as par
from matcher.compare.pipeline import evidence_between, prepare
from tests.peer_nbis import Nbis

PARTS = ("share", "information", "chance", "fewer", "more", "spacing")
"""Fitted."""
COLUMNS = (*PARTS, "order")
LEVELLED = (2, 3, 4, 5)
"""The parts strangers are levelled by: all that do not count what matched."""
LEVEL = 0.99
LEVEL_WIDTH = 0.35
"""Raw score over which the corner of the quantile's loss is rounded, so that Newton's method finds its minimum."""
SHARES = (0.5, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Of strangers, at which the raw score is noted down; beyond the last the tail takes over."""
TAIL_FROM = SHARES[-1]
FOLDS = 5
RIDGE = 1e-4
Real = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Evidence of all pairs of one folder and one gallery: (n, 7), and the finger numbers of both sides."""

    gallery: str
    folder: str
    evidence: Real
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    @property
    def mated(self) -> Mask:
        """Which pairs are of one finger."""
        same: Mask = self.first == self.second
        return same

    @property
    def window(self) -> bool:
        """Whether the probes are windows cut from prints."""
        return self.gallery.startswith("window")

    @property
    def made_up(self) -> bool:
        """Whether no such fingers exist."""
        return self.gallery == "made up"


def window(name: Name, template: Template) -> Template:
    """The minutiae in a square of 90 to 180 px round one of them."""
    generator = np.random.default_rng(zlib.crc32(f"{name.finger} {name.impression}".encode()))
    middle = int(generator.integers(max(len(template), 1)))
    half = generator.uniform(45, 90)
    if not len(template):
        return template
    inside = np.maximum(np.abs(template.x - template.x[middle]), np.abs(template.y - template.y[middle])) < half
    return template.subset(inside)


def collect(share: float) -> list[Group]:
    """Evidence of every mated pair and a share of the others, with a bar."""
    network, peer = Network.load(), Nbis()
    ours = {folder: our_templates(folder, network) for folder in (*FVC2002, *FVC2000)}
    tasks: list[tuple[str, str, Mapping[Name, Template], Mapping[Name, Template]]] = []
    for folder, own in ours.items():
        tasks.append(("ours", folder, own, own))
        tasks.append(("ours as on chip", folder, own, chip_like(own)))
        foreign = (
            {name: partial(peer_templates, name) for name in PEERS}
            if folder in FVC2002
            else {"mindtct": partial(mindtct, peer)}
        )
        for name, gallery in foreign.items():
            templates = gallery(folder)
            tasks.append((name, folder, own, templates))
            tasks.append((f"{name} as on chip", folder, own, chip_like(templates)))
        small = {name: window(name, template) for name, template in own.items()}
        tasks.append(("window", folder, small, own))
        tasks.append(("window against mindtct", folder, small, foreign["mindtct"](folder)))
    tasks += made_up_tasks(network)
    shown = track(tasks, description="compare", console=Console(stderr=True), transient=True)
    return [group(gallery, folder, probes, templates, share) for gallery, folder, probes, templates in shown]


def group(
    gallery: str, folder: str, probes: Mapping[Name, Template], templates: Mapping[Name, Template], share: float
) -> Group:
    """Evidence of one folder against one gallery; which strangers are taken follows from the names alone."""
    same = probes is templates
    one = {name: prepare(template) for name, template in probes.items()}
    two = one if same else {name: prepare(template) for name, template in templates.items()}
    numbers = {finger: k for k, finger in enumerate(sorted({name.finger for name in (*one, *two)}))}
    rows, first, second = [], [], []
    for a, b in impostors_and_mates(list(one), list(two), same=same):
        if a.finger != b.finger and zlib.crc32(f"{gallery}{folder}{a}{b}".encode()) % 1000 >= 1000 * share:
            continue
        found = evidence_between(one[a], two[b])
        if found is not None:
            rows.append([getattr(found, part) for part in COLUMNS])
            first.append(numbers[a.finger])
            second.append(numbers[b.finger])
    return Group(gallery, folder, np.array(rows), np.array(first, dtype=np.intp), np.array(second, dtype=np.intp))


def fitted(groups: Sequence[Group]) -> Real:
    """Weights of the evidence and the constant: the logistic regression minus the strangers' level."""
    weights = logistic(groups)
    level = strangers_level(groups, weights)
    weights[list(LEVELLED)] -= level[:-1]
    weights[-1] -= level[-1]
    return weights


def logistic(groups: Sequence[Group]) -> Real:
    """Weights of the evidence and the constant, by Newton's method with a little ridge; every pair counts the same."""
    evidence = np.concatenate([group.evidence[:, : len(PARTS)] for group in groups])
    mated = np.concatenate([group.mated for group in groups]).astype(np.float64)
    middle, spread = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
    design = np.column_stack([(evidence - middle) / spread, np.ones(len(evidence))])
    penalty = np.diag([RIDGE * len(evidence)] * len(PARTS) + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(25):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        # Strangers are most of the pairs; a mate counts twice as much as one of them.
        counted = np.where(mated > 0, 1.0, 0.5)
        curvature = (design * (counted * probability * (1 - probability) + 1e-9)[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, design.T @ (counted * (mated - probability)) - penalty @ weights)
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    scaled = weights[:-1] / spread
    return np.append(scaled, weights[-1] - scaled @ middle)


def strangers_level(groups: Sequence[Group], weights: Real) -> Real:
    """The raw score one stranger in a hundred reaches, as weights of ``LEVELLED`` and a constant.

    Quantile regression: the pinball loss, its corner rounded logistically, by Newton's method.
    """
    evidence = np.concatenate([group.evidence[~group.mated][:, LEVELLED] for group in groups])
    score = np.concatenate([raw(group, weights, 0.0)[~group.mated] for group in groups])
    counted = np.concatenate([np.full(int((~group.mated).sum()), 1.0 / (~group.mated).sum()) for group in groups])
    counted /= counted.sum()
    middle, spread = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
    design = np.column_stack([(evidence - middle) / spread, np.ones(len(evidence))])
    level = np.append(np.zeros(len(LEVELLED)), np.quantile(score, LEVEL))
    for _ in range(80):
        below = 1 / (1 + np.exp(-np.clip((design @ level - score) / LEVEL_WIDTH, -40, 40)))
        slope = counted * below * (1 - below) / LEVEL_WIDTH
        curvature = (design * slope[:, None]).T @ design + 1e-6 * np.eye(len(level))
        step = np.linalg.solve(curvature, design.T @ (counted * (below - LEVEL)))
        level = level - step * min(1.0, 1.0 / np.abs(step).max())
        if np.abs(step).max() < 1e-5:
            break
    scaled = level[:-1] / spread
    return np.append(scaled, level[-1] - scaled @ middle)


def raw(group: Group, weights: Real, small: float) -> Real:
    """Raw scores, as ``matcher.compare.scoring`` makes them."""
    short = np.maximum(0.0, np.log1p(par.SMALL_TRUST) - group.evidence[:, PARTS.index("fewer")])
    disorder = np.maximum(0.0, par.ORDERLY - group.evidence[:, COLUMNS.index("order")])
    fitted_part = group.evidence[:, : len(PARTS)] @ weights[:-1] + weights[-1]
    scores: Real = fitted_part + small * short + par.WEIGHT_DISORDER * disorder
    return scores


def strangers(groups: Sequence[Group], weights: Real, small: float) -> tuple[Real, Real]:
    """Raw scores of strangers, highest first, and each one's share of all, every group counting the same."""
    parts = [raw(group, weights, small)[~group.mated] for group in groups]
    score = np.concatenate(parts)
    share = np.concatenate([np.full(len(part), 1.0 / (len(part) * len(parts))) for part in parts])
    order = np.argsort(-score, kind="stable")
    return score[order], share[order]


def smallness(groups: Sequence[Group], weights: Real) -> float:
    """The weight at which strangers' windows reach the 0.1 % threshold of whole prints that often (bisection)."""
    whole = [group for group in groups if not group.window and not group.made_up]
    low, high, fewer = -8.0, 0.0, PARTS.index("fewer")
    for _ in range(30):
        middle = (low + high) / 2
        score, share = strangers(whole, weights, middle)
        threshold = score[np.searchsorted(np.cumsum(share), TAIL_FROM)]
        tiny = [
            raw(group, weights, middle)[~group.mated & (group.evidence[:, fewer] < np.log1p(par.SMALL_TRUST))]
            for group in groups
            if group.window
        ]
        if float((np.concatenate(tiny) > threshold).mean()) > TAIL_FROM:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def meaning(real: Sequence[Group], made_up: Sequence[Group], weights: Real, small: float) -> tuple[Real, float]:
    """Raw score at each of ``SHARES`` of real strangers, and decades per unit of raw score in the tail of all."""
    score, share = strangers(real, weights, small)
    knots = score[np.minimum(np.searchsorted(np.cumsum(share), SHARES), len(score) - 1)]
    score, share = strangers([*real, *made_up], weights, small)
    beyond = score > knots[-1]
    excess = float(((score - knots[-1]) * share)[beyond].sum() / share[beyond].sum())
    return knots, 1.0 / (excess * np.log(10.0))


def decades(score: Real, knots: Real, tail: float) -> Real:
    """Minus the logarithm of the false match rate, as ``matcher.compare.calibration`` has it."""
    inside = np.interp(score, np.concatenate([[-20.0], knots]), np.concatenate([[0.0], -np.log10(SHARES)]))
    found: Real = inside + tail * np.maximum(0.0, score - knots[-1])
    return found


def by_finger(groups: Sequence[Group], made_up: Sequence[Group], weights: Real, small: float) -> list[list[str]]:
    """Measured over named false match rate on fingers left out of the fit of the meaning."""
    hits, total = np.zeros(len(THRESHOLDS)), 0.0
    for fold in range(FOLDS):
        seen, held = [], []
        for group in groups:
            out = (group.first % FOLDS == fold) | (group.second % FOLDS == fold)
            held.append(raw(group, weights, small)[out & ~group.mated])
            kept = ~out
            seen.append(Group(group.gallery, group.folder, group.evidence[kept], group.first[kept], group.second[kept]))
        knots, tail = meaning(seen, made_up, weights, small)
        for scores in held:
            named = decades(scores, knots, tail)
            hits += [float((named >= value / 10).mean()) for value in THRESHOLDS.values()]
            total += 1
    measured = hits / total
    return [
        [name, f"{100 * rate:.4f}", f"{rate * 10 ** (value / 10):.2f}"]
        for (name, value), rate in zip(THRESHOLDS.items(), measured, strict=True)
    ]


def family(group: Group) -> str:
    """The extractor of a gallery, as on chip or not."""
    return group.gallery.split(maxsplit=1)[0]


def left_out(groups: Sequence[Group], weights: Real, small: float) -> Iterator[list[str]]:
    """FNMR of each gallery, with weights from everything and from other folders and other extractors only."""
    for gallery in dict.fromkeys(group.gallery for group in groups):
        mine = [group for group in groups if group.gallery == gallery]
        figures = []
        for alone in (False, True):
            scores = []
            for group in mine:
                others = [
                    other
                    for other in groups
                    if other.folder != group.folder and (family(group) == "ours" or family(other) != family(group))
                ]
                scores.append(raw(group, fitted(others) if alone else weights, small))
            rates = curve(np.concatenate(scores), np.concatenate([group.mated for group in mine]))
            figures += [f"{100 * rates.fnmr_at(target):.2f}" for target in TARGETS[:2]]
        yield [gallery, *figures]


def carried_over(groups: Sequence[Group], made_up: Sequence[Group], weights: Real, small: float) -> Iterator[list[str]]:
    """Folders and galleries whose measured false match rate lies within a factor of two of the named one.

    With weights, level and meaning from everything, from other folders only, and from other extractors only.
    """
    kinds: dict[str, Callable[[Group], str]] = {
        "nothing": lambda group: f"{group.gallery} {group.folder}",
        "its folder": lambda group: group.folder,
        "its extractor": family,
    }
    for what, kind in kinds.items():
        ratios = []
        for out in dict.fromkeys(kind(group) for group in groups):
            others = groups if what == "nothing" else [group for group in groups if kind(group) != out]
            mine = weights if what == "nothing" else fitted(others)
            knots, tail = meaning(others, made_up, mine, small)
            for group in groups:
                if kind(group) == out:
                    named = decades(raw(group, mine, small)[~group.mated], knots, tail)
                    ratios.append([(named >= reach).mean() * 10**reach for reach in (2, 2.5, 3)])
        found = np.array(ratios)
        inside = ((found >= 0.5) & (found <= 2.0)).sum(axis=0)
        off = np.sqrt((np.log(np.maximum(found, 0.1)) ** 2).mean(axis=0))
        yield [what, *(f"{n} of {len(found)}, {np.exp(x):.2f}" for n, x in zip(inside, off, strict=True))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench calibrate", description=__doc__)
    parser.add_argument("--share", type=float, default=0.5, help="share of the strangers' pairs that are compared")
    options = parser.parse_args(arguments)
    groups = collect(options.share)
    whole = [group for group in groups if not group.window and not group.made_up]
    made_up = [group for group in groups if group.made_up]
    weights = fitted(whole)
    small = smallness(groups, weights)
    knots, tail = meaning(whole, made_up, weights, small)
    print(heading("calibration") + "\n")
    print(f"{sum(len(group.first) for group in whole)} pairs of whole prints, {len(whole)} folders and galleries\n")
    for part, weight in zip((*PARTS, "constant"), weights, strict=True):
        print(f"WEIGHT_{part.upper()}: Final = {weight:.4f}")
    print(f"WEIGHT_SMALL: Final = {small:.2f}")
    print(f"RAW: Final = ({', '.join(f'{value:.2f}' for value in (-20.0, *knots))})")
    print(f"DECADES: Final = (0.0, {', '.join(f'{-np.log10(share):.3f}' for share in SHARES)})")
    print(f"TAIL: Final = {tail:.2f}\n")
    columns = ["gallery", "FNMR at 1 %", "at 0.1 %", "left out: at 1 %", "at 0.1 %"]
    print(table(columns, list(left_out(whole, weights, small))))
    print("\nfolders and galleries within a factor of two of the named rate, and the usual factor off\n")
    print(
        table(
            ["left out of the fit", "at 1 %", "at 0.32 %", "at 0.1 %"],
            list(carried_over(whole, made_up, weights, small)),
        )
    )
    print("\nfalse match rate on fingers left out, %\n")
    print(table(["threshold", "measured", "measured / named"], by_finger(whole, made_up, weights, small)))


if __name__ == "__main__":
    main()
