"""Minutiae of fingers that do not exist, and touches of them, as arrays: no picture, no network needed."""

import numpy as np

from matcher.template import Template

WIDTH, HEIGHT = 360.0, 360.0


def finger(seed: int, count: int = 45) -> Template:
    """Minutiae well apart, along ridges that bend smoothly."""
    generator = np.random.default_rng([seed, 11])
    kept: list[tuple[float, float]] = []
    while len(kept) < count:
        x, y = generator.uniform(30, WIDTH - 30), generator.uniform(30, HEIGHT - 30)
        if all(np.hypot(x - a, y - b) > 17 for a, b in kept):
            kept.append((float(x), float(y)))
    x, y = np.array(kept).T
    bend = generator.uniform(-0.008, 0.008, 2)
    ridge = generator.uniform(0, np.pi) + bend[0] * x + bend[1] * y
    angle = ridge + np.pi * generator.integers(0, 2, count)
    return Template.of(x, y, angle, generator.integers(1, 3, count), generator.uniform(40, 98, count))


def touch(
    whole: Template,
    seed: int,
    *,
    turn: float = 0.2,
    lost: float = 0.15,
    spurious: int = 4,
    jitter: float = 2.0,
    stretch: float = 0.02,
) -> Template:
    """Another impression: turned (rad), shifted, stretched, some minutiae lost, some false ones, all a little off."""
    generator = np.random.default_rng([seed, 12])
    kept = generator.random(len(whole)) >= lost
    x, y = whole.x[kept] - WIDTH / 2, whole.y[kept] - HEIGHT / 2
    x, y = x * (1 + stretch), y * (1 - stretch)
    cosine, sine = np.cos(turn), np.sin(turn)
    x, y = cosine * x + sine * y, cosine * y - sine * x  # y points down: this turns counter-clockwise as seen
    count = int(kept.sum())
    x = x + WIDTH / 2 + generator.uniform(-25, 25) + generator.normal(0, jitter, count)
    y = y + HEIGHT / 2 + generator.uniform(-25, 25) + generator.normal(0, jitter, count)
    angle = whole.angle[kept] + turn + generator.normal(0, 0.08, count)
    false = generator.uniform(0, [[WIDTH], [HEIGHT], [2 * np.pi]], (3, spurious))
    return Template.of(
        np.concatenate([x, false[0]]),
        np.concatenate([y, false[1]]),
        np.concatenate([angle, false[2]]),
        np.concatenate([whole.kind[kept], np.ones(spurious)]),
        np.concatenate([whole.quality[kept], np.full(spurious, 30.0)]),
    )
