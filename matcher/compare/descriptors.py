"""A description of each minutia's surroundings that survives turning and shifting."""

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par

_CELLS = (((np.arange(par.CYLINDER_CELLS) + 0.5) / par.CYLINDER_CELLS * 2 - 1) * par.CYLINDER_RADIUS).astype(np.float32)
_LAYERS = np.exp(2j * np.pi * np.arange(par.CYLINDER_LAYERS) / par.CYLINDER_LAYERS).astype(np.complex64)


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
    x, y = relative.real.astype(np.float32), relative.imag.astype(np.float32)
    spread = np.float32(-0.5 / par.CYLINDER_SPREAD**2)
    near = (distance > 0) & (distance < par.CYLINDER_RADIUS + 2 * par.CYLINDER_SPREAD)
    weight = (near * trust).astype(np.float32)
    along = np.exp((x[..., None] - _CELLS) ** 2 * spread) * weight[..., None]
    across = np.exp((y[..., None] - _CELLS) ** 2 * spread)
    base = (along[..., :, None] * across[..., None, :]).reshape(count, count, par.CYLINDER_CELLS**2)
    turn_cos = np.real(turn.astype(np.complex64)[..., None] * np.conj(_LAYERS))
    layers = np.exp((turn_cos - np.float32(1)) * np.float32(1 / par.CYLINDER_TURN**2))
    occupancy = np.matmul(base.transpose(0, 2, 1), layers).reshape(count, par.CYLINDER_CELLS**2 * par.CYLINDER_LAYERS)
    filled = occupancy / (occupancy + np.float32(par.CYLINDER_SATURATION))
    rows: NDArray[np.float32] = filled / (np.linalg.norm(filled, axis=1, keepdims=True) + np.float32(1e-6))
    return rows
