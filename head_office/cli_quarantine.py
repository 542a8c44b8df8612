"""``mpos-head-office quarantine``: what is on nobody's desk, why, and how two people get it off the list."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from head_office.cli_table import iso, print_rows
from head_office.custody import receipt_name, receipt_number
from head_office.desk.users import DeskUsers
from head_office.keys.home import Home
from head_office.ledger.base import Ledger
from head_office.ledger.choice import open_ledger
from head_office.moment import utc_now
from head_office.quarantine import Act, Quarantine, entries

EX_FAILED = 1
DEFAULT_HOME = Path("/var/lib/mpos-head-office")

app = typer.Typer(no_args_is_help=True, help="Packets that are on nobody's desk, and what two people do about them.")

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")]
ReceiptArgument = Annotated[str, typer.Argument(metavar="RECEIPT_NO", help="R-… as the list shows it.")]
UserOption = Annotated[str, typer.Option("--user", help="A desk user; asked for the password.")]
ReasonOption = Annotated[str, typer.Option(help="Why; for the record. No names, no NIK.")]
PasswordOption = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command("list")
def list_(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Every packet that is not on the desk and not on its way there: in custody, or kept by its device."""
    with _ledger(home) as ledger:
        found: list[dict[str, object]] = [
            {
                "receipt_no": entry.receipt,
                "device_id": entry.device_id,
                "lane": entry.lane,
                "epoch": entry.epoch.hex() if entry.epoch else None,
                "seq": entry.seq,
                "reason": entry.reason,
                "state": entry.state,
                "bytes": entry.size,
                "digest": entry.digest.hex(),
                "at": iso(entry.at_ms),
                "times": entry.times,
                "asked": entry.asked,
            }
            for entry in entries(ledger)
        ]
    shown = ("receipt_no", "device_id", "lane", "seq", "reason", "state", "times", "at", "asked")
    print_rows(found, shown, as_json, narrow=("receipt_no", "device_id", "seq", "reason", "state"))


@app.command()
def show(receipt: ReceiptArgument, home: HomeOption = DEFAULT_HOME) -> None:
    """One packet: where it stands, why, and what was asked and confirmed."""
    number = _number(receipt)
    with _ledger(home) as ledger:
        quarantine = Quarantine(ledger, utc_now)
        row, history = quarantine.packet(number), quarantine.history(number)
    told = {
        "receipt_no": receipt_name(number),
        "device_id": row["device_id"],
        "lane": row["lane"],
        "epoch": bytes(row["epoch"]).hex(),
        "seq": row["seq"],
        "verdict": row["verdict"],
        "reason": row["opening_reason"] or row["reason"],
        "opening": row["opening"],
        "stored_at": iso(row["stored_at"]),
        "bytes": len(row["envelope"]),
        "digest": bytes(row["digest"]).hex(),
        "history": [
            {
                "act": one["act"],
                "reason": one["reason"],
                "asked_by": one["asked_by"],
                "asked_at": iso(one["asked_at"]),
                "confirmed_by": one["confirmed_by"],
                "confirmed_at": iso(one["confirmed_at"]),
            }
            for one in history
        ],
    }
    print(json.dumps(told, ensure_ascii=False, indent=2))


@app.command()
def release(
    receipt: ReceiptArgument,
    user: UserOption,
    reason: ReasonOption,
    *,
    password_stdin: PasswordOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Ask that a packet be opened after all; a second person has to confirm."""
    _ask(receipt, Act.RELEASE, reason, user, password_stdin=password_stdin, home=home)


@app.command()
def discard(
    receipt: ReceiptArgument,
    user: UserOption,
    reason: ReasonOption,
    *,
    password_stdin: PasswordOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Ask that a packet be taken off the list; it is kept as it came. A second person has to confirm."""
    _ask(receipt, Act.DISCARD, reason, user, password_stdin=password_stdin, home=home)


@app.command()
def confirm(
    receipt: ReceiptArgument,
    user: UserOption,
    *,
    password_stdin: PasswordOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Agree to what somebody else asked for; then it is done."""
    with _signed_in(home, user, password_stdin=password_stdin) as quarantine:
        act = quarantine.confirm(_number(receipt), by=user)
    print(f"{receipt}: {'released to be opened' if act is Act.RELEASE else 'discarded'}.")


@app.command()
def withdraw(
    receipt: ReceiptArgument,
    user: UserOption,
    *,
    password_stdin: PasswordOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Take back what was asked for a packet."""
    with _signed_in(home, user, password_stdin=password_stdin) as quarantine:
        quarantine.withdraw(_number(receipt), by=user)
    print(f"{receipt}: nothing is asked any more.")


def _ask(receipt: str, act: Act, reason: str, user: str, *, password_stdin: bool, home: Path) -> None:
    with _signed_in(home, user, password_stdin=password_stdin) as quarantine:
        quarantine.ask(_number(receipt), act, reason, by=user)
    print(f"{receipt}: {act.value} asked; another desk user confirms with `quarantine confirm {receipt}`.")


@contextmanager
def signed_in(home: Path, user: str, *, password_stdin: bool) -> Iterator[Ledger]:
    """The ledger, for a desk user who knows the password: two people are two of them, whoever sits at the terminal."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt(f"Password of {user}", hide_input=True)
    with _ledger(home) as ledger:
        if not DeskUsers(ledger).check(user, password):
            print(f"mpos-head-office: {user} did not sign in: unknown name or wrong password", file=sys.stderr)
            raise typer.Exit(EX_FAILED)
        yield ledger


@contextmanager
def _signed_in(home: Path, user: str, *, password_stdin: bool) -> Iterator[Quarantine]:
    with signed_in(home, user, password_stdin=password_stdin) as ledger:
        yield Quarantine(ledger, utc_now)


@contextmanager
def _ledger(home: Path) -> Iterator[Ledger]:
    ledger = open_ledger(Home(home))
    try:
        yield ledger
    finally:
        ledger.close()


def _number(receipt: str) -> int:
    number = receipt_number(receipt)
    if number is None:
        raise typer.BadParameter(f"{receipt!r} is not a receipt number: R-000000001")
    return number
