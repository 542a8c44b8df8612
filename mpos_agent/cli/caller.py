"""``mpos-agent caller``: which applications of this machine may use the local API."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mpos_agent.api.callers import Callers, Scope, write_private
from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell

app = typer.Typer(help="Applications that may use the local API.", no_args_is_help=True)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name of the application: a-z, 0-9 and hyphens.")],
    *,
    scope: Annotated[Scope, typer.Option(help="What it is for.")] = Scope.COUNTER,
    save: Annotated[
        Path | None, typer.Option(help="Write the token to this file (0600) instead of printing it.")
    ] = None,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Make a credential. It is shown once; only its hash is kept."""
    shell = Shell.open(config, as_json=as_json, lang=lang)
    token = _callers(shell).add(name, scope, datetime.datetime.now(datetime.UTC))
    if save is not None:
        write_private(save, token + "\n")
        shell.give({"caller": name, "scope": scope.value, "file": str(save)})
        shell.say(f"Kunci {name} ditulis ke {save}.", f"The token of {name} is in {save}.")
        return
    shell.give({"caller": name, "scope": scope.value, "token": token})
    shell.say("Kunci ini hanya ditampilkan sekali:", "This token is shown only once:")
    if not shell.as_json:
        print(token)


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="Name of the application.")],
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
) -> None:
    """Take a credential away; it is dead at once."""
    shell = Shell.open(config, as_json=as_json, lang=lang)
    _callers(shell).remove(name)
    shell.give({"caller": name, "removed": True})
    shell.say(f"{name} tidak dapat memanggil lagi.", f"{name} can no longer call.")


@app.command("list")
def listed(config: ConfigOption = DEFAULT_SETTINGS, as_json: JsonOption = False, lang: LangOption = None) -> None:
    """Who may call."""
    shell = Shell.open(config, as_json=as_json, lang=lang)
    callers = _callers(shell).listed()
    shell.give({"callers": [{"name": one.name, "scope": one.scope.value, "created": one.created} for one in callers]})
    if not shell.as_json:
        table = Table("nama / name", "untuk / scope", "dibuat / created")
        for one in callers:
            table.add_row(one.name, one.scope.value, one.created)
        shell.console.print(table)


def _callers(shell: Shell) -> Callers:
    return Callers(shell.settings.callers_file)
