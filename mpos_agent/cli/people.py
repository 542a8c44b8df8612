"""``mpos-agent people``: operators, supervisors and technicians of this machine, each with a PIN of their own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mpos_agent.cli.shell import DEFAULT_SETTINGS, ConfigOption, JsonOption, LangOption, Shell, TokenOption, read_pin
from mpos_agent.errors import NoDaemonError

app = typer.Typer(help="Operators, supervisors and technicians of this machine.", no_args_is_help=True)

# As mpos_agent.people.Role; named here so that a command that only asks the daemon loads no database.
_ROLES = {"OPERATOR", "SUPERVISOR", "TECHNICIAN"}
PinFileOption = Annotated[
    Path | None, typer.Option("--pin-file", help="File with the PIN, for scripts; otherwise it is asked for.")
]


@app.command("add")
def add(
    person_id: Annotated[str, typer.Argument(help="Staff number: begins with a letter.")],
    *,
    role: Annotated[
        list[str], typer.Option("--role", help="operator, supervisor or technician; may be given more than once.")
    ],
    name: Annotated[str, typer.Option(help="Name as on slips and in the record.")] = "",
    pin_file: PinFileOption = None,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Add somebody, or give them a new PIN and roles."""
    unknown = {one.upper() for one in role} - _ROLES
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: use operator, supervisor or technician", param_hint="--role")
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    pin = read_pin(pin_file, shell.both(f"PIN untuk {person_id}", f"PIN for {person_id}"), confirm=True)
    body = {"person_id": person_id, "name": name, "roles": sorted({one.upper() for one in role}), "pin": pin}
    try:
        with shell.client() as client:
            person = client.post("/v1/people", body)
    except NoDaemonError:
        person = _without_daemon(shell, body)
    shell.give(person)
    roles = ", ".join(sorted(person["roles"]))
    shell.say(f"{person_id} ditambahkan: {roles}.", f"{person_id} was added: {roles}.")


@app.command("remove")
def remove(
    person_id: Annotated[str, typer.Argument(help="Staff number.")],
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Somebody no longer works here; what they did stays in the record."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client:
        person = client.post(f"/v1/people/{person_id}/remove")
    shell.give(person)
    shell.say(f"{person_id} tidak dapat masuk lagi.", f"{person_id} can no longer sign in.")


@app.command("list")
def listed(
    *,
    config: ConfigOption = DEFAULT_SETTINGS,
    as_json: JsonOption = False,
    lang: LangOption = None,
    token_file: TokenOption = None,
) -> None:
    """Who may sign in on this machine."""
    shell = Shell.open(config, as_json=as_json, lang=lang, token_file=token_file)
    with shell.client() as client:
        reply = client.get("/v1/people")
    shell.give(reply)
    if not shell.as_json:
        table = Table("nomor / id", "nama / name", "peran / roles")
        for person in reply["people"]:
            table.add_row(person["person_id"], person["name"], ", ".join(sorted(person["roles"])))
        shell.console.print(table)


def _without_daemon(shell: Shell, body: Mapping[str, Any]) -> dict[str, Any]:
    """Before the agent ever ran: with the database's own lock, so that a daemon that starts now has to wait."""
    # The daemon's libraries take a second to load; only this way needs them.
    from mpos_agent.api.messages import PersonRequest  # noqa: PLC0415
    from mpos_agent.wiring import people_at_rest  # noqa: PLC0415

    wish = PersonRequest.model_validate(body)
    with people_at_rest(shell.settings) as people:
        person = people.add(wish.person_id, wish.pin.get_secret_value(), wish.roles, wish.name)
    return {"person_id": person.person_id, "name": person.name, "roles": sorted(person.roles)}
