"""Devices that moved here from another cluster: what that one has stored of them, without the bytes."""

from head_office.ledger.migrations.statements import run

revision = "0012_clusters"
down_revision = "0011_documents"


def upgrade() -> None:
    run(
        """
        CREATE TABLE stored_elsewhere (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            lane TEXT NOT NULL,
            epoch BLOB NOT NULL,
            seq INTEGER NOT NULL,
            digest BLOB NOT NULL,
            receipt_no INTEGER NOT NULL,
            stored_at INTEGER NOT NULL,
            verdict TEXT NOT NULL,
            reason TEXT,
            PRIMARY KEY (device_id, lane, epoch, seq, digest)
        )
        """
    )
