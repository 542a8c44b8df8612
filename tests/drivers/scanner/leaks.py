"""What a device leaves behind in this process: threads of Python, threads of libraries, open descriptors."""

import collections
import contextlib
import gc
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GONE_S = 5.0
"""How long a thread that was told to end may take until it counts as left behind; machines of builders are slow."""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds. ``descriptors`` counts by kind of target: numbers differ from round to round."""

    threads: collections.Counter[str]
    native_threads: int
    descriptors: collections.Counter[str]

    def more_than(self, before: "Held") -> str:
        """What is there now and was not before, in words; empty when nothing is."""
        said = [f"thread {name} (+{count})" for name, count in (self.threads - before.threads).items()]
        said += [f"descriptor {kind} (+{count})" for kind, count in (self.descriptors - before.descriptors).items()]
        if self.native_threads > before.native_threads and not said:
            said.append(f"{self.native_threads - before.native_threads} threads of a library")
        return ", ".join(said)


def held() -> Held:
    """What this process holds now."""
    gc.collect()
    return Held(
        threads=collections.Counter(thread.name for thread in threading.enumerate()),
        native_threads=len(list(Path("/proc/self/task").iterdir())),
        descriptors=collections.Counter(_targets()),
    )


@contextlib.contextmanager
def nothing_left(gone_s: float = GONE_S) -> Iterator[None]:
    """Fail when the body leaves a thread or a descriptor behind. Warm up once before: libraries load lazily."""
    before = held()
    yield
    left = held().more_than(before)
    waited = threading.Event()
    for _ in range(int(gone_s / 0.05)):
        if not left:
            return
        waited.wait(0.05)
        left = held().more_than(before)
    assert not left, f"left behind: {left}"


def _targets() -> Iterator[str]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue  # the descriptor that was listing this folder
        yield re.sub(r"\d+", "N", target)
