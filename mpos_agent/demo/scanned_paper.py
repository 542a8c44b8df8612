"""A sheet as a flatbed scanner sees it: an employer's letter that says of itself that it is an example."""

import cv2
import numpy as np

_LINES = (
    "PT CONTOH UJI",
    "",
    "SURAT KETERANGAN BERHENTI BEKERJA",
    "",
    "Contoh untuk peragaan.",
    "Bukan surat sungguhan.",
)


def letter() -> bytes:
    """JPEG, A4 at about 100 dpi in grey."""
    sheet = np.full((1169, 827), 244, dtype=np.uint8)
    for number, line in enumerate(_LINES):
        cv2.putText(sheet, line, (90, 160 + 60 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 40, 2, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", sheet)[1])
