"""``python -m bench attack``: templates made to pass, against impressions they know nothing of.

Targets are synthetic fingers through our extractor, so that anybody can repeat the run; ``--real`` adds real prints.

``stranger``    what other fingers of the targets score: the yardstick.
``noise``       minutiae anywhere, 20 to 255 of them.
``grid``        minutiae on a grid of every spacing, one direction or running over all.
``all angles``  stacks of minutiae at one place, in every direction.
``flow``        minutiae on the ridges of a made-up finger, where a target's might run too.
``collage``     minutiae of several strangers in one template.
``few``         three to eight minutiae out of a stranger's.
``climb``       starts from ``flow`` and keeps every random change that raises the score it is told.

The first seven never hear a score. An agent tells none either, and allows a handful of attempts; ``climb`` says what
somebody could do who has the matcher, the target's record and time.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from rich.console import Console
from rich.progress import track

from bench.datasets import Name, our_templates
from bench.report import heading, table
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.synthetic.pattern import draw_pattern, ridge_orientation
from matcher import THRESHOLDS, Network, Template, extract
from matcher.compare.pipeline import compare, prepare
from matcher.compare.prepared import Prepared

WIDTH, HEIGHT = 388.0, 374.0
FIRST_SEED = 9000
"""Synthetic fingers nobody looked at while the comparison was made."""

Fakes = Callable[[Generator, Sequence[Template]], Template]


def noise(generator: Generator, _others: Sequence[Template]) -> Template:
    """Anywhere, any direction."""
    count = int(generator.choice([20, 40, 60, 80, 255]))
    return Template.of(
        generator.uniform(0, WIDTH, count), generator.uniform(0, HEIGHT, count), generator.uniform(0, 2 * np.pi, count)
    )


def grid(generator: Generator, _others: Sequence[Template]) -> Template:
    """On a grid of 8 to 50 px, with one direction, two opposite ones, or directions running over the picture."""
    step = generator.uniform(8, 50)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, WIDTH, step), np.arange(0, HEIGHT, step)))
    turn = generator.uniform(0, 2 * np.pi)
    angle = {
        0: np.full(x.shape, turn),
        1: turn + np.pi * (np.arange(x.size) % 2),
        2: turn + np.arctan2(HEIGHT / 2 - y, x - WIDTH / 2),
        3: turn + generator.uniform(0.002, 0.05) * x + generator.uniform(-0.05, 0.05) * y,
    }[int(generator.integers(4))]
    return Template.of(x, y, angle, quality=np.full(x.shape, 99.0) if generator.random() < 0.5 else None)


def all_angles(generator: Generator, _others: Sequence[Template]) -> Template:
    """Stacks of 4 to 16 directions on a coarse grid, exactly or nearly at one place."""
    step, turns = generator.uniform(20, 90), int(generator.choice([4, 8, 16]))
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(0, WIDTH, step), np.arange(0, HEIGHT, step)))
    spread = generator.choice([0.0, 2.0, 6.0])
    places = np.repeat(np.stack([x, y]), turns, axis=1) + generator.normal(0, spread, (2, x.size * turns))
    return Template.of(places[0], places[1], np.tile(np.arange(turns) * 2 * np.pi / turns, x.size))


def flow(generator: Generator, _others: Sequence[Template]) -> Template:
    """At random along the ridges of a made-up finger, well apart, as a careful forger would."""
    pattern = draw_pattern(generator)
    count, apart = int(generator.integers(20, 81)), generator.uniform(8, 22)
    x, y = generator.uniform(40, WIDTH - 40, 400), generator.uniform(30, HEIGHT - 30, 400)
    kept: list[int] = []
    for k in range(400):
        if all(np.hypot(x[k] - x[i], y[k] - y[i]) > apart for i in kept):
            kept.append(k)
        if len(kept) == count:
            break
    x, y = x[kept], y[kept]
    columns, rows = np.meshgrid(np.arange(0, WIDTH, 4.0), np.arange(0, HEIGHT, 4.0))
    field = ridge_orientation(generator, pattern, (columns - WIDTH / 2) + 1j * (HEIGHT / 2 - rows))
    ridge = field[(y / 4).astype(np.intp), (x / 4).astype(np.intp)]
    return Template.of(x, y, ridge + np.pi * generator.integers(0, 2, x.shape))


def collage(generator: Generator, others: Sequence[Template]) -> Template:
    """Minutiae of two to five strangers, up to 255."""
    chosen = [others[k] for k in generator.choice(len(others), int(generator.integers(2, 6)), replace=False)]
    x, y, angle = (
        np.concatenate([getattr(template, name) for template in chosen])[:255] for name in ("x", "y", "angle")
    )
    return Template.of(x, y, angle)


def few(generator: Generator, others: Sequence[Template]) -> Template:
    """Three to eight neighbouring minutiae of a stranger."""
    whole = others[int(generator.integers(len(others)))]
    middle = int(generator.integers(len(whole)))
    near = np.argsort(np.hypot(whole.x - whole.x[middle], whole.y - whole.y[middle]))
    return whole.subset(near[: int(generator.integers(3, 9))])


def stranger(generator: Generator, others: Sequence[Template]) -> Template:
    """Another finger as it is."""
    return others[int(generator.integers(len(others)))]


BLIND: dict[str, Fakes] = {
    "stranger": stranger,
    "noise": noise,
    "grid": grid,
    "all angles": all_angles,
    "flow": flow,
    "collage": collage,
    "few": few,
}


@dataclass(slots=True)
class Climb:
    """How far a climb came: best value, and the try at which each threshold was first reached."""

    value: float
    reached: dict[str, int]


def climb(target: Prepared, start: Template, tries: int, generator: Generator) -> Climb:
    """Change one minutia at a time, and keep what raises the score."""
    best, result = start, Climb(-1.0, {})
    for number in range(1, tries + 1):
        changed = best if number == 1 else _changed(best, generator)
        value = compare(changed, target).value
        if value > result.value:
            best, result.value = changed, value
            for name, least in THRESHOLDS.items():
                if value >= least:
                    result.reached.setdefault(name, number)
    return result


def _changed(base: Template, generator: Generator) -> Template:
    """One minutia moved, turned, added or taken away."""
    x, y, angle = base.x.copy(), base.y.copy(), base.angle.copy()
    k = int(generator.integers(len(x)))
    act = generator.random()
    if act < 0.4:
        x[k], y[k] = x[k] + generator.normal(0, 8), y[k] + generator.normal(0, 8)
    elif act < 0.6:
        angle[k] += generator.normal(0, 0.4)
    elif act < 0.8 or len(x) < 12:
        x, y = np.append(x, generator.uniform(0, WIDTH)), np.append(y, generator.uniform(0, HEIGHT))
        angle = np.append(angle, generator.uniform(0, 2 * np.pi))
    else:
        x, y, angle = (np.delete(values, k) for values in (x, y, angle))
    return Template.of(x, y, angle)


def synthetic_targets(count: int, network: Network) -> list[Template]:
    """One impression each of fingers that do not exist."""
    seeds = range(FIRST_SEED, FIRST_SEED + count)
    shown = track(seeds, description="targets", console=Console(stderr=True), transient=True)
    return [extract(Finger.from_seed(seed).impression(0), 500, network) for seed in shown]


def measure(label: str, targets: Sequence[Template], tries: int, climbs: int, steps: int) -> None:
    """Print both tables for one kind of targets."""
    prepared = [prepare(target) for target in targets]
    generator = np.random.default_rng(7)
    rows = []
    for name, make in track(BLIND.items(), description=label, console=Console(stderr=True), transient=True):
        values = []
        for k in range(tries):
            mine = k % len(targets)
            others = [target for number, target in enumerate(targets) if number != mine]
            values.append(compare(make(generator, others), prepared[mine]).value)
        found = np.array(values)
        shares = [f"{100 * (found >= least).mean():.3f}" for least in THRESHOLDS.values()]
        rows.append([name, str(tries), f"{found.max():.1f}", *shares])
    print(f"\n{label}: fakes that hear no score, % that reach a threshold\n")
    print(table(["fake", "tries", "best value", *THRESHOLDS], rows))
    results = [
        climb(prepared[k % len(prepared)], flow(generator, targets), steps, generator)
        for k in track(range(climbs), description=f"{label}, climbing", console=Console(stderr=True), transient=True)
    ]
    best = max(result.value for result in results)
    print(f"\n{label}: climbing with the score, {climbs} climbs of {steps} tries, best value {best:.1f}\n")
    rows = []
    for name in THRESHOLDS:
        tries_needed = sorted(result.reached[name] for result in results if name in result.reached)
        middle = str(tries_needed[len(tries_needed) // 2]) if tries_needed else "-"
        least = str(tries_needed[0]) if tries_needed else "-"
        rows.append([name, f"{len(tries_needed)} of {climbs}", least, middle])
    print(table(["threshold", "climbs that reach it", "fewest tries", "median tries"], rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench attack", description=__doc__)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--tries", type=int, default=3000, help="fakes of each kind")
    parser.add_argument("--climbs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5000, help="tries of each climb")
    parser.add_argument("--real", action="store_true", help="also fvc2002/db1_b and db2_b, first impressions")
    options = parser.parse_args(arguments)
    network = Network.load()
    print(heading("attack"))
    measure(
        "synthetic fingers", synthetic_targets(options.targets, network), options.tries, options.climbs, options.steps
    )
    if options.real:
        found: dict[Name, Template] = {}
        for folder in ("fvc2002/db1_b", "fvc2002/db2_b"):
            found |= {
                Name(f"{folder} {name.finger}", name.impression): template
                for name, template in our_templates(folder, network).items()
                if name.impression == "1"
            }
        measure("real prints", list(found.values()), options.tries, options.climbs, options.steps)


if __name__ == "__main__":
    main()
