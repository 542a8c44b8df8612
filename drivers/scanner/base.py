"""What a claim needs of a fingerprint scanner, whichever way the picture travels."""

import abc
import enum
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray


class PlaceAgain(enum.Enum):
    """What the member can put right now; a value, not an error."""

    NO_FINGER = "no_finger"
    """Nobody placed a finger in time."""
    TOO_SHORT = "too_short"
    """The finger was lifted before the picture was complete."""
    EMPTY = "empty"
    """The scanner saw a finger but delivered no ridges."""
    LIFT_FIRST = "lift_first"
    """The finger of the last picture still lies there; one touch gives one picture."""


@dataclass(slots=True, eq=False, repr=False)
class FingerImage:
    """One captured finger. Held in memory only; :meth:`wipe` it on every way out.

    pixels : (H, W) uint8, ridges dark on light, row 0 at the finger tip.
    dpi : resolution of both axes.
    """

    pixels: NDArray[np.uint8]
    dpi: float
    scanner: str

    def __repr__(self) -> str:
        return f"<finger image {self.pixels.shape[1]}x{self.pixels.shape[0]} at {self.dpi:g} dpi>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a finger image is neither pickled nor copied")

    def wipe(self) -> None:
        """Overwrite the pixels with zeros; safe to call twice."""
        self.pixels[...] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerInfo:
    """What there is to say of a scanner without opening it."""

    driver: str
    name: str
    serial: str | None
    dpi: float | None
    """None until calibrated."""
    path: str
    """Stable place: bus path, tty or socket."""


class Scanner(abc.ABC):
    """An opened scanner. One thread at a time; close it, or use ``with``."""

    info: ScannerInfo

    @abc.abstractmethod
    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """Wait for a finger and give its picture. One touch gives one picture.

        A finger that lies there already when the scanner is opened is pictured. After a picture, also one without
        ridges, the glass must have been seen empty (or a new placement, where the device tells them apart) before
        the next picture is taken: a driver first waits for "finger off", within the same time-out.

        Returns ``PlaceAgain.LIFT_FIRST`` when the time is over and the finger was never lifted,
        ``PlaceAgain.NO_FINGER`` when it is over otherwise, or ``stop`` was set.
        Raises DeviceError when the scanner itself fails.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Release the device; safe to call twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ScannerSource(abc.ABC):
    """A scanner that was found but not opened."""

    info: ScannerInfo

    @abc.abstractmethod
    def open(self) -> Scanner:
        """Claim it.

        Raises
        ------
        DeviceNotFoundError, DeviceBusyError, DevicePermissionError
        """
