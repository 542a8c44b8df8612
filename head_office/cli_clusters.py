"""``mpos-head-office clusters``: several ledgers, each with its share of the devices."""

import getpass
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from head_office import hand_over
from head_office.clusters import Clusters, load_clusters
from head_office.errors import HomeError
from head_office.keys.home import Home
from head_office.ledger.choice import open_ledger
from head_office.moment import to_ms, utc_now

app = typer.Typer(no_args_is_help=True, help="Several clusters, each with its share of the devices.")

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MPOS_HEAD_OFFICE_HOME", help="Head office's folder: keys and ledger.")
]
DEFAULT_HOME = Path("/var/lib/mpos-head-office")


@app.command()
def where(device_id: str, home: HomeOption = DEFAULT_HOME) -> None:
    """Say which cluster a device belongs to."""
    found = _clusters(Home(home)).home_of(device_id)
    print(f"{found.name}\t{found.url}")


@app.command("hand-over")
def hand_over_command(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, to be taken to the other cluster.")],
    device: Annotated[
        list[str] | None, typer.Option("--device", help="This one; repeatable. Without: all that belong elsewhere.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="To this cluster, whatever the hash says.")] = None,
    documents_too: Annotated[
        bool,
        typer.Option("--with-documents-under-way", help="Also devices whose scans are here in part."),
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those handed over before: a file was lost.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Give devices to the cluster they belong to; take FILE there at once: until then they are told to wait."""
    place = Home(home)
    clusters, ledger = _clusters(place), open_ledger(place)
    try:
        chosen = device or hand_over.strangers(ledger, clusters, again=again)
        later = [] if device or documents_too else hand_over.with_documents_under_way(ledger, chosen)
        chosen = [name for name in chosen if name not in later]
        lines = hand_over.hand_over(
            ledger, clusters, chosen, to=to, documents_too=documents_too, now_ms=to_ms(utc_now()), by=_who()
        )
        # Device by device; a file that broke off has no end and is refused there.
        with open(file, "x", encoding="utf-8", opener=_private) as written:
            for line in lines:
                written.write(line + "\n")
            written.flush()
            os.fsync(written.fileno())
    finally:
        ledger.close()
    if later:
        print(f"{len(later)} devices have documents under way and stay for now, among them {later[0]}.")
    print(f"{len(chosen)} devices handed over. Now, at the other cluster: mpos-head-office clusters take-over {file}")


@app.command("take-over")
def take_over_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As hand-over wrote it.")],
    block: Annotated[
        list[str] | None, typer.Option("--block", metavar="DEVICE", help="Block this one as it arrives; repeatable.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Take the devices of a hand-over file; may be repeated."""
    place = Home(home)
    clusters, ledger = _clusters(place), open_ledger(place)
    try:
        taken = hand_over.take_over(
            ledger, clusters, lambda: _lines(file), block=block or (), now_ms=to_ms(utc_now()), by=_who()
        )
    finally:
        ledger.close()
    print(f"{taken} devices taken over.")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as lines:
        yield from lines


def _clusters(home: Home) -> Clusters:
    found = load_clusters(home)
    if found is None:
        raise HomeError(f"{home.clusters} is not there", "with several clusters it lists them; see docs/scale.md")
    return found


def _who() -> str:
    return f"cli:{getpass.getuser()}"
