"""What head office asks of devices, until each has said done or refused."""

from head_office.ledger.migrations.statements import run

revision = "0009_commands"
down_revision = "0008_carried"


def upgrade() -> None:
    run(
        """
        CREATE TABLE commands (
            command_no INTEGER PRIMARY KEY,
            command_id BLOB NOT NULL UNIQUE,
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            name TEXT NOT NULL,
            body BLOB NOT NULL,
            state TEXT NOT NULL,
            queued_at INTEGER NOT NULL,
            queued_by TEXT NOT NULL,
            settled_at INTEGER,
            reason TEXT,
            detail TEXT
        );
        CREATE INDEX commands_waiting ON commands(device_id, command_no) WHERE state = 'QUEUED';
        INSERT INTO numbers (name, last_no) VALUES ('commands', 0)
        """
    )
