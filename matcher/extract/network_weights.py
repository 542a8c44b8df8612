"""Where the network's weights come from: the data file of an installed distribution, checked, read layer by layer.

Set-up only: needs h5py and the distribution ``pyfing`` (MIT licence), which is never imported.
"""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from matcher.errors import NetworkInvalidError, NetworkMissingError

DISTRIBUTION: Final = "pyfing"
FILE: Final = "LEADER.weights.h5"
SHA256: Final = "0cbf12af936482d10ba54b23f40a9b192ab767df2f81bc96c5954585735fefe6"
"""Of the weight file in pyfing 0.7.3: the only weights the error rates in docs/matcher.md stand for."""

Weights = NDArray[np.float64]


def find_weights() -> Path:
    """The weight file inside the installed distribution, its content checked.

    Raises
    ------
    NetworkMissingError
        The distribution or the file in it is not installed.
    NetworkInvalidError
        The file is another one than the pinned.
    """
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError as error:
        raise NetworkMissingError(f"{FILE} of the distribution {DISTRIBUTION}") from error
    for file in files:
        if file.name == FILE:
            path = Path(str(file.locate()))
            check_weights(path)
            return path
    raise NetworkMissingError(f"{FILE} of the distribution {DISTRIBUTION}")


def check_weights(path: Path) -> None:
    """Raise NetworkInvalidError unless the file is the pinned one."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise NetworkInvalidError(str(path), f"its SHA-256 is {digest}, not the pinned one")


class LayerWeights:
    """The arrays of each layer, by kind and running number, in float64 so that layers can be folded exactly.

    Convolution kernels come out as (out, in, rows, columns), depthwise kernels as (channels, 1, rows, columns).
    """

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            self._layers = {
                name: [np.asarray(layer["vars"][str(k)], np.float64) for k in range(len(layer["vars"]))]
                for name, layer in file["layers"].items()
                if "vars" in layer
            }

    def _vars(self, kind: str, number: int) -> list[Weights]:
        return self._layers[kind if number == 0 else f"{kind}_{number}"]

    def conv(self, number: int) -> tuple[Weights, Weights]:
        """Kernel and bias of an ordinary convolution."""
        kernel, bias = self._vars("conv2d", number)
        return kernel.transpose(3, 2, 0, 1), bias

    def point(self, number: int) -> tuple[Weights, Weights]:
        """Matrix (out, in) and bias of a 1x1 convolution."""
        kernel, bias = self.conv(number)
        return kernel[:, :, 0, 0], bias

    def blur(self) -> Weights:
        """The fixed 5x5 Gaussian over the position map; it has no bias."""
        return self._vars("conv2d", 47)[0].transpose(3, 2, 0, 1)

    def depthwise(self, number: int) -> Weights:
        """Kernel of a depthwise convolution without bias."""
        return self._vars("depthwise_conv2d", number)[0].transpose(2, 3, 0, 1)

    def separable(self, number: int) -> tuple[Weights, Weights, Weights]:
        """Depthwise kernel, then matrix (out, in) and bias of the 1x1 part."""
        depth, point, bias = self._vars("separable_conv2d", number)
        return depth.transpose(2, 3, 0, 1), point[0, 0].T, bias

    def norm(self, number: int) -> tuple[Weights, Weights]:
        """Gain and shift of a layer normalisation, (channels,) each."""
        gain, shift = self._vars("layer_normalization", number)
        return gain, shift
