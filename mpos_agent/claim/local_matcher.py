"""The matcher of this machine as a claim uses it: templates of the card and pictures in, scores out."""

import threading
from dataclasses import dataclass
from pathlib import Path

import matcher
from drivers.scanner.base import FingerImage
from drivers.sensitive import SensitiveBytes
from matcher.compare.fusion import fuse_attempts
from matcher.errors import TemplateFormatError
from matcher.iso19794 import decode
from matcher.template import Template
from mpos_agent.claim.counter import Score


@dataclass(frozen=True, slots=True, eq=False)
class DecodedFinger:
    """One finger of a card."""

    finger: int
    template: Template


class LocalMatcher:
    """Everything on this machine, nothing over a network. Safe from every thread."""

    def __init__(self, network_file: Path | None = None) -> None:
        self._network_file = network_file
        self._loading = threading.Lock()
        self._network: matcher.Network | None = None

    @property
    def version(self) -> str:
        """Name and version of extraction and comparison."""
        return str(matcher.MATCHER_VERSION)

    @property
    def parameter_digest(self) -> str:
        """Digest of every constant that changes a score."""
        return str(matcher.PARAMETER_DIGEST)

    def threshold(self, threshold_id: str) -> float:
        """Least score for the named false match rate; KeyError for an unknown name."""
        return matcher.THRESHOLDS[threshold_id]

    def warm_up(self) -> None:
        """Load the network now instead of at the first finger. Raises NetworkMissingError, NetworkInvalidError."""
        self._loaded()

    def decode(self, record: SensitiveBytes) -> DecodedFinger | None:
        """The first view of a minutiae record; None when it is none, or holds no minutiae."""
        with record.view() as content:
            try:
                decoded = decode(content)
            except TemplateFormatError:
                # An empty or torn template is a finger this card does not have: said by its absence.
                return None
        if not decoded.views or not len(decoded.views[0].template):
            decoded.wipe()
            return None
        for view in decoded.views[1:]:
            view.template.wipe()
        return DecodedFinger(int(decoded.views[0].finger_position), decoded.views[0].template)

    def quality(self, image: FingerImage) -> matcher.Quality:
        """0 to 100 with reasons; UnusableImageError when it is no picture."""
        return matcher.assess_quality(image.pixels, _known(image.dpi))

    def extract(self, image: FingerImage) -> Template:
        """Minutiae, the caller's to wipe; UnusableImageError when it is no picture."""
        return matcher.extract(image.pixels, _known(image.dpi), self._loaded())

    def compare(self, probe: Template, gallery: Template) -> matcher.Score:
        """How alike."""
        return matcher.compare(probe, gallery)

    def in_series(self, score: Score, allowed: int) -> matcher.Score:
        """See :func:`matcher.compare.fusion.fuse_attempts`: the whole series keeps the rate that is named."""
        alone = matcher.Score(score.value, 10 ** (-score.value / 10), score.matched, score.band)
        return fuse_attempts([alone], allowed)

    def _loaded(self) -> matcher.Network:
        with self._loading:
            if self._network is None:
                self._network = matcher.Network.load(self._network_file)
            return self._network


def _known(dpi: float | None) -> float:
    assert dpi is not None, "a picture of unknown resolution never reaches a claim"
    return dpi
