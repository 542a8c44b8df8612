"""``mpos-matcher``: extract, compare and score fingers from files.

For measuring, and for a technician at a desk. The agent never goes through files.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from matcher.cli.files import UsageError, entry, needs_dpi, read_picture, template_of
from matcher.cli.score import score_folders
from matcher.compare.calibration import Score
from matcher.compare.pipeline import compare as compare_templates
from matcher.drawing import Drawing
from matcher.errors import MatcherError
from matcher.extract.network import Network
from matcher.extract.pipeline import extract as extract_template
from matcher.extract.resample import resampled
from matcher.iso19794 import View, encode
from matcher.pictures import minutiae_picture, pairs_picture, quality_picture
from matcher.quality import assess_quality

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)

Dpi = Annotated[float | None, typer.Option("--dpi", help="Resolution of the pictures; most scanners have 500.")]
Picture = Annotated[Path | None, typer.Option("--picture", help="Also draw what was found, as PNG or SVG.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


@app.command()
def extract(
    image: Annotated[Path, typer.Argument(help="PNG, TIFF, BMP or WebP of one finger.")],
    out: Annotated[Path, typer.Option("--out", help="Template to write, ISO/IEC 19794-2:2005.")],
    dpi: Dpi = None,
    picture: Picture = None,
) -> None:
    """Find the minutiae of a picture and write them as a template."""
    found = entry(image)
    if not found.is_picture:
        raise UsageError(f"{image}: already a template; `extract` takes a picture")
    resolution = needs_dpi([found], dpi)
    pixels = read_picture(image)
    template = extract_template(pixels, resolution, Network.load())
    height, width = (round(side * 500 / resolution) for side in pixels.shape)
    out.write_bytes(encode(View(template), width=width, height=height))
    if picture is not None:
        _write(minutiae_picture(pixels, resolution, template), picture)
    print(f"{len(template)} minutiae written to {out}")


@app.command()
def compare(
    probe: Annotated[Path, typer.Argument(help="Picture or template.")],
    gallery: Annotated[Path, typer.Argument(help="Picture or template.")],
    dpi: Dpi = None,
    as_json: Json = False,
    picture: Picture = None,
) -> None:
    """Say how alike two fingers are, and how many strangers would be as alike."""
    pair = [entry(probe), entry(gallery)]
    resolution = needs_dpi(pair, dpi)
    network = Network.load() if any(found.is_picture for found in pair) else None
    one, two = (template_of(found, resolution, network) for found in pair)
    result = compare_templates(one, two)
    if picture is not None:
        grounds = [resampled(read_picture(found.path), resolution) if found.is_picture else None for found in pair]
        _write(pairs_picture(one, two, *grounds), picture)
    print(json.dumps(_as_dict(result)) if as_json else _as_text(result))


@app.command()
def quality(
    image: Annotated[Path, typer.Argument(help="Picture of one finger.")],
    dpi: Dpi = None,
    as_json: Json = False,
    picture: Picture = None,
) -> None:
    """Say how well a finger lay on the glass, 0 to 100, and what could be better."""
    found = entry(image)
    if not found.is_picture:
        raise UsageError(f"{image}: a template has no picture quality; `quality` takes a picture")
    resolution = needs_dpi([found], dpi)
    pixels = read_picture(image)
    result = assess_quality(pixels, resolution)
    reasons = [reason.value for reason in result.reasons]
    if picture is not None:
        _write(quality_picture(pixels, resolution), picture)
    if as_json:
        print(json.dumps({"quality": result.value, "reasons": reasons}))
    else:
        print(f"quality {result.value:.0f} of 100" + (f": {', '.join(reasons)}" if reasons else ""))


@app.command()
def score(
    probes: Annotated[Path, typer.Option("--probes", help="Folder of pictures or templates.")],
    gallery: Annotated[Path, typer.Option("--gallery", help="Folder to compare with; may be the same.")],
    out: Annotated[Path, typer.Option("--out", help="CSV to write: probe,gallery,score.")],
    dpi: Dpi = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes at once.")] = 1,
) -> None:
    """Compare every probe with every gallery entry.

    The two folders the same: each pair of different names once. Different folders: every pair of different names.
    An unusable file leaves its scores empty.
    """
    rows, unusable = score_folders(probes, gallery, dpi, jobs)
    with out.open("w", encoding="utf-8") as file:
        file.write("probe,gallery,score\n")
        file.writelines(
            f"{row.probe},{row.gallery},{'' if row.score is None else f'{row.score:.6g}'}\n" for row in rows
        )
    for path, cause in unusable:
        print(f"no score for {path}: {cause}", file=sys.stderr)
    print(f"{len(rows)} scores written to {out}", file=sys.stderr)


def _write(drawing: Drawing, path: Path) -> None:
    """As SVG where the name says so, otherwise PNG."""
    path.write_bytes(drawing.svg() if path.suffix.lower() == ".svg" else drawing.png())


def _as_dict(result: Score) -> dict[str, object]:
    return {
        "score": result.value,
        "false_match_rate": result.false_match_rate,
        "matched": result.matched,
        "band": result.band,
    }


def _as_text(result: Score) -> str:
    reached = "no threshold reached" if result.band == "none" else f"reaches {result.band}"
    return (
        f"score {result.value:.2f} ({reached})\n"
        f"false match rate {_spoken(result.false_match_rate)} would score as high\n"
        f"{result.matched} minutiae laid on one another"
    )


COUNTED_RATE = 1e-5
"""Lowest rate that strangers' pairs were counted at (docs/matcher.md); below it there is only the fitted tail."""


def _spoken(rate: float) -> str:
    if rate < COUNTED_RATE:
        return f"below {COUNTED_RATE:g}: fewer than one of {1 / COUNTED_RATE:,.0f} strangers"
    return f"{rate:.2g}: of {1 / rate:,.0f} strangers, about one"


def main() -> None:
    """Entry point: 0 done, 2 something asked for cannot be done (one line says what and what to do)."""
    try:
        app(standalone_mode=True)
    except MatcherError as error:
        print(f"mpos-matcher: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"mpos-matcher: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
