"""``mpos-agent devices``: readers, SAM and scanners as the daemon sees them."""

from typing import Annotated

import typer
from rich.table import Table

from mpos_agent.cli.shell import (
    DEFAULT_SETTINGS,
    ConfigOption,
    JsonOption,
    LangOption,
    Shell,
    TokenOption,
    error_text,
)


def devices(
    *,
    allow_sam_try: Annotated[
        bool,
        typer.Option(
            "--allow-sam-try", help="The SAM had refused its secrets; they were corrected: let it be tried once more."
        ),
    ] = False,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """List readers, SAM slots and scanners; opens none of them."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
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
        table.add_row(part, name, state)
    for scanner in found["scanners"]:
        resolution = f"{scanner['dpi']:g} dpi" if scanner["dpi"] else shell.both("dpi belum diketahui", "dpi not known")
        table.add_row("sidik jari / finger", f"{scanner['name']} ({scanner['path']})", resolution)
    shell.console.print(table)
    # Without any reader the SAM's trouble is the same one.
    problems = [found["card_problem"] or found["sam_problem"], found["scanner_problem"]]
    for problem in problems:
        if problem:
            shell.console.print(error_text(shell, problem))
