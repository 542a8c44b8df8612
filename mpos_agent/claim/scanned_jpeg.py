"""A JPEG (ITU-T T.81) walked segment by segment: whole or damaged, and without what is not the picture; pure."""

import re

START = b"\xff\xd8\xff"
_SOI, _EOI, _SOS = b"\xff\xd8", 0xD9, 0xDA
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
# Tables, frames, scans and what they need; APPn and comments only as named below.
_PICTURE = _FRAMES | {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD}
# How colours are meant: without these some pictures come out in the wrong ones.
_COLOURS = {0xE0: b"JFIF\x00", 0xE2: b"ICC_PROFILE\x00", 0xEE: b"Adobe"}
_EXIF = b"Exif\x00\x00"
_ORIENTATION, _SHORT = 0x0112, 3
# In a scan's data FF is always followed by 00 or by a restart; anything else is the next marker.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def picture_of(jpeg: bytes) -> tuple[int, bytes] | None:
    """Pixels, and the file with nothing but the picture and which way is up; None when it is damaged."""
    kept, at, pixels, scanned = [_SOI], 2, 0, False
    while True:
        while jpeg[at : at + 2] == b"\xff\xff":
            at += 1
        if len(jpeg) < at + 2 or jpeg[at] != 0xFF:
            return None
        marker = jpeg[at + 1]
        if marker == _EOI:
            # What follows is another picture or a film that some telephones append.
            return (pixels, b"".join([*kept, b"\xff\xd9"])) if scanned and pixels else None
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        segment = jpeg[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            return None
        at += len(segment)
        if marker in _FRAMES and len(segment) >= 9:
            pixels = int.from_bytes(segment[5:7], "big") * int.from_bytes(segment[7:9], "big")
        if marker == _SOS:
            following = _NEXT_MARKER.search(jpeg, at)
            if following is None:
                return None
            segment, at, scanned = segment + jpeg[at : following.start()], following.start(), True
        kept += _kept(marker, segment)


def _kept(marker: int, segment: bytes) -> list[bytes]:
    body = segment[4:]
    if marker in _PICTURE or (marker in _COLOURS and body.startswith(_COLOURS[marker])):
        return [segment]
    if marker == 0xE1 and body.startswith(_EXIF):
        turned = _orientation(body[len(_EXIF) :])
        return [_only_orientation(turned)] if turned else []
    return []


def _orientation(tiff: bytes) -> int:
    """Which way is up, 2 to 8; 0 where nothing is said or it is upright as it stands."""
    if tiff[:4] not in (b"II*\x00", b"MM\x00*"):
        return 0

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "little" if tiff.startswith(b"I") else "big")

    directory = number(4, 4)
    for entry in range(min(number(directory, 2), 200)):
        at = directory + 2 + 12 * entry
        if number(at, 2) == _ORIENTATION and number(at + 2, 2) == _SHORT:
            turned = number(at + 8, 2)
            return turned if 2 <= turned <= 8 else 0
    return 0


def _only_orientation(turned: int) -> bytes:
    # One entry of one value: tag, type, count, the value and its padding.
    fields = ((_ORIENTATION, 2), (_SHORT, 2), (1, 4), (turned, 2), (0, 2))
    entry = b"".join(value.to_bytes(size, "big") for value, size in fields)
    body = _EXIF + b"MM\x00*" + b"\x00\x00\x00\x08" + b"\x00\x01" + entry + b"\x00\x00\x00\x00"
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
