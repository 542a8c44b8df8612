"""Strangers no folder of prints holds: fingers of our own generator, and minutiae along made-up ridges.

They are drawn from few patterns and resemble one another more than people do, so what they reach is a worse case than
any folder. Only the tail of the calibration is fitted on them; they are judged on other seeds (``bench/attack.py``).
"""

from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.progress import track

from bench.attack import flow
from bench.datasets import Name
from bench.interop import chip_like
from drivers.scanner.synthetic.finger import Finger
from matcher import Network, Template, extract

FIRST_SEED = 21000
FINGERS, IMPRESSIONS, FAKES = 44, 3, 250
"""9,000 pairs of strangers' impressions, 11,000 of a fake and a first impression."""
Task = tuple[str, str, Mapping[Name, Template], Mapping[Name, Template]]


def made_up_tasks(network: Network) -> list[Task]:
    """Gallery, folder, probes and templates of each kind to compare."""
    own: dict[Name, Template] = {}
    seeds = range(FIRST_SEED, FIRST_SEED + FINGERS)
    for seed in track(seeds, description="made-up fingers", console=Console(stderr=True), transient=True):
        finger = Finger.from_seed(seed)
        for number in range(IMPRESSIONS):
            own[Name(str(seed), str(number))] = extract(finger.impression(number), 500, network)
    generator = np.random.default_rng(1)
    fakes = {Name(f"fake {k}", "0"): flow(generator, []) for k in range(FAKES)}
    first = {name: template for name, template in own.items() if name.impression == "0"}
    return [
        ("made up", "fingers", own, own),
        ("made up", "fingers as on chip", own, chip_like(own)),
        ("made up", "ridges", fakes, first),
    ]
