"""Pictures of what the matcher saw, for technicians and documents. They show a finger: never kept in production."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.template import BIFURCATION, ENDING, Template

Picture = NDArray[np.uint8]
"""(H, W, 3) uint8, blue green red."""

COLOURS: Final = {ENDING: (40, 40, 230), BIFURCATION: (230, 120, 20), 0: (40, 170, 40)}
"""Blue, green, red: endings red, bifurcations blue, unknown green."""
TAIL: Final = 12
"""px at 500 dpi: a little more than a ridge period, so that the direction is seen."""


def minutiae_picture(pixels: NDArray[np.uint8], dpi: float, template: Template, *, enlarge: float = 2.0) -> Picture:
    """The finger, greyed, with a ring and a tail along its direction for each minutia.

    pixels : (H, W) uint8 at ``dpi``. The picture has ``enlarge`` times its size at 500 dpi.
    """
    factor = enlarge * 500.0 / dpi
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    grey = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    picture = cv2.cvtColor((127 + grey / 2).astype(np.uint8), cv2.COLOR_GRAY2BGR).astype(np.uint8)
    draw_minutiae(picture, template, enlarge)
    return picture


def draw_minutiae(picture: Picture, template: Template, enlarge: float, left: float = 0.0) -> None:
    """Draw into ``picture``, whose pixels are 1 / ``enlarge`` px at 500 dpi, from column ``left`` on."""
    shift = 3  # cv2 takes positions in eighths of a pixel
    fine = 1 << shift
    for x, y, angle, kind in zip(template.x, template.y, template.angle, template.kind, strict=True):
        column, row = left + (x + 0.5) * enlarge, (y + 0.5) * enlarge
        end = column + TAIL * enlarge * np.cos(angle), row - TAIL * enlarge * np.sin(angle)
        colour = COLOURS[int(kind)]
        centre = round(column * fine), round(row * fine)
        tip = round(end[0] * fine), round(end[1] * fine)
        cv2.circle(picture, centre, round(3 * enlarge * fine), colour, 1, cv2.LINE_AA, shift)
        cv2.line(picture, centre, tip, colour, 1, cv2.LINE_AA, shift)


def png(picture: Picture) -> bytes:
    """The picture as a PNG file's content."""
    done, data = cv2.imencode(".png", picture)
    assert done, "an (H, W, 3) uint8 array always has a PNG form"
    return data.tobytes()
