"""Runs the extractor network; the only importer of ONNX Runtime."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

# Its builds for Linux, from 1.29 on, tell their maker which machine runs which network: on import they write a device
# id and a queue into the user's cache folder and send. They look at this once, before anything is written; nothing
# that is set later, and no call of theirs, stops it. Whatever the environment says, it is off.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from matcher.errors import NetworkInvalidError, NetworkMissingError
from matcher.extract.network_file import NETWORK_VERSION, default_path

LARGE_PIXELS: Final = 512 * 512
"""Pictures beyond this are rare: their working memory is given back after each."""

onnxruntime.set_default_logger_severity(3)  # its warnings are about our dynamic shapes, each run anew


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Findings:
    """What the network says of one picture of (H, W) pixels.

    blurred : (H, W) float32, probability of a minutia at each pixel, after a 5x5 Gaussian.
    rows, columns : (n,) int64, its local maxima that reach the threshold, highest first.
    direction : (n, 2, 4, 4) float32, cosine and sine (not of unit length) of the minutia's direction, and
    kind : (n, 4, 4) float32, log-odds of "ridge ending", at the pixels from ``corner`` on.
    corner : (n, 2) int64, row and column of the first of those pixels; the minutia is 1 or 2 further on.
    """

    blurred: NDArray[np.float32]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    direction: NDArray[np.float32]
    kind: NDArray[np.float32]
    corner: NDArray[np.int64]

    def wipe(self) -> None:
        """Overwrite what could show the finger."""
        for values in (self.blurred, self.rows, self.columns, self.direction, self.kind, self.corner):
            values[...] = 0


class Network:
    """A loaded network. One thread; use it from several threads only one at a time (it has a lock for that)."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path | None = None, *, threads: int = 1) -> Self:
        """Read the network file, by default the one set-up wrote for this environment.

        Raises
        ------
        NetworkMissingError
            There is no such file.
        NetworkInvalidError
            It is damaged, or of another version than this code.
        """
        path = default_path() if path is None else path
        if not path.is_file():
            raise NetworkMissingError(str(path))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A kiosk's other work must not wait for threads that spin between two pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library raises a dozen unrelated types
            raise NetworkInvalidError(str(path), "it is not a network file") from error
        version = session.get_modelmeta().custom_metadata_map.get("network_version", "none")
        if version != NETWORK_VERSION:
            raise NetworkInvalidError(str(path), f"its version is {version}, this program runs {NETWORK_VERSION}")
        return cls(session)

    def look(self, image: NDArray[np.float32], threshold: float) -> Findings:
        """Find minutiae.

        Parameters
        ----------
        image : (H, W) float32
            Grey levels 0 to 255 at 500 dpi, ridges dark, H and W multiples of 32.
        threshold : float
            Least value of the blurred position map.
        """
        height, width = image.shape
        options = onnxruntime.RunOptions()
        # Gives the working memory of an unusually large picture back; for the usual ones that would cost
        # a quarter of the time in page faults.
        if height * width > LARGE_PIXELS:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        inputs = {"image": image[None, None], "threshold": np.array(threshold, np.float32)}
        with self._lock:
            blurred, values, places, direction, kind = self._session.run(
                ["blurred", "values", "places", "direction", "kind"], inputs, options
            )
        found = values >= threshold
        rows, columns = places[found] // width, places[found] % width
        corner = np.stack([(rows + 1) // 2 - 1, (columns + 1) // 2 - 1], axis=1) * 2
        return Findings(blurred[0, 0], rows, columns, direction[found], kind[found, 0], corner)
