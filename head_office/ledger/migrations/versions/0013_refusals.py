"""Packets that were not taken, and why: they are still on their device, and somebody should know.

One row for each packet, however often it comes; one that is in custody by now is left out where the list is made.
"""

from head_office.ledger.migrations.statements import run

revision = "0013_refusals"
down_revision = "0012_clusters"


def upgrade() -> None:
    run(
        """
        CREATE TABLE refusals (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            digest BLOB NOT NULL,
            reason TEXT NOT NULL,
            lane TEXT,
            epoch BLOB,
            seq INTEGER,
            bytes INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            last_at INTEGER NOT NULL,
            times INTEGER NOT NULL,
            PRIMARY KEY (device_id, digest)
        );
        CREATE INDEX refusals_by_age ON refusals(device_id, last_at)
        """
    )
