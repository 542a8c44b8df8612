"""What ``mpos-head-office`` says of scanned documents: of one claim, and of those whose claim has not come."""

import json
from pathlib import Path
from typing import Annotated

import typer

from head_office import claims, custody, documents
from head_office.cli_table import iso, print_rows
from head_office.documents import DocumentState
from head_office.errors import HeadOfficeError
from head_office.keys.home import Home
from head_office.ledger.choice import open_ledger

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")]
DEFAULT_HOME = Path("/var/lib/mpos-head-office")


class NoSuchClaimError(HeadOfficeError):
    """No claim has that agenda number."""

    code = "no_such_claim"
    status = 404


def add_to(claims_app: typer.Typer, packets_app: typer.Typer) -> None:
    """Register the commands with the groups they belong to."""
    claims_app.command("show")(show)
    packets_app.command("unclaimed")(unclaimed)


def show(
    agenda_no: Annotated[int, typer.Argument(help="Agenda number.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """One claim with its documents: which are complete, waiting (parts here of all) or altered. NIK masked."""
    ledger = open_ledger(Home(home))
    try:
        rows = ledger.read("SELECT * FROM claims WHERE agenda_no = ?", (agenda_no,))
        if not rows:
            raise NoSuchClaimError(f"there is no claim {agenda_no}")
        row = rows[0]
        shown = documents.of_claim(ledger, row["device_id"], bytes(row["packet_id"]))
    finally:
        ledger.close()
    facts = {
        "agenda_no": row["agenda_no"],
        "receipt_no": custody.receipt_name(row["receipt_no"]),
        "claim_id": documents.claim_name(bytes(row["packet_id"])),
        "device_id": row["device_id"],
        "status": row["status"],
        "programme": row["programme"],
        "full_name": row["full_name"],
        "kpj": row["kpj"],
        "nik": claims.mask_nik(row["nik"]),
        "path": row["path"],
        "flags": json.loads(row["flags"]),
    }
    if as_json:
        print(
            json.dumps({**facts, "documents": [documents.as_json(one) for one in shown]}, ensure_ascii=False, indent=2)
        )
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}\t{', '.join(value) if isinstance(value, list) else value}")
    found = [{**documents.as_json(one), "parts": _parts(one.have, one.parts)} for one in shown]
    columns = ("index", "type", "state", "parts", "pages", "size_bytes", "reason")
    print_rows(found, columns, as_json=False, narrow=columns[:4])


def unclaimed(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Documents whose claim has not come: they wait for it, and hold nothing up."""
    ledger = open_ledger(Home(home))
    try:
        rows = documents.unclaimed(ledger)
    finally:
        ledger.close()
    found: list[dict[str, object]] = [
        {
            "claim_id": documents.claim_name(bytes(row["claim_id"])),
            "device_id": row["device_id"],
            "index": row["idx"],
            "type": row["type_code"],
            "state": DocumentState(row["state"]).value,
            "parts": _parts(row["have"], row["parts"]),
            "first_at": iso(row["first_at"]),
        }
        for row in rows
    ]
    columns = ("claim_id", "device_id", "index", "type", "state", "parts", "first_at")
    print_rows(found, columns, as_json, narrow=columns[:5])


def _parts(have: int, parts: int | None) -> str:
    return f"{have} of {parts}" if parts else "-"
