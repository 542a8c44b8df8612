"""What a claim needs of a fingerprint scanner, whichever way the picture travels."""

import abc
import enum
import threading
from collections.abc import Callable, Iterator
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
    LEFTOVER = "leftover"
    """Only what an earlier finger left on the glass was seen; said by who compares pictures, never by a driver."""


class Prompt(enum.Enum):
    """What a scanner waits for, the moment it begins to: for whoever guides the member."""

    PLACE = "place"
    HOLD = "hold"
    """A finger lies there; the picture is on its way."""
    LIFT = "lift"


@dataclass(slots=True, eq=False, repr=False)
class FingerImage:
    """One captured finger. Held in memory only; :meth:`wipe` it on every way out.

    pixels : (H, W) uint8, ridges dark on light, row 0 at the finger tip.
    dpi : resolution of both axes; None for a picture as the sensor gave it, whose pixels may not even be square
        (``ScannerSource.open(raw=True)``). Such a picture is looked at and measured, never compared.
    """

    pixels: NDArray[np.uint8]
    dpi: float | None
    scanner: str

    def __repr__(self) -> str:
        resolution = "unknown" if self.dpi is None else f"{self.dpi:g}"
        return f"<finger image {self.pixels.shape[1]}x{self.pixels.shape[0]} at {resolution} dpi>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a finger image is neither pickled nor copied")

    def wipe(self) -> None:
        """Overwrite the pixels with zeros; safe to call twice."""
        self.pixels[...] = 0


class ScannerState(enum.Enum):
    """Whether a scanner that was found could be opened now, as far as that shows without opening it."""

    READY = "ready"
    BUSY = "busy"
    """Another program holds it."""
    NO_PERMISSION = "no_permission"
    """The operating system does not let this user open it."""
    NOT_CONFIGURED = "not_configured"
    """It lacks a setting or a key without which it cannot be opened."""


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
    state: ScannerState = ScannerState.READY
    calibration: str | None = None
    """Where its resolution comes from: ``device`` (it says so itself), ``model`` (the data sheet of the model),
    ``measured 2026-11-20`` (a calibration file); None: it is not known."""
    measurable: bool = True
    """Whether a measurement at the site is used; False where every picture says its own scale and is believed."""


class Scanner(abc.ABC):
    """An opened scanner. One thread at a time; close it, or use ``with``."""

    streams: bool = False
    """True when :meth:`frames` shows the glass all the time, with and without a finger on it."""
    prompt: Callable[[Prompt], None] | None = None
    """Called in the capturing thread at each change of what is waited for, by drivers that know."""
    info: ScannerInfo

    def expect(self, position: int) -> None:
        """Name the finger that is asked for next: ISO/IEC 19794 position, 1 to 10. Most scanners do not ask."""
        del position

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

    def frames(self, timeout_s: float, stop: threading.Event | None = None) -> Iterator[FingerImage]:
        """What lies on the glass, frame by frame, until the time is over or ``stop`` is set.

        A scanner that streams gives every frame it has, also of an empty glass and of a finger that was pictured
        before: who watches judges. One that does not gives the one picture of :meth:`capture`, if there is one.
        Each frame is the caller's to wipe. Raises DeviceError when the scanner itself fails.
        """
        picture = self.capture(timeout_s, stop)
        if isinstance(picture, FingerImage):
            yield picture

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
    def open(self, *, raw: bool = False) -> Scanner:
        """Claim it.

        Parameters
        ----------
        raw : pictures as the sensor gives them, with ``dpi`` None where the geometry is not known: for testing and
            measuring a scanner. Without it, a scanner of unknown geometry gives no picture.

        Raises
        ------
        DeviceNotFoundError, DeviceBusyError, DevicePermissionError
            Also ``NotCalibratedError``, here or at the first capture, when the geometry is not known and ``raw``
            was not asked for; ``NotConfiguredError`` when it lacks a setting.
        """
