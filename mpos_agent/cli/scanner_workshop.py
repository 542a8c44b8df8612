"""``mpos-agent devices test`` and ``calibrate``: the scanner in a technician's hands, through the daemon."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from config.errors import ConfigError
from drivers.scanner.calibration_target import PITCH_MM, RULER_MM, svg
from mpos_agent.cli.live import Live
from mpos_agent.cli.portrait import drawn
from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption
from mpos_agent.outcomes import Exit

ScannerOption = Annotated[
    str | None,
    typer.Option("--scanner", help="Path or serial number, as `devices` lists it; default: the one claims use."),
]
_AGAIN = {
    "no_finger": ("Tidak ada jari pada pemindai.", "Nothing was placed on the scanner."),
    "too_short": ("Terangkat terlalu cepat; tahan lebih lama.", "Lifted too early; hold it longer."),
    "empty": ("Gambar kosong; bersihkan kaca dan tekan lebih kuat.", "The picture is empty; clean the glass, press."),
    "lift_first": ("Angkat dahulu, lalu letakkan lagi.", "Lift it first, then place it again."),
    "leftover": ("Hanya bekas jari yang terlihat; bersihkan kaca.", "Only an old trace is seen; clean the glass."),
}


def try_out(
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="As the sensor gives it; also for a scanner that was not measured.")
    ] = False,
    scanner: ScannerOption = None,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> int:
    """Take a picture and show how good it is. It never leaves the daemon; what is shown holds no ridges."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with _asking(shell, "/v1/devices/scanner/test", {"raw": raw, "scanner": scanner}) as told:
        shell.give(told)
        if told["place_again"]:
            return _again(shell, told["place_again"])
        preview = told["preview"]
        greys = np.frombuffer(base64.b64decode(preview["greys"]), dtype=np.uint8)
        picture = greys.reshape(preview["height"], preview["width"])
        # Two rows to a character.
        picture = picture[: picture.shape[0] // 2 * 2]
        if not shell.as_json:
            shell.console.print(drawn(np.repeat(picture[..., None], 3, axis=2), shell.console))
        size = f"{told['width']} x {told['height']} px"
        resolution = f"{told['dpi']:.0f} dpi" if told["dpi"] else shell.both("dpi belum diukur", "dpi not measured")
        quality = "" if told["quality"] is None else f", {shell.both('mutu', 'quality')} {told['quality']:.0f}/100"
        if not shell.as_json:
            shell.console.print(f"{size}, {resolution}{quality}")
        for advice in told["reasons"]:
            shell.say(advice["text_id"], advice["text_en"], style="yellow")
    return Exit.DONE


def calibrate(
    *,
    print_target: Annotated[
        Path | None, typer.Option("--print-target", metavar="FILE.svg", help="Write the page to print, and end.")
    ] = None,
    ruler_mm: Annotated[
        float, typer.Option("--ruler-mm", min=50, max=200, help="How long the ruler on your print really is.")
    ] = RULER_MM,
    scanner: ScannerOption = None,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> int:
    """Measure how many pixels make an inch, by a printed page of known lines laid on the glass."""
    if print_target is not None:
        return _write_target(print_target)
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    body = {"scanner": scanner, "pitch_mm": PITCH_MM * ruler_mm / RULER_MM}
    with _asking(shell, "/v1/devices/scanner/calibrate", body) as told:
        shell.give(told)
        if told["place_again"]:
            return _again(shell, told["place_again"])
        x, y = (f"{told[f'dpi_{axis}']:.1f} ± {told[f'error_{axis}']:.1f}" for axis in "xy")
        shell.say(
            f"{told['scanner']['name']}: {x} dpi mendatar, {y} dpi tegak; kisi terputar {told['turned_deg']:.1f}°. "
            "Tersimpan; berlaku mulai sekarang. Periksa dengan: devices test.",
            f"{told['scanner']['name']}: {x} dpi across, {y} dpi along; the page lay turned by "
            f"{told['turned_deg']:.1f}°. Kept; in force from now on. Check it with: devices test.",
        )
    return Exit.DONE


def _write_target(file: Path) -> int:
    try:
        file.write_text(svg(), encoding="utf-8")
    except OSError as error:
        cause = f"cannot be written ({error.strerror})"
        raise ConfigError(file, "--print-target", cause, "name a file in a folder of yours") from error
    print(
        f"{file}: cetak 100 % tanpa penyesuaian, ukur garis 100 mm, letakkan kisi rata pada kaca.\n"
        f"{file}: print at 100 %, no scaling; measure the 100 mm line; lay the grid flat on the glass."
    )
    return Exit.DONE


@contextmanager
def _asking(shell: Shell, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The daemon's answer; what the scanner wants is shown while it is waited for."""
    with shell.client() as client, shell.client() as listener, Live(shell, listener, None) as live:
        with live.following("capture_finger"):
            told = client.post(path, body)
        yield told


def _again(shell: Shell, place_again: str) -> int:
    shell.say(*_AGAIN[place_again], style="yellow")
    return Exit.DEVICE
