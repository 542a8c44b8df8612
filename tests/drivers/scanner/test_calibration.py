"""What was measured of a scanner is kept as a small file, and makes its pixels square."""

import datetime
from pathlib import Path

import numpy as np
import pytest

from drivers.scanner.calibration import Calibration, apply, file_of, load, save
from drivers.scanner.errors import CalibrationFileError

DAY = datetime.date(2026, 11, 20)


def written(folder: Path, text: str | bytes) -> Path:
    """A folder with this as the calibration of every unit of a driver."""
    (folder / "zfm.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_what_was_saved_is_what_is_used(tmp_path: Path) -> None:
    """A measurement of today is there after the next start, with the day it was made on."""
    kept = Calibration(496.25, 503.9, crop=(12, 8, 360, 280), source="target", measured_on=DAY)
    save(tmp_path / "new", "uru4000", "{ABC-1}", kept)
    assert load(tmp_path / "new", "uru4000", "{ABC-1}") == kept
    assert kept.told == "measured 2026-11-20"


def test_a_unit_that_was_measured_goes_before_its_model(tmp_path: Path) -> None:
    """Two scanners of one model differ a little: each has its own file, a third takes the model's."""
    save(tmp_path, "uvc", None, Calibration(500, 500))
    save(tmp_path, "uvc", "7", Calibration(490, 510))
    found = {serial: load(tmp_path, "uvc", serial) for serial in ("7", "8", None)}
    assert {serial: one.dpi_x for serial, one in found.items() if one} == {"7": 490, "8": 500, None: 500}


def test_nobody_measured(tmp_path: Path) -> None:
    """Without a file there is no calibration, and none is made up."""
    assert load(tmp_path / "nowhere", "uru4000", None) is None


def test_a_serial_number_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    """What a device says of itself is no path."""
    assert file_of(tmp_path, "zfm", "../../etc/x").parent == tmp_path
    assert len(file_of(tmp_path, "zfm", "9" * 500).name) < 100


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dpi_x = 500", "dpi_y"),
        ("dpi_x = true\ndpi_y = 500", "dpi_x"),
        ("dpi_x = 5\ndpi_y = 500", "no resolution"),
        ("dpi_x = nan\ndpi_y = 500", "no resolution"),
        ("dpi_x = 500\ndpi_y = 500\ndpi = 500", "no such key: dpi"),
        ("dpi_x = 500\ndpi_y = 500\ncrop = [1, 2, 3]", "crop"),
        ("dpi_x = 500\ndpi_y = 500\ncrop = [-1, 0, 30, 30]", "crop"),
        ("dpi_x = 500\ndpi_y = 500\nmeasured_on = 2026-11-20T10:00:00", "measured_on"),
        ("dpi_x = ", "TOML"),
        (b"\xff\xfe", "TOML"),
        ("#" * 5000, "too long"),
    ],
)
def test_a_file_that_cannot_be_true_is_not_passed_over(tmp_path: Path, text: str | bytes, said: str) -> None:
    """A wrong resolution would make every comparison wrong: the technician is told what is wrong in which file."""
    with pytest.raises(CalibrationFileError, match=said) as caught:
        load(written(tmp_path, text), "zfm", None)
    assert caught.value.file == str(tmp_path / "zfm.toml")


def test_stripes_that_are_too_narrow_become_as_wide_as_they_are(tmp_path: Path) -> None:
    """Stripes of 1 mm both ways come out with one period, whichever axis the sensor is finer on."""
    across, along = 300.0, 400.0
    y, x = np.mgrid[0:400, 0:300]
    grid = 128 + 50 * np.cos(2 * np.pi * x / (across / 25.4)) + 50 * np.cos(2 * np.pi * y / (along / 25.4))
    square, dpi = apply(grid.astype(np.uint8), Calibration(across, along))
    assert dpi == along
    assert square.shape == (400, 400)
    for line in (square.mean(axis=0), square.mean(axis=1)):
        spectrum = np.abs(np.fft.rfft(line - line.mean()))
        assert np.argmax(spectrum) == pytest.approx(400 / (along / 25.4), abs=0.6)


def test_the_useful_part_is_cut_out_and_left_alone_where_pixels_are_square() -> None:
    """A picture of square pixels keeps every grey value; the rim of the sensor goes."""
    pixels = np.arange(40 * 30, dtype=np.uint32).reshape(40, 30).astype(np.uint8)
    cut, dpi = apply(pixels, Calibration(508, 508, crop=(2, 3, 20, 30)))
    assert dpi == 508
    same = np.array_equal(cut, pixels[3:33, 2:22])
    assert same
    assert not np.shares_memory(cut, pixels)


def test_a_calibration_of_another_model_is_refused() -> None:
    """A crop that does not fit says that the file belongs to something else."""
    with pytest.raises(CalibrationFileError, match="does not fit"):
        apply(np.zeros((20, 20), np.uint8), Calibration(500, 500, crop=(0, 0, 30, 20)))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The technician learns that the measurement was not kept."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationFileError, match="cannot be written"):
        save(tmp_path / "file", "uvc", None, Calibration(500, 500))
