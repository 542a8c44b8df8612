"""Scanners that show themselves as a camera (USB class 0e, uvcvideo), through OpenCV. The only user of its cameras.

There is no protocol of a maker: the finger is found in the frames, and how many pixels make an inch is measured. A name
with a number in it (``frames/%04d.png``) opens numbered picture files in place of a camera, for tests and shows.
Tried on such files, not on a camera.
"""

import dataclasses
import errno
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DevicePermissionError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)
from drivers.scanner.base import FingerImage, PlaceAgain, Scanner, ScannerInfo, ScannerSource, ScannerState
from drivers.scanner.calibration import Calibration, Calibrations, apply
from drivers.scanner.errors import NotCalibratedError
from drivers.scanner.finger_presence import GONE_AREA, PRESENT_AREA, STILL_DIFFERENCE, difference, ridge_area

DRIVER = "uvc"
RULES = "70-mpos-scanners.rules"
FORMATS = ("GREY", "YUYV", "MJPG", "Y16 ")
"""In the order of preference: grey as it is, then without loss, then compressed; Y16 not every OpenCV can take."""
LARGEST_SIDE, SMALLEST_SIDE = 4096, 96
"""Asked for as the largest size, a camera takes its own largest; a frame beyond either is of no scanner."""
FRAME_S = 2.0
"""The slowest cameras give five frames a second; the first one takes a second of exposure."""
CLOSE_S = 1.0
"""A camera that gives frames ends at once; one that has stalled ends by itself when OpenCV's own 10 s are over."""
SLICE_S = 0.05
"""How often a wait looks at the clock and at the stop event."""
STALE_FRAMES = 4
"""The kernel's queue: frames in it may be of a moment before anybody asked, and of another finger."""
FRESH_S = 0.2
"""Asked again within this time, nothing stale has gathered."""
STILL_FRAMES = 3
"""A finger must lie still this long, in frames: a tenth of a second to half of one."""
FAILED_READS = 3
"""Compressed frames are lost now and then; three in a row are not."""


class Camera(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool: ...  # noqa: N802 - OpenCV's name
    def read(self) -> tuple[bool, Any]: ...
    def set(self, prop: int, value: float, /) -> bool: ...
    def get(self, prop: int, /) -> float: ...
    def release(self) -> None: ...


def open_camera(device: str) -> Camera:
    """The camera with that name, or the numbered picture files."""
    return cv2.VideoCapture(device, cv2.CAP_IMAGES if is_sequence(device) else cv2.CAP_V4L2)


def is_sequence(device: str) -> bool:
    """Whether this names numbered files and no camera."""
    return re.search(r"%0?\d*d", device) is not None


def find(device: Path | None, calibrations: Calibrations) -> list[ScannerSource]:
    """The camera that is set, if it is plugged in; cameras are never looked for, most are no scanners."""
    if device is None or not _is_there(str(device)):
        return []
    return [UvcSource(str(device), calibrations)]


class UvcSource(ScannerSource):
    """A camera that is a scanner.

    Parameters
    ----------
    device : best by a name that stays (/dev/v4l/by-id): numbers change with the order of plugging in.
    """

    def __init__(
        self,
        device: str,
        calibrations: Calibrations,
        *,
        camera: Callable[[str], Camera] = open_camera,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        unit = re.sub(r"^usb-|-video-index\d+$", "", Path(device).name) if "by-id" in device else None
        self._calibration = calibrations(DRIVER, unit)
        self._camera, self._monotonic = camera, monotonic
        self.info = ScannerInfo(
            driver=DRIVER,
            name="Picture files" if is_sequence(device) else "Camera" + (f" {unit.replace('_', ' ')}" if unit else ""),
            serial=unit,
            dpi=None if self._calibration is None else self._calibration.dpi,
            path=device,
            state=ScannerState.READY if _may_open(device) else ScannerState.NO_PERMISSION,
            calibration=None if self._calibration is None else self._calibration.told,
        )

    def open(self, *, raw: bool = False) -> Scanner:
        """Start the camera; raises as :class:`ScannerSource` says, DeviceTimeoutError when no frame comes."""
        if self._calibration is None and not raw:
            raise NotCalibratedError(DRIVER, self.info.serial)
        return UvcScanner(self.info, None if raw else self._calibration, camera=self._camera, monotonic=self._monotonic)


class UvcScanner(Scanner):
    """A running camera. After any DeviceError it is closed: open it anew."""

    streams = True

    def __init__(
        self,
        info: ScannerInfo,
        calibration: Calibration | None,
        *,
        camera: Callable[[str], Camera] = open_camera,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calibration, self._monotonic = calibration, monotonic
        self._name = f"camera {info.path}"
        self._pictured = False
        """The finger of the last picture was not seen to leave."""
        self._shape: tuple[int, int] | None = None
        self._last_read = -FRESH_S
        _refuse_what_cannot_be_opened(info.path, self._name)
        self._reader: _Reader | None = _Reader(lambda: _started(camera(info.path), info.path, self._name), self._name)
        try:
            self._reader.wait_until_open(monotonic, FRAME_S)
            _wipe(self._next())
        except BaseException:
            self.close()
            raise
        self.info = dataclasses.replace(info, dpi=None if calibration is None else calibration.dpi)

    def capture(self, timeout_s: float, stop: threading.Event | None = None) -> FingerImage | PlaceAgain:
        """See :meth:`Scanner.capture`. The picture is taken when the finger has come to rest."""
        try:
            return self._capture(self._monotonic() + timeout_s, stop or threading.Event())
        except DeviceError:
            self.close()
            raise

    def frames(self, timeout_s: float, stop: threading.Event | None = None) -> Iterator[FingerImage]:
        """See :meth:`Scanner.frames`."""
        until, stopped = self._monotonic() + timeout_s, stop or threading.Event()
        try:
            self._throw_away_stale_frames()
            while not stopped.is_set() and self._monotonic() < until:
                grey = self._next()
                yield self._image(grey)
        except DeviceError:
            self.close()
            raise

    def close(self) -> None:
        """See :meth:`Scanner.close`."""
        if self._reader is not None:
            self._reader.end(CLOSE_S)
            self._reader = None

    def _capture(self, until: float, stop: threading.Event) -> FingerImage | PlaceAgain:
        if stop.is_set():
            return PlaceAgain.NO_FINGER
        self._throw_away_stale_frames()
        before: NDArray[np.uint8] | None = None
        still = 0
        try:
            while True:
                grey = self._next()
                area = ridge_area(self._useful(grey))
                if self._pictured or area < PRESENT_AREA:
                    lifted_early = still > 0 and area < GONE_AREA
                    if area < GONE_AREA:
                        self._pictured = False
                    still = 0 if area < GONE_AREA else still
                    _wipe(grey)
                    if lifted_early:
                        return PlaceAgain.TOO_SHORT
                else:
                    at_rest = before is not None and difference(before, grey) <= STILL_DIFFERENCE
                    still = still + 1 if at_rest else 1
                    _wipe(before)
                    before = grey
                    if still >= STILL_FRAMES and not stop.is_set():
                        before, self._pictured = None, True
                        return self._image(grey)
                if stop.is_set():
                    return PlaceAgain.NO_FINGER
                if self._monotonic() >= until:
                    break
        finally:
            _wipe(before)
        if self._pictured:
            return PlaceAgain.LIFT_FIRST
        return PlaceAgain.TOO_SHORT if still else PlaceAgain.NO_FINGER

    def _throw_away_stale_frames(self) -> None:
        if self._monotonic() - self._last_read >= FRESH_S:
            for _ in range(STALE_FRAMES):
                _wipe(self._next())

    def _next(self) -> NDArray[np.uint8]:
        """The next frame as grey, always of one size."""
        if self._reader is None:
            raise DeviceRemovedError(self._name, "read a frame", "it was closed; open it again")
        frame = self._reader.read(self._monotonic, FRAME_S)
        try:
            grey = _grey(frame, self._name)
        finally:
            frame[...] = 0
        if self._shape is None:
            self._shape = grey.shape
        if grey.shape != self._shape:
            _wipe(grey)
            raise DeviceProtocolError(
                self._name, "read a frame", f"its size changed to {frame.shape[1]}x{frame.shape[0]}"
            )
        self._last_read = self._monotonic()
        return grey

    def _useful(self, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part in which a finger is looked for; :func:`apply` refuses a crop that does not fit."""
        if self._calibration is None or self._calibration.crop is None:
            return grey
        left, top, width, height = self._calibration.crop
        part = grey[top : top + height, left : left + width]
        return part if part.shape == (height, width) and min(part.shape) >= SMALLEST_SIDE // 2 else grey

    def _image(self, grey: NDArray[np.uint8]) -> FingerImage:
        scanner = f"{DRIVER}:{self.info.path}"
        if self._calibration is None:
            return FingerImage(pixels=grey, dpi=None, scanner=scanner)
        try:
            square, dpi = apply(grey, self._calibration)
        finally:
            _wipe(grey)
        return FingerImage(pixels=square, dpi=dpi, scanner=scanner)


class _Reader:
    """The thread that owns the camera: opens it, reads a frame when asked, releases it.

    A read of a camera that has stalled cannot be interrupted; waiting for it is given up, and the thread ends when
    the read does.
    """

    def __init__(self, open_it: Callable[[], Camera], name: str) -> None:
        self._open_it, self._name = open_it, name
        self._changed = threading.Condition()
        self._asked = self._ending = self._opened = False
        self._frame: NDArray[Any] | None = None
        self._failure: DeviceError | None = None
        self._thread = threading.Thread(target=self._run, name="uvc-reader", daemon=True)
        self._thread.start()

    def wait_until_open(self, monotonic: Callable[[], float], within_s: float) -> None:
        """Raises what opening raised, or DeviceTimeoutError."""
        self._wait(lambda: self._opened, monotonic, within_s, "open")

    def read(self, monotonic: Callable[[], float], within_s: float) -> NDArray[Any]:
        """The next frame; the caller overwrites it. Raises DeviceTimeoutError, DeviceRemovedError."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()
        self._wait(lambda: self._frame is not None, monotonic, within_s, "read a frame")
        with self._changed:
            frame, self._frame = self._frame, None
        assert frame is not None
        return frame

    def end(self, within_s: float) -> None:
        """Let the thread end, and wait for it unless the camera holds it."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(within_s)

    def _wait(self, happened: Callable[[], bool], monotonic: Callable[[], float], within_s: float, doing: str) -> None:
        until = monotonic() + within_s
        with self._changed:
            while not happened():
                if self._failure is not None:
                    raise self._failure
                left = until - monotonic()
                if left <= 0:
                    raise DeviceTimeoutError(self._name, doing, "no frame came")
                self._changed.wait(min(left, SLICE_S))

    def _run(self) -> None:
        try:
            camera = self._open_it()
        except DeviceError as failure:
            self._fail(failure)
            return
        try:
            self._serve(camera)
        finally:
            camera.release()

    def _serve(self, camera: Camera) -> None:
        with self._changed:
            self._opened = True
            self._changed.notify_all()
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked or self._ending)
                if self._ending:
                    return
            try:
                came, frame = camera.read()
            except cv2.error as error:
                failure = DeviceProtocolError(self._name, "read a frame", "OpenCV cannot make a picture of it")
                failure.__cause__ = error
                self._fail(failure)
                return
            failures = 0 if came else failures + 1
            if failures >= FAILED_READS:
                self._fail(DeviceRemovedError(self._name, "read a frame", "it gives no frames any more"))
                return
            if came:
                self._hand_over(frame)

    def _hand_over(self, frame: NDArray[Any]) -> None:
        with self._changed:
            if self._ending:
                frame[...] = 0
                return
            self._asked, self._frame = False, frame
            self._changed.notify_all()

    def _fail(self, failure: DeviceError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()


def _started(camera: Camera, device: str, name: str) -> Camera:
    """Refuse a camera that did not open, settle how its frames come; released if that fails."""
    if not camera.isOpened():
        camera.release()
        raise DeviceBusyError(name, "open", "another program is using it, or it is no camera")
    try:
        if not is_sequence(device):
            negotiate(camera, name)
    except BaseException:
        camera.release()
        raise
    return camera


def negotiate(camera: Camera, name: str) -> str:
    """Settle on the best format a camera has, at its largest size, one frame in the queue.

    The largest size is always taken: a measured resolution is one of that size.

    Returns
    -------
    fourcc : of :data:`FORMATS`.

    Raises
    ------
    DeviceProtocolError
        It has none of them.
    """
    for fourcc in FORMATS:
        code = cv2.VideoWriter.fourcc(*fourcc)
        camera.set(cv2.CAP_PROP_FOURCC, code)
        if int(camera.get(cv2.CAP_PROP_FOURCC)) != code:
            continue
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, LARGEST_SIDE)
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, LARGEST_SIDE)
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        # Grey formats come as they are; the others are turned into colour, which is turned into grey here.
        camera.set(cv2.CAP_PROP_CONVERT_RGB, 0 if fourcc in ("GREY", "Y16 ") else 1)
        return fourcc
    raise DeviceProtocolError(name, "open", f"it has none of the formats {', '.join(FORMATS)}")


def _grey(frame: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """A frame as (H, W) uint8, memory of its own."""
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    shape_fits = frame.ndim in (2, 3) and SMALLEST_SIDE <= min(frame.shape[:2]) <= max(frame.shape[:2]) <= LARGEST_SIDE
    if not shape_fits or (frame.ndim == 3 and frame.shape[2] != 3) or frame.dtype not in (np.uint8, np.uint16):
        raise DeviceProtocolError(name, "read a frame", f"a frame of {frame.dtype} {frame.shape}")
    if frame.ndim == 3:
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    if frame.dtype == np.uint16:
        # Sensors fill 10 to 16 of the bits: the highest one in use becomes the highest of eight.
        return np.asarray(frame >> max(0, int(frame.max()).bit_length() - 8), dtype=np.uint8)
    return frame.copy()


def _refuse_what_cannot_be_opened(device: str, name: str) -> None:
    """OpenCV says only that a camera did not open; the operating system says why."""
    if is_sequence(device):
        if not _is_there(device):
            raise DeviceNotFoundError(name, "open", "no such picture files")
        return
    try:
        os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError as error:
        raise DevicePermissionError(name, "open", f"this user may not open the camera: {RULES}") from error
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise DeviceBusyError(name, "open", "another program is using it") from error
        raise DeviceNotFoundError(name, "open", "no such camera") from error


def _is_there(device: str) -> bool:
    return Path(device).parent.is_dir() if is_sequence(device) else Path(device).exists()


def _may_open(device: str) -> bool:
    return is_sequence(device) or os.access(device, os.R_OK | os.W_OK)


def _wipe(pixels: NDArray[np.uint8] | None) -> None:
    if pixels is not None:
        pixels[...] = 0
