"""Schema of the outbox, step by step. A step that was ever released is never edited: a new one follows it."""

from collections.abc import Callable

from sync.edge.database import Schema
from sync.edge.outbox_row import TRANSITIONS


def _rows(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE outbox_rows ("
        " id INTEGER PRIMARY KEY,"
        " packet_id BLOB NOT NULL UNIQUE,"
        " lane TEXT NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('READY', 'ACKED', 'PURGED', 'DEAD')),"
        " next_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, last_error TEXT,"
        " digest BLOB NOT NULL, prev_hash BLOB NOT NULL, size INTEGER NOT NULL,"
        " queued_at_ms INTEGER NOT NULL,"
        " verdict TEXT, reason TEXT, receipt_no TEXT, stored_at_ms INTEGER,"
        " receipt_id INTEGER REFERENCES outbox_receipts (id), acked_at_ms INTEGER,"
        # Last: what stands behind a large value is reached only by reading through it.
        " envelope BLOB,"
        " UNIQUE (lane, epoch, seq),"
        # Nothing loses its bytes without a receipt, whatever a later statement says.
        " CHECK (envelope IS NOT NULL OR state = 'PURGED'),"
        " CHECK (receipt_id IS NOT NULL OR state IN ('READY', 'DEAD'))"
        ") STRICT"
    )
    # The order packets leave in. The row id is the last column of every index, so that "oldest of this lane
    # that is READY" is one step down the tree, with a thousand rows waiting or a million.
    schema.execute("CREATE INDEX outbox_next ON outbox_rows (lane, state)")
    schema.execute("CREATE INDEX outbox_purge ON outbox_rows (state, acked_at_ms)")


def _stubs(schema: Schema) -> None:
    # Everything but the envelope, under the index of whatever asks.
    schema.execute(
        "CREATE VIEW outbox_stubs AS SELECT id, packet_id, lane, epoch, seq, state, size, digest, prev_hash,"
        " queued_at_ms, next_at_ms, attempts, last_error, verdict, reason, receipt_no, stored_at_ms, acked_at_ms"
        " FROM outbox_rows"
    )


def _lanes(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE outbox_lanes ("
        " lane TEXT PRIMARY KEY, epoch BLOB NOT NULL, next_seq INTEGER NOT NULL, head_hash BLOB NOT NULL) STRICT"
    )


def _counts(schema: Schema) -> None:
    # Counting a million rows takes 25 ms, reading this one none; triggers keep it true by construction.
    schema.execute(
        "CREATE TABLE outbox_counts ("
        " lane TEXT NOT NULL, state TEXT NOT NULL, packets INTEGER NOT NULL, bytes INTEGER NOT NULL,"
        " PRIMARY KEY (lane, state)) STRICT"
    )
    added = (
        "INSERT INTO outbox_counts (lane, state, packets, bytes) VALUES (new.lane, new.state, 1, new.size)"
        " ON CONFLICT (lane, state) DO UPDATE SET packets = packets + 1, bytes = bytes + excluded.bytes;"
    )
    schema.execute(f"CREATE TRIGGER outbox_counted AFTER INSERT ON outbox_rows BEGIN {added} END")
    taken = (
        "UPDATE outbox_counts SET packets = packets - 1, bytes = bytes - old.size"
        " WHERE lane = old.lane AND state = old.state;"
    )
    schema.execute(
        "CREATE TRIGGER outbox_moved AFTER UPDATE OF state ON outbox_rows WHEN old.state <> new.state"
        f" BEGIN {taken} {added} END"
    )
    allowed = " AND ".join(
        f"NOT (old.state = '{before}' AND new.state = '{after}')" for (before, _), after in TRANSITIONS.items()
    )
    schema.execute(
        "CREATE TRIGGER outbox_table_of_states BEFORE UPDATE OF state ON outbox_rows"
        f" WHEN old.state <> new.state AND {allowed} BEGIN SELECT RAISE(ABORT, 'no such transition'); END"
    )
    # No code path deletes a row; this makes it so for every code path to come.
    schema.execute(
        "CREATE TRIGGER outbox_kept BEFORE DELETE ON outbox_rows"
        " BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END"
    )


def _receipts(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE outbox_receipts ("
        " id INTEGER PRIMARY KEY, received_at_ms INTEGER NOT NULL, kid BLOB NOT NULL, raw BLOB NOT NULL) STRICT"
    )


def _held(schema: Schema) -> None:
    # Few, if any: counting them is reading this index, however many rows there are.
    schema.execute("CREATE INDEX outbox_held ON outbox_rows (lane) WHERE verdict = 'quarantined'")


NAME = "outbox"
STEPS: tuple[Callable[[Schema], None], ...] = (_rows, _stubs, _lanes, _counts, _receipts, _held)
