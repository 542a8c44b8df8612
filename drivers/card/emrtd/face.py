"""A passport's photo for a screen: JPEG as it is, JPEG 2000 turned into JPEG. In memory only.

The picture is foreign: its stated size is bounded before it is unpacked.
"""

import cv2
import numpy as np

from drivers.card.emrtd.lds import FaceCoding, FaceImage
from drivers.sensitive import SensitiveBytes

MOST_PIXELS = 4_000_000
"""ICAO faces have a few hundred thousand."""
_CODESTREAM = b"\xff\x4f\xff\x51"
"""Start of a JPEG 2000 codestream and its size marker; length (2), capabilities (2), then width and height (4 each)."""
_SIZE_OFFSET = 8
_JPEG = b"\xff\xd8\xff"
_QUALITY = 90


def as_jpeg(face: FaceImage) -> SensitiveBytes | None:
    """The photo as JPEG, for the caller to wipe; None when it is not what it says, or too large."""
    with face.content.view() as view:
        content = bytes(view)
    if face.coding is FaceCoding.JPEG:
        return SensitiveBytes(content) if content.startswith(_JPEG) else None
    place = content.find(_CODESTREAM)
    size = content[place + _SIZE_OFFSET : place + _SIZE_OFFSET + 8]
    width, height = int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")
    if place < 0 or not 0 < width * height <= MOST_PIXELS:
        return None
    pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return None
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    pixels.fill(0)
    if not done:
        return None
    photo = SensitiveBytes(encoded.tobytes())
    encoded.fill(0)
    return photo
