"""Lanes with their heads, packets as they came, alarms.

On PostgreSQL packets are partitioned by device. A unique key must then contain the device, so none of them could
keep a digest unique over all devices; none has to: a packet's place is unique because whoever stores one holds its
device's row.
"""

from head_office.ledger.migrations.statements import on_postgresql, run

revision = "0002_custody"
down_revision = "0001_registry"

PARTITIONS = 16
COLUMNS = """
    device_id TEXT NOT NULL REFERENCES devices(device_id),
    lane TEXT NOT NULL,
    epoch BLOB NOT NULL,
    seq INTEGER NOT NULL,
    in_chain INTEGER NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    stored_at INTEGER NOT NULL,
    signer_kid BLOB,
    created_wall INTEGER,
    created_monotonic_ns INTEGER,
    created_boot_id BLOB,
    clock_offset_ms INTEGER,
    clock_error_ms INTEGER,
    opening TEXT NOT NULL,
    opening_reason TEXT
"""


def upgrade() -> None:
    run(
        """
        CREATE TABLE lanes (
            device_id TEXT NOT NULL REFERENCES devices(device_id),
            lane TEXT NOT NULL,
            epoch BLOB NOT NULL,
            next_seq INTEGER NOT NULL,
            head_hash BLOB NOT NULL,
            frozen_reason TEXT,
            opened_at INTEGER NOT NULL,
            PRIMARY KEY (device_id, lane, epoch)
        );
        CREATE TABLE alarms (
            alarm_no INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            lane TEXT,
            epoch BLOB,
            seq INTEGER,
            UNIQUE (device_id, kind, lane, epoch, seq)
        )
        """
    )
    if on_postgresql():
        run("CREATE SEQUENCE receipt_numbers")
        run(
            "CREATE TABLE packets (receipt_no INTEGER NOT NULL DEFAULT nextval('receipt_numbers'),"
            f" {COLUMNS}, PRIMARY KEY (receipt_no, device_id)) PARTITION BY HASH (device_id)"
        )
        # Ciphertext does not get shorter: no attempt to compress it. Partitions take this over from their parent.
        run("ALTER TABLE packets ALTER COLUMN envelope SET STORAGE EXTERNAL")
        for number in range(PARTITIONS):
            run(
                f"CREATE TABLE packets_{number:02d} PARTITION OF packets"
                f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
            )
    else:
        run(f"CREATE TABLE packets (receipt_no INTEGER PRIMARY KEY AUTOINCREMENT, {COLUMNS})")
    run(
        """
        CREATE UNIQUE INDEX packets_once ON packets(device_id, lane, epoch, seq, digest);
        CREATE UNIQUE INDEX packets_in_chain ON packets(device_id, lane, epoch, seq) WHERE in_chain = 1;
        CREATE INDEX packets_to_open ON packets(receipt_no) WHERE opening = 'WAITING';
        CREATE INDEX packets_held ON packets(receipt_no) WHERE opening IN ('HELD', 'QUARANTINED')
        """
    )
