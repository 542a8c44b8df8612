"""What the families of USB scanners share: how they are listed, opened, and how a picture is handed on."""

import abc
import threading

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError, DeviceRemovedError
from drivers.scanner import calibration as geometry
from drivers.scanner.base import FingerImage, PlaceAgain, Prompt, Scanner, ScannerInfo, ScannerState
from drivers.scanner.calibration import Calibration
from drivers.scanner.errors import NotCalibratedError
from drivers.scanner.usb_link import UsbLink
from drivers.scanner.usb_listing import UsbDevice

FEWEST_GREY_LEVELS = 8
"""A picture whose darkest and lightest hundredth lie nearer than this holds no ridges, only sensor noise."""


def listed(driver: str, model: str, device: UsbDevice, measured: Calibration | None) -> ScannerInfo:
    """What the list says of a plugged-in scanner."""
    state = ScannerState.READY
    if device.claimed:
        state = ScannerState.BUSY
    if not device.permitted:
        state = ScannerState.NO_PERMISSION
    return ScannerInfo(
        driver=driver,
        name=model,
        serial=device.serial,
        dpi=None if measured is None else measured.dpi,
        path=f"usb:{device.path}",
        state=state,
        calibration=None if measured is None else measured.told,
    )


class UsbScanner(Scanner):
    """One opened scanner. After any DeviceError it is closed: open it anew."""

    def __init__(self, info: ScannerInfo, link: UsbLink, measured: Calibration | None) -> None:
        self.info = info
        self._link, self._measured = link, measured
        self._closed = False
        self._prompted: Prompt | None = None

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """See :meth:`Scanner.capture`."""
        if self._closed:
            raise DeviceRemovedError(self._link.name, "capture", "it was closed; open it again")
        if is_set(stop):
            return PlaceAgain.NO_FINGER
        self._prompted = None
        try:
            pixels = self._picture(self._link.clock.now() + timeout_s, stop)
        except DeviceError:
            # What is still on its way belongs to a conversation that went wrong.
            self.close()
            raise
        if isinstance(pixels, PlaceAgain):
            return PlaceAgain.NO_FINGER if is_set(stop) else pixels
        if is_set(stop) or is_blank(pixels):
            pixels[...] = 0
            return PlaceAgain.NO_FINGER if is_set(stop) else PlaceAgain.EMPTY
        return self._handed_on(pixels)

    def close(self) -> None:
        """See :meth:`Scanner.close`."""
        if not self._closed:
            self._closed = True
            if not self._link.lost:
                self._say_goodbye()
            self._link.close()

    @abc.abstractmethod
    def _picture(self, until: float, stop: threading.Event | None) -> NDArray[np.uint8] | PlaceAgain:
        """One touch, upright, ridges dark, in an array of its own; ``until`` by the link's clock."""

    def _say_goodbye(self) -> None:
        """Leave the device as the next user expects it; does not raise."""

    def _waiting_for(self, prompt: Prompt) -> None:
        if self.prompt is not None and prompt is not self._prompted:
            self.prompt(prompt)
        self._prompted = prompt

    def _handed_on(self, pixels: NDArray[np.uint8]) -> FingerImage:
        name = f"{self.info.driver}:{self.info.path}"
        if self._measured is None:
            return FingerImage(pixels=pixels, dpi=None, scanner=name)
        try:
            square, dpi = geometry.apply(pixels, self._measured)
        finally:
            pixels[...] = 0
        return FingerImage(pixels=square, dpi=dpi, scanner=name)


def geometry_for(info: ScannerInfo, measured: Calibration | None, *, raw: bool) -> Calibration | None:
    """The geometry to open a scanner with.

    Raises
    ------
    NotCalibratedError
        Nobody measured it, and the caller did not ask for raw pictures.
    """
    if raw:
        return None
    if measured is None:
        raise NotCalibratedError(info.driver, info.serial)
    return measured


def is_set(stop: threading.Event | None) -> bool:
    """The caller does not want to wait any more."""
    return stop is not None and stop.is_set()


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    """Nothing but one grey; judged on every third line and column, which no finger slips through."""
    dark, light = np.percentile(pixels[::3, ::3], (1, 99))
    return bool(light - dark < FEWEST_GREY_LEVELS)
