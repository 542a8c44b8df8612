"""``mpos-head-office places``: what a restored backup lacks, and how two people let a chain go on without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from head_office.cli_quarantine import DEFAULT_HOME, HomeOption, JsonOption, PasswordOption, UserOption, signed_in
from head_office.cli_table import iso, print_rows
from head_office.custody import receipt_name
from head_office.giving_up import Missing, MissingPlaces
from head_office.keys.home import Home
from head_office.ledger.choice import open_ledger
from head_office.moment import utc_now

app = typer.Typer(
    no_args_is_help=True, help="Places of a chain that were delivered once and are not here: after a restore."
)

NumberArgument = Annotated[int, typer.Argument(metavar="NO", help="As `places list` shows it.")]
ReasonOption = Annotated[str, typer.Option(help="Why, and what was restored; kept for ever. No names, no NIK.")]


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Missing places with what was done about them, those of years ago as well."""
    ledger = open_ledger(Home(home))
    try:
        found = [_told(one) for one in MissingPlaces(ledger, utc_now).listed()]
    finally:
        ledger.close()
    shown = ("no", "device_id", "lane", "first", "last", "state", "still_gone", "asked_by", "confirmed_by", "reason")
    print_rows(found, shown, as_json, narrow=shown[:6])


@app.command()
def gone(
    number: NumberArgument,
    user: UserOption,
    reason: ReasonOption,
    *,
    password_stdin: PasswordOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Ask to declare places gone that the device no longer has; a second person has to confirm."""
    with _signed_in(home, user, password_stdin=password_stdin) as places:
        found = places.ask(number, reason, by=user)
    print(
        f"{_name(found)}: asked, and the device is asked for them once more; when it has answered, another desk user"
        f" confirms with `places confirm {number}`."
    )


@app.command()
def confirm(
    number: NumberArgument, user: UserOption, *, password_stdin: PasswordOption = False, home: HomeOption = DEFAULT_HOME
) -> None:
    """Agree to what somebody else asked for; then the chain goes on with the device's next packet."""
    with _signed_in(home, user, password_stdin=password_stdin) as places:
        found = places.confirm(number, by=user)
    print(f"{_name(found)}: gone; the chain goes on with {found.last + 1}.")


@app.command()
def withdraw(
    number: NumberArgument, user: UserOption, *, password_stdin: PasswordOption = False, home: HomeOption = DEFAULT_HOME
) -> None:
    """Take back what was asked and not confirmed."""
    with _signed_in(home, user, password_stdin=password_stdin) as places:
        places.withdraw(number, by=user)
    print(f"{number}: nothing is asked any more.")


@contextmanager
def _signed_in(home: Path, user: str, *, password_stdin: bool) -> Iterator[MissingPlaces]:
    with signed_in(home, user, password_stdin=password_stdin) as ledger:
        yield MissingPlaces(ledger, utc_now)


def _name(found: Missing) -> str:
    return f"{found.device_id} {found.lane.value} {found.first} to {found.last}"


def _told(one: Missing) -> dict[str, object]:
    return {
        "no": one.number,
        "device_id": one.device_id,
        "lane": one.lane.value,
        "epoch": one.epoch.hex(),
        "first": one.first,
        "last": one.last,
        "state": one.state.value,
        "still_gone": one.still_gone,
        "noticed_at": iso(one.noticed_at_ms),
        "reason": one.reason,
        "asked_by": one.asked_by,
        "asked_at": iso(one.asked_at_ms),
        "confirmed_by": one.confirmed_by,
        "confirmed_at": iso(one.confirmed_at_ms),
        "went_on_at": iso(one.went_on_at_ms),
        "went_on_with": None if one.went_on_with is None else receipt_name(one.went_on_with),
    }
