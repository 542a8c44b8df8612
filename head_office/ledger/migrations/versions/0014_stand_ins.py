"""Places that hold spoilt bytes, and the digest of the packet that belongs there, once a successor has named it."""

from head_office.ledger.migrations.statements import run

revision = "0014_stand_ins"
down_revision = "0013_refusals"


def upgrade() -> None:
    run(
        """
        CREATE TABLE stand_ins (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            lane TEXT NOT NULL,
            epoch BLOB NOT NULL,
            seq INTEGER NOT NULL,
            expected BLOB,
            PRIMARY KEY (device_id, lane, epoch, seq)
        )
        """
    )
