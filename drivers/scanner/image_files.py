"""Fingerprint pictures kept as files, to be played by the virtual scanner: ``<finger>_<impression>.png`` and kin."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceNotFoundError, DeviceProtocolError
from drivers.scanner.virtual_frames import LARGEST_SIDE

SUFFIXES = frozenset({".png", ".tif", ".tiff", ".bmp", ".webp"})
LARGEST_FILE_BYTES = 32 * 1024 * 1024
"""An uncompressed 2048 x 2048 colour TIFF is 12 MB; what is far bigger is not a fingerprint."""

_NAME = re.compile(r"(?P<finger>.+)_(?P<impression>\d+)")


class ImageFolder:
    """A folder of pictures named ``<finger>_<impression>``; files with other names are left alone.

    Raises
    ------
    DeviceNotFoundError
        No such folder, or no such picture in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DeviceNotFoundError(f"image folder {folder}", "open", "there is no such folder")
        self.folder = folder
        self._files: dict[tuple[str, int], Path] = {}
        for file in sorted(folder.iterdir()):
            name = _NAME.fullmatch(file.stem)
            if name is not None and file.suffix.lower() in SUFFIXES:
                self._files.setdefault((name["finger"], int(name["impression"])), file)
        if not self._files:
            raise DeviceNotFoundError(f"image folder {folder}", "open", "no pictures named <finger>_<impression>")

    @property
    def fingers(self) -> list[str]:
        """The fingers, numbers in the order of numbers."""
        return sorted({finger for finger, _ in self._files}, key=lambda name: (not name.isdigit(), len(name), name))

    def impressions(self, finger: str) -> list[int]:
        """The impressions there are of a finger, ascending."""
        return sorted(impression for name, impression in self._files if name == finger)

    def pixels(self, finger: str, impression: int) -> NDArray[np.uint8]:
        """One picture as (H, W) uint8; see :func:`read_image_file`."""
        file = self._files.get((finger, impression))
        if file is None:
            raise DeviceNotFoundError(f"image folder {self.folder}", "read", f"no picture {finger}_{impression}")
        return read_image_file(file)


def read_image_file(file: Path) -> NDArray[np.uint8]:
    """Read a picture; colour becomes grey, 16 bits become 8. The file does not say its resolution.

    Returns
    -------
    pixels : (H, W) uint8, at most 2048 on a side.

    Raises
    ------
    DeviceNotFoundError
        There is no such file.
    DeviceProtocolError
        It is not a picture, is cut off, or is too large.
    """
    device, doing = f"image file {file.name}", "read"
    try:
        size = file.stat().st_size
        data = file.read_bytes() if size <= LARGEST_FILE_BYTES else b""
    except OSError as error:
        raise DeviceNotFoundError(device, doing, error.strerror or "unreadable") from error
    if not data:
        raise DeviceProtocolError(device, doing, f"{size} bytes are no fingerprint picture")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise DeviceProtocolError(device, doing, "it is damaged") from error
    if pixels is None:
        raise DeviceProtocolError(device, doing, "it is not a picture, or damaged")
    if max(pixels.shape) > LARGEST_SIDE:
        raise DeviceProtocolError(device, doing, f"{pixels.shape[1]}x{pixels.shape[0]} is larger than any scanner's")
    return np.asarray(pixels, dtype=np.uint8)
