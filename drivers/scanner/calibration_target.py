"""A printed page of known lines, and how many pixels of a scanner they come out as.

The page is a grid: lines one pitch apart both ways. Whatever way it lies on the glass, the two families of lines have
wave vectors of length 1/pitch at right angles, so across and along the picture::

    dpi_x = 25.4 / (pitch * sqrt(f1x**2 + f2x**2))        f in cycles per pixel
    dpi_y = 25.4 / (pitch * sqrt(f1y**2 + f2y**2))

Nothing of a finger is in such a picture.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.calibration import HIGHEST_DPI, LOWEST_DPI
from drivers.scanner.errors import TargetUnclearError

PITCH_MM = 1.0
"""Twenty lines on 20 mm of glass, each wide enough for any printer and any scanner."""
_LINE_MM = 0.4
RULER_MM = 100.0
_LARGEST_ERROR = 0.015
"""Half a ridge width over 20 mm; a picture that says less is taken again."""
_LARGEST_TURN_DEG = 20.0
"""Beyond, one cannot tell across from along; a hand lays the page straighter than that."""
_FINEST_STEPS = 24
_CLEAR = 6.0
"""How far a family of lines must stand out of everything else, as a multiple of the median of the spectrum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a picture of the target says."""

    dpi_x: float
    dpi_y: float
    error_x: float
    """Standard error, dpi: how much quarters of the picture differ."""
    error_y: float
    turned_deg: float
    """How the page lay, counter-clockwise."""


def measure(pixels: NDArray[np.uint8], pitch_mm: float = PITCH_MM) -> Measured:
    """Measure a raw picture of the target.

    Parameters
    ----------
    pixels : (H, W) uint8, as the sensor gives it.
    pitch_mm : distance of the lines on this print.

    Raises
    ------
    TargetUnclearError
        There are no two families of lines, or parts of the picture differ too much: the page was bent or moved.
    """
    height, width = pixels.shape
    if min(height, width) < 64:
        raise TargetUnclearError(f"a picture of {width}x{height} is too small")
    whole = _wave_vectors(pixels.astype(np.float64), pitch_mm)
    dpi_x, dpi_y = _dpi(whole, pitch_mm)
    parts = [
        _dpi(_wave_vectors(part.astype(np.float64), pitch_mm, near=whole), pitch_mm)
        for part in (
            pixels[: height * 2 // 3, : width * 2 // 3],
            pixels[: height * 2 // 3, width // 3 :],
            pixels[height // 3 :, : width * 2 // 3],
            pixels[height // 3 :, width // 3 :],
        )
    ]
    error_x, error_y = (float(error) / 2 for error in np.std(parts, axis=0, ddof=1))
    if error_x > _LARGEST_ERROR * dpi_x or error_y > _LARGEST_ERROR * dpi_y:
        raise TargetUnclearError(f"parts of the picture differ by {max(error_x / dpi_x, error_y / dpi_y):.1%}")
    if not all(LOWEST_DPI <= dpi <= HIGHEST_DPI for dpi in (dpi_x, dpi_y)):
        raise TargetUnclearError(f"{dpi_x:.0f} x {dpi_y:.0f} dpi is no resolution of a fingerprint scanner")
    in_mm = whole * [dpi_x, dpi_y] / 25.4 * pitch_mm
    turned = float(np.degrees(np.arctan2(-in_mm[0, 1], in_mm[0, 0])))
    # Measured so, columns are of length 1; rows are only if the families stand at right angles: ridges hardly ever do.
    if abs(turned) > _LARGEST_TURN_DEG or np.abs(np.linalg.norm(in_mm, axis=1) - 1).max() > _LARGEST_ERROR:
        raise TargetUnclearError(f"the lines are not at right angles, or turned too far ({turned:.0f} degrees)")
    return Measured(
        dpi_x=dpi_x,
        dpi_y=dpi_y,
        error_x=error_x,
        error_y=error_y,
        turned_deg=turned,
    )


def _dpi(vectors: NDArray[np.float64], pitch_mm: float) -> tuple[float, float]:
    across, along = np.hypot(vectors[0], vectors[1])
    return float(25.4 / pitch_mm / across), float(25.4 / pitch_mm / along)


def _wave_vectors(
    pixels: NDArray[np.float64], pitch_mm: float, near: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The families that run along and across, as rows (fx, fy) in cycles per pixel."""
    height, width = pixels.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    flat = (pixels - np.average(pixels, weights=window)) * window
    found = []
    for family in (0, 1):
        start = _strongest(flat, pitch_mm, family) if near is None else near[family]
        found.append(_refined(flat, start))
    return np.array(found)


def _strongest(flat: NDArray[np.float64], pitch_mm: float, family: int) -> NDArray[np.float64]:
    """The peak of the spectrum among vectors that such lines can have: family 0 points across, 1 along."""
    height, width = flat.shape
    power = np.abs(np.fft.fft2(flat))
    fx, fy = np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height))
    main, other = (fx, fy) if family == 0 else (fy, fx)
    least, most = 25.4 / pitch_mm / HIGHEST_DPI, 25.4 / pitch_mm / LOWEST_DPI
    # Twice the slope of the largest turn: pixels need not be square.
    fitting = (main > max(least, 2.5 / min(height, width))) & (main < most)
    fitting &= np.abs(other) < 2 * np.tan(np.radians(_LARGEST_TURN_DEG)) * main
    candidates = np.where(fitting, power, 0.0)
    place = np.unravel_index(int(np.argmax(candidates)), power.shape)
    if candidates[place] < _CLEAR * np.median(power[fitting]) or candidates[place] < 0.02 * np.abs(flat).sum():
        raise TargetUnclearError("no lines are seen " + ("across" if family == 0 else "along"))
    return np.array([fx[place], fy[place]])


def _refined(flat: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Climb from a bin of the spectrum to the top between the bins."""
    height, width = flat.shape
    rows, columns = np.arange(height), np.arange(width)
    best, step = start, np.array([0.5 / width, 0.5 / height])

    def strength(vector: NDArray[np.float64]) -> float:
        across, along = 2 * np.pi * vector[0] * columns, 2 * np.pi * vector[1] * rows
        even, odd = flat @ np.cos(across), flat @ np.sin(across)
        cosine, sine = np.cos(along), np.sin(along)
        return float(np.hypot(cosine @ even - sine @ odd, sine @ even + cosine @ odd))

    top = strength(best)
    for _ in range(_FINEST_STEPS):
        moves = [best + step * direction for direction in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        heights = [strength(move) for move in moves]
        if max(heights) > top:
            best, top = moves[int(np.argmax(heights))], max(heights)
        else:
            step = step / 2
    return best


def svg(pitch_mm: float = PITCH_MM) -> str:
    """The page to print: A4, the grid in its middle, a ruler of 100 mm to check the printer by."""
    side, left, top = 60.0, 75.0, 60.0
    count = round(side / pitch_mm)
    width = _LINE_MM * pitch_mm / PITCH_MM
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="210mm" height="297mm" viewBox="0 0 210 297">',
        '<g fill="black" font-family="sans-serif" font-size="4">',
    ]
    for number in range(count):
        at = number * pitch_mm
        lines.append(f'<rect x="{left + at:.3f}" y="{top}" width="{width:.3f}" height="{side}"/>')
        lines.append(f'<rect x="{left}" y="{top + at:.3f}" width="{side}" height="{width:.3f}"/>')
    lines += [
        f'<rect x="55" y="150" width="{RULER_MM}" height="0.3"/>',
        '<rect x="55" y="146" width="0.3" height="8"/>',
        f'<rect x="{55 + RULER_MM - 0.3}" y="146" width="0.3" height="8"/>',
        f'<text x="55" y="162">{RULER_MM:g} mm &#8212; {pitch_mm:g} mm</text>',
        '<text x="55" y="170">Cetak 100 % (tanpa penyesuaian); ukur garis: harus tepat 100 mm.</text>',
        '<text x="55" y="176">Print at 100 % (no scaling); measure the line: exactly 100 mm.</text>',
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
