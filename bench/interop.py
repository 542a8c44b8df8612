"""``python -m bench interop``: our probes against other extractors' templates, and against them as on a chip.

Galleries of fvc2002: each peer as it is, each peer and ourselves made chip-like (60 minutiae, all endings, qualities
50 and 9, no picture size). Galleries of fvc2000: mindtct by nbis-python as it is, it and ourselves made chip-like.
Every probe is compared with every template of another name.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from bench.datasets import FVC2000, FVC2002, PEERS, Name, impostors_and_mates, our_templates, peer_templates, pictures
from bench.rates import TARGETS, Comparisons, intervals
from bench.report import heading, table
from bench.thresholds import THRESHOLD_COLUMNS, threshold_rows
from matcher import Network, Template
from matcher.chip_profile import as_on_chip
from matcher.compare.pipeline import compare, prepare
from matcher.iso19794 import decode
from tests.peer_nbis import Nbis

Gallery = Callable[[str], dict[Name, Template]]


def chip_like(templates: dict[Name, Template]) -> dict[Name, Template]:
    """What a chip would keep of each, through its bytes."""
    return {name: decode(as_on_chip(template, 2)).views[0].template for name, template in templates.items()}


def peer_on_chip(peer: str, folder: str) -> dict[Name, Template]:
    """A peer's templates of a folder as a chip would hold them."""
    return chip_like(peer_templates(peer, folder))


def mindtct(peer: Nbis, folder: str) -> dict[Name, Template]:
    """mindtct's minutiae of any folder. Not through the record it writes: that claims 99 px/cm for any picture."""
    return {name: _as_template(peer.extract(image).get()) for name, image in pictures(folder).items()}


def _as_template(found: Sequence[Any]) -> Template:
    return Template.of(
        [minutia.x() for minutia in found],
        [minutia.y() for minutia in found],
        np.radians([minutia.angle() for minutia in found]),
        [minutia.kind().value for minutia in found],
        [100 * minutia.reliability() for minutia in found],
    )


def against(label: str, folder: str, probes: dict[Name, Template], gallery: dict[Name, Template]) -> Comparisons:
    """Scores of every probe with every template of another name."""
    one = {name: prepare(template) for name, template in probes.items()}
    two = {name: prepare(template) for name, template in gallery.items()}
    pairs = impostors_and_mates(list(one), list(two), same=False)
    shown = track(pairs, description=f"{label} {folder}", console=Console(stderr=True), transient=True)
    return Comparisons.of(folder, pairs, [compare(one[a], two[b]).value for a, b in shown])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench interop", description=__doc__)
    parser.add_argument("--draws", type=int, default=100, help="bootstrap draws for the intervals")
    options = parser.parse_args(arguments)
    network, peer = Network.load(), Nbis()
    probes = {folder: our_templates(folder, network) for folder in (*FVC2002, *FVC2000)}
    galleries: dict[str, tuple[Sequence[str], Gallery]] = {}
    for name in PEERS:
        galleries[name] = (FVC2002, partial(peer_templates, name))
        galleries[f"{name} as on chip"] = (FVC2002, partial(peer_on_chip, name))
    galleries["ours as on chip"] = (FVC2002, lambda folder: chip_like(probes[folder]))
    galleries["ours as on chip, fvc2000"] = (FVC2000, lambda folder: chip_like(probes[folder]))
    galleries["mindtct, fvc2000"] = (FVC2000, partial(mindtct, peer))
    galleries["mindtct as on chip, fvc2000"] = (FVC2000, lambda folder: chip_like(mindtct(peer, folder)))
    rows, rates = [], []
    for label, (folders, gallery) in galleries.items():
        parts = [against(label, folder, probes[folder], gallery(folder)) for folder in folders]
        equal, at = intervals(parts, options.draws)
        rows.append([label, str(equal), *(str(at[target]) for target in TARGETS)])
        rates += threshold_rows(label, parts)
    print(heading("our probes against other templates, %") + "\n")
    print(table(["gallery", "EER", *(f"FNMR at FMR {100 * target:g} %" for target in TARGETS)], rows))
    print("\nFalse match rate measured at our thresholds, % of strangers accepted\n")
    print(table(THRESHOLD_COLUMNS, rates))


if __name__ == "__main__":
    main()
