"""``mpos-head-office keys`` and the commands about a device's identity: rotate, retire, release, let it begin anew."""

import getpass
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from head_office.cli_table import print_rows
from head_office.commands import CommandQueue
from head_office.device_registry import DeviceRegistry
from head_office.errors import HeadOfficeError
from head_office.keys import server_certificate, trust
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.keys.trust import KeysError
from head_office.ledger.base import Ledger
from head_office.ledger.choice import open_ledger
from head_office.moment import utc_now
from sync import commands as wire
from sync.envelope import Lane
from sync.trust import serial_of

DEFAULT_HOME = Path("/var/lib/mpos-head-office")

keys_app = typer.Typer(
    no_args_is_help=True, help="Head office's own keys: of receipts, and those packets are sealed to."
)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")]


class Rotated(StrEnum):
    """Which keys are made anew."""

    RECEIPT = "receipt"
    RECIPIENT = "recipient"


class NotFrozenError(HeadOfficeError):
    """A lane that is not frozen needs no new beginning."""

    code = "not_frozen"


@keys_app.command("list")
def list_keys(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """The keys in force, and how many devices have not heard of the present list yet."""
    now = trust.in_force(Home(home))
    behind = len(_behind(home, now.serial))
    found: list[dict[str, object]] = [
        {"kind": "receipt", "kid": one.key.kid.hex(), "since": one.since, "suite": "Ed25519"}
        for one in now.receipt_keys
    ]
    found += [
        {"kind": "recipient", "kid": one.kid.hex(), "since": None, "suite": one.suite.value} for one in now.recipients
    ]
    server = server_certificate.present(Home(home))
    if as_json:
        told = {"names": server.names, "until": server.until.isoformat(timespec="seconds")}
        print(json.dumps({"serial": now.serial, "devices_behind": behind, "keys": found, "server": told}, indent=2))
        return
    print_rows(found, ("kind", "kid", "suite", "since"), as_json, narrow=("kind", "kid"))
    print(f"List {now.serial}; {behind} active devices have an older one.")
    print(f"TLS certificate for {', '.join(server.names)}, until {server.until:%Y-%m-%d}.")
    warning = server.warning(utc_now())
    if warning is not None:
        print(f"mpos-head-office: {warning}", file=sys.stderr)


@keys_app.command("renew-server")
def renew_server(
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="Host name or address devices call; repeatable. Without: the names it has."),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """A new TLS certificate for head office, by the same authority: devices notice nothing. 397 days each."""
    before = server_certificate.present(Home(home))
    made = server_certificate.renew(Home(home), names or [], utc_now())
    print(f"Certificate for {', '.join(made.names)}, until {made.until:%Y-%m-%d}.")
    if gone := sorted(set(before.names) - set(made.names)):
        print(f"Devices that call {', '.join(gone)} do not connect any more.")
    print("A running `serve` takes it up by itself. A proxy that ends TLS has to be told: nginx -s reload.")


@keys_app.command()
def rotate(
    what: Annotated[Rotated, typer.Argument(help="Which keys.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Make new keys beside the old ones; each device changes over with its next receipt."""
    made = trust.rotate_receipt(Home(home)) if what is Rotated.RECEIPT else trust.rotate_recipients(Home(home))
    print(f"List {made.serial} is in force. Keep a copy of {home / 'keys'} in a safe place.")


@keys_app.command()
def retire(
    kid: Annotated[str, typer.Argument(metavar="KID", help="32 hex digits, from `keys list`.")],
    force: Annotated[bool, typer.Option(help="Although devices know no newer key: they have to enrol again.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Take a receipt key out of force. Its file stays; whoever wants it gone removes it."""
    try:
        wanted = bytes.fromhex(kid)
    except ValueError as error:
        raise typer.BadParameter(f"{kid!r} is not hexadecimal") from error
    now = trust.in_force(Home(home))
    left = [one.since for one in now.receipt_keys if one.key.kid != wanted]
    cut_off = _behind(home, min(left)) if left else []
    if cut_off and not force:
        raise KeysError(
            f"{len(cut_off)} active devices know no other receipt key, among them {cut_off[0]}",
            "wait until they have been heard of, or block them, or say --force",
        )
    made = trust.retire_receipt(Home(home), wanted)
    print(f"List {made.serial} is in force.")


def unblock(device_id: str, home: HomeOption = DEFAULT_HOME) -> None:
    """Take a device off the deny list; what waited on it is accepted again."""
    ledger = open_ledger(Home(home))
    try:
        DeviceRegistry(ledger, Authority.load(Home(home))).release(device_id, by=_who())
    finally:
        ledger.close()
    print(f"{device_id} is unblocked.")


def new_epoch(
    device_id: Annotated[str, typer.Argument(metavar="DEVICE")],
    lane: Annotated[Lane, typer.Argument(help="Which lane.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Let a device whose lane was frozen begin a new chain, after somebody found out which machine is the real one."""
    ledger = open_ledger(Home(home))
    try:
        frozen = frozen_epochs(ledger, device_id, lane)
        if not frozen:
            raise NotFrozenError(f"no chain of {device_id} in lane {lane.value} is frozen; `packets alarms` shows why")
        queue = CommandQueue(ledger)
        for epoch in frozen:
            queue.send([device_id], wire.NewEpoch(lane=lane, epoch=epoch), by=_who())
    finally:
        ledger.close()
    print(f"{device_id} is told with its next receipt to begin a new chain in lane {lane.value}.")


def frozen_epochs(ledger: Ledger, device_id: str, lane: Lane) -> list[bytes]:
    """The frozen chains of a device's lane."""
    rows = ledger.read(
        "SELECT epoch FROM lanes WHERE device_id = ? AND lane = ? AND frozen_reason IS NOT NULL ORDER BY opened_at",
        (device_id, lane.value),
    )
    return [bytes(row["epoch"]) for row in rows]


def add_to(devices_app: typer.Typer) -> None:
    """The commands that belong below ``devices``."""
    devices_app.command("unblock")(unblock)
    devices_app.command("new-epoch")(new_epoch)


def trust_serial(heard: dict[str, object]) -> int | None:
    """Which list of head office's keys a device said it has, by its last checkpoint."""
    versions = heard.get("versions")
    return serial_of(versions) if isinstance(versions, dict) and versions else None


def _behind(home: Path, serial: int) -> list[str]:
    """Active devices that have not said they know that list."""
    ledger = open_ledger(Home(home))
    try:
        rows = ledger.read("SELECT device_id, last_checkpoint FROM devices WHERE state = 'ACTIVE' ORDER BY device_id")
    finally:
        ledger.close()
    return [
        row["device_id"] for row in rows if (trust_serial(json.loads(row["last_checkpoint"] or "{}")) or 1) < serial
    ]


def _who() -> str:
    return f"cli:{getpass.getuser()}"
