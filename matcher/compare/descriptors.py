"""A description of each minutia's surroundings that survives turning and shifting."""

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par

_CELLS = (((np.arange(par.CYLINDER_CELLS) + 0.5) / par.CYLINDER_CELLS * 2 - 1) * par.CYLINDER_RADIUS).astype(np.float32)
_TURNS = np.arange(par.CYLINDER_LAYERS) * 2 * np.pi / par.CYLINDER_LAYERS
_LAYERS = np.stack([np.cos(_TURNS), np.sin(_TURNS)]).astype(np.float32)
_AT_ONCE = 12
_REACH = par.CYLINDER_RADIUS + 2 * par.CYLINDER_SPREAD


def cylinders(
    relative: NDArray[np.complex128],
    distance: NDArray[np.float64],
    turn: NDArray[np.complex128],
    trust: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Occupancy of cells round each minutia by its neighbours, by place and relative direction.

    Parameters
    ----------
    relative : (n, n) complex128
        Place of minutia j in the frame of minutia i, px.
    distance : (n, n) float64
        Its absolute value.
    turn : (n, n) complex128
        Direction of j relative to that of i, as a unit vector.
    trust : (n,) float64
        Reliability of each minutia, 0 to 1.

    Returns
    -------
    (n, d) float32
        Rows of length 1; the similarity of two minutiae is the product of their rows, 0 to 1.

    Notes
    -----
    Each neighbour j adds trust exp(-|cell - place|^2 / 2 s^2) exp((cos(layer - turn) - 1) / t^2) to every cell and
    layer; the sum o is saturated to o / (o + h), so that dense noise does not outweigh the rest. After MCC, with a
    square base, von Mises instead of Gaussian layers and the cosine as similarity.
    """
    count = relative.shape[0]
    spread = np.float32(-0.5 / par.CYLINDER_SPREAD**2)
    weight = np.where((distance > 0) & (distance < _REACH), trust, 0.0).astype(np.float32)
    # Of each minutia only the neighbours within reach: a third of all on a large print.
    most = int((weight > 0).sum(axis=1).max(initial=1))
    near = np.argsort(np.where(weight > 0, distance, np.inf), axis=1, kind="stable")[:, :most]
    near += np.arange(count)[:, None] * count
    relative, turn, weight = relative.take(near), turn.take(near), weight.take(near)
    along = np.exp((_CELLS[:, None] - relative.real.astype(np.float32)[:, None, :]) ** 2 * spread)
    along *= weight[:, None, :]
    across = np.exp((_CELLS[:, None] - relative.imag.astype(np.float32)[:, None, :]) ** 2 * spread)
    parts = np.stack([turn.real, turn.imag]).astype(np.float32).transpose(1, 0, 2)
    layers = np.exp((_LAYERS.T @ parts - np.float32(1)) * np.float32(1 / par.CYLINDER_TURN**2))
    filled = np.empty((count, par.CYLINDER_CELLS**2 * par.CYLINDER_LAYERS), dtype=np.float32)
    # A few minutiae at a time: larger arrays are given back to the system each time, and fetched page by page again.
    for start in range(0, count, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        sheets = across[part, :, None, :] * layers[part, None, :, :]
        sheets = sheets.reshape(sheets.shape[0], par.CYLINDER_CELLS * par.CYLINDER_LAYERS, sheets.shape[3])
        filled[part] = (sheets @ along[part].transpose(0, 2, 1)).reshape(sheets.shape[0], filled.shape[1])
    filled /= filled + np.float32(par.CYLINDER_SATURATION)
    rows: NDArray[np.float32] = filled / (np.linalg.norm(filled, axis=1, keepdims=True) + np.float32(1e-6))
    return rows
