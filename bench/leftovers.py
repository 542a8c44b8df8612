"""``python -m bench leftovers``: is a new touch taken for the trace, or for the unlifted finger, of the one before.

Real prints: every pair of touches of one finger, compared in place as ``mpos_agent/capture/memory.py`` does; each that
reaches the line would be sent back although the finger was lifted. Generated touches: the grease each leaves behind;
each below the line would pass for a finger.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.datasets import DPI, pictures
from bench.report import heading, table
from drivers.scanner.base import FingerImage
from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger
from mpos_agent.capture.memory import ALIKE, NEAR_MM, RESTING_ALIKE, RESTING_MM
from mpos_agent.capture.ridge_relief import Relief, likeness, relief_of

FIRST_SEED = 4000
"""Fingers nobody looked at while the lines were drawn."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench leftovers", description=__doc__)
    parser.add_argument("--fingers", type=int, default=25, help="generated fingers; two touches each")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    print(heading("Leftovers"))
    print()
    rows, near, resting = [], list[float](), list[float]()
    for folder in DPI:
        by_finger = defaultdict(list)
        for name, pixels in pictures(folder).items():
            by_finger[name.finger].append(_relief(pixels))
        pairs = [pair for reliefs in by_finger.values() for pair in combinations(reliefs, 2)]
        near += (here := [likeness(one, other, NEAR_MM) for one, other in pairs])
        resting += (stays := [likeness(one, other, RESTING_MM) for one, other in pairs])
        rows.append(_row(folder, here, stays))
    rows.append(_row("all", near, resting))
    columns = ["new touches", "pairs", f"highest in {NEAR_MM:g} mm", f">= {ALIKE:g}", f">= {RESTING_ALIKE:g} resting"]
    print(table(columns, rows))
    grease = [value for seed in range(options.fingers) for value in _grease(Finger.from_seed(FIRST_SEED + seed))]
    print(f"\n{len(grease)} traces of generated touches: {min(grease):.2f} to {max(grease):.2f}, ", end="")
    print(f"{sum(value < ALIKE for value in grease)} below {ALIKE:g}")
    return 0


def _row(what: str, near: Sequence[float], resting: Sequence[float]) -> list[str]:
    return [
        what,
        str(len(near)),
        f"{max(near):.2f}",
        str(sum(value >= ALIKE for value in near)),
        str(sum(value >= RESTING_ALIKE for value in resting)),
    ]


def _grease(finger: Finger) -> list[float]:
    touches = (1, 2)
    return [
        likeness(_relief(finger.impression(touch)), _relief(finger.impression(touch, fault=Fault.GHOST)), NEAR_MM)
        for touch in touches
    ]


def _relief(pixels: NDArray[np.uint8]) -> Relief:
    return relief_of(FingerImage(pixels, 500.0, "bench"))


if __name__ == "__main__":
    raise SystemExit(main())
