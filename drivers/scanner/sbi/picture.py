"""From the packed picture of a record to pixels. Sizes are compared before anything is unpacked."""

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.sbi.errors import Refusal, WrongAnswerError
from drivers.scanner.sbi.record import Compression, FingerRecord

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
"""Start and size markers of a JPEG 2000 codestream."""
_JP2_MAGIC = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_MOST_BOXES = 64


def unpack(record: FingerRecord) -> NDArray[np.uint8]:
    """Pixels as (height, width) uint8 in memory of their own.

    Not packed, JPEG 2000 and PNG are read; what is packed in another way is refused by its name.
    """
    match record.compression:
        case Compression.NONE:
            return _plain(record)
        case Compression.PNG:
            _check_png(record)
        case Compression.JPEG2000_LOSSY | Compression.JPEG2000_LOSSLESS:
            _check_jpeg2000(record)
        case Compression.PACKED | Compression.WSQ | Compression.JPEG:
            raise WrongAnswerError(Refusal.COMPRESSION, record.compression.name)
    try:
        pixels = cv2.imdecode(np.frombuffer(record.image, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise WrongAnswerError(Refusal.PICTURE, f"{record.compression.name} cannot be unpacked") from error
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape != (record.height, record.width):
        raise WrongAnswerError(Refusal.PICTURE, f"{record.compression.name} cannot be unpacked")
    return pixels.astype(np.uint8, copy=False)


def _plain(record: FingerRecord) -> NDArray[np.uint8]:
    if len(record.image) != record.width * record.height:
        raise WrongAnswerError(Refusal.PICTURE, f"{len(record.image)} bytes for {record.width} x {record.height}")
    return np.frombuffer(bytearray(record.image), dtype=np.uint8).reshape(record.height, record.width)


def _check_png(record: FingerRecord) -> None:
    head = bytes(record.image[:26])
    if len(head) < 26 or head[:8] != _PNG_MAGIC or head[12:16] != b"IHDR":
        raise WrongAnswerError(Refusal.PICTURE, "not PNG")
    width, height, depth, colour = struct.unpack_from(">IIBB", head, 16)
    _must_fit(record, width, height)
    if (depth, colour) != (8, 0):
        raise WrongAnswerError(Refusal.PICTURE, "not 8 bits of grey")


def _check_jpeg2000(record: FingerRecord) -> None:
    stream = _codestream(record.image)
    if len(stream) < 42 or bytes(stream[:4]) != _CODESTREAM:
        raise WrongAnswerError(Refusal.PICTURE, "not JPEG 2000")
    right, bottom, left, top, tile_x, tile_y = struct.unpack_from(">IIIIII", stream, 8)
    (components,) = struct.unpack_from(">H", stream, 40)
    _must_fit(record, right - left, bottom - top)
    # A million tiles of one pixel would cost more than the picture is worth.
    if components != 1 or tile_x < 1 or tile_y < 1 or (right // tile_x + 1) * (bottom // tile_y + 1) > 4096:
        raise WrongAnswerError(Refusal.PICTURE, "not one component in sensible tiles")


def _codestream(image: memoryview) -> memoryview:
    """The codestream itself, out of its boxes where it has any."""
    if bytes(image[: len(_JP2_MAGIC)]) != _JP2_MAGIC:
        return image
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(image):
            break
        size, kind = struct.unpack_from(">I4s", image, at)
        if kind == b"jp2c":
            return image[at + 8 :]
        if size < 8:
            break
        at += size
    raise WrongAnswerError(Refusal.PICTURE, "JPEG 2000 without a codestream")


def _must_fit(record: FingerRecord, width: int, height: int) -> None:
    if (width, height) != (record.width, record.height):
        raise WrongAnswerError(
            Refusal.PICTURE, f"{width} x {height} pixels in a record of {record.width} x {record.height}"
        )
