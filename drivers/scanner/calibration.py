"""How many pixels of a scanner make an inch, measured once and kept as a small file; nothing biometric.

``<folder>/<driver>-<serial>.toml`` is for one unit, ``<folder>/<driver>.toml`` for every unit of a driver::

    dpi_x = 496.2          # pixels to the inch across
    dpi_y = 503.9          # and along the finger
    crop = [12, 8, 360, 280]   # left, top, width, height of the useful part, in sensor pixels; may be left out
    source = "target"      # how it was found: "target" (a printed one), "data sheet"
    measured_on = 2026-11-20   # may be left out
"""

import datetime
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.errors import CalibrationFileError

LOWEST_DPI, HIGHEST_DPI = 100.0, 2000.0
"""What a fingerprint scanner can have: below, ridges are not seen; above, a finger does not fit a picture."""
SQUARE_ENOUGH = 0.002
"""Pixels this near to square stay as they are: over a 20 mm finger they are off by less than half a ridge width."""
_KEYS = frozenset({"dpi_x", "dpi_y", "crop", "source", "measured_on"})
_LARGEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Calibration:
    """The geometry of one scanner."""

    dpi_x: float
    """Pixels to the inch across the finger."""
    dpi_y: float
    """Pixels to the inch along it."""
    crop: tuple[int, int, int, int] | None = None
    """Left, top, width, height of the part that is used, in sensor pixels; None: all of it."""
    source: str = "target"
    measured_on: datetime.date | None = None

    def __post_init__(self) -> None:
        if not all(LOWEST_DPI <= dpi <= HIGHEST_DPI for dpi in (self.dpi_x, self.dpi_y)):
            raise ValueError(f"{self.dpi_x:g} x {self.dpi_y:g} dpi is no resolution of a fingerprint scanner")
        if self.crop is not None and (min(self.crop[:2]) < 0 or min(self.crop[2:]) < 1):
            raise ValueError(f"a crop of {self.crop[2]}x{self.crop[3]} at {self.crop[0]},{self.crop[1]}")

    @property
    def dpi(self) -> float:
        """Resolution of the pictures :func:`apply` gives."""
        if abs(self.dpi_x / self.dpi_y - 1) <= SQUARE_ENOUGH:
            return (self.dpi_x + self.dpi_y) / 2
        return max(self.dpi_x, self.dpi_y)

    @property
    def told(self) -> str:
        """What ``ScannerInfo.calibration`` says of it."""
        return self.source if self.measured_on is None else f"measured {self.measured_on.isoformat()}"


Calibrations = Callable[[str, str | None], Calibration | None]
"""Asked by a driver with its name and the serial number of a unit (None: it has none)."""


def none_measured(_driver: str, _serial: str | None) -> Calibration | None:
    """The answer of a machine on which nothing was measured."""
    return None


def apply(pixels: NDArray[np.uint8], calibration: Calibration) -> tuple[NDArray[np.uint8], float]:
    """Cut a sensor's picture to its useful part and make its pixels square.

    Parameters
    ----------
    pixels : (H, W) uint8; left as they are.

    Returns
    -------
    pixels : (H', W') uint8, a copy of its own; the coarser axis is stretched to the finer one, so nothing is lost.
    dpi : of both axes.

    Raises
    ------
    CalibrationFileError
        The crop does not lie within the picture: the calibration is of another model.
    """
    height, width = pixels.shape
    left, top, wide, high = calibration.crop or (0, 0, width, height)
    if left + wide > width or top + high > height:
        raise CalibrationFileError("crop", f"{wide}x{high} at {left},{top} does not fit a picture of {width}x{height}")
    part = pixels[top : top + high, left : left + wide]
    dpi = calibration.dpi
    if abs(calibration.dpi_x / calibration.dpi_y - 1) <= SQUARE_ENOUGH:
        return part.copy(), dpi
    size = (round(wide * dpi / calibration.dpi_x), round(high * dpi / calibration.dpi_y))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8), dpi


def file_of(folder: Path, driver: str, serial: str | None) -> Path:
    """Where the calibration of a unit is kept; a serial number becomes a name that is safe in a path."""
    unit = re.sub(r"[^A-Za-z0-9_]", "_", serial)[:64] if serial else ""
    return folder / (f"{driver}-{unit}.toml" if unit else f"{driver}.toml")


def load(folder: Path, driver: str, serial: str | None) -> Calibration | None:
    """The calibration of this unit, or of every unit of the driver; None when nobody measured.

    Raises
    ------
    CalibrationFileError
        A file is there and cannot be used. It is not passed over: half a calibration is a wrong one.
    """
    for file in dict.fromkeys((file_of(folder, driver, serial), file_of(folder, driver, None))):
        try:
            with file.open("rb") as opened:
                content = opened.read(_LARGEST_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CalibrationFileError(str(file), error.strerror or "unreadable") from error
        return _parsed(content, file)
    return None


def save(folder: Path, driver: str, serial: str | None, calibration: Calibration) -> Path:
    """Keep a calibration, in place of the one before; complete or not at all.

    Raises
    ------
    CalibrationFileError
        The folder cannot be written.
    """
    file = file_of(folder, driver, serial)
    lines = [f"dpi_x = {calibration.dpi_x:.2f}", f"dpi_y = {calibration.dpi_y:.2f}"]
    if calibration.crop is not None:
        lines.append(f"crop = [{', '.join(str(number) for number in calibration.crop)}]")
    lines.append(f'source = "{re.sub(r"[^A-Za-z0-9 ]", "", calibration.source)}"')
    if calibration.measured_on is not None:
        lines.append(f"measured_on = {calibration.measured_on.isoformat()}")
    new = file.with_suffix(".new")
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with new.open("w", encoding="ascii") as opened:
            opened.write("\n".join(lines) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
    except OSError as error:
        raise CalibrationFileError(str(file), f"cannot be written: {error.strerror}") from error
    return file


def _parsed(content: bytes, file: Path) -> Calibration:
    if len(content) > _LARGEST_BYTES:
        raise CalibrationFileError(str(file), "too long for a calibration")
    try:
        said = tomllib.loads(content.decode("utf-8"))
        return _read(said)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CalibrationFileError(str(file), "is not TOML text") from error
    except ValueError as error:
        raise CalibrationFileError(str(file), str(error)) from error


def _read(said: dict[str, Any]) -> Calibration:
    if unknown := sorted(said.keys() - _KEYS):
        raise ValueError(f"no such key: {unknown[0]}")
    crop, source, day = said.get("crop"), said.get("source", "data sheet"), said.get("measured_on")
    if crop is not None and not (isinstance(crop, list) and len(crop) == 4 and all(type(one) is int for one in crop)):
        raise ValueError("crop is four whole numbers: left, top, width, height")
    if not isinstance(source, str) or not (day is None or type(day) is datetime.date):
        raise ValueError("source is text, measured_on a day such as 2026-11-20")
    return Calibration(
        dpi_x=_number(said, "dpi_x"),
        dpi_y=_number(said, "dpi_y"),
        crop=None if crop is None else (crop[0], crop[1], crop[2], crop[3]),
        source=source[:40],
        measured_on=day,
    )


def _number(said: dict[str, Any], key: str) -> float:
    value = said.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{key} is a number of pixels to the inch")
