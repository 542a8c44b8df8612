"""``mpos-agent devices``: readers, SAM and scanners as the daemon sees them; it alone opens them."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from mpos_agent.cli import device_watch, scanner_workshop
from mpos_agent.cli.shell import (
    DEFAULT_SETTINGS,
    ConfigOption,
    JsonOption,
    LangOption,
    Shell,
    TokenOption,
    error_text,
)

app = typer.Typer(add_completion=False, help="Readers, SAM and scanners: list, test, watch, measure.")
app.command("test")(scanner_workshop.try_out)
app.command("calibrate")(scanner_workshop.calibrate)
app.command("watch")(device_watch.watch)

AllowOption = Annotated[
    bool,
    typer.Option(
        "--allow-sam-try", help="The SAM had refused its secrets; they were corrected: let it be tried once more."
    ),
]
_STATES = {
    "ready": ("siap", "ready"),
    "busy": ("dipakai program lain", "used by another program"),
    "no_permission": ("tidak diizinkan", "no permission"),
    "not_configured": ("pengaturan belum lengkap", "not configured"),
}


@app.callback(invoke_without_command=True)
def devices(
    context: typer.Context,
    *,
    allow_sam_try: AllowOption = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """List readers, SAM slots and scanners; opens none of them."""
    if context.invoked_subcommand is None:
        _list(Shell.open(config, as_json=as_json, lang=lang, token_file=token_file), allow_sam_try=allow_sam_try)


@app.command("list")
def list_(
    *,
    allow_sam_try: AllowOption = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """List readers, SAM slots and scanners; opens none of them."""
    _list(Shell.open(config, as_json=as_json, lang=lang, token_file=token_file), allow_sam_try=allow_sam_try)


def _list(shell: Shell, *, allow_sam_try: bool) -> None:
    with shell.client() as client:
        if allow_sam_try:
            client.post("/v1/devices/sam/allow-try")
        found = client.get("/v1/devices")
    shell.give(found)
    if shell.as_json:
        return
    table = Table("jenis / kind", "nama / name", "keadaan / state")
    for name in found["readers"]:
        part = "e-KTP" if name == found["card_reader"] else "SAM" if name == found["sam_reader"] else "-"
        state = "-" if found["card_present"] is None or part != "e-KTP" else ""
        if part == "SAM" and found["sam_problem"]:
            state = f"[red]{shell.both('kosong', 'empty')}[/red]"
        if not state:
            state = shell.both("ada kartu", "card present") if found["card_present"] else shell.both("kosong", "empty")
        table.add_row(part, escape(name), state)
    for scanner in found["scanners"]:
        table.add_row("sidik jari / finger", scanner_name(scanner), _scanner_state(shell, scanner))
    shell.console.print(table)
    # Without any reader the SAM's trouble is the same one.
    problems = [found["card_problem"] or found["sam_problem"], found["scanner_problem"]]
    for problem in problems:
        if problem:
            shell.console.print(error_text(shell, problem))


def scanner_name(scanner: Mapping[str, Any]) -> str:
    """Name, driver, serial number and place of a scanner; what a device says of itself is no markup."""
    serial = f" {escape(scanner['serial'])}" if scanner["serial"] else ""
    return f"{escape(scanner['name'])}{serial}\n[dim]{scanner['driver']}, {escape(scanner['path'])}[/dim]"


def _scanner_state(shell: Shell, scanner: Mapping[str, Any]) -> str:
    state = shell.both(*_STATES.get(scanner["state"], (scanner["state"], "")))
    if scanner["state"] != "ready":
        state = f"[red]{state}[/red]"
    if scanner["calibration"] is None:
        return f"{state}\n[red]{shell.both('belum diukur: devices calibrate', 'not measured: devices calibrate')}[/red]"
    resolution = f"{scanner['dpi']:g} dpi, " if scanner["dpi"] else ""
    return f"{state}\n{resolution}{escape(scanner['calibration'])}"
