"""From a picture of a finger to its minutiae: the algorithm, one line per step."""

import numpy as np
from numpy.typing import NDArray

from matcher.errors import UnusableImageError
from matcher.extract.minutiae import fine_directions, fine_positions, kinds, qualities
from matcher.extract.network import Network
from matcher.extract.parameters import DPI, MAX_DPI, MAX_SIDE, MIN_DPI, MIN_SIDE, POSITION_THRESHOLD
from matcher.extract.polarity import dark_ridges
from matcher.extract.resample import positions_at_500_dpi, resampled
from matcher.extract.segment import finger_box, finger_mask, window
from matcher.template import Template
from matcher.tracing import Trace, silent


def extract(pixels: NDArray[np.uint8], dpi: float, network: Network, trace: Trace = silent) -> Template:
    """Find the minutiae of one finger.

    Parameters
    ----------
    pixels : (H, W) uint8
        Grey picture, row 0 on top, any polarity.
    dpi : float
        Resolution of both axes, 250 to 1100.
    network : Network
        Loaded once, used for every picture.
    trace : Trace
        Receives ``image`` (at 500 dpi, ridges dark), ``mask`` (a quarter of its size) and ``blurred``.

    Returns
    -------
    Template
        In pixels at 500 dpi of the picture given; without minutiae where there is no finger.

    Raises
    ------
    UnusableImageError
        Not a grey picture, too small or large, or no plausible resolution.
    """
    checked(pixels, dpi)
    sampled = resampled(pixels, dpi)
    mask = finger_mask(sampled)
    image = dark_ridges(sampled, mask)
    trace("image", image)
    trace("mask", mask)
    rows, columns = finger_box(mask, *image.shape)
    seen = window(image, rows, columns)
    findings = network.look(seen, POSITION_THRESHOLD)
    trace("blurred", findings.blurred)
    fine_rows, fine_columns = fine_positions(findings)
    template = Template.of(
        positions_at_500_dpi(fine_columns + columns.start, image.shape[1], pixels.shape[1], dpi),
        positions_at_500_dpi(fine_rows + rows.start, image.shape[0], pixels.shape[0], dpi),
        fine_directions(findings, fine_rows, fine_columns),
        kinds(findings),
        qualities(findings),
    )
    wipe_copies(pixels, sampled, image, seen)
    findings.wipe()
    return template


def wipe_copies(pixels: NDArray[np.uint8], *copies: NDArray[np.generic]) -> None:
    """Overwrite what was made of a picture on the way; the picture itself is wiped by who captured it."""
    for copy in copies:
        if copy is not pixels:
            copy[...] = 0


def checked(pixels: NDArray[np.uint8], dpi: float) -> None:
    """Refuse what no finger can be found in, with the cause.

    Raises UnusableImageError.
    """
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise UnusableImageError("needs one channel of 8-bit grey levels")
    if not np.isfinite(dpi) or not MIN_DPI <= dpi <= MAX_DPI:
        raise UnusableImageError(f"a resolution of {dpi:g} dpi is outside {MIN_DPI:g} to {MAX_DPI:g}")
    least, most = min(pixels.shape), max(pixels.shape)
    if least < MIN_SIDE or least * DPI / dpi < MIN_SIDE:
        raise UnusableImageError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels are too small for a finger")
    if most > MAX_SIDE:
        raise UnusableImageError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels are more than any finger scanner gives")
