"""A PNG (ISO/IEC 15948) walked chunk by chunk: whole or damaged, and without what is not the picture; pure."""

import zlib

START = b"\x89PNG\r\n\x1a\n"
# The picture, and how its colours and pixels are meant; not text, time, Exif or an animation.
_PICTURE = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"pHYs", b"bKGD")
)


def picture_of(png: bytes) -> tuple[int, bytes] | None:
    """Pixels, and the file with nothing but the picture; None when it is damaged."""
    kept, at, pixels, data = [START], len(START), 0, False
    while True:
        length = int.from_bytes(png[at : at + 4], "big")
        chunk = png[at : at + 12 + length]
        kind = chunk[4:8]
        if len(chunk) < 12 + length or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            return None
        if (at == len(START)) != (kind == b"IHDR") or (kind == b"IHDR" and length != 13):
            return None
        at += len(chunk)
        if kind == b"IHDR":
            pixels = int.from_bytes(chunk[8:12], "big") * int.from_bytes(chunk[12:16], "big")
        data = data or kind == b"IDAT"
        if kind in _PICTURE:
            kept.append(chunk)
        if kind == b"IEND":
            return (pixels, b"".join(kept)) if pixels and data else None
