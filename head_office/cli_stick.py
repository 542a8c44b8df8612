"""``mpos-head-office stick``: take in what came on a stick, and write the receipts that go back."""

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from head_office import stick
from head_office.clusters import load_clusters
from head_office.device_registry import DeviceRegistry
from head_office.ingest import Ingest
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.keys.trust import ReceiptKeys
from head_office.ledger.choice import open_ledger
from head_office.moment import utc_now
from head_office.office import POLL_S
from sync.errors import StickError
from sync.receipt import Verdict
from sync.stick_folder import StickFolder

EX_FAILED = 1

app = typer.Typer(no_args_is_help=True, help="Batches that come, and receipts that go back, by USB stick.")

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder on the stick.")]
HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable, one JSON document.")]
DEFAULT_HOME = Path("/var/lib/mpos-head-office")


@app.command("import")
def import_(folder: FolderArgument, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Take every batch on a stick, as if it had come by network; nothing on the stick is changed."""
    place = Home(home)
    ledger = open_ledger(place)
    try:
        clusters = load_clusters(place)
        registry = DeviceRegistry(ledger, Authority.load(place), clusters=clusters)
        # The service's opening worker looks for new packets by itself.
        ingest = Ingest(
            ledger, registry, ReceiptKeys(place), utc_now, poll_s=POLL_S, on_stored=lambda: None, clusters=clusters
        )
        told = stick.take(StickFolder(folder), ingest.receive_carried, ledger, utc_now, by=_who())
    except StickError as error:
        raise _failed(error) from error
    finally:
        ledger.close()
    if as_json:
        print(
            json.dumps(
                {
                    "batches": told.batches,
                    "verdicts": {verdict.value: told.verdicts[verdict] for verdict in Verdict},
                    "skipped": [{"file": file, "because": reason} for file, reason in told.skipped],
                    "foreign": told.foreign,
                    "unfinished": told.unfinished,
                    "more": told.more,
                },
                indent=2,
            )
        )
        return
    counts = ", ".join(f"{told.verdicts[verdict]} {verdict.value}" for verdict in Verdict if told.verdicts[verdict])
    print(f"{told.batches} batches taken" + (f": {counts}." if counts else "."))
    for file, reason in told.skipped:
        print(f"Left out: {file}: {reason}")
    if told.foreign or told.unfinished:
        print(f"{told.foreign} other files and {told.unfinished} unfinished ones were ignored.")
    if told.more:
        print("There are more files: run this command once more after the first ones are off the stick.")
    if told.batches:
        print(f"Now write the receipts: mpos-head-office stick receipts {folder}")


@app.command("receipts")
def receipts(
    folder: FolderArgument,
    device: Annotated[
        list[str] | None, typer.Option("--device", help="Also every receipt kept for this device; repeatable.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the receipts of the batches that lie on a stick onto that stick."""
    ledger = open_ledger(Home(home))
    try:
        told = stick.give(StickFolder(folder), ledger, device or [])
    except StickError as error:
        raise _failed(error) from error
    finally:
        ledger.close()
    if as_json:
        print(json.dumps({"written": told.written, "there": told.there, "not_imported": told.not_imported}, indent=2))
        return
    print(f"{told.written} receipts written, {told.there} were there already. Eject the stick before taking it out.")
    for file in told.not_imported:
        print(f"Not imported yet, or left out: {file}")


def _failed(error: StickError) -> typer.Exit:
    print(f"mpos-head-office: {error.code}: {error}", file=sys.stderr)
    return typer.Exit(EX_FAILED)


def _who() -> str:
    return f"cli:{getpass.getuser()}"
