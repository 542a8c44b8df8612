"""Scanned files made from nothing: small, whole, and with everything a telephone or a scanner may put into them."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

GPS = b"GPSLatitude 6 deg 12' S"
"""Stands for what a telephone adds: where the picture was taken."""


def png(width: int = 40, height: int = 30, *, seed: int = 1, extra: Sequence[bytes] = (), noise: bool = True) -> bytes:
    """A grey picture; of noise it is as large as its pixels are many."""
    rows = np.random.default_rng(seed).integers(0, 256 if noise else 2, (height, width), dtype=np.uint8)
    raw = b"".join(b"\x00" + row.tobytes() for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg(*, seed: int = 1, orientation: int = 0, motion: bytes = b"", side: int = 64) -> bytes:
    """A picture as a telephone makes it: Exif with position and device, a comment, perhaps a film behind it."""
    import cv2  # a second to load, and only pictures need it

    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    encoded = cv2.imencode(".jpg", pixels)[1].tobytes()
    assert encoded[2:4] == b"\xff\xe0"
    end = 4 + int.from_bytes(encoded[4:6], "big")
    more = (
        segment(0xE1, exif(orientation)) + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + GPS) + segment(0xFE, GPS)
    )
    return encoded[:end] + more + encoded[end:] + motion


def exif(orientation: int) -> bytes:
    """An Exif block, little-endian, with the way up (0: not said) and a text in it."""
    entries = [struct.pack("<HHII", 0x010F, 2, 1, 0)]
    if orientation:
        entries.append(struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"Exif\x00\x00" + b"II*\x00" + struct.pack("<I", 8) + directory + GPS


def segment(marker: int, body: bytes) -> bytes:
    """One JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def pdf(
    pages: int = 2, *, packed: bool = False, more: bytes = b"", trailer: bytes = b"", payload: bytes = b""
) -> bytes:
    """A document with empty pages; ``packed`` puts its structure into a compressed object stream, as newer ones do."""
    kids = b" ".join(b"%d 0 R" % (10 + page) for page in range(pages))
    objects = [
        (1, b"<< /Type /Catalog /Pages 2 0 R " + more + b" >>"),
        (2, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (pages, kids)),
    ]
    objects += [(10 + page, b"<< /Type /Page /Parent 2 0 R >>") for page in range(pages)]
    body = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    if packed:
        texts = [text for _, text in objects]
        places = [sum(len(text) + 1 for text in texts[:at]) for at in range(len(texts))]
        index = (
            b" ".join(b"%d %d" % (number, place) for (number, _), place in zip(objects, places, strict=True)) + b"\n"
        )
        data = zlib.compress(index + b"\n".join(texts))
        facts = (len(objects), len(index), len(data))
        body += b"5 0 obj\n<< /Type /ObjStm /N %d /First %d /Filter /FlateDecode /Length %d >>\nstream\n" % facts
        body += data + b"\nendstream\nendobj\n"
    else:
        body += b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, text) for number, text in objects)
    if payload:
        body += b"9 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(payload), payload)
    return body + b"trailer\n<< /Root 1 0 R %s >>\nstartxref\n9\n%%%%EOF\n" % trailer
