"""Desk users, and what people and the program did."""

from head_office.ledger.migrations.statements import run

revision = "0004_people"
down_revision = "0003_claims"


def upgrade() -> None:
    run(
        """
        CREATE TABLE desk_users (
            name TEXT PRIMARY KEY,
            password_hash TEXT NOT NULL,
            added_at INTEGER NOT NULL
        );
        CREATE TABLE acts (
            act_no INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            who TEXT NOT NULL,
            act TEXT NOT NULL,
            facts TEXT NOT NULL,
            previous BLOB NOT NULL,
            hash BLOB NOT NULL
        );
        """
    )
