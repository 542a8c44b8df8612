"""Places of a chain that a device delivered once and head office has no longer: noticed, asked for again, given up.

A row is never deleted. The last place of an alarm that is about several.
"""

from head_office.ledger.migrations.statements import run

revision = "0017_missing_places"
down_revision = "0016_moves"


def upgrade() -> None:
    run(
        """
        ALTER TABLE alarms ADD COLUMN last_seq INTEGER;
        CREATE TABLE missing_places (
            missing_no INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            lane TEXT NOT NULL,
            epoch BLOB NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            noticed_at INTEGER NOT NULL,
            resend_id BLOB,
            asked_up_to INTEGER NOT NULL,
            shown_at INTEGER,
            reason TEXT,
            asked_by TEXT,
            asked_at INTEGER,
            confirmed_by TEXT,
            confirmed_at INTEGER,
            went_on_at INTEGER,
            went_on_with INTEGER
        );
        CREATE INDEX missing_places_of ON missing_places(device_id, lane, epoch, last_seq)
        """
    )
