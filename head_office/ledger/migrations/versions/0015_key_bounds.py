"""How far each chain had come when a device's next signing key was first seen: what the keys before it may sign."""

from head_office.ledger.migrations.statements import run

revision = "0015_key_bounds"
down_revision = "0014_stand_ins"


def upgrade() -> None:
    run(
        """
        CREATE TABLE key_bounds (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            key_no INTEGER NOT NULL,
            lane TEXT NOT NULL,
            epoch BLOB NOT NULL,
            next_seq INTEGER NOT NULL,
            PRIMARY KEY (device_id, key_no, lane, epoch)
        )
        """
    )
