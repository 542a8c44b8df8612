"""Scanned documents: what their claim and their parts say of each, and which packet holds which part.

Their content is nowhere but in the sealed packets, which stay as they came.
"""

from head_office.ledger.migrations.statements import run

revision = "0011_documents"
down_revision = "0010_identity"


def upgrade() -> None:
    run(
        """
        CREATE TABLE documents (
            device_id TEXT NOT NULL,
            claim_id BLOB NOT NULL,
            idx INTEGER NOT NULL,
            state TEXT NOT NULL,
            reason TEXT,
            listed_type TEXT,
            listed_mime TEXT,
            listed_pages INTEGER,
            listed_size INTEGER,
            listed_sha256 BLOB,
            facts BLOB,
            type_code TEXT,
            media_type TEXT,
            pages INTEGER,
            size INTEGER,
            sha256 BLOB,
            parts INTEGER,
            have INTEGER NOT NULL,
            first_at INTEGER NOT NULL,
            settled_at INTEGER,
            PRIMARY KEY (device_id, claim_id, idx)
        );
        CREATE INDEX documents_to_check ON documents(state) WHERE state IN ('GATHERED', 'UNCLAIMED');
        CREATE INDEX documents_unclaimed ON documents(first_at) WHERE listed_type IS NULL;
        CREATE TABLE document_parts (
            device_id TEXT NOT NULL,
            claim_id BLOB NOT NULL,
            idx INTEGER NOT NULL,
            part INTEGER NOT NULL,
            receipt_no INTEGER NOT NULL,
            content_sha256 BLOB NOT NULL,
            PRIMARY KEY (device_id, claim_id, idx, part)
        )
        """
    )
