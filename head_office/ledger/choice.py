"""Which ledger a head office has: SQLite in its folder, unless ``ledger.toml`` or the command line names another.

    address = "postgresql://mpos@node-1,node-2/mpos"
    password_file = "/etc/mpos-head-office/ledger.password"

The password is never part of the address: what a process was started with is there for everybody to read, and
addresses are logged.
"""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from head_office.errors import HomeError
from head_office.keys.home import Home, write_new
from head_office.ledger.base import Ledger
from head_office.ledger.sqlite import SqliteLedger

KEYS = {"address", "password_file", "synchronous_commit", "connections"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerChoice:
    """``address`` is a ``postgresql://`` address or the path of an SQLite file."""

    address: str
    password_file: Path | None = None
    synchronous_commit: str = "on"
    connections: int = 8

    def __post_init__(self) -> None:
        """Raises HomeError for an address that holds a password."""
        parts = urlsplit(self.address)
        if parts.scheme in ("postgresql", "postgres"):
            if parts.password is not None or "password" in parse_qs(parts.query):
                raise HomeError("the ledger's address holds a password", "put it into a file and name that file")
        elif parts.scheme:
            raise HomeError(f"no ledger is known by {parts.scheme}://", "use postgresql://… or the path of a file")
        elif "=" in self.address or any(character.isspace() for character in self.address):
            # Words of libpq would become the name of an SQLite file, and nobody would notice for a year.
            raise HomeError("the ledger's address is neither postgresql://… nor a path", "no blanks and no = in it")

    @property
    def is_postgresql(self) -> bool:
        return urlsplit(self.address).scheme in ("postgresql", "postgres")


def chosen(home: Home) -> LedgerChoice | None:
    """What the folder's ``ledger.toml`` says; None where there is none. Raises HomeError naming what is wrong."""
    try:
        said = tomllib.loads(home.ledger_choice.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise HomeError(
            f"{home.ledger_choice} cannot be read", "see docs/head-office.md for what it may hold"
        ) from error
    if unknown := set(said) - KEYS:
        raise HomeError(
            f"{home.ledger_choice} has an unknown key {min(unknown)}", f"it knows {', '.join(sorted(KEYS))}"
        )
    match said:
        case {"address": str(address)}:
            password_file = said.get("password_file")
            return LedgerChoice(
                address=address,
                password_file=Path(password_file) if password_file else None,
                synchronous_commit=str(said.get("synchronous_commit", "on")),
                connections=int(said.get("connections", 8)),
            )
        case _:
            raise HomeError(f"{home.ledger_choice} names no address", 'add address = "postgresql://…"')


def write_choice(home: Home, choice: LedgerChoice) -> None:
    """Keep a choice in the folder. Raises HomeError when one is there already."""
    lines = [f"address = {json.dumps(choice.address)}"]
    if choice.password_file is not None:
        lines.append(f"password_file = {json.dumps(str(choice.password_file.absolute()))}")
    write_new(home.ledger_choice, "\n".join([*lines, ""]).encode(), private=False)


def open_ledger(home: Home, choice: LedgerChoice | None = None) -> Ledger:
    """Open ``choice``, or what the folder says. Raises HomeError, or LedgerError when it does not open."""
    if not home.ca_certificate.exists():
        raise HomeError(f"{home.folder} is not set up", "run `mpos-head-office init` for this folder first")
    choice = choice or chosen(home)
    if choice is None:
        return SqliteLedger(home.ledger)
    if not choice.is_postgresql:
        return SqliteLedger(Path(choice.address))
    try:
        # Here, because its driver is installed only where it is used.
        from head_office.ledger.postgres import PostgresLedger  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise HomeError("psycopg is not installed", "install mpos-agent with the extra [postgresql]") from error
    return PostgresLedger(
        choice.address,
        password_file=choice.password_file,
        synchronous_commit=choice.synchronous_commit,
        connections=choice.connections,
    )
