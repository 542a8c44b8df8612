"""What two people decided about a packet in quarantine: one asks, another confirms."""

from head_office.ledger.migrations.statements import run

revision = "0007_releases"
down_revision = "0006_events"


def upgrade() -> None:
    run(
        """
        CREATE TABLE releases (
            release_no INTEGER PRIMARY KEY AUTOINCREMENT,
            receipt_no INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            act TEXT NOT NULL,
            reason TEXT NOT NULL,
            asked_by TEXT NOT NULL,
            asked_at INTEGER NOT NULL,
            confirmed_by TEXT,
            confirmed_at INTEGER
        );
        CREATE UNIQUE INDEX releases_open ON releases(receipt_no) WHERE confirmed_at IS NULL
        """
    )
