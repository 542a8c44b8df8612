"""``python -m bench accuracy``: error rates on every folder of real prints, ours and nbis-python in one run.

Genuine: every pair of different impressions of a finger, once. Impostor: every pair of impressions of different
fingers. Pooled figures have one threshold for all folders.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench.datasets import DPI, FVC2000, FVC2002, impostors_and_mates, our_templates, pictures
from bench.det_plot import det_plot
from bench.rates import TARGETS, Comparisons, curve, intervals, pooled
from bench.report import heading, table
from bench.thresholds import THRESHOLD_COLUMNS, threshold_rows
from matcher import Network
from matcher.compare.pipeline import compare, prepare
from tests.peer_nbis import Nbis


def ours(folder: str, network: Network) -> Comparisons:
    """Our extractor and our comparison on one folder."""
    prepared = {name: prepare(template) for name, template in our_templates(folder, network).items()}
    pairs = impostors_and_mates(list(prepared), list(prepared), same=True)
    return Comparisons.of(folder, pairs, [compare(prepared[one], prepared[two]).value for one, two in pairs])


def nbis(folder: str, peer: Nbis) -> Comparisons:
    """mindtct and BOZORTH3 on the same pictures."""
    found = {name: peer.extract(image) for name, image in pictures(folder).items()}
    pairs = impostors_and_mates(list(found), list(found), same=True)
    shown = track(pairs, description=f"bozorth3 {folder}", console=Console(stderr=True), transient=True)
    return Comparisons.of(folder, pairs, [float(found[one].compare(found[two])) for one, two in shown])


def report(label: str, parts: Sequence[Comparisons], draws: int) -> list[list[str]]:
    """A row per folder and one per year, with intervals for the years."""
    rows = []
    for part in parts:
        rates = curve(part.score, part.mated)
        figures = [rates.equal_error_rate(), *(rates.fnmr_at(target) for target in TARGETS)]
        rows.append([label, part.folder, *(f"{100 * figure:.2f}" for figure in figures)])
    for year, folders in (("fvc2000 pooled", FVC2000), ("fvc2002 pooled", FVC2002)):
        chosen = [part for part in parts if part.folder in folders]
        if len(chosen) > 1:
            equal, at = intervals(chosen, draws)
            rows.append([label, year, str(equal), *(str(at[target]) for target in TARGETS)])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench accuracy", description=__doc__)
    parser.add_argument("folders", nargs="*", default=list(DPI), help="default: all eight")
    parser.add_argument("--draws", type=int, default=200, help="bootstrap draws for the intervals")
    parser.add_argument("--plot", type=Path, help="write the DET curves to this SVG")
    parser.add_argument("--no-peer", action="store_true", help="ours only")
    options = parser.parse_args(arguments)
    network = Network.load()
    mine = [ours(folder, network) for folder in options.folders]
    sides = {"ours": mine}
    if not options.no_peer:
        peer = Nbis()
        sides["nbis-python"] = [nbis(folder, peer) for folder in options.folders]
    print(heading("accuracy, %") + "\n")
    columns = ["matcher", "folder", "EER", *(f"FNMR at FMR {100 * target:g} %" for target in TARGETS)]
    print(table(columns, [row for label, parts in sides.items() for row in report(label, parts, options.draws)]))
    print("\nFalse match rate measured at our thresholds, % of strangers accepted\n")
    print(table(THRESHOLD_COLUMNS, threshold_rows("ours", mine)))
    if options.plot:
        curves = {
            f"{label} {year}": pooled([part for part in parts if part.folder in folders])
            for label, parts in sides.items()
            for year, folders in (("fvc2000", FVC2000), ("fvc2002", FVC2002))
            if any(part.folder in folders for part in parts)
        }
        options.plot.write_text(det_plot(curves, "Errors on real prints, pooled over folders"), encoding="utf-8")


if __name__ == "__main__":
    main()
