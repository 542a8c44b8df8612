"""Thirty cards and thirty plugs: the agent is as small as it was. The long run is ``python -m bench devices``."""

import os
from pathlib import Path

import pytest

from bench.devices import Counter, Growth, Size, ridges, run, short_folder

CYCLES = 30
LEAK_KB = 3_000
"""Over twenty settled cycles: less than the picture of a finger in each (145 kB)."""


@pytest.fixture(scope="module")
def grown() -> list[Growth]:
    """Both kinds of cycles on one daemon."""
    with short_folder() as folder, Counter(folder) as counter:
        return [
            run("cards", counter, counter.card_cycle, CYCLES, 2),
            run("scans", counter, counter.scanner_cycle, CYCLES, 2),
        ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [0, 1], ids=["cards laid down, read and pulled", "scanner plugged, touched, unplugged"]
)
def test_agent_stays_as_small_as_it_was(grown: list[Growth], kind: int) -> None:
    """Read whole, torn off in the middle, passports; pictures and a scanner that is not there."""
    settled = grown[kind].settled[-10:]
    assert settled[-1].memory_kb - settled[0].memory_kb < LEAK_KB
    assert min(size.threads for size in settled[-3:]) <= max(size.threads for size in settled[:3]) + 1
    assert min(size.descriptors for size in settled[-3:]) <= max(size.descriptors for size in settled[:3]) + 1


def _growth(memory_kb: int = 0, threads: int = 0, descriptors: int = 0) -> Growth:
    growth = Growth("planted", 1000, 20)
    for place in range(51):
        growth.sizes.append(
            Size(90_000 + memory_kb * place + place % 3, 8 + threads * place // 5 + place % 2, 16 + descriptors * place)
        )
    return growth


def test_growth_is_noticed_and_noise_is_not() -> None:
    """A planted leak of each kind is called by its name; a pool that breathes is flat."""
    assert _growth().faults == []
    assert [fault.split()[0] for fault in _growth(memory_kb=60).faults] == ["memory_kb"]
    assert [fault.split()[0] for fault in _growth(threads=1).faults] == ["threads"]
    assert [fault.split()[0] for fault in _growth(descriptors=1).faults] == ["descriptors"]
    late = _growth()
    late.sizes = [Size(size.memory_kb, 8 + (place > 25), 16) for place, size in enumerate(late.sizes)]
    assert late.faults == []


def test_what_a_process_holds_is_read_right(tmp_path: Path) -> None:
    """Of this one: an opened file is one descriptor more."""

    before = Size.of(os.getpid())
    with (tmp_path / "file").open("w"):
        assert Size.of(os.getpid()).descriptors == before.descriptors + 1
    assert before.memory_kb > 1_000
    assert before.threads >= 1


def test_no_two_pictures_are_the_same() -> None:
    """The agent refuses one it had before."""
    pictures = {ridges(number).tobytes() for number in range(50)}
    assert len(pictures) == 50
