"""The fingers to measure with: folders of real prints beside the project, and what peers made of them.

Everything found in them stays in memory; a run extracts anew.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from matcher import Network, Template, extract
from matcher.iso19794 import decode

ROOT: Final = Path(__file__).resolve().parent.parent

DPI: Final[Mapping[str, int]] = {
    "fvc2000/db1_b": 500,
    "fvc2000/db2_b": 500,
    "fvc2000/db3_b": 500,  # as published; its ridge period says about 650
    "fvc2000/db4_b": 500,
    "fvc2002/db1_b": 500,
    "fvc2002/db2_b": 569,
    "fvc2002/db3_b": 500,
    "fvc2002/db4_b": 500,
}
FVC2000: Final = tuple(name for name in DPI if name.startswith("fvc2000"))
FVC2002: Final = tuple(name for name in DPI if name.startswith("fvc2002"))
PEERS: Final = ("mindtct", "sourceafis", "secugenfix")
"""Extractors whose templates of fvc2002 are there."""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """An impression: ``<finger>_<impression>`` of a folder."""

    finger: str
    impression: str

    @classmethod
    def of(cls, path: Path) -> "Name":
        """From the name of a file."""
        finger, impression = path.stem.rsplit("_", 1)
        return cls(finger, impression)


def shared_data() -> Path:
    """The folder of prints and templates; ends the program with a clear word where it is absent."""
    folder = Path(os.environ.get("MPOS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; this bench needs real prints (set MPOS_SHARED_DATA)")
    return folder


def pictures(folder: str) -> dict[Name, NDArray[np.uint8]]:
    """The grey pictures of one folder, by name, in order."""
    found: dict[Name, NDArray[np.uint8]] = {}
    for path in sorted((shared_data() / "fingerprints" / folder).glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None, path
        found[Name.of(path)] = image.astype(np.uint8)
    return found


def our_templates(folder: str, network: Network) -> dict[Name, Template]:
    """What our extractor finds in a folder, with a bar."""
    images = pictures(folder)
    shown = track(images.items(), description=f"extract {folder}", console=Console(stderr=True), transient=True)
    return {name: extract(image, DPI[folder], network) for name, image in shown}


def peer_templates(peer: str, folder: str) -> dict[Name, Template]:
    """What another extractor found in a folder of fvc2002."""
    year, name = folder.split("/")
    files = sorted((shared_data() / "templates" / f"peers-{year}" / peer / name).glob("*.iso"))
    return {Name.of(path): decode(path.read_bytes()).views[0].template for path in files}


def impostors_and_mates(probes: Sequence[Name], gallery: Sequence[Name], *, same: bool) -> list[tuple[Name, Name]]:
    """All pairs of different names; each pair once where both sides are one set."""
    if same:
        return [(one, two) for k, one in enumerate(probes) for two in probes[k + 1 :]]
    return [(one, two) for one in probes for two in gallery if one != two]
