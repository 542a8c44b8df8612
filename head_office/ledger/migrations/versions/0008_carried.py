"""Receipts for batches that came on a stick, until they are carried back."""

from head_office.ledger.migrations.statements import run

revision = "0008_carried"
down_revision = "0007_releases"


def upgrade() -> None:
    run(
        """
        CREATE TABLE carried_receipts (
            device_id TEXT NOT NULL,
            nonce BLOB NOT NULL,
            number INTEGER NOT NULL,
            receipt BLOB NOT NULL,
            made_at INTEGER NOT NULL,
            PRIMARY KEY (device_id, nonce)
        );
        CREATE INDEX carried_receipts_age ON carried_receipts(made_at)
        """
    )
