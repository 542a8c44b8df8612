"""``mpos-head-office commands``: ask devices for something, and see what they said."""

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from head_office.cli_table import iso, print_rows
from head_office.commands import CommandQueue
from head_office.keys.home import Home
from head_office.ledger.choice import open_ledger
from head_office.moment import utc_now
from sync import commands as wire
from sync.checkpoint import COMMAND_ID_BYTES
from sync.commands import DecisionStatus, TableName
from sync.envelope import Lane
from sync.errors import WireError

EX_FAILED = 1
DEFAULT_HOME = Path("/var/lib/mpos-head-office")

app = typer.Typer(no_args_is_help=True, help="What head office asks of devices; repeated until they answer.")
send_app = typer.Typer(no_args_is_help=True, help="Ask for something.")
app.add_typer(send_app, name="send")

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")]
DevicesArgument = Annotated[list[str] | None, typer.Argument(metavar="DEVICE...", help="Which devices.")]
DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE")]
AllOption = Annotated[bool, typer.Option("--all", help="Every device that is not blocked.")]
AgendaOption = Annotated[int, typer.Option("--agenda", help="The claim, by its agenda number.")]
LaneOption = Annotated[Lane, typer.Option(help="Which lane.")]
EpochOption = Annotated[str, typer.Option(help="Epoch, 32 hex digits: see `packets alarms`.")]


@send_app.command()
def policy(
    settings: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="Repeatable.")],
    devices: DevicesArgument = None,
    everybody: AllOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Set numbers of the claim at the counter; what is not named is as the devices' tables say."""
    members: dict[str, object] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        members[name] = _value(value)
    with _valid():
        body = wire.Policy.from_map(members)
    _send(home, devices, body, everybody=everybody)


@send_app.command()
def tables(
    files: Annotated[list[Path], typer.Option("--file", exists=True, dir_okay=False, help="NAME.toml; repeatable.")],
    devices: DevicesArgument = None,
    everybody: AllOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Replace tables; a device checks them together with its own before it takes any."""
    known = ", ".join(f"{name}.toml" for name in TableName)
    for file in files:
        if file.suffix != ".toml" or file.stem not in set(TableName):
            raise typer.BadParameter(f"{file.name} is none of {known}", param_hint="--file")
    with _valid():
        body = wire.Tables(tables=tuple(wire.Table.of(TableName(file.stem), file.read_bytes()) for file in files))
    _send(home, devices, body, everybody=everybody)


@send_app.command()
def deny(
    devices: DevicesArgument,
    reason: Annotated[str, typer.Option(help="For the operator's screen.")],
    lift: Annotated[bool, typer.Option("--lift", help="Take an earlier one back.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """No new claims on a device; what is queued still comes. `devices block` closes the door itself."""
    with _valid():
        body = wire.Deny(reason=reason, lift=True if lift else None)
    _send(home, devices, body)


@send_app.command("rotate-keys")
def rotate_keys(
    devices: DevicesArgument = None,
    everybody: AllOption = False,
    tls: Annotated[bool, typer.Option("--tls", help="The key of its TLS certificate.")] = False,
    signing: Annotated[bool, typer.Option("--signing", help="The key it signs packets with.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Have devices make new keys and renew their certificates with them."""
    with _valid():
        body = wire.RotateKeys(tls=tls, signing=signing)
    _send(home, devices, body, everybody=everybody)


@send_app.command()
def resend(
    *,
    device: DeviceArgument,
    epoch: EpochOption,
    first: Annotated[int, typer.Option(help="First sequence number.")],
    last: Annotated[int, typer.Option(help="Last sequence number.")],
    lane: LaneOption = Lane.CORE,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Have a device send places of a chain again."""
    with _valid():
        body = wire.Resend(lane=lane, epoch=_hex(epoch), first_seq=first, last_seq=last)
    _send(home, [device], body)


@send_app.command("new-epoch")
def new_epoch(
    device: DeviceArgument, epoch: EpochOption, lane: LaneOption = Lane.CORE, home: HomeOption = DEFAULT_HOME
) -> None:
    """Have a device end a frozen chain and begin another, once somebody has looked at what was held."""
    with _valid():
        body = wire.NewEpoch(lane=lane, epoch=_hex(epoch))
    _send(home, [device], body)


@send_app.command()
def supplement(
    agenda: AgendaOption,
    documents: Annotated[list[str], typer.Option("--document", help="Kind of document; repeatable.")],
    note: Annotated[str, typer.Option(help="For operator and member.")] = "",
    until: Annotated[str | None, typer.Option(help="YYYY-MM-DD.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Ask the counter a claim came from for documents."""
    with _queue(home) as queue:
        device, packet_id = queue.device_of_claim(agenda)
    with _valid():
        body = wire.Supplement(
            packet_id=UUID(bytes=packet_id),
            documents=tuple(documents),
            note=note,
            asked_at=utc_now(),
            until=None if until is None else date.fromisoformat(until),
        )
    _send(home, [device], body)


@send_app.command()
def decision(
    agenda: AgendaOption,
    status: Annotated[DecisionStatus, typer.Option(help="What was decided.")],
    reason: Annotated[str | None, typer.Option(help="In words for the member; needed unless approved.")] = None,
    reason_code: Annotated[str | None, typer.Option(help="From the list of reasons.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Tell the counter a claim came from what people decided of it, for the slip."""
    with _queue(home) as queue:
        device, packet_id = queue.device_of_claim(agenda)
    with _valid():
        body = wire.Decision(
            packet_id=UUID(bytes=packet_id),
            status=status,
            agenda_no=agenda,
            reason_code=reason_code,
            reason=reason,
            decided_at=utc_now(),
        )
    _send(home, [device], body)


@app.command("list")
def list_commands(
    device: Annotated[str | None, typer.Option(help="Of one device only.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """What was asked of whom, and what they said; newest first."""
    with _queue(home) as queue:
        rows = queue.listed(device)
    found: list[dict[str, Any]] = [
        {
            "number": row["command_no"],
            "id": bytes(row["command_id"]).hex(),
            "device_id": row["device_id"],
            "name": row["name"],
            "state": row["state"],
            "queued_at": iso(row["queued_at"]),
            "queued_by": row["queued_by"],
            "settled_at": iso(row["settled_at"]),
            "reason": row["reason"],
            "detail": row["detail"],
        }
        for row in rows
    ]
    shown = ("number", "device_id", "name", "state", "queued_at", "settled_at", "reason", "detail")
    print_rows(found, shown, as_json, narrow=("number", "device_id", "name", "state", "reason"))


@app.command()
def withdraw(
    command_id: Annotated[str, typer.Argument(metavar="ID", help="32 hex digits, from `commands list --json`.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Stop repeating a command that was not answered. The device may have heard it already."""
    with _queue(home) as queue:
        if not queue.withdraw(_hex(command_id), by=_who()):
            print("There is no such command, or it was answered.")
            raise typer.Exit(EX_FAILED)
    print("It is no longer repeated.")


def _send(home: Path, devices: Sequence[str] | None, body: wire.Body, *, everybody: bool = False) -> None:
    if everybody == bool(devices):
        raise typer.BadParameter("name devices, or say --all")
    with _queue(home) as queue, _valid():
        asked = queue.active_devices() if everybody else tuple(devices or ())
        ids = queue.send(asked, body, by=_who())
    for device_id, command_id in zip(asked, ids, strict=True):
        print(f"{command_id.hex()}\t{device_id}\t{wire.name_of(body)}")


def _value(word: str) -> object:
    """Numbers, true and false as such; everything else is text. The format says which it must be."""
    if word in ("true", "false"):
        return word == "true"
    return int(word) if word.lstrip("-").isdecimal() else word


def _hex(word: str) -> bytes:
    try:
        value = bytes.fromhex(word)
    except ValueError as error:
        raise typer.BadParameter(f"{word!r} is not hexadecimal") from error
    if len(value) != COMMAND_ID_BYTES:
        raise typer.BadParameter(f"{2 * COMMAND_ID_BYTES} hex digits")
    return value


@contextmanager
def _valid() -> Iterator[None]:
    """What the format or the calendar does not allow, as the command line says it."""
    try:
        yield
    except (WireError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _queue(home: Path) -> Iterator[CommandQueue]:
    ledger = open_ledger(Home(home))
    try:
        yield CommandQueue(ledger)
    finally:
        ledger.close()


def _who() -> str:
    return f"cli:{getpass.getuser()}"
