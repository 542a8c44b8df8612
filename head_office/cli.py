"""``mpos-head-office``: set up, serve, and look after devices, desk users and what came in."""

import getpass
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from head_office import (
    audit,
    claims,
    cli_clusters,
    cli_commands,
    cli_custody,
    cli_documents,
    cli_identity,
    cli_places,
    cli_quarantine,
    cli_stick,
    custody,
    documents,
)
from head_office.cli_table import iso, print_rows
from head_office.clusters import load_clusters
from head_office.desk.users import DeskUsers
from head_office.device_registry import DeviceRegistry
from head_office.errors import HeadOfficeError, HomeError
from head_office.keys import server_certificate
from head_office.keys.authority import Authority
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.ledger.base import Ledger
from head_office.ledger.choice import LedgerChoice, open_ledger, write_choice
from head_office.moment import utc_now
from head_office.notify import notify
from head_office.office import POLL_S, serve
from head_office.opening_worker import run_alone
from head_office.server import split_listen
from sync.enrolment import Site, SiteType
from sync.errors import WireError

EX_CONFIG, EX_FAILED = 78, 1

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
devices_app = typer.Typer(no_args_is_help=True, help="Enrol, list and block devices.")
claims_app = typer.Typer(no_args_is_help=True, help="The claims on the desk.")
packets_app = typer.Typer(no_args_is_help=True, help="Packets that need a person.")
desk_user_app = typer.Typer(no_args_is_help=True, help="Who may use the desk.")
audit_app = typer.Typer(no_args_is_help=True, help="The record of acts.")
for name, group in (
    ("devices", devices_app),
    ("claims", claims_app),
    ("packets", packets_app),
    ("desk-user", desk_user_app),
    ("audit", audit_app),
    ("stick", cli_stick.app),
    ("clusters", cli_clusters.app),
    ("commands", cli_commands.app),
    ("quarantine", cli_quarantine.app),
    ("places", cli_places.app),
):
    app.add_typer(group, name=name)

app.add_typer(cli_identity.keys_app, name="keys")
cli_identity.add_to(devices_app)
cli_documents.add_to(claims_app, packets_app)

for command in (cli_custody.export, cli_custody.pins, cli_custody.verify, cli_custody.relay):
    app.command()(command)

HomeOption = Annotated[
    Path,
    # Its files are what has to be readable; the folder itself may be closed to the user that opens packets.
    typer.Option(
        "--home", envvar="MPOS_HEAD_OFFICE_HOME", readable=False, help="Head office's folder: keys and ledger."
    ),
]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger", help="postgresql://user@node1,node2/database, or the path of an SQLite file; no password."
    ),
]
LedgerPasswordOption = Annotated[
    Path | None, typer.Option("--ledger-password-file", help="A file (0600) with the ledger's password alone.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")]
DEFAULT_HOME = Path("/var/lib/mpos-head-office")


@app.command()
def init(
    server_name: Annotated[list[str], typer.Option("--name", help="Host name or address devices call; repeatable.")],
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
    ledger_password_file: LedgerPasswordOption = None,
) -> None:
    """Make the folder once: authority, TLS certificate, receipt key, keys packets are encrypted to."""
    choice = LedgerChoice(address=ledger, password_file=ledger_password_file) if ledger else None
    set_up(Home(home), server_name, utc_now())
    if choice is not None:
        write_choice(Home(home), choice)
    open_ledger(Home(home)).close()
    print(f"Head office is set up in {home}. Keep a copy of {home / 'keys'} in a safe place.")


@app.command("serve")
def serve_command(
    *,
    home: HomeOption = DEFAULT_HOME,
    listen: Annotated[
        str, typer.Option(help="HOST:PORT (port 0 takes a free one), or unix:PATH behind a proxy.")
    ] = "127.0.0.1:8443",
    poll_s: Annotated[int, typer.Option(min=1, help="Seconds until an idle device asks again.")] = POLL_S,
    ledger: LedgerOption = None,
    ledger_password_file: LedgerPasswordOption = None,
    opening: Annotated[
        bool,
        typer.Option("--opening/--no-opening", help="Open packets too, or leave that to `open` under its own user."),
    ] = True,
) -> None:
    """Serve devices and the desk over TLS until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        host, port = split_listen(listen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--listen") from error

    def listening(address: str, number: int) -> None:
        shown = f"[{address}]" if ":" in address else address
        where = address if address.startswith("unix:") else f"https://{shown}:{number}"
        print(f"head office listens on {where}", flush=True)

    choice = LedgerChoice(address=ledger, password_file=ledger_password_file) if ledger else None
    raise typer.Exit(
        serve(Home(home), host, port, poll_s=poll_s, ledger_choice=choice, opening=opening, on_listening=listening)
    )


@app.command("open")
def open_packets(
    home: HomeOption = DEFAULT_HOME,
    ledger: LedgerOption = None,
    ledger_password_file: LedgerPasswordOption = None,
) -> None:
    """Open stored packets until SIGTERM: the one process that reads the keys they are encrypted to."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    def ready() -> None:
        notify("READY=1\nSTATUS=Opening packets")
        print("head office opens packets", flush=True)

    choice = LedgerChoice(address=ledger, password_file=ledger_password_file) if ledger else None
    run_alone(Home(home), choice, ready)


@devices_app.command()
def token(
    *,
    branch: Annotated[str, typer.Option(help="Branch code.")],
    kanwil: Annotated[str, typer.Option(help="Regional office code.")],
    site_type: Annotated[SiteType, typer.Option(help="What kind of place it is.")] = SiteType.BRANCH,
    partner: Annotated[str | None, typer.Option(help="Partner code; none at an own branch.")] = None,
    serial: Annotated[str | None, typer.Option(help="Only a device of this serial number may use it.")] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Make an enrolment token: shown once, good for one device and 24 hours."""
    try:
        site = Site(branch_code=branch, kanwil_code=kanwil, partner_code=partner, site_type=site_type)
    except WireError as error:
        raise typer.BadParameter(str(error)) from error
    with _registry(home) as registry:
        made, expires = registry.issue_token(site, serial=serial, by=_who())
    if as_json:
        print(json.dumps({"token": made, "expires_at": expires.isoformat(timespec="seconds")}))
    else:
        print(made)
        print(f"For one device at {branch}, until {expires:%Y-%m-%d %H:%M} UTC.", file=sys.stderr)


@devices_app.command("list")
def list_devices(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """All devices, when they were last heard of and what waits on them."""
    with _registry(home) as registry:
        rows = registry.devices()
    # Whoever looks after devices hears it before all of them fall silent on one day.
    warning = server_certificate.present(Home(home)).warning(utc_now())
    if warning is not None:
        print(f"mpos-head-office: {warning}", file=sys.stderr)
    found = []
    for row in rows:
        heard = json.loads(row["last_checkpoint"]) if row["last_checkpoint"] else {"lanes": []}
        found.append(
            {
                "device_id": row["device_id"],
                "serial": row["serial"],
                "branch_code": row["branch_code"],
                "kanwil_code": row["kanwil_code"],
                "partner_code": row["partner_code"],
                "site_type": row["site_type"],
                "state": row["state"],
                "state_reason": row["state_reason"],
                "enrolled_at": iso(row["enrolled_at"]),
                "last_seen_at": iso(row["last_seen_at"]),
                "clock_offset_ms": row["clock_offset_ms"],
                "packets": row["packets"],
                "waiting": sum(lane.get("left", lane["depth"]) for lane in heard["lanes"]),
                "frozen_lanes": row["frozen_lanes"],
                "alarms": row["alarms"],
                "certificate_until": iso(row["tls_expires"]),
                "trust_serial": cli_identity.trust_serial(heard),
                "versions": heard.get("versions", {}),
            }
        )
    shown = (
        "device_id",
        "serial",
        "branch_code",
        "state",
        "last_seen_at",
        "packets",
        "waiting",
        "frozen_lanes",
        "alarms",
    )
    print_rows(found, shown, as_json, narrow=("device_id", "branch_code", "state", "last_seen_at", "waiting", "alarms"))


@devices_app.command()
def block(
    device_id: str,
    reason: Annotated[str, typer.Option(help="Why; for the record.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Put a device on the deny list; it counts from its next request."""
    with _registry(home) as registry:
        registry.block(device_id, reason, by=_who())
    print(f"{device_id} is blocked.")


@claims_app.command("list")
def list_claims(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Every claim on the desk, NIK masked."""
    with _ledger(home) as ledger:
        rows = claims.all_claims(ledger)
        scans = [documents.counted(shown) for shown in documents.of_claims(ledger, rows)]
    found = [
        {
            "agenda_no": row["agenda_no"],
            "receipt_no": custody.receipt_name(row["receipt_no"]),
            "npp": row["npp"],
            "company_name": row["company_name"],
            "full_name": row["full_name"],
            "kpj": row["kpj"],
            "nik": claims.mask_nik(row["nik"]),
            "agenda_date": claims.print_day(row["agenda_at"], claims.MONTHS_ID),
            "na_code": row["na_code"],
            "status": row["status"],
            "programme": row["programme"],
            "path": row["path"],
            "flags": json.loads(row["flags"]),
            "packet_id": bytes(row["packet_id"]).hex(),
            "device_id": row["device_id"],
            "lane": row["lane"],
            "seq": row["seq"],
            "digest": bytes(row["digest"]).hex(),
            "stored_at": iso(row["stored_at"]),
            "documents": f"{counted['complete']}/{counted['expected']}" + " ALTERED" * bool(counted["altered"]),
        }
        for row, counted in zip(rows, scans, strict=True)
    ]
    shown = ["agenda_no", "receipt_no", "npp", "full_name", "kpj", "nik", "agenda_date", "na_code", "path"]
    shown += ["documents", "flags"]
    print_rows(found, shown, as_json, narrow=("agenda_no", "receipt_no", "full_name", "kpj", "path", "documents"))


@packets_app.command("quarantined")
def list_quarantined(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Packets that are in custody and not on the desk, each with its reason."""
    with _ledger(home) as ledger:
        rows = custody.quarantined(ledger)
    found = [
        {
            "receipt_no": custody.receipt_name(row["receipt_no"]),
            "device_id": row["device_id"],
            "lane": row["lane"],
            "epoch": bytes(row["epoch"]).hex(),
            "seq": row["seq"],
            "reason": row["reason"],
            "bytes": row["bytes"],
            "digest": bytes(row["digest"]).hex(),
            "stored_at": iso(row["stored_at"]),
        }
        for row in rows
    ]
    shown = ("receipt_no", "device_id", "lane", "seq", "reason", "bytes", "stored_at")
    print_rows(found, shown, as_json, narrow=shown[:5])


@packets_app.command("alarms")
def list_alarms(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Forks, broken chains, rolled back devices, missing places: newest first."""
    with _ledger(home) as ledger:
        rows = custody.alarms(ledger)
    found = [
        {
            "at": iso(row["at"]),
            "kind": row["kind"],
            "device_id": row["device_id"],
            "lane": row["lane"],
            "epoch": bytes(row["epoch"]).hex(),
            "seq": row["seq"],
            "last_seq": row["last_seq"],
        }
        for row in rows
    ]
    shown = ("at", "kind", "device_id", "lane", "seq", "last_seq")
    print_rows(found, shown, as_json, narrow=shown)


@desk_user_app.command("add")
def add_desk_user(
    user: Annotated[str, typer.Argument(metavar="NAME")],
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Add a desk user, or give one a new password (12 characters or more)."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    with _ledger(home) as ledger:
        try:
            DeskUsers(ledger).add(user, password, by=_who())
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    print(f"{user} may use the desk.")


@audit_app.command("check")
def check_audit(home: HomeOption = DEFAULT_HOME) -> None:
    """Check that no act was changed or taken out."""
    with _ledger(home) as ledger:
        broken_at = audit.first_break(ledger)
    if broken_at is not None:
        print(f"The record of acts is broken at number {broken_at}.", file=sys.stderr)
        raise typer.Exit(EX_FAILED)
    print("The record of acts is whole.")


@contextmanager
def _ledger(home: Path) -> Iterator[Ledger]:
    ledger = open_ledger(Home(home))
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def _registry(home: Path) -> Iterator[DeviceRegistry]:
    with _ledger(home) as ledger:
        yield DeviceRegistry(ledger, Authority.load(Home(home)), clusters=load_clusters(Home(home)))


def _who() -> str:
    return f"cli:{getpass.getuser()}"


def main(run: Callable[[], object] = app) -> None:
    """The console script: our own errors as one sentence with the cure, and an exit status."""
    try:
        run()
    except HomeError as error:
        print(f"mpos-head-office: {error}", file=sys.stderr)
        sys.exit(EX_CONFIG)
    except HeadOfficeError as error:
        print(f"mpos-head-office: {error.code}: {error}", file=sys.stderr)
        sys.exit(EX_FAILED)


if __name__ == "__main__":
    main()
