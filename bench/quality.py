"""``python -m bench quality``: does the quality value predict refusals, and does guidance name what is wrong.

Two measurements. Generated touches with one planted fault: how often the first reason given is that fault, and how
often a natural touch is left alone. Real prints: false non-matches at the "FMR 0.1 %" threshold that remain when the
pictures of lowest quality are discarded, ours beside NFIQ 2 on the same pictures and the same scores.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.datasets import DPI, pictures
from bench.report import heading, table
from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from matcher import THRESHOLDS, Network, QualityReason, assess_quality, compare, extract
from matcher.extract.resample import resampled
from tests.peer_nbis import Nbis, load_nbis

REASON = {
    Fault.DRY: QualityReason.TOO_DRY,
    Fault.WET: QualityReason.TOO_WET,
    Fault.SMALL: QualityReason.TOO_SMALL,
    Fault.SHIFTED: QualityReason.OFF_CENTRE,
    Fault.SMEARED: QualityReason.SMEARED,
    Fault.GHOST: QualityReason.GHOST,
    Fault.NOT_A_FINGER: QualityReason.NOT_A_FINGER,
}
FIRST_SEED = 3000
"""Fingers nobody looked at while the limits were set."""
TOUCHES = 2
DISCARDS = (0.0, 0.05, 0.10, 0.20)

Pixels = NDArray[np.uint8]


def told(pixels: Pixels) -> str:
    """The first reason given, or a dash."""
    reasons = assess_quality(pixels, 500).reasons
    return reasons[0].value if reasons else "-"


def guidance(fingers: int) -> dict[str, Counter[str]]:
    """What is said of natural touches and of each planted fault."""
    said: dict[str, Counter[str]] = {name: Counter() for name in ("natural", *(fault.value for fault in Fault))}
    seeds = range(FIRST_SEED, FIRST_SEED + fingers)
    for seed in track(seeds, description="fingers", console=Console(stderr=True), transient=True):
        finger = Finger.from_seed(seed)
        for touch in range(TOUCHES):
            said["natural"][told(finger.impression(touch))] += 1
            for fault in Fault:
                said[fault.value][told(finger.impression(100 + touch, fault=fault))] += 1
    return said


def guidance_rows(said: Mapping[str, Counter[str]]) -> list[list[str]]:
    """One row per fault: how often named first, and what else was said."""
    wanted = {"natural": "-"} | {fault.value: reason.value for fault, reason in REASON.items()}
    rows = []
    for fault, counts in said.items():
        total = sum(counts.values())
        others = ", ".join(f"{what} {n}" for what, n in counts.most_common() if what != wanted[fault])
        rows.append([fault, str(total), f"{100 * counts[wanted[fault]] / total:.1f} %", others])
    return rows


def nfiq2(pixels: Pixels, nbis: Nbis) -> float:
    """NFIQ 2 of a picture at 500 dpi; 0 where it gives none."""
    try:
        return float(nbis.extract(pixels).quality().score)
    except load_nbis().NbisError:
        return 0.0


def real_prints(
    folders: Sequence[str], *, peer: bool
) -> tuple[dict[str, dict[str, float]], list[tuple[str, str, float]]]:
    """Quality of each picture by each measure, and the score of each mated pair."""
    network, nbis = Network.load(), Nbis(quality=True) if peer else None
    quality: dict[str, dict[str, float]] = {measure: {} for measure in (("ours", "NFIQ 2") if peer else ("ours",))}
    scores: list[tuple[str, str, float]] = []
    for folder in folders:
        templates = {}
        images = pictures(folder)
        for name, image in track(images.items(), description=folder, console=Console(stderr=True), transient=True):
            key = f"{folder}/{name.finger}_{name.impression}"
            templates[name] = key, extract(image, DPI[folder], network)
            quality["ours"][key] = assess_quality(image, DPI[folder]).value
            if nbis:
                quality["NFIQ 2"][key] = nfiq2(resampled(image, DPI[folder]), nbis)
        for one, two in combinations(templates, 2):
            if one.finger == two.finger:
                (first, left), (second, right) = templates[one], templates[two]
                scores.append((first, second, compare(left, right).value))
    return quality, scores


def discard_rows(
    quality: Mapping[str, Mapping[str, float]], scores: Sequence[tuple[str, str, float]], threshold: float
) -> list[list[str]]:
    """False non-match rate that remains, one row per measure and year and one for all."""
    rows = []
    for year in (*sorted({key[:7] for key in next(iter(quality.values()))}), ""):
        for measure, values in quality.items():
            here = {key: value for key, value in values.items() if key.startswith(year)}
            remaining = []
            for share in DISCARDS:
                limit = np.quantile(list(here.values()), share) if share else -1.0
                kept = [s < threshold for a, b, s in scores if a in here and min(here[a], here[b]) > limit]
                remaining.append(f"{100 * np.mean(kept):.2f}" if kept else "none left")
            rows.append([year or "all", measure, *remaining])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench quality", description=__doc__)
    parser.add_argument("--fingers", type=int, default=50, help="generated fingers; 16 touches each")
    parser.add_argument("--folder", action="append", choices=list(DPI), help="real prints; all folders when not given")
    parser.add_argument("--without-peer", action="store_true", help="leave NFIQ 2 out (it takes most of the time)")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    print(heading("Quality"))
    print()
    columns = ["planted", "touches", "named first", "otherwise said"]
    print(table(columns, guidance_rows(guidance(options.fingers))))
    threshold = THRESHOLDS["FMR_0.1%"]
    quality, scores = real_prints(options.folder or list(DPI), peer=not options.without_peer)
    print(f"\nFNMR in % at the FMR 0.1 % threshold ({threshold:g}), {len(scores)} mated pairs, after discarding")
    columns = ["prints", "by", *(f"worst {share:.0%}" if share else "none" for share in DISCARDS)]
    print(table(columns, discard_rows(quality, scores, threshold)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
