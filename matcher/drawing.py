"""A sheet with pictures, rings and lines on it, as PNG or SVG."""

import base64
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

SUBPIXEL_BITS: Final = 4
"""Positions in the PNG are in sixteenths of a pixel."""


@dataclass(slots=True, repr=False)
class Drawing:
    """Shapes in drawing order; x to the right, y down, unit one pixel of the PNG."""

    width: int
    height: int
    images: list[tuple[float, float, NDArray[np.uint8]]] = field(default_factory=list)
    rings: list[tuple[float, float, float, Colour]] = field(default_factory=list)
    lines: list[tuple[float, float, float, float, Colour]] = field(default_factory=list)

    def image(self, left: float, top: float, pixels: NDArray[np.uint8]) -> None:
        """(H, W) grey or (H, W, 3) red green blue, uint8."""
        self.images.append((left, top, pixels))

    def ring(self, x: float, y: float, radius: float, colour: Colour) -> None:
        self.rings.append((x, y, radius, colour))

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour) -> None:
        self.lines.append((*start, *end, colour))

    def png(self) -> bytes:
        """The sheet as a PNG file's content."""
        sheet = np.full((self.height, self.width, 3), 255, np.uint8)
        for left, top, pixels in self.images:
            coloured = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
            row, column = round(top), round(left)
            sheet[row : row + pixels.shape[0], column : column + pixels.shape[1]] = coloured
        scale = 1 << SUBPIXEL_BITS
        for x1, y1, x2, y2, colour in self.lines:
            start, end = (round(x1 * scale), round(y1 * scale)), (round(x2 * scale), round(y2 * scale))
            cv2.line(sheet, start, end, colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        for x, y, radius, colour in self.rings:
            centre = (round(x * scale), round(y * scale))
            cv2.circle(sheet, centre, round(radius * scale), colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
        return _png(sheet)

    def svg(self) -> bytes:
        """The sheet as an SVG file's content; images are embedded."""
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" fill="none">']
        for left, top, pixels in self.images:
            data = base64.b64encode(_png(pixels)).decode()
            size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
            parts.append(f'<image x="{left:g}" y="{top:g}" {size} href="data:image/png;base64,{data}"/>')
        for x1, y1, x2, y2, colour in self.lines:
            ends = f'x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}"'
            parts.append(f'<line {ends} stroke="rgb{colour}"/>')
        for x, y, radius, colour in self.rings:
            parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{radius:.2f}" stroke="rgb{colour}"/>')
        return "\n".join([*parts, "</svg>", ""]).encode()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stored = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])
    done, data = cv2.imencode(".png", stored)
    assert done, "an array of uint8 always has a PNG form"
    return data.tobytes()
