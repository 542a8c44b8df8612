"""Every USB family under one fault at one answer: what the caller gets, and whether the device works again."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError
from drivers.scanner import nb1010, upektc_img, uru4000
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerSource
from drivers.scanner.nb1010_forged import ForgedNb1010
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.upektc_img_forged import PRESS_SENSOR, STRIP_SENSOR, ForgedUpektc
from drivers.scanner.uru4000_forged import ForgedUru4000
from drivers.scanner.usb_clock import SimulatedClock
from drivers.scanner.usb_replay import Fault, FaultKind, ReplayedUsb

CAPTURE_S = 20.0
VAIN_S = 0.5
OVERHEAD_S = 20.0
"""Beyond the captures' own time: opening, retries and closing of the slowest family, at their time-outs."""

Glass = ForgedUru4000 | ForgedNb1010 | ForgedUpektc


@dataclass(frozen=True, slots=True)
class Family:
    """How one is built and found."""

    forge: Callable[[], Glass]
    find: Callable[[ReplayedUsb], list[ScannerSource]]


FAMILIES = {
    "uru4000": Family(ForgedUru4000, uru4000.find),
    "nb1010": Family(ForgedNb1010, nb1010.find),
    "upektc_img press": Family(lambda: ForgedUpektc(PRESS_SENSOR), upektc_img.find),
    "upektc_img swipe": Family(lambda: ForgedUpektc(STRIP_SENSOR), upektc_img.find),
}


@dataclass(slots=True)
class Visit:
    """One opening, a capture, a vain wait, a closing; on a forged device with simulated time."""

    family: Family
    bus: ReplayedUsb
    glass: Glass

    @classmethod
    def of(cls, family: Family) -> "Visit":
        """A device of this family on a port of its own, with a finger on it."""
        glass = family.forge()
        return cls(family, ReplayedUsb(glass, clock=SimulatedClock()), glass)

    def run(self) -> tuple[object, object]:
        """What the two captures gave. Raises what they raised."""
        self.glass.place(finger())
        with self.family.find(self.bus)[0].open(raw=True) as scanner:
            first = scanner.capture(CAPTURE_S)
            self.glass.lift()
            return first, scanner.capture(VAIN_S)

    def capture(self) -> object:
        """What one capture gives."""
        self.glass.place(finger())
        with self.family.find(self.bus)[0].open(raw=True) as scanner:
            return scanner.capture(CAPTURE_S)

    def answers(self) -> Counter[int]:
        """How many answers a run without faults has, by endpoint."""
        self.run()
        return Counter(self.bus.ports[0].answers)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a faulty run: an error, or two captures."""

    fault: Fault
    error: DeviceError | None
    first: object
    second: object
    took_s: float
    right: bool
    """What was handed on as a picture is the finger that lay there."""


def outcome(family: Family, fault: Fault) -> Outcome:
    """Run with one fault; then replug and run without."""
    visit = Visit.of(family)
    visit.bus.faults.append(fault)
    error: DeviceError | None = None
    first = second = None
    started = visit.bus.clock.now()
    try:
        first, second = visit.run()
    except DeviceError as caught:
        error = caught
    took = visit.bus.clock.now() - started
    visit.bus.faults.clear()
    visit.bus.unplug()
    visit.bus.plug()
    assert right_picture(visit, visit.capture()), f"after {fault} and a replug the scanner gives no picture"
    left = [thread.name for thread in threading.enumerate() if " of " in thread.name]
    assert not left, f"{fault} left {left}"
    right = right_picture(visit, first) or isinstance(first, PlaceAgain)
    return Outcome(fault, error, first, second, took, right)


def right_picture(visit: Visit, given: object) -> bool:
    """It is the picture that a run without faults gives."""
    if not isinstance(given, FingerImage):
        return False
    if visit.family not in _clean:
        clean = Visit.of(visit.family).run()[0]
        assert isinstance(clean, FingerImage)
        _clean[visit.family] = clean
    return bool(np.array_equal(_clean[visit.family].pixels, given.pixels))


_clean: dict[Family, FingerImage] = {}
_finger: list[NDArray[np.uint8]] = []


def finger() -> NDArray[np.uint8]:
    """One synthetic impression, drawn once."""
    if not _finger:
        _finger.append(Finger.from_seed(1).impression(1))
    return _finger[0]


def faults(kind: FaultKind, answers: Counter[int]) -> list[Fault]:
    """This fault at every answer of a run."""
    return [Fault(kind, endpoint, number, delay_s=5.0) for endpoint in answers for number in range(answers[endpoint])]
