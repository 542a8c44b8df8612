"""Opened claims.

Each device draws its own packet ids: one that repeats another's must not keep that one's claim off the desk. The
key to packets names the device as well, because packets are partitioned by it on PostgreSQL.
"""

from head_office.ledger.migrations.statements import on_postgresql, run

revision = "0003_claims"
down_revision = "0002_custody"


def upgrade() -> None:
    packet = (
        "FOREIGN KEY (receipt_no, device_id) REFERENCES packets(receipt_no, device_id)"
        if on_postgresql()
        else "FOREIGN KEY (receipt_no) REFERENCES packets(receipt_no)"
    )
    run(
        f"""
        CREATE TABLE claims (
            receipt_no INTEGER PRIMARY KEY,
            packet_id BLOB NOT NULL,
            agenda_no INTEGER NOT NULL UNIQUE,
            agenda_at INTEGER NOT NULL,
            status TEXT NOT NULL,
            device_id TEXT NOT NULL,
            branch_code TEXT NOT NULL,
            kanwil_code TEXT NOT NULL,
            partner_code TEXT,
            programme TEXT NOT NULL,
            reason_code TEXT NOT NULL,
            npp TEXT,
            company_name TEXT,
            full_name TEXT NOT NULL,
            kpj TEXT NOT NULL,
            nik TEXT NOT NULL,
            na_code TEXT NOT NULL,
            path TEXT NOT NULL,
            flags TEXT NOT NULL,
            captured_at INTEGER NOT NULL,
            detail TEXT NOT NULL,
            UNIQUE (device_id, packet_id),
            {packet}
        );
        CREATE INDEX claims_by_nik ON claims(nik);
        CREATE INDEX claims_by_kpj ON claims(kpj);
        CREATE INDEX claims_by_packet ON claims(packet_id)
        """
    )
