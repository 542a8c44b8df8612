"""``mpos-head-office export``, ``verify`` and ``relay``: what leaves head office, and how others check it."""

import getpass
import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from head_office import export as evidence
from head_office.custody import receipt_number
from head_office.errors import HomeError
from head_office.keys.home import Home
from head_office.keys.trust import ReceiptKeys, in_force
from head_office.ledger.choice import open_ledger
from head_office.moment import to_ms, utc_now
from head_office.notify import notify
from head_office.relay import EventFile, Receiver, Relay, Webhook, forget, run
from head_office.verification import MOST_BYTES, Pins, Proof, verify_file, worst
from sync.keys import load_spki

EXITS = {Proof.PROVED: 0, Proof.WRONG: 1, Proof.NOT_PINNED: 3}
EX_USAGE = 2
DEFAULT_HOME = Path("/var/lib/mpos-head-office")

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]


def export(
    receipt: Annotated[str, typer.Argument(metavar="RECEIPT_NO", help="R-… of a stored packet.")],
    to: Annotated[Path | None, typer.Option("--to", help="The file; RECEIPT_NO.mpos where none is named.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Write a stored packet as evidence: envelope as it came, certificate, signed receipt. Still encrypted."""
    number = receipt_number(receipt)
    if number is None:
        raise typer.BadParameter(f"{receipt!r} is not a receipt number: R-000000001")
    ledger = open_ledger(Home(home))
    try:
        content = evidence.export(ledger, ReceiptKeys(Home(home)), number)
    finally:
        ledger.close()
    file = to or Path(f"R-{number:09d}.mpos")
    try:
        with file.open("xb") as out:
            out.write(content)
    except OSError as error:
        raise HomeError(f"{file}: {error.strerror}", "name another file with --to") from error
    print(file)


def pins(
    folder: Annotated[Path, typer.Argument(help="Where to write authority.pem, devices.pem and receipt-keys.pem.")],
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Write everything public that `verify` needs, to be carried to wherever files are checked."""
    place = Home(home)
    ledger = open_ledger(place)
    try:
        rows = ledger.read("SELECT certificate FROM certificates WHERE purpose = 'signing' ORDER BY not_before")
    finally:
        ledger.close()
    pem = serialization.Encoding.PEM
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "authority.pem").write_bytes(place.ca_certificate.read_bytes())
    (folder / "devices.pem").write_bytes(
        b"".join(x509.load_der_x509_certificate(bytes(row["certificate"])).public_bytes(pem) for row in rows)
    )
    keys = [load_spki(key.spki) for key in in_force(place).trusted.receipt_keys]
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "receipt-keys.pem").write_bytes(b"".join(key.public_bytes(pem, form) for key in keys))
    print(folder)


def verify(
    file: Annotated[Path, typer.Argument(help="An envelope, receipt, batch, stick file or export.")],
    pinned: Annotated[
        Path | None, typer.Option("--pins", help="A folder `pins` wrote; instead of the three options below.")
    ] = None,
    certificate: Annotated[
        list[Path] | None, typer.Option(help="PEM certificates of signing keys; repeatable.")
    ] = None,
    receipt_key: Annotated[list[Path] | None, typer.Option(help="PEM public keys of receipts; repeatable.")] = None,
    authority: Annotated[Path | None, typer.Option(help="PEM certificate that vouches for those in an export.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")] = False,
) -> None:
    """Check a file against pinned certificates; no network, no secret. Exit 0 proved, 1 wrong, 3 not pinned."""
    certificates, receipt_keys = list(certificate or ()), list(receipt_key or ())
    if pinned is not None:
        certificates.append(pinned / "devices.pem")
        receipt_keys.append(pinned / "receipt-keys.pem")
        authority = authority or pinned / "authority.pem"
    try:
        trusted = Pins.of(
            [path.read_bytes() for path in certificates if path.stat().st_size],
            [path.read_bytes() for path in receipt_keys],
            authority.read_bytes() if authority else None,
        )
        with file.open("rb") as content:
            data = content.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        print(f"mpos-head-office: {error}", file=sys.stderr)
        raise typer.Exit(EX_USAGE) from error
    findings = verify_file(data, trusted)
    proof = worst(findings)
    if as_json:
        told = [{"what": one.what, "proof": one.proof.value, "why": one.why, **one.facts} for one in findings]
        print(json.dumps({"proof": proof.value, "findings": told}, indent=2))
    else:
        for one in findings:
            print(f"{one.what}: {one.proof.value}" + (f" ({one.why})" if one.why else ""))
            for name, value in one.facts.items():
                print(f"  {name}: {json.dumps(value) if isinstance(value, list) else value}")
    raise typer.Exit(EXITS[proof])


def relay(
    *,
    file: Annotated[Path | None, typer.Option(help="Append events to this file, one JSON object a line.")] = None,
    webhook: Annotated[str | None, typer.Option(help="POST events to this https address.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="A file (0600) with the secret that signs what is posted.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(help="Who may vouch for the webhook; the system's list if none.")
    ] = None,
    no_more: Annotated[
        bool, typer.Option("--no-more", help="There is no relay any more: events are no longer kept for one.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Tell other systems of opened claims and packets set aside, after the commit and at least once, until SIGTERM."""
    if no_more:
        if file or webhook:
            raise typer.BadParameter("names no receiver", param_hint="--no-more")
        _forget_relay(home)
        return
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    receivers: list[Receiver] = [] if file is None else [EventFile(file)]
    if webhook is not None:
        if secret_file is None:
            raise typer.BadParameter("a webhook needs a secret to sign with", param_hint="--secret-file")
        receivers.append(Webhook(webhook, Webhook.secret_from(secret_file), utc_now, ca_file=ca_file))
    if not receivers:
        raise typer.BadParameter("name a receiver", param_hint="--file or --webhook")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    ledger = open_ledger(Home(home))
    try:
        notify("READY=1\nSTATUS=Relaying events")
        print("head office relays events", flush=True)
        run(Relay(ledger, receivers, utc_now), stopping.wait)
    finally:
        ledger.close()


def _forget_relay(home: Path) -> None:
    ledger = open_ledger(Home(home))
    try:
        known = forget(ledger, now_ms=to_ms(utc_now()), by=f"cli:{getpass.getuser()}")
    finally:
        ledger.close()
    print("Events are kept for no relay any more; old ones are cleared away." if known else "There was none.")
