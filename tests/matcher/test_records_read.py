"""Minutiae records from the standards' annexes and other people's programs are read as they say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matcher.iso19794 import FingerPosition, Standard, decode

KINDS = {"OTHER": 0, "EITHER": 0, "ENDING": 1, "BIFURCATION": 2}
SAMPLES = {
    "ansi378v2004": (Standard.ANSI_2004, 2.0),
    "ansi378v2009": (Standard.ANSI_2009, 2.0),
    "ansi378v2009am1": (Standard.ANSI_2009, 2.0),
    "iso19794p2v2005": (Standard.ISO_2005, 360 / 256),
    "iso19794p2v2011": (Standard.ISO_2011, 360 / 256),
}


@pytest.mark.data
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_of_each_format_gives_the_minutiae_its_description_lists(name: str, shared_data: Path) -> None:
    """Positions, angles, types, qualities and fingers are those another program wrote down."""
    standard, degrees = SAMPLES[name]
    folder = shared_data / "templates" / "fingerprintio"
    described: list[dict[str, Any]] = json.loads((folder / f"{name}-sample.json").read_text())["fingerprints"]
    record = decode((folder / f"{name}-sample.dat").read_bytes())
    assert record.standard is standard
    assert len(record.views) == len(described)
    for view, said in zip(record.views, described, strict=True):
        minutiae = said["minutiae"]
        assert view.finger_position == FingerPosition[said["position"]]
        assert view.quality == (said["qrecords"][0] if "qrecords" in said else said)["quality"]
        assert view.template.x.tolist() == [m["positionX"] for m in minutiae]
        assert view.template.y.tolist() == [m["positionY"] for m in minutiae]
        assert view.template.kind.tolist() == [KINDS[m["type"]] for m in minutiae]
        assert view.template.quality.tolist() == [m["quality"] for m in minutiae]
        angles = np.radians([m["angle"] * degrees for m in minutiae]) % (2 * np.pi)
        assert np.allclose(view.template.angle, angles)


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "standard", "flags"),
    [
        ("nist-biomdi/ANSI-INCITS-378_2004/Appendix-B2_Example.raw", Standard.ANSI_2004, {"extended_data"}),
        (
            "nist-biomdi/ISO-19794-2_2005/Appendix-C2_Example.raw",
            Standard.ISO_2005,
            {"extended_data", "length_field_wrong"},
        ),
        ("nist-libbiomeval/fmr.ansi2007", Standard.ANSI_2009, {"extended_data"}),
        ("nist-libbiomeval/fmr.iso2005", Standard.ISO_2005, {"extended_data", "extended_data_cut"}),
    ],
)
def test_examples_of_the_standards_are_read_with_their_oddities_named(
    path: str, standard: Standard, flags: set[str], shared_data: Path
) -> None:
    """The ISO annex example says 340 bytes and has 341: its 27 and 22 minutiae are read, the length is flagged."""
    record = decode((shared_data / "templates" / path).read_bytes())
    assert record.standard is standard
    assert set(record.flags) == flags
    assert [len(view.template) for view in record.views] == [27, 22]
    assert [view.finger_position for view in record.views] == [FingerPosition.LEFT_INDEX, FingerPosition.RIGHT_INDEX]


@pytest.mark.data
def test_iso_and_ansi_example_of_the_same_finger_agree(shared_data: Path) -> None:
    """The two annexes describe one finger in their own angle units; both come out within one unit."""
    folder = shared_data / "templates" / "nist-biomdi"
    iso = decode((folder / "ISO-19794-2_2005" / "Appendix-C2_Example.raw").read_bytes()).views[1].template
    ansi = decode((folder / "ANSI-INCITS-378_2004" / "Appendix-B2_Example.raw").read_bytes()).views[1].template
    assert iso.x.tolist() == ansi.x.tolist()
    turned = np.abs(np.angle(np.exp(1j * (iso.angle - ansi.angle))))
    assert np.median(turned) < np.radians(2)


@pytest.mark.data
@pytest.mark.parametrize("extractor", ["mindtct", "sourceafis", "secugenfix"])
def test_every_record_of_other_extractors_is_read(extractor: str, shared_data: Path) -> None:
    """320 records of each extractor are read without a flag that would mean lost minutiae."""
    files = sorted((shared_data / "templates" / "peers-fvc2002" / extractor).rglob("*.iso"))
    assert len(files) == 320
    flags: set[str] = set()
    for file in files:
        flags.update(decode(file.read_bytes()).flags)
    assert flags <= {"minutia_quality_unknown"}
