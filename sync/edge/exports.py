"""Exports to a stick that are remembered: nonce and running number, so that a receipt for any of them verifies."""

from collections.abc import Callable

from sync.edge.database import Database, Schema, Transaction


def prepare(database: Database) -> None:
    """Make the table, where it is not there yet."""
    database.migrate("stick", STEPS)


def last_number(tx: Transaction) -> int:
    """The running number of the newest export; 0 before the first."""
    return int(tx.execute("SELECT coalesce(max(number), 0) FROM stick_exports").fetchone()[0])


def _exports(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE stick_exports ("
        " number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " nonce BLOB NOT NULL UNIQUE, exported_at_ms INTEGER NOT NULL, packets INTEGER NOT NULL,"
        " answered_at_ms INTEGER) STRICT"
    )


STEPS: tuple[Callable[[Schema], None], ...] = (_exports,)
