"""Folders of fingerprint pictures as the virtual scanner plays them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from drivers.errors import DeviceNotFoundError, DeviceProtocolError
from drivers.scanner.image_files import ImageFolder, read_image_file

PIXELS = np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp", ".PNG"])
def test_every_lossless_format_gives_the_pixels_back(tmp_path: Path, suffix: str) -> None:
    """PNG, TIFF, BMP and lossless WebP are read to the grey level."""
    file = tmp_path / f"1_1{suffix}"
    written, data = cv2.imencode(suffix.lower(), PIXELS, [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else [])
    assert written
    file.write_bytes(data.tobytes())
    read = ImageFolder(tmp_path).pixels("1", 1)
    assert read.dtype == np.uint8
    # WebP keeps colours; going through them and back may move a grey level by one.
    assert int(np.abs(read.astype(int) - PIXELS).max()) <= (1 if suffix == ".webp" else 0)


def test_fingers_and_impressions_are_found_by_name(tmp_path: Path) -> None:
    """Numbered fingers come in the order of numbers; what is named otherwise is left alone."""
    for name in ("101_1", "101_2", "9_10", "9_2", "left_thumb_3"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), PIXELS)
    for other in ("readme.txt", "cover.png", "9_x.png"):
        (tmp_path / other).write_bytes(b"not a fingerprint")
    folder = ImageFolder(tmp_path)
    assert folder.fingers == ["9", "101", "left_thumb"]
    assert folder.impressions("9") == [2, 10]
    assert folder.impressions("left_thumb") == [3]
    assert folder.impressions("nobody") == []


def test_colour_becomes_grey(tmp_path: Path) -> None:
    """A scan saved in colour is usable."""
    cv2.imwrite(str(tmp_path / "1_1.png"), np.dstack([PIXELS] * 3))
    assert read_image_file(tmp_path / "1_1.png").shape == PIXELS.shape


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    """No folder, nothing in it, or not this finger: the message says which."""
    with pytest.raises(DeviceNotFoundError, match="no such folder"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(DeviceNotFoundError, match="<finger>_<impression>"):
        ImageFolder(tmp_path)
    cv2.imwrite(str(tmp_path / "1_1.png"), PIXELS)
    with pytest.raises(DeviceNotFoundError, match="1_2"):
        ImageFolder(tmp_path).pixels("1", 2)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(40), b"hello", bytes(1000)])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    """A damaged file ends in a sentence, not in a crash of the decoder."""
    file = tmp_path / "1_1.png"
    file.write_bytes(content)
    with pytest.raises(DeviceProtocolError):
        read_image_file(file)


def test_a_picture_larger_than_any_scanner_is_refused(tmp_path: Path) -> None:
    """A photograph is not a fingerprint."""
    cv2.imwrite(str(tmp_path / "1_1.png"), np.zeros((10, 3000), dtype=np.uint8))
    with pytest.raises(DeviceProtocolError, match="3000x10"):
        read_image_file(tmp_path / "1_1.png")


@pytest.mark.data
def test_a_folder_of_real_prints_plays(shared_data: Path) -> None:
    """Ten fingers with eight impressions each are found as they lie there."""
    folder = ImageFolder(shared_data / "fingerprints" / "fvc2002" / "db1_b")
    assert len(folder.fingers) == 10
    assert all(len(folder.impressions(finger)) == 8 for finger in folder.fingers)
    assert folder.pixels(folder.fingers[0], 1).shape == (374, 388)
