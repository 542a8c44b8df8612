"""A random surface without fine detail: the stuff that placement, pressure, moisture and dirt are made of."""

import cv2
import numpy as np
from numpy.typing import NDArray


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> NDArray[np.float32]:
    """Draw a smooth random field of mean about 0 and standard deviation about 1.

    Parameters
    ----------
    rng : source of the field; the same state gives the same field.
    shape : (H, W) of the result.
    scale_px : distance over which the field changes, in pixels; at least 1.

    Returns
    -------
    field : (H, W) float32

    Notes
    -----
    White noise on a grid of ``scale_px``, interpolated by cubics. Interpolation lowers the variance
    between the nodes; the factor brings the mean variance back to 1 (measured: 0.68 for the cubic
    kernel in two dimensions).
    """
    height, width = shape
    rows, columns = int(np.ceil(height / scale_px)) + 3, int(np.ceil(width / scale_px)) + 3
    nodes = rng.standard_normal((rows, columns), dtype=np.float32)
    if scale_px <= 1:
        return nodes[:height, :width]
    # The grid is shifted by a random part of a node so that no image has its extrema in the same places.
    dy, dx = rng.random(2)
    ys = (np.arange(height, dtype=np.float32) / scale_px + 1 + dy).astype(np.float32)
    xs = (np.arange(width, dtype=np.float32) / scale_px + 1 + dx).astype(np.float32)
    grid_x, grid_y = np.meshgrid(xs, ys)
    field = cv2.remap(nodes, grid_x, grid_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(field / np.sqrt(0.68), dtype=np.float32)
