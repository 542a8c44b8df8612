"""Renewal and rotation of device keys, and the boots a device was seen in."""

from head_office.ledger.migrations.statements import run

revision = "0010_identity"
down_revision = "0009_commands"


def upgrade() -> None:
    run(
        """
        ALTER TABLE certificates ADD COLUMN key_no INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE certificates ADD COLUMN superseded_at INTEGER;
        CREATE INDEX certificates_by_key ON certificates(kid);
        ALTER TABLE devices ADD COLUMN boot_id BLOB;
        CREATE TABLE boots (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            boot_id BLOB NOT NULL,
            first_at INTEGER NOT NULL,
            PRIMARY KEY (device_id, boot_id)
        );
        CREATE TABLE renewals (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            digest BLOB NOT NULL,
            tls_certificate BLOB NOT NULL,
            signing_certificate BLOB NOT NULL,
            at INTEGER NOT NULL,
            PRIMARY KEY (device_id, digest)
        )
        """
    )
