"""What a technician may see of a test picture: how good it is, and a small picture of it that holds no ridges.

The local API carries no fingerprint. What it shows of one is so coarse that the ridges are averaged away: where the
finger lies, how evenly it is pressed, whether the glass is dirty.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from drivers.scanner.base import FingerImage, PlaceAgain, ScannerInfo
from matcher.errors import UnusableImageError
from matcher.quality import QualityReason
from mpos_agent.capture.auto_capture import Judge

PREVIEW_SIDE = 48
"""Cells on the longer side: 0.4 mm each on 20 mm of glass, about the distance of two ridges."""

CELL_MM = 0.4
"""A cell is never smaller: two of them span a ridge and its valley."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A coarse picture: ``width x height`` grey values, row by row."""

    width: int
    height: int
    greys: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of a test."""

    scanner: ScannerInfo
    missed: PlaceAgain | None
    """Why there is no picture; None when there is one."""
    width: int = 0
    height: int = 0
    dpi: float | None = None
    quality: float | None = None
    """0 to 100; None where the resolution is not known: ridges are judged by their size."""
    reasons: tuple[str, ...] = ()
    """What could be better, most hindering first."""
    preview: Preview | None = None


def trial_of(scanner: ScannerInfo, picture: FingerImage | PlaceAgain, judge: Judge) -> Trial:
    """Judge a test picture and shrink it; the picture is wiped."""
    if isinstance(picture, PlaceAgain):
        return Trial(scanner=scanner, missed=picture)
    try:
        quality: float | None = None
        reasons: tuple[QualityReason, ...] = ()
        if picture.dpi is not None:
            try:
                judged = judge(picture)
                quality, reasons = judged.value, judged.reasons
            except UnusableImageError:
                quality = 0.0
        height, width = picture.pixels.shape
        return Trial(
            scanner=scanner,
            missed=None,
            width=width,
            height=height,
            dpi=picture.dpi,
            quality=quality,
            reasons=tuple(reason.value for reason in reasons),
            preview=_preview(picture),
        )
    finally:
        picture.wipe()


def _preview(picture: FingerImage) -> Preview:
    height, width = picture.pixels.shape
    # A small sensor gets fewer cells, never finer ones.
    cells = max(height, width) / (picture.dpi or 500.0) * 25.4 / CELL_MM
    scale = min(PREVIEW_SIDE, cells) / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Blurred over a cell first: shrinking alone would let single ridges through as a pattern of their own.
    soft = cv2.GaussianBlur(picture.pixels, (0, 0), 0.8 / scale)
    small = np.asarray(cv2.resize(soft, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    soft[...] = 0
    return Preview(width=size[0], height=size[1], greys=small.tobytes())
