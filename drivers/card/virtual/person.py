"""Synthetic holders: whom a virtual e-KTP belongs to. No real person, by construction.

Identity numbers begin with 99, a province code that is not assigned; portrait and signature are drawings.
"""

import datetime
from dataclasses import dataclass, field

import cv2
import numpy as np

LONGEST_PHOTO = 1700
"""Bytes; about what the chip's photo file holds."""
SIGNATURE_WIDTH, SIGNATURE_HEIGHT = 168, 44

_NAMES = ("SATU", "DUA", "TIGA", "EMPAT", "LIMA", "ENAM", "TUJUH", "DELAPAN", "SEMBILAN", "SEPULUH")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VirtualPerson:
    """What is written on one virtual chip."""

    fields: tuple[str, ...] = field(repr=False)
    """The 21 biodata fields in the order of the chip."""
    photo: bytes = field(repr=False)
    """JPEG."""
    signature_image: bytes = field(repr=False)
    """168 x 44 pixels of one bit, rows of 21 bytes, 0 = ink."""
    right_template: bytes | None = field(repr=False)
    """ISO/IEC 19794-2:2005 record for the first minutiae file; None where the finger is missing."""
    left_template: bytes | None = field(repr=False)

    def biodata_line(self) -> bytes:
        """The fields as the chip holds them: quoted, comma between, Latin-1."""
        return ",".join(f'"{value}"' for value in self.fields).encode("latin-1")


def synthetic_person(n: int, right_template: bytes | None, left_template: bytes | None) -> VirtualPerson:
    """The n-th synthetic person (n from 1): "PESERTA UJI SATU" and so on; the same n, the same person."""
    if not 1 <= n <= 9999:
        raise ValueError("synthetic people are numbered 1 to 9999")
    born = datetime.date(1960 + 7 * n % 40, 1 + 5 * n % 12, 1 + 11 * n % 28)
    woman = n % 2 == 0
    name = f"PESERTA UJI {_NAMES[n - 1] if n <= len(_NAMES) else n}"
    nik = f"990101{born.day + 40 * woman:02d}{born.month:02d}{born.year % 100:02d}{n:04d}"
    born_text = f"{born.day}-{born.month}-{born.year}"
    return VirtualPerson(
        fields=(
            nik,
            f"JL CONTOH {n}",
            "001",
            "002",
            "KOTA CONTOH",
            "KECAMATAN CONTOH",
            "KELURAHAN CONTOH",
            "KOTA CONTOH",
            "PEREMPUAN" if woman else "LAKI-LAKI",
            ("A", "B", "AB", "O", "-")[n % 5],
            "ISLAM",
            "KAWIN",
            "KARYAWAN SWASTA",
            name,
            born_text,
            "PROVINSI CONTOH",
            f"{born.day}-{born.month}-2017",
            "2",
            "7",
            "WNI",
            "KOTA CONTOH",
        ),
        photo=drawn_portrait(n),
        signature_image=drawn_signature(n),
        right_template=right_template,
        left_template=left_template,
    )


def drawn_portrait(n: int) -> bytes:
    """A drawn face, JPEG below 1700 bytes; n changes its proportions."""
    canvas = np.full((152, 114, 3), (200, 60, 40) if n % 2 else (40, 60, 200), dtype=np.uint8)
    middle, skin = (57, 66), (150, 180, 215)
    cv2.ellipse(canvas, (57, 150), (46, 40), 0, 0, 360, (235, 235, 235), cv2.FILLED)
    cv2.ellipse(canvas, middle, (26 + n % 5, 34 + n % 4), 0, 0, 360, skin, cv2.FILLED)
    cv2.ellipse(canvas, (57, 44), (28 + n % 5, 16), 0, 180, 360, (30, 30, 30), cv2.FILLED)
    for x in (46 - n % 3, 68 + n % 3):
        cv2.circle(canvas, (x, 64), 3, (20, 20, 20), cv2.FILLED)
    cv2.ellipse(canvas, (57, 84), (10, 3 + n % 4), 0, 0, 180, (60, 60, 160), 2)
    for quality in range(60, 0, -5):
        _, encoded = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if encoded.size <= LONGEST_PHOTO:
            return encoded.tobytes()
    raise AssertionError("the drawing is simple enough for any quality")


def drawn_signature(n: int) -> bytes:
    """Strokes as 168 x 44 pixels of one bit, most significant bit leftmost, ink 0: 924 bytes."""
    canvas = np.full((SIGNATURE_HEIGHT, SIGNATURE_WIDTH), 255, dtype=np.uint8)
    t = np.linspace(0.0, 1.0, 60)
    x = 12 + 140 * t
    y = 22 + 14 * np.sin(2 * np.pi * t * (3 + n % 4) + n) * (1 - 0.6 * t)
    strokes = np.stack([x, y], axis=1).round().astype(np.int32)
    cv2.polylines(canvas, [strokes], isClosed=False, color=(0,), thickness=2)
    return np.packbits(canvas > 127, axis=1).tobytes()
