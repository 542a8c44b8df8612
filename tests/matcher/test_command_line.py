"""``mpos-matcher`` as people and measurements call it: files in, one-line answers, exit code 2 with a cure."""

import csv
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from drivers.scanner.synthetic.finger import Finger
from matcher.cli.main import main
from matcher.iso19794 import decode


class Done(NamedTuple):
    """How a call ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str | Path) -> Done:
    """The program's entry point, as the installed script calls it."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["mpos-matcher", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def prints(tmp_path_factory: pytest.TempPathFactory, network: object) -> Path:
    """Two touches each of two synthetic fingers, every one in another picture format."""
    folder = tmp_path_factory.mktemp("prints")
    for finger in (5, 6):
        grown = Finger.from_seed(finger)
        for touch, suffix in ((1, "png"), (2, "bmp" if finger == 5 else "tif")):
            assert cv2.imwrite(str(folder / f"{finger}_{touch}.{suffix}"), grown.impression(touch))
    return folder


def scores(path: Path) -> dict[tuple[str, str], str]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["probe", "gallery", "score"]
    return {(probe, gallery): score for probe, gallery, score in rows[1:]}


def test_extract_writes_a_template_other_programs_read(prints: Path, tmp_path: Path) -> None:
    """An ISO 2005 record with the picture's size, and a picture of what was found."""
    out, picture = tmp_path / "a.fmr", tmp_path / "a.png"
    done = run("extract", prints / "5_1.png", "--dpi", "500", "--out", out, "--picture", picture)
    assert done.returncode == 0, done.stderr
    record = decode(out.read_bytes())
    assert len(record.views[0].template) > 15
    assert out.read_bytes()[14:18] == (388).to_bytes(2, "big") + (374).to_bytes(2, "big")
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert (drawn[:, :, 2].astype(int) - drawn[:, :, 0] > 60).any()


def test_compare_says_what_the_score_means(prints: Path, tmp_path: Path) -> None:
    """Same finger, picture against template: a high score and a small false match rate, as text and as JSON."""
    template = tmp_path / "a.iso"
    run("extract", prints / "5_1.png", "--dpi", "500", "--out", template)
    text = run("compare", template, prints / "5_2.bmp", "--dpi", "500")
    assert text.returncode == 0, text.stderr
    assert "false match rate" in text.stdout
    same = json.loads(run("compare", template, prints / "5_2.bmp", "--dpi", "500", "--json").stdout)
    other = json.loads(run("compare", template, prints / "6_1.png", "--dpi", "500", "--json").stdout)
    assert same["false_match_rate"] < 1e-4 < other["false_match_rate"]
    assert same["score"] > other["score"]
    assert set(same) == {"score", "false_match_rate", "matched", "band"}


def test_compare_draws_the_pairs(prints: Path, tmp_path: Path) -> None:
    """As PNG or SVG by the name; a template stands on white beside the picture."""
    template = tmp_path / "a.iso"
    run("extract", prints / "5_1.png", "--dpi", "500", "--out", template)
    for suffix, beginning in (("png", b"\x89PNG"), ("svg", b"<svg")):
        picture = tmp_path / f"pairs.{suffix}"
        done = run("compare", prints / "5_2.bmp", template, "--dpi", "500", "--picture", picture)
        assert done.returncode == 0, done.stderr
        assert picture.read_bytes().startswith(beginning)


def test_quality_says_what_could_be_better(prints: Path, tmp_path: Path) -> None:
    """A good touch by its number alone; an empty glass with the reason; a picture of it where asked."""
    good = json.loads(run("quality", prints / "5_1.png", "--dpi", "500", "--json").stdout)
    assert good["quality"] > 70
    assert good["reasons"] == []
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((374, 388), 250, np.uint8))
    empty = run("quality", tmp_path / "empty.png", "--dpi", "500", "--picture", tmp_path / "clear.png")
    assert empty.stdout == "quality 0 of 100: not_a_finger\n"
    assert (tmp_path / "clear.png").stat().st_size > 0
    template = run("quality", tmp_path / "none.fmr", "--dpi", "500")
    assert template.returncode == 2


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_score_of_one_folder_has_each_pair_once_in_order(prints: Path, tmp_path: Path, jobs: str) -> None:
    """Also when the folder is given twice by different spellings, with any number of processes."""
    out = tmp_path / "scores.csv"
    spelled = prints / ".." / prints.name
    done = run("score", "--probes", prints, "--gallery", spelled, "--dpi", "500", "--out", out, "--jobs", jobs)
    assert done.returncode == 0, done.stderr
    found = scores(out)
    names = ["5_1", "5_2", "6_1", "6_2"]
    assert list(found) == [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    genuine = min(float(found["5_1", "5_2"]), float(found["6_1", "6_2"]))
    assert genuine > max(float(value) for pair, value in found.items() if pair[0][0] != pair[1][0])


def test_score_of_two_folders_has_every_pair_of_different_names(prints: Path, tmp_path: Path) -> None:
    """Pictures against templates; a file never meets its own name, a damaged one leaves its scores empty."""
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for name in ("5_1.png", "6_1.png"):
        run("extract", prints / name, "--dpi", "500", "--out", gallery / f"{Path(name).stem}.fmr")
    (gallery / "7_1.dat").write_bytes(b"FMR\0 20\0 cut off")
    (gallery / "notes.txt").write_text("not a finger")
    out = tmp_path / "scores.csv"
    done = run("score", "--probes", prints, "--gallery", gallery, "--dpi", "500", "--out", out)
    assert done.returncode == 0, done.stderr
    found = scores(out)
    assert len(found) == 4 * 3 - 2
    assert ("5_1", "5_1") not in found
    assert [pair for pair, value in found.items() if value == ""] == [
        (f"{f}_{t}", "7_1") for f in (5, 6) for t in (1, 2)
    ]
    assert float(found["5_2", "5_1"]) > 30 > float(found["5_2", "6_1"])
    assert "7_1.dat" in done.stderr


def test_template_scores_need_neither_network_nor_resolution(prints: Path, tmp_path: Path) -> None:
    """Folders of templates alone are compared without --dpi."""
    for name in ("5_1.png", "6_1.png"):
        run("extract", prints / name, "--dpi", "500", "--out", tmp_path / f"{Path(name).stem}.iso")
    out = tmp_path / "scores.csv"
    assert run("score", "--probes", tmp_path, "--gallery", tmp_path, "--out", out).returncode == 0
    assert list(scores(out)) == [("5_1", "6_1")]


def test_unusable_picture_scores_empty_against_everything(tmp_path: Path, network: object) -> None:
    """A picture too small for a finger is no reason to stop measuring the others."""
    cv2.imwrite(str(tmp_path / "1_1.png"), np.full((300, 300), 200, np.uint8))
    cv2.imwrite(str(tmp_path / "1_2.png"), np.full((20, 20), 200, np.uint8))
    (tmp_path / "1_3.png").write_bytes(b"\x89PNG broken")
    out = tmp_path / "scores.csv"
    done = run("score", "--probes", tmp_path, "--gallery", tmp_path, "--dpi", "500", "--out", out)
    assert done.returncode == 0, done.stderr
    assert scores(out) == {("1_1", "1_2"): "", ("1_1", "1_3"): "", ("1_2", "1_3"): ""}


def test_installed_program_answers() -> None:
    """The script beside the interpreter exists and says what it can do."""
    program = Path(sys.executable).with_name("mpos-matcher")
    if not program.exists():
        pytest.skip("the project is not installed in this environment")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert all(word in done.stdout for word in ("extract", "compare", "score"))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colour_and_deep_pictures_are_read_as_grey(
    depth: type[np.uint8 | np.uint16], channels: int, tmp_path: Path, prints: Path, network: object
) -> None:
    """A scanner's RGBA or 16-bit export gives the same finger."""
    grey = cv2.imread(str(prints / "5_1.png"), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    deep = grey.astype(depth) * (257 if depth is np.uint16 else 1)
    picture = deep if channels == 1 else np.stack([deep] * channels, axis=2)
    cv2.imwrite(str(tmp_path / "x.png"), picture.astype(depth))
    done = run("compare", tmp_path / "x.png", prints / "5_1.png", "--dpi", "500", "--json")
    assert json.loads(done.stdout)["matched"] > 15, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "none.png", "none.png"], ["none.png", "no such file"]),
        (["extract", "a.png", "--out", "x.fmr"], ["--dpi"]),
        (["extract", "a.png", "--out", "x.fmr", "--dpi", "72"], ["dpi", "250"]),
        (["extract", "a.fmr", "--out", "x.fmr"], ["already a template"]),
        (["extract", "a.png", "--out", "missing/x.fmr", "--dpi", "500"], ["missing/x.fmr"]),
        (["compare", "a.txt", "a.fmr"], ["a.txt", ".png"]),
        (["compare", "a.fmr", "a.fmr"], ["record"]),
        (["score", "--probes", "nowhere", "--gallery", ".", "--out", "s.csv"], ["nowhere", "no such folder"]),
        (["score", "--probes", "empty", "--gallery", "empty", "--out", "s.csv"], ["empty", ".fmr"]),
        (
            ["score", "--probes", ".", "--gallery", ".", "--out", "s.csv", "--dpi", "500"],
            ["a.fmr", "a.png", "one name"],
        ),
    ],
)
def test_mistakes_end_in_one_line_with_cause_and_cure(
    arguments: list[str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: object
) -> None:
    """Exit code 2, one line on stderr, nothing on stdout, no traceback."""
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a.png", np.full((300, 300), 200, np.uint8))
    Path("a.fmr").write_bytes(b"FMR\0 20\0")
    Path("a.txt").write_text("")
    Path("empty").mkdir()
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr
