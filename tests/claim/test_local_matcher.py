"""The matcher of this machine as a claim uses it: what a card's template gives, oddities included."""

import math
from pathlib import Path

import numpy as np
import pytest

import matcher
from drivers.scanner.base import FingerImage
from drivers.sensitive import SensitiveBytes
from matcher.chip_profile import as_on_chip
from matcher.errors import NetworkMissingError, UnusableImageError
from matcher.template import Template
from mpos_agent.claim.local_matcher import LocalMatcher


def minutiae(seed: int, count: int = 45) -> Template:
    """Scattered over a finger's area; the same seed gives the same ones."""
    generator = np.random.default_rng(seed)
    return Template.of(
        generator.uniform(80, 370, count), generator.uniform(90, 500, count), generator.uniform(0, 2 * np.pi, count)
    )


def test_template_of_a_card_names_its_finger_and_matches_itself() -> None:
    """As an e-KTP carries it: size 0x0, quality 254, all endings. Another one does not match."""
    local = LocalMatcher()
    left = local.decode(SensitiveBytes(as_on_chip(minutiae(1), 7)))
    other = local.decode(SensitiveBytes(as_on_chip(minutiae(2), 7)))
    assert left is not None
    assert other is not None
    assert left.finger == 7
    threshold = local.threshold("FMR_0.01%")
    assert local.compare(minutiae(1), left.template).value >= threshold
    assert local.compare(minutiae(1), other.template).value < threshold


@pytest.mark.parametrize("content", [b"", b"\x00" * 30, b"FMR\x00 20\x00", b"not a template at all"])
def test_what_is_no_template_is_a_finger_the_card_does_not_have(content: bytes) -> None:
    """A missing finger may be an empty, zeroed or torn file: left out, never an error at the counter."""
    assert LocalMatcher().decode(SensitiveBytes(content)) is None


def test_template_without_minutiae_is_left_out() -> None:
    """Nothing could ever match it."""
    assert LocalMatcher().decode(SensitiveBytes(as_on_chip(Template.empty(), 2))) is None


def test_decoding_leaves_the_record_as_it_is() -> None:
    """The same template serves the next attempt."""
    record = SensitiveBytes(as_on_chip(minutiae(3), 2))
    first, second = LocalMatcher().decode(record), LocalMatcher().decode(record)
    assert first is not None
    assert second is not None
    first.template.wipe()
    assert second.template.x.any()
    record.wipe()


def test_an_unknown_threshold_is_a_wrong_setting() -> None:
    """Found when the desk opens, not at the first finger."""
    with pytest.raises(KeyError):
        LocalMatcher().threshold("FMR_0.5%")


def test_missing_network_is_told_with_its_cure(tmp_path: Path) -> None:
    """At the first need, naming the file and what writes it."""
    with pytest.raises(NetworkMissingError, match="make venv"):
        LocalMatcher(tmp_path / "none.onnx").warm_up()


def test_a_picture_of_nothing_is_unusable_not_a_crash() -> None:
    """A driver that delivers a single row."""
    nothing = FingerImage(pixels=np.zeros((1, 1), dtype=np.uint8), dpi=500.0, scanner="none")
    with pytest.raises(UnusableImageError):
        LocalMatcher().quality(nothing)


def test_version_says_what_made_the_score() -> None:
    """Both fit the packet."""
    local = LocalMatcher()
    assert 0 < len(local.version) <= 32
    assert local.version == matcher.MATCHER_VERSION
    assert set(local.parameter_digest) <= set("0123456789abcdef")
    assert len(local.parameter_digest) <= 64


def test_one_of_many_comparisons_has_to_be_better_than_a_single_one() -> None:
    """Ten allowed comparisons and the margin cost 13, the band is that of the whole series; a single one is free."""
    local = LocalMatcher()
    left = local.decode(SensitiveBytes(as_on_chip(minutiae(1), 7)))
    assert left is not None
    alone = local.compare(minutiae(1), left.template)
    assert local.in_series(alone, 1).value == alone.value
    assert local.in_series(alone, 10).value == pytest.approx(alone.value - 10 * math.log10(20))
    assert local.in_series(alone, 10 ** int(alone.value / 10)).band == "none"
