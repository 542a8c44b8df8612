"""The ledger's schema, step by step. A step that was released is never edited: add the next one.

Times are whole milliseconds of UTC since 1970. Hashes, epochs and key ids are raw bytes. The SQL keeps to what
SQLite and PostgreSQL both understand.
"""

STEPS: tuple[tuple[str, str], ...] = (
    (
        "0001_registry",
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
        """,
    ),
    (
        "0002_custody",
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
        CREATE TABLE packets (
            receipt_no INTEGER PRIMARY KEY AUTOINCREMENT,
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
        );
        CREATE UNIQUE INDEX packets_once ON packets(device_id, lane, epoch, seq, digest);
        CREATE UNIQUE INDEX packets_in_chain ON packets(device_id, lane, epoch, seq) WHERE in_chain = 1;
        CREATE INDEX packets_to_open ON packets(receipt_no) WHERE opening = 'WAITING';
        CREATE TABLE alarms (
            alarm_no INTEGER PRIMARY KEY AUTOINCREMENT,
            at INTEGER NOT NULL,
            device_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            lane TEXT,
            epoch BLOB,
            seq INTEGER,
            UNIQUE (device_id, kind, lane, epoch, seq)
        );
        """,
    ),
    (
        "0003_claims",
        """
        CREATE TABLE claims (
            receipt_no INTEGER PRIMARY KEY REFERENCES packets(receipt_no),
            packet_id BLOB NOT NULL UNIQUE,
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
            detail TEXT NOT NULL
        );
        CREATE INDEX claims_by_nik ON claims(nik);
        CREATE INDEX claims_by_kpj ON claims(kpj);
        """,
    ),
    (
        "0004_people",
        """
        CREATE TABLE desk_users (
            name TEXT PRIMARY KEY,
            password_hash TEXT NOT NULL,
            added_at INTEGER NOT NULL
        );
        CREATE TABLE acts (
            act_no INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,
            who TEXT NOT NULL,
            act TEXT NOT NULL,
            facts TEXT NOT NULL,
            previous BLOB NOT NULL,
            hash BLOB NOT NULL
        );
        """,
    ),
    (
        # Each device draws its own packet ids: one that repeats another's must not keep that one's claim off the desk.
        "0005_packet_ids_per_device",
        """
        CREATE TABLE claims_per_device (
            receipt_no INTEGER PRIMARY KEY REFERENCES packets(receipt_no),
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
            UNIQUE (device_id, packet_id)
        );
        INSERT INTO claims_per_device
            SELECT receipt_no, packet_id, agenda_no, agenda_at, status, device_id, branch_code, kanwil_code,
                partner_code, programme, reason_code, npp, company_name, full_name, kpj, nik, na_code, path, flags,
                captured_at, detail
            FROM claims;
        DROP TABLE claims;
        ALTER TABLE claims_per_device RENAME TO claims;
        CREATE INDEX claims_by_nik ON claims(nik);
        CREATE INDEX claims_by_kpj ON claims(kpj);
        CREATE INDEX claims_by_packet ON claims(packet_id);
        """,
    ),
)
