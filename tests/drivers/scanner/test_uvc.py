"""Scanners that are cameras: where the finger is, when it rests, and what a camera does wrong."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
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
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerState
from drivers.scanner.calibration import Calibration, none_measured
from drivers.scanner.errors import CalibrationFileError, NotCalibratedError
from drivers.scanner.finger_presence import GONE_AREA, PRESENT_AREA, ridge_area
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.uvc import STALE_FRAMES, STILL_FRAMES, UvcScanner, UvcSource, find, negotiate
from tests.drivers.scanner.leaks import nothing_left
from tests.drivers.scanner.played_camera import PlayedCamera

LONG_S = 60.0
Spoil = Callable[[NDArray[Any]], tuple[bool, Any]]


@pytest.fixture(scope="module")
def finger() -> NDArray[np.uint8]:
    return Finger.from_seed(2).impression(1)


@pytest.fixture
def camera(tmp_path: Path) -> PlayedCamera:
    return PlayedCamera(tmp_path / "video0")


def source_of(camera: PlayedCamera, calibration: Calibration | None = None) -> UvcSource:
    return UvcSource(str(camera.node), lambda _driver, _serial: calibration, camera=camera.open)


def open_and_capture(camera: PlayedCamera, spoil: Spoil | None) -> None:
    with source_of(camera).open(raw=True) as scanner:
        camera.spoil = spoil
        scanner.capture(LONG_S)


class FastClock:
    """Half a second passes whenever somebody looks, once it is told to run."""

    def __init__(self) -> None:
        self.now, self.runs = 0.0, False

    def __call__(self) -> float:
        self.now += 0.5 if self.runs else 0.0001
        return self.now


def test_numbered_picture_files_play_a_camera(tmp_path: Path, finger: NDArray[np.uint8]) -> None:
    """The real OpenCV reads a folder of frames: an empty glass, a finger laid on, and the picture is that finger."""
    empty = np.full((480, 640), 210, dtype=np.uint8)
    touched = empty.copy()
    touched[50 : 50 + finger.shape[0], 100 : 100 + finger.shape[1]] = finger
    for number, frame in enumerate([empty] * (STALE_FRAMES + 3) + [touched] * (STILL_FRAMES + 1) + [empty] * 3):
        cv2.imwrite(str(tmp_path / f"{number:04d}.png"), frame)
    measured = Calibration(500.0, 500.0, crop=(100, 50, finger.shape[1], finger.shape[0]))
    (source,) = find(tmp_path / "%04d.png", lambda _driver, _serial: measured)
    with source.open() as scanner:
        image = scanner.capture(LONG_S)
        assert isinstance(image, FingerImage)
        same = np.array_equal(image.pixels, finger)
        assert same, "the picture differs from the frame"
        with pytest.raises(DeviceRemovedError):
            scanner.capture(LONG_S)


def test_a_sequence_that_is_not_there(tmp_path: Path) -> None:
    """No folder lists nothing; a folder without frames does not open."""
    assert find(tmp_path / "none" / "%04d.png", none_measured) == []
    (source,) = find(tmp_path / "%04d.png", none_measured)
    with pytest.raises(DeviceBusyError, match="no camera"):
        source.open(raw=True)


@pytest.mark.parametrize(
    ("formats", "chosen", "converted"),
    [
        (("MJPG", "YUYV", "GREY"), "GREY", 0),
        (("MJPG", "YUYV"), "YUYV", 1),
        (("MJPG",), "MJPG", 1),
        (("Y16 ",), "Y16 ", 0),
    ],
)
def test_the_best_format_a_camera_has(tmp_path: Path, formats: tuple[str, ...], chosen: str, converted: int) -> None:
    """Grey before colour, whole before compressed, always at the camera's largest size with a short queue."""
    camera = PlayedCamera(tmp_path / "video0", formats=formats)
    assert negotiate(camera.open(str(camera.node)), "camera") == chosen
    assert camera.settings[cv2.CAP_PROP_CONVERT_RGB] == converted
    assert camera.settings[cv2.CAP_PROP_BUFFERSIZE] == 1
    assert (camera.settings[cv2.CAP_PROP_FRAME_HEIGHT], camera.settings[cv2.CAP_PROP_FRAME_WIDTH]) == camera.shape


def test_a_camera_with_other_formats_only(tmp_path: Path) -> None:
    """It is told which formats would do, and it is given back."""
    camera = PlayedCamera(tmp_path / "video0", formats=("H264",))
    with pytest.raises(DeviceProtocolError, match="MJPG"):
        source_of(camera).open(raw=True)
    assert camera.user is None


@pytest.mark.parametrize("formats", [("GREY",), ("MJPG",)])
def test_grey_and_colour_frames_give_the_same_finger(
    tmp_path: Path, finger: NDArray[np.uint8], formats: tuple[str, ...]
) -> None:
    """Whatever the format, the picture is the finger within the noise of the sensor."""
    camera = PlayedCamera(tmp_path / "video0", formats=formats, shape=finger.shape)
    camera.place(finger)
    with source_of(camera).open(raw=True) as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    assert image.dpi is None
    off = int(np.abs(image.pixels.astype(np.int16) - finger).max())
    assert off <= 3


def test_sixteen_bits_become_eight(camera: PlayedCamera, finger: NDArray[np.uint8]) -> None:
    """A ten-bit sensor in 16-bit words keeps its upper eight bits."""
    camera.spoil = lambda frame: (True, frame.astype(np.uint16) * 4)
    camera.place(finger)
    with source_of(camera).open(raw=True) as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    assert image.pixels.dtype == np.uint8
    assert int(np.ptp(image.pixels)) > 150


def test_a_moving_finger_is_waited_for(camera: PlayedCamera, finger: NDArray[np.uint8]) -> None:
    """While the finger slides no picture is taken; when it rests, one is."""
    moving = [0]

    def slide(frame: NDArray[Any]) -> tuple[bool, Any]:
        moving[0] += 1
        return True, np.roll(frame, 5 * moving[0], axis=0)

    with source_of(camera).open(raw=True) as scanner:
        camera.place(finger)
        camera.spoil = slide
        assert scanner.capture(0.3) is PlaceAgain.TOO_SHORT
        assert moving[0] > STILL_FRAMES
        camera.spoil = None
        assert isinstance(scanner.capture(LONG_S), FingerImage)


def test_frames_from_before_are_not_taken_for_now(camera: PlayedCamera, finger: NDArray[np.uint8]) -> None:
    """The kernel's queue still shows the last member's finger: those frames are thrown away."""
    with source_of(camera).open(raw=True) as scanner:
        assert scanner.capture(0.05) is PlaceAgain.NO_FINGER
        queue = [np.ascontiguousarray(finger[: camera.shape[0], : camera.shape[1]])] * STALE_FRAMES

        def stale(frame: NDArray[Any]) -> tuple[bool, Any]:
            return (True, queue.pop().copy()) if queue else (True, frame)

        camera.spoil = stale
        threading.Event().wait(0.25)
        assert scanner.capture(0.1) is PlaceAgain.NO_FINGER
        assert not queue


def test_the_resolution_is_measured_or_there_is_no_picture(camera: PlayedCamera, finger: NDArray[np.uint8]) -> None:
    """A camera never says how many pixels make an inch; a calibration of another one is refused."""
    with pytest.raises(NotCalibratedError):
        source_of(camera).open()
    camera.place(finger)
    with source_of(camera, Calibration(400.0, 500.0, crop=(20, 10, 300, 320))).open() as scanner:
        image = scanner.capture(LONG_S)
        assert isinstance(image, FingerImage)
        assert (image.dpi, image.pixels.shape) == (500.0, (320, 375))
    with source_of(camera, Calibration(500.0, 500.0, crop=(0, 0, 1000, 1000))).open() as scanner:
        with pytest.raises(CalibrationFileError):
            scanner.capture(LONG_S)


FAULTS: dict[str, tuple[Spoil, type[DeviceError]]] = {
    "no frame": (lambda frame: (False, None), DeviceRemovedError),
    "short": (lambda frame: (True, frame[:200]), DeviceProtocolError),
    "tiny": (lambda frame: (True, frame[:4, :4]), DeviceProtocolError),
    "zero length": (lambda frame: (True, frame[:0]), DeviceProtocolError),
    "overflow": (lambda frame: (True, np.zeros((5000, 16), dtype=np.uint8)), DeviceProtocolError),
    "no picture": (lambda frame: (True, frame.astype(np.float32)), DeviceProtocolError),
    "four channels": (lambda frame: (True, np.zeros((374, 388, 4), dtype=np.uint8)), DeviceProtocolError),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("first_frame", [True, False], ids=["when opened", "when in use"])
def test_whatever_a_frame_is_instead_is_named(camera: PlayedCamera, fault: str, *, first_frame: bool) -> None:
    """Each fault is told by its cause; the camera is given back and works when it is well again."""
    spoil, cause = FAULTS[fault]

    def a_round() -> None:
        # The first frame sets the size, also a short one: the whole ones after it differ.
        later = None if fault == "short" and first_frame else spoil
        camera.spoil = spoil if first_frame else None
        with pytest.raises(cause):
            open_and_capture(camera, later)
        camera.spoil = None
        assert camera.user is None

    a_round()
    with nothing_left():
        a_round()
    with source_of(camera).open(raw=True) as scanner:
        assert scanner.capture(0.02) is PlaceAgain.NO_FINGER


def test_what_opencv_cannot_read_is_named(camera: PlayedCamera) -> None:
    """An exception of the library in the reading thread reaches who waits for the frame."""

    def raises(frame: NDArray[Any]) -> tuple[bool, Any]:
        raise cv2.error("cannot be decoded")

    with source_of(camera).open(raw=True) as scanner:
        camera.spoil = raises
        with pytest.raises(DeviceProtocolError, match="OpenCV"):
            scanner.capture(LONG_S)


def test_a_lost_frame_now_and_then_does_not_matter(camera: PlayedCamera, finger: NDArray[np.uint8]) -> None:
    """Two broken frames in a row are passed over."""
    count = [0]

    def loses(frame: NDArray[Any]) -> tuple[bool, Any]:
        count[0] += 1
        return (True, frame) if count[0] % 3 == 0 else (False, None)

    camera.place(finger)
    with source_of(camera).open(raw=True) as scanner:
        camera.spoil = loses
        assert isinstance(scanner.capture(LONG_S), FingerImage)


def test_a_camera_that_stalls_is_given_up_in_time(camera: PlayedCamera) -> None:
    """No frame comes: the wait ends by the clock although the read does not, and ends its thread later."""
    clock = FastClock()
    with nothing_left():
        scanner = UvcScanner(source_of(camera).info, None, camera=camera.open, monotonic=clock)
        camera.stalled.set()
        clock.runs = True
        with pytest.raises(DeviceTimeoutError):
            scanner.capture(1000.0)
        camera.goes_on.set()
    assert camera.user is None
    camera.stalled.clear()
    source_of(camera).open(raw=True).close()


def test_a_camera_this_user_may_not_open(camera: PlayedCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV would only say that it did not open; the rule is named instead."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    source = source_of(camera)
    assert source.info.state is ScannerState.NO_PERMISSION
    opened = os.open

    def refused(path: str, flags: int, *rest: int) -> int:
        if path == str(camera.node):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(DevicePermissionError, match=r"70-mpos-scanners\.rules"):
        source.open(raw=True)


def test_cameras_are_never_looked_for(tmp_path: Path) -> None:
    """Most cameras are no scanners: only the one that is set is listed, under its stable name."""
    assert find(None, none_measured) == []
    node = tmp_path / "by-id" / "usb-ACME_Finger_Cam_0042-video-index0"
    assert find(node, none_measured) == []
    node.parent.mkdir()
    node.touch()
    (source,) = find(node, none_measured)
    assert (source.info.serial, source.info.name) == ("ACME_Finger_Cam_0042", "Camera ACME Finger Cam 0042")
    node.unlink()
    with pytest.raises(DeviceNotFoundError):
        source.open(raw=True)


def test_a_finger_is_told_from_an_empty_glass(finger: NDArray[np.uint8]) -> None:
    """Noise, a gradient of light and a hair are no finger; a finger is, also a small part of one."""
    noise = np.random.default_rng(3).normal(0, 4, (374, 388))
    light = np.linspace(120, 220, 388)[np.newaxis, :] + noise
    hair = light.copy()
    hair[:, 180:183] -= 80
    for empty in (200 + noise, light, hair):
        assert ridge_area(np.clip(empty, 0, 255).astype(np.uint8)) < GONE_AREA
    assert ridge_area(finger) > PRESENT_AREA
