"""``python -m bench speed``: how long each step takes on one core, beside its peers in the same run.

Every figure is processor time, the median over rounds in which ours and the peer take turns: on an idle machine that
is the time on the clock (all steps run in one thread), and a busy one disturbs both alike.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.plain_network import plain_graph
from drivers.scanner.synthetic.finger import Finger
from matcher import Network, assess_quality, compare, extract
from matcher.extract.network_weights import LayerWeights, find_weights
from tests.peer_nbis import Nbis

import onnxruntime  # isort: skip - after our own door to it, which keeps it silent

SHAPES = ((256, 256), (374, 388), (480, 480), (640, 640))
"""(H, W) in px at 500 dpi: a small capacitive sensor, the usual optical one, a large one, a two-finger platen."""
USUAL = (374, 388)
FRAME = (384, 416)
"""The usual picture on the network's grid."""

START = """
import time
begin = time.perf_counter()
import sys
import numpy as np
from matcher import Network, compare, extract
pixels = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape({shape})
network = Network.load()
one = extract(pixels, 500, network)
compare(one, one)
first = time.perf_counter() - begin
for _ in range(5):
    extract(pixels, 500, network)
status = open("/proc/self/status").read().split()
print(first, int(status[status.index("VmHWM:") + 1]) / 1024)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One measured step."""

    what: str
    ours_ms: float
    peer: str
    peer_ms: float | None


def medians(rounds: int, label: str, *steps: Callable[[], object]) -> list[float]:
    """Median milliseconds of each step, the steps taking turns; the first round only warms up."""
    taken: list[list[float]] = [[] for _ in steps]
    for number in track(range(rounds + 1), description=label, console=Console(stderr=True), transient=True):
        for times, step in zip(taken, steps, strict=True):
            begin = time.process_time()
            step()
            if number:
                times.append((time.process_time() - begin) * 1e3)
    return [statistics.median(times) for times in taken]


def plain_session() -> onnxruntime.InferenceSession:
    """The layer-by-layer network on the same runtime, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = plain_graph(LayerWeights(find_weights())).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def network_line(rounds: int, pixels: NDArray[np.uint8], network: Network) -> Line:
    """The whole picture through both graphs."""
    image = np.full(FRAME, 250, np.float32)
    image[5 : 5 + pixels.shape[0], 14 : 14 + pixels.shape[1]] = pixels
    plain = plain_session()
    ours, theirs = medians(
        rounds,
        "network",
        lambda: network.look(image, 0.6),
        lambda: plain.run(None, {"image": image[None, None]}),
    )
    return Line(f"network {FRAME[1]}x{FRAME[0]}", ours, "layer by layer", theirs)


def extraction_lines(rounds: int, network: Network, nbis: Nbis) -> list[Line]:
    """Picture to template, several sizes."""
    finger, lines = Finger.from_seed(3), []
    for shape in SHAPES:
        pixels = finger.impression(1, shape=shape)
        ours, theirs = medians(
            rounds,
            f"extract {shape[1]}x{shape[0]}",
            partial(extract, pixels, 500, network),
            partial(nbis.extract, pixels),
        )
        lines.append(Line(f"extract {shape[1]}x{shape[0]}", ours, "mindtct (and PNG)", theirs))
    return lines


def compare_lines(rounds: int, network: Network, nbis: Nbis) -> list[Line]:
    """Prepare both sides and compare, once for the same finger and once for another."""
    one, two = Finger.from_seed(3), Finger.from_seed(4)
    pictures = [one.impression(1), one.impression(2), two.impression(1)]
    ours = [extract(picture, 500, network) for picture in pictures]
    theirs = [nbis.extract(picture) for picture in pictures]
    lines = []
    for name, other in (("same finger", 1), ("another finger", 2)):
        mine, peer = medians(
            10 * rounds,
            f"compare, {name}",
            partial(compare, ours[0], ours[other]),
            partial(theirs[0].compare, theirs[other]),
        )
        lines.append(Line(f"prepare + compare, {name}", mine, "BOZORTH3", peer))
    return lines


def start_lines(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Seconds from nothing to the first result, and the peak memory in MB, of a process that does only this."""
    program = START.format(shape=pixels.shape)
    done = subprocess.run(
        [sys.executable, "-c", program], input=pixels.tobytes(), capture_output=True, check=True, timeout=120
    )
    first, peak = map(float, done.stdout.split())
    return first, peak


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds: int = parser.parse_args(arguments).rounds
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        # NumPy's linear algebra reads this once, when it is loaded: one core means one thread there as well.
        again = [sys.executable, "-m", "bench.speed", "--rounds", str(rounds)]
        return subprocess.run(again, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, check=False).returncode
    cv2.setNumThreads(1)
    network, nbis = Network.load(), Nbis()
    pixels = Finger.from_seed(3).impression(1, shape=USUAL)
    lines = [network_line(rounds, pixels, network), *extraction_lines(rounds, network, nbis)]
    (quality_ms,) = medians(5 * rounds, "quality", partial(assess_quality, pixels, 500))
    lines.append(Line(f"quality {USUAL[1]}x{USUAL[0]}", quality_ms, "", None))
    lines += compare_lines(rounds, network, nbis)
    table = Table("step, one core", "ours ms", "peer", "peer ms", "ours / peer")
    for line in lines:
        ratio = "" if line.peer_ms is None else f"{line.ours_ms / line.peer_ms:.2f}"
        peer_ms = "" if line.peer_ms is None else f"{line.peer_ms:.2f}"
        table.add_row(line.what, f"{line.ours_ms:.2f}", line.peer, peer_ms, ratio)
    console = Console()
    console.print(table)
    first, peak = start_lines(pixels)
    console.print(f"from process start to the first result {first:.2f} s, peak memory {peak:.0f} MB")
    console.print(f"this process with all peers: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
