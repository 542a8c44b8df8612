"""What other systems are told after the commit: written in the transaction of the thing itself.

An event is done once every configured receiver has it: ``relayed_at``. The index holds only what is still to go.
"""

from head_office.ledger.migrations.statements import run

revision = "0006_events"
down_revision = "0005_numbers"


def upgrade() -> None:
    run(
        """
        CREATE TABLE events (
            event_no INTEGER PRIMARY KEY AUTOINCREMENT,
            event_id TEXT NOT NULL UNIQUE,
            at INTEGER NOT NULL,
            kind TEXT NOT NULL,
            device_id TEXT NOT NULL,
            receipt_no INTEGER NOT NULL,
            body TEXT NOT NULL,
            file_at INTEGER,
            webhook_at INTEGER,
            attempts INTEGER NOT NULL DEFAULT 0,
            next_at INTEGER NOT NULL DEFAULT 0,
            last_error TEXT,
            relayed_at INTEGER
        );
        CREATE INDEX events_to_relay ON events(event_no) WHERE relayed_at IS NULL
        """
    )
