"""``python -m bench fuzz --minutes 30``: foreign bytes and arrays against reader, extraction and comparison.

Whatever comes in, a value or a ``MatcherError`` must come out, soon, and nothing made of garbage may score high.
Every round is drawn from one seed, so that a finding can be repeated. Ends 1 when something was found.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.report import heading
from drivers.scanner.synthetic.finger import Finger
from matcher import THRESHOLDS, MatcherError, Network, Template, assess_quality, compare, extract
from matcher.chip_profile import as_on_chip
from matcher.iso19794 import View, decode, encode

SLOW_S = 2.0
"""Processor time after which an input counts as a hang; the slowest honest one, a large picture, takes half."""
FINGERS = 6
HEADS = (b"FMR\0 20\0", b"FMR\0" + b"020\0", b"FMR\0 30\0", b"FMR\0" + b"030\0", b"FMR\0" + b"035\0")


@dataclass(slots=True)
class Findings:
    """What happened so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    best_score: float = 0.0
    best_kind: str = "none"
    faults: list[str] = field(default_factory=list)


def mutated(rng: np.random.Generator, record: bytes) -> bytes:
    """A record with bytes changed, cut, repeated or put in."""
    data = bytearray(record)
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(len(data))) if data else 0
        match int(rng.integers(5)):
            case 0 if data:
                data[place] = int(rng.integers(256))
            case 1:
                del data[place:]
            case 2:
                data[place:place] = rng.bytes(int(rng.integers(1, 20)))
            case 3:
                data += data[place : place + int(rng.integers(1, 200))]
            case _ if len(data) > 28:
                data[int(rng.integers(8, 28))] = int(rng.choice([0, 1, 127, 128, 254, 255]))
    return bytes(data)


def strange_bytes(rng: np.random.Generator, records: Sequence[bytes]) -> tuple[str, bytes]:
    """Noise, noise behind a true beginning, or a damaged record of a stranger."""
    match int(rng.integers(4)):
        case 0:
            return "noise", rng.bytes(int(rng.integers(0, 600)))
        case 1:
            return "noise behind a true beginning", HEADS[int(rng.integers(len(HEADS)))] + rng.bytes(400)
        case _:
            return "damaged record", mutated(rng, records[int(rng.integers(len(records)))])


def strange_arrays(rng: np.random.Generator) -> tuple[str, list[NDArray[np.float64]]]:
    """x, y and angle as no finger has them."""
    count = int(rng.choice([0, 1, 2, 3, 10, 60, 255, 600]))
    x, y, angle = rng.uniform(0, 400, count), rng.uniform(0, 500, count), rng.uniform(0, 2 * np.pi, count)
    kind = str(
        rng.choice(["random", "one place", "a line", "a grid", "huge", "not numbers", "one direction", "a ring"])
    )
    if kind == "one place":
        x[:], y[:] = 200, 200
    elif kind == "a line":
        y = x * rng.normal() + 100
    elif kind == "a grid":
        x, y = np.round(x / 25) * 25, np.round(y / 25) * 25
    elif kind == "huge":
        x, y = x * 10.0 ** rng.uniform(0, 300), y * 10.0 ** rng.uniform(0, 300)
    elif kind == "not numbers" and count:
        (x, y, angle)[int(rng.integers(3))][int(rng.integers(count))] = rng.choice([np.nan, np.inf, -np.inf])
    elif kind == "one direction":
        angle[:] = rng.uniform(0, 7)
    elif kind == "a ring":
        turn = np.linspace(0, 2 * np.pi, count)
        x, y, angle = 200 + 120 * np.cos(turn), 200 - 120 * np.sin(turn), turn + np.pi / 2
    return kind, [x, y, angle]


def strange_frame(rng: np.random.Generator) -> tuple[str, NDArray[np.uint8], float]:
    """A picture no finger made: noise, stripes, a checked cloth, blots, a black frame."""
    shape = tuple(int(side) for side in rng.integers(20, 420, 2))
    row, column = np.mgrid[: shape[0], : shape[1]]
    kind = str(rng.choice(["noise", "stripes", "cloth", "blots", "flat"]))
    wave = 2 * np.pi / rng.uniform(4, 20)
    along = np.cos(turn := rng.uniform(0, np.pi)) * column + np.sin(turn) * row
    across = np.cos(turn) * row - np.sin(turn) * column
    made = {
        "noise": rng.integers(0, 256, shape).astype(np.float64),
        "stripes": 128 + 120 * np.sin(wave * along),
        "cloth": 128 + 120 * np.sin(wave * along) * np.sin(wave * across),
        "blots": 128 + 900 * cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), float(rng.uniform(1, 9))),
        "flat": np.full(shape, float(rng.integers(256))),
    }[kind]
    return f"frame of {kind}", np.clip(made, 0, 255).astype(np.uint8), float(rng.choice([100, 300, 500, 1000, np.nan]))


def try_one(
    rng: np.random.Generator, fingers: Sequence[Template], records: Sequence[bytes], network: Network
) -> tuple[str, float]:
    """One strange input through everything it can reach; its kind, and its best score against any finger.

    A damaged record is still a stranger's finger, and one stranger in a thousand scores as the threshold says: it must
    give a number, but that number is no fault.
    """
    draw = rng.random()
    if draw < 0.02:
        kind, pixels, dpi = strange_frame(rng)
        assess_quality(pixels, dpi)
        templates = [extract(pixels, dpi, network)]
    elif draw < 0.5:
        kind, data = strange_bytes(rng, records)
        templates = [view.template for view in decode(data).views]
    else:
        kind, arrays = strange_arrays(rng)
        templates = [Template.of(*arrays)]
    scores = [compare(template, finger).value for template in templates[:3] for finger in fingers]
    if not all(np.isfinite(scores)):
        raise ValueError("a score is not a number")
    return kind, 0.0 if kind == "damaged record" else max(scores, default=0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try until the time is over; print what happened."""
    parser = argparse.ArgumentParser(prog="bench fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    print(heading("Fuzz"))
    network = Network.load()
    fingers = [extract(Finger.from_seed(8000 + k).impression(0), 500, network) for k in range(FINGERS)]
    records = [as_on_chip(finger, 2) for finger in fingers[:3]]
    records += [encode(View(finger, 7), View(finger, 2)) for finger in fingers[3:FINGERS]]
    found, begin, number = Findings(), time.monotonic(), 0
    limit_s = options.minutes * 60
    columns = (TextColumn("fuzzing"), BarColumn(), TextColumn("{task.fields[tries]} tries"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("fuzz", total=limit_s, tries=0)
        while (gone := time.monotonic() - begin) < limit_s:
            number += 1
            rng = np.random.default_rng([options.seed, number])
            started = time.process_time()
            try:
                kind, score = try_one(rng, fingers, records, network)
                found.outcomes[kind] += 1
                if score > found.best_score:
                    found.best_score, found.best_kind = score, f"{kind}, try {number}"
            except MatcherError as error:
                found.outcomes[f"refused: {error.code}"] += 1
            except Exception as error:  # noqa: BLE001 - this is what the bench looks for
                found.faults.append(f"try {number}: {type(error).__name__} {error}")
            if time.process_time() - started > SLOW_S:
                found.faults.append(f"try {number}: took {time.process_time() - started:.1f} s")
            if number % 50 == 0:
                bar.update(task, completed=gone, tries=number)
    for what, count in sorted(found.outcomes.items()):
        print(f"  {count:8d} {what}")
    threshold = THRESHOLDS["FMR_0.1%"]
    print(f"{number} tries; best score {found.best_score:.1f} ({found.best_kind}), FMR 0.1 % threshold {threshold:g}")
    for fault in found.faults[:20]:
        print(f"FOUND {fault}")
    return 1 if found.faults or found.best_score >= threshold else 0


if __name__ == "__main__":
    sys.exit(main())
