"""What every part of the torture gives back, and what it may ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.faults.history import Fault, Violation


@dataclass(slots=True)
class Result:
    """What one part of the torture found."""

    name: str
    faults_tried: int = 0
    """Moments, errors, links, mutations: how often something was broken."""
    states_checked: int = 0
    """How often the judge looked at what was left."""
    found: list[Violation] = field(default_factory=list)
    caught: dict[str, bool] = field(default_factory=dict)
    """Wrong build → whether what is wrong with it was found."""
    shown: dict[str, str] = field(default_factory=dict)
    """Wrong build → what was found in it."""
    said: str = ""
    """What the part has to tell beside the table."""
    skipped: list[str] = field(default_factory=list)
    """What could not be tried on this machine, and why."""

    @property
    def lost(self) -> int:
        return sum(one.fault in (Fault.LOST, Fault.CHANGED, Fault.GAP, Fault.UNPROVED) for one in self.found)

    @property
    def doubled(self) -> int:
        return sum(one.fault is Fault.DOUBLED for one in self.found)

    @property
    def is_well(self) -> bool:
        """Nothing found in the real build, every wrong one caught."""
        return not self.found and all(self.caught.values())

    @property
    def is_whole(self) -> bool:
        """Something was tried, and nothing of it was left out."""
        return self.faults_tried > 0 and not self.skipped

    def judge(self, build: str, found: Sequence[Violation], *, caught: bool) -> None:
        """Keep whether a wrong build was caught, and by what."""
        self.caught[build] = caught
        self.shown[build] = ", ".join(sorted({one.fault.value for one in found})) or "nothing"

    def note(self, violations: list[Violation], where: str) -> None:
        """Keep what was found, with the moment it was found at."""
        self.found += [Violation(one.fault, f"{where}: {one.detail}") for one in violations]


Progress = Callable[[float], None]
"""Told how much of a part is done, from 0 to 1."""


def quietly(_done: float) -> None:
    """Nobody watches."""
