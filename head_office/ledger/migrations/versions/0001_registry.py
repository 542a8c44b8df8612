"""Devices, their certificates, enrolment tokens."""

from head_office.ledger.migrations.statements import run

revision = "0001_registry"
down_revision = None


def upgrade() -> None:
    run(
        """
        CREATE TABLE devices (
            device_id TEXT PRIMARY KEY,
            serial TEXT NOT NULL,
            branch_code TEXT NOT NULL,
            kanwil_code TEXT NOT NULL,
            partner_code TEXT,
            site_type TEXT NOT NULL,
            state TEXT NOT NULL,
            state_reason TEXT,
            enrolled_at INTEGER NOT NULL,
            last_seen_at INTEGER,
            last_checkpoint TEXT,
            clock_offset_ms INTEGER
        );
        CREATE TABLE certificates (
            fingerprint BLOB PRIMARY KEY,
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            purpose TEXT NOT NULL,
            kid BLOB NOT NULL,
            spki BLOB NOT NULL,
            certificate BLOB NOT NULL,
            not_before INTEGER NOT NULL,
            not_after INTEGER NOT NULL
        );
        CREATE INDEX certificates_by_kid ON certificates(device_id, purpose, kid);
        CREATE TABLE tokens (
            token_hash BLOB PRIMARY KEY,
            branch_code TEXT NOT NULL,
            kanwil_code TEXT NOT NULL,
            partner_code TEXT,
            site_type TEXT NOT NULL,
            serial TEXT,
            issued_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            used_at INTEGER,
            device_id TEXT REFERENCES devices(device_id)
        );
        """
    )
