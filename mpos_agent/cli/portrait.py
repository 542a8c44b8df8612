"""The chip's photo on a terminal, for the comparison with the person: decoded in memory, never a file.

Each character cell shows two pixels, one above the other: an upper half block whose foreground is the upper
pixel and whose background is the lower one. Where there are no colours, cells of different weight stand for
shades of grey.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

_HALF = "▀"
_SHADES = " .:-=+*#%@"
"""Dark to light, on a dark screen."""
# Wide enough to know a face by, narrow enough for a window of 80 columns.
_COLUMNS = 48
_FEWEST_ROWS = 12
# Prompt, question and answers below the photo.
_ROWS_LEFT = 16


def portrait(jpeg: bytes, console: Console) -> Text | None:
    """The photo as lines of characters that fit the console; None when it is no picture."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    rows = max(_FEWEST_ROWS, min(_COLUMNS, console.height - _ROWS_LEFT))
    # Cells are about twice as high as wide, so two pixels a cell are square.
    scale = min(min(_COLUMNS, console.width) / width, 2 * rows / height)
    size = (max(1, round(width * scale)), max(2, 2 * round(height * scale / 2)))
    return drawn(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)[..., ::-1], console)


def drawn(pixels: NDArray[np.uint8], console: Console) -> Text:
    """A picture, one character for two pixels.

    Parameters
    ----------
    pixels : (H, W, 3) uint8, red first, H even.
    """
    return _coloured(pixels) if console.color_system else _shaded(pixels)


def _coloured(pixels: NDArray[np.uint8]) -> Text:
    text = Text()
    for upper, lower in zip(pixels[0::2].tolist(), pixels[1::2].tolist(), strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append(_HALF, Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    return text


def _shaded(pixels: NDArray[np.uint8]) -> Text:
    grey = pixels.mean(axis=2)
    cells = (grey[0::2] + grey[1::2]) / 2
    steps = np.minimum((cells / 256 * len(_SHADES)).astype(int), len(_SHADES) - 1)
    return Text("\n".join("".join(_SHADES[step] for step in row) for row in steps.tolist()) + "\n")
