"""A camera of frames made on the spot, in place of ``cv2.VideoCapture``; what it does wrong is told to it."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

EMPTY_FRAMES = 8
"""Hands are slower than cameras: after a lift the glass is seen empty for this many frames."""
FRAME_S = 0.004
SHAPE = (374, 388)


class PlayedCamera:
    """The glass, the cable and the settings of one camera; ``open`` is handed to the driver."""

    def __init__(self, node: Path, formats: tuple[str, ...] = ("GREY", "YUYV", "MJPG"), shape: tuple[int, int] = SHAPE):
        self.node, self.formats, self.shape = node, formats, shape
        self.settings: dict[int, float] = {}
        self.user: _Opened | None = None
        self.spoil: Callable[[NDArray[Any]], tuple[bool, Any]] | None = None
        """What is made of each frame from now on."""
        self.stalled = threading.Event()
        self.goes_on = threading.Event()
        self.lock = threading.Lock()
        self._finger: NDArray[np.uint8] | None = None
        self._brief = 0
        self._empty = 0
        self._noise = np.random.default_rng(1)
        self.frames = 0
        self.plug()

    def open(self, device: str) -> "_Opened":
        """As ``cv2.VideoCapture``: says afterwards whether it worked."""
        assert device == str(self.node)
        with self.lock:
            opened = _Opened(self, works=self.user is None and self.node.exists())
            if opened.works:
                self.user = opened
        return opened

    def place(self, pixels: NDArray[np.uint8]) -> None:
        with self.lock:
            self._finger, self._brief = pixels, 0

    def touch_briefly(self, pixels: NDArray[np.uint8]) -> None:
        with self.lock:
            self._finger, self._brief = pixels, 1

    def lift(self) -> None:
        with self.lock:
            self._finger, self._empty = None, EMPTY_FRAMES

    def plug(self) -> None:
        self.node.touch()

    def unplug(self) -> None:
        self.node.unlink(missing_ok=True)

    def frame(self) -> NDArray[Any]:
        """What the glass looks like now, with the noise of a sensor."""
        with self.lock:
            self.frames += 1
            shown = np.full(self.shape, 200, dtype=np.int16)
            if self._empty > 0:
                self._empty -= 1
            elif self._finger is not None:
                height, width = (min(*pair) for pair in zip(self.shape, self._finger.shape, strict=True))
                shown[:height, :width] = self._finger[:height, :width]
                if self._brief:
                    self._brief -= 1
                    if not self._brief:
                        self._finger = None
            shown += self._noise.integers(-2, 3, self.shape, dtype=np.int16)
            grey = np.clip(shown, 0, 255).astype(np.uint8)
            if self.settings.get(cv2.CAP_PROP_CONVERT_RGB) == 0:
                return grey
            return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


class _Opened:
    """What the driver holds."""

    def __init__(self, camera: PlayedCamera, *, works: bool) -> None:
        self._camera, self.works = camera, works

    def isOpened(self) -> bool:
        return self.works

    def read(self) -> tuple[bool, Any]:
        camera = self._camera
        time.sleep(FRAME_S)
        if camera.stalled.is_set():
            camera.goes_on.wait(30)
        if not camera.node.exists():
            return False, None
        frame = camera.frame()
        return (True, frame) if camera.spoil is None else camera.spoil(frame)

    def set(self, prop: int, value: float, /) -> bool:
        if prop == cv2.CAP_PROP_FOURCC and _name(int(value)) not in self._camera.formats:
            return False
        if prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            value = min(value, self._camera.shape[prop == cv2.CAP_PROP_FRAME_WIDTH])
        self._camera.settings[prop] = value
        return True

    def get(self, prop: int, /) -> float:
        return self._camera.settings.get(prop, 0.0)

    def release(self) -> None:
        with self._camera.lock:
            if self._camera.user is self:
                self._camera.user = None


def _name(code: int) -> str:
    return code.to_bytes(4, "little").decode()
