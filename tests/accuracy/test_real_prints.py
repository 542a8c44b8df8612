"""Error rates on real prints stay where docs/matcher.md says they are; a small part of what the benches measure."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.datasets import DPI, Name, impostors_and_mates, peer_templates, pictures
from bench.interop import chip_like
from bench.rates import Comparisons, share_accepted
from matcher import THRESHOLDS, Network, Template, extract
from matcher.compare.pipeline import compare, prepare

FOLDERS = ("fvc2002/db1_b", "fvc2002/db4_b")
FINGERS = frozenset({"101", "103", "105", "107", "109"})
IMPRESSIONS = frozenset({"1", "3", "5", "7"})

pytestmark = [pytest.mark.data, pytest.mark.slow]

Folders = Mapping[str, Mapping[Name, Template]]


def chosen(name: Name) -> bool:
    """Every other finger and impression: enough to notice, few enough to wait for."""
    return name.finger in FINGERS and name.impression in IMPRESSIONS


@pytest.fixture(scope="module")
def probes(shared_data: Path, network: Network) -> Folders:
    """What our extractor finds."""
    assert shared_data.is_dir()
    return {
        folder: {name: extract(image, DPI[folder], network) for name, image in pictures(folder).items() if chosen(name)}
        for folder in FOLDERS
    }


def compared(probes: Folders, galleries: Folders) -> list[Comparisons]:
    """All pairs of different names."""
    parts = []
    for folder, templates in probes.items():
        one = {name: prepare(template) for name, template in templates.items()}
        two = {name: prepare(template) for name, template in galleries[folder].items()}
        pairs = impostors_and_mates(list(one), list(two), same=False)
        parts.append(Comparisons.of(folder, pairs, [compare(one[a], two[b]).value for a, b in pairs]))
    return parts


def test_our_own_templates(probes: Folders) -> None:
    """At one stranger in ten thousand, at most one mate in a hundred is refused; strangers stay near the named rate."""
    parts = compared(probes, probes)
    assert share_accepted(parts, THRESHOLDS["FMR_0.01%"], mated=True) >= 0.99
    assert share_accepted(parts, THRESHOLDS["FMR_1%"], mated=False) <= 0.03
    assert share_accepted(parts, THRESHOLDS["FMR_0.1%"], mated=False) <= 0.006


@pytest.mark.parametrize("peer", ["mindtct", "sourceafis", "secugenfix"])
@pytest.mark.parametrize("chip", [False, True])
def test_other_extractors_templates(probes: Folders, peer: str, chip: bool) -> None:
    """As they are and as on a chip: at one stranger in a thousand, few mates are refused."""
    foreign = {folder: {n: t for n, t in peer_templates(peer, folder).items() if chosen(n)} for folder in FOLDERS}
    galleries = {folder: chip_like(templates) for folder, templates in foreign.items()} if chip else foreign
    parts = compared(probes, galleries)
    assert share_accepted(parts, THRESHOLDS["FMR_0.1%"], mated=True) >= 0.95
    assert share_accepted(parts, THRESHOLDS["FMR_1%"], mated=False) <= 0.03
    assert share_accepted(parts, THRESHOLDS["FMR_0.1%"], mated=False) <= 0.006
