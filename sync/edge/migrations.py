"""Schema of the outbox, step by step. A step that was ever released is never edited: a new one follows it."""

from collections.abc import Callable

from sync.edge.database import Schema
from sync.edge.outbox_row import PLACES, TRANSITIONS, RowEvent


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
    moves = (("READY", "ACKED"), ("READY", "DEAD"), ("ACKED", "PURGED"))
    allowed = " AND ".join(f"NOT (old.state = '{before}' AND new.state = '{after}')" for before, after in moves)
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


def _apart(schema: Schema) -> None:
    """Rows, envelopes and chains each in a table of their own.

    A row with its envelope inside was written anew, envelope and all, whenever a verdict or a failed attempt changed
    its length. And a lane may have several chains: the one of the present epoch, and those from before that still
    wait for receipts.
    """
    schema.execute("DROP VIEW outbox_stubs")
    for trigger in ("counted", "moved", "table_of_states", "kept"):
        schema.execute(f"DROP TRIGGER outbox_{trigger}")
    for index in ("next", "purge", "held"):
        schema.execute(f"DROP INDEX outbox_{index}")
    schema.execute("ALTER TABLE outbox_rows RENAME TO outbox_rows_before")
    _chains(schema)
    _narrow_rows(schema)
    _envelopes(schema)
    schema.execute(
        "INSERT INTO outbox_rows (id, packet_id, chain, seq, state, next_at_ms, attempts, last_error, digest,"
        " prev_hash, size, total, queued_at_ms, verdict, reason, receipt_no, stored_at_ms, receipt_id, acked_at_ms)"
        " SELECT b.id, packet_id, c.id, seq, state, next_at_ms, attempts, last_error, digest, prev_hash, size,"
        " sum(size) OVER (PARTITION BY c.id ORDER BY seq), queued_at_ms, verdict, reason, receipt_no, stored_at_ms,"
        " receipt_id, acked_at_ms FROM outbox_rows_before b JOIN outbox_chains c USING (lane, epoch) ORDER BY b.id"
    )
    schema.execute(
        "INSERT INTO outbox_envelopes (id, bytes)"
        " SELECT id, envelope FROM outbox_rows_before WHERE envelope IS NOT NULL ORDER BY id"
    )
    schema.execute(
        "UPDATE outbox_chains SET (acked, purged, dead, held, left_bytes) = (SELECT"
        " count(*) FILTER (WHERE state = 'ACKED'), count(*) FILTER (WHERE state = 'PURGED'),"
        " count(*) FILTER (WHERE state = 'DEAD'), count(*) FILTER (WHERE verdict = 'quarantined'),"
        " coalesce(sum(size) FILTER (WHERE state <> 'READY'), 0) FROM outbox_rows WHERE chain = outbox_chains.id)"
    )
    schema.execute("DROP TABLE outbox_rows_before")
    schema.execute("DROP TABLE outbox_lanes")
    schema.execute("DROP TABLE outbox_counts")
    _guards(schema)
    _guards_of_bytes_under_their_row(schema)
    schema.execute(
        "CREATE VIEW outbox_stubs AS SELECT r.id, packet_id, lane, epoch, chain, seq, state, size, digest, prev_hash,"
        " queued_at_ms, next_at_ms, attempts, last_error, verdict, reason, receipt_no, stored_at_ms, acked_at_ms,"
        " resends FROM outbox_rows r JOIN outbox_chains c ON c.id = r.chain"
    )


def _chains(schema: Schema) -> None:
    # What a count would have to walk a million rows for stands here. Nothing here changes when a packet is put:
    # the last row of a chain is its head, and knows the bytes of all before it.
    schema.execute(
        "CREATE TABLE outbox_chains ("
        " id INTEGER PRIMARY KEY, lane TEXT NOT NULL, epoch BLOB NOT NULL,"
        " acked INTEGER NOT NULL DEFAULT 0, purged INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0,"
        " held INTEGER NOT NULL DEFAULT 0, left_bytes INTEGER NOT NULL DEFAULT 0,"
        # No packet before this place waits. So the next to send is found from here along (chain, seq), and no index
        # of its own has to be written with every packet that is put.
        " first_ready INTEGER NOT NULL DEFAULT 1,"
        " UNIQUE (lane, epoch)) STRICT"
    )
    schema.execute("INSERT INTO outbox_chains (lane, epoch) SELECT lane, epoch FROM outbox_lanes ORDER BY lane")


def _narrow_rows(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE outbox_rows ("
        " id INTEGER PRIMARY KEY,"
        " packet_id BLOB NOT NULL UNIQUE,"
        " chain INTEGER NOT NULL REFERENCES outbox_chains (id), seq INTEGER NOT NULL,"
        " state TEXT NOT NULL CHECK (state IN ('READY', 'ACKED', 'PURGED', 'DEAD')),"
        " next_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, last_error TEXT,"
        " digest BLOB NOT NULL, prev_hash BLOB NOT NULL, size INTEGER NOT NULL,"
        " total INTEGER NOT NULL,"  # bytes of this chain up to here
        " queued_at_ms INTEGER NOT NULL,"
        " verdict TEXT, reason TEXT, receipt_no TEXT, stored_at_ms INTEGER,"
        " receipt_id INTEGER REFERENCES outbox_receipts (id), acked_at_ms INTEGER,"
        " resends INTEGER NOT NULL DEFAULT 0,"
        " UNIQUE (chain, seq),"
        " CHECK (receipt_id IS NOT NULL OR state IN ('READY', 'DEAD'))"
        ") STRICT"
    )
    # Each holds the rows of its kind only: none is written when a packet is put.
    schema.execute("CREATE INDEX outbox_acked ON outbox_rows (acked_at_ms) WHERE state = 'ACKED'")
    schema.execute("CREATE INDEX outbox_dead ON outbox_rows (chain) WHERE state = 'DEAD'")
    schema.execute("CREATE INDEX outbox_last_word ON outbox_rows (chain) WHERE verdict IS NOT NULL")


def _envelopes(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE outbox_envelopes ("
        " id INTEGER PRIMARY KEY REFERENCES outbox_rows (id), bytes BLOB NOT NULL) STRICT"
    )


def _guards(schema: Schema) -> None:
    """What no statement may do, whatever code comes later."""
    again = "old.state IN ('ACKED', 'DEAD') AND new.state = 'READY' AND new.resends = old.resends + 1"
    allowed = " AND ".join(
        f"NOT (old.state = '{before}' AND new.state = '{after}')"
        for (before, event), after in TRANSITIONS.items()
        if event is not RowEvent.ASKED_AGAIN
    )
    schema.execute(
        "CREATE TRIGGER outbox_table_of_states BEFORE UPDATE OF state ON outbox_rows"
        f" WHEN old.state <> new.state AND {allowed} AND NOT ({again})"
        " BEGIN SELECT RAISE(ABORT, 'no such transition'); END"
    )
    schema.execute(
        "CREATE TRIGGER outbox_kept BEFORE DELETE ON outbox_rows"
        " BEGIN SELECT RAISE(ABORT, 'rows are never deleted'); END"
    )
    schema.execute(
        "CREATE TRIGGER outbox_moved AFTER UPDATE OF state ON outbox_rows WHEN old.state <> new.state BEGIN"
        " UPDATE outbox_chains SET"
        " acked = acked + (new.state = 'ACKED') - (old.state = 'ACKED'),"
        " purged = purged + (new.state = 'PURGED') - (old.state = 'PURGED'),"
        " dead = dead + (new.state = 'DEAD') - (old.state = 'DEAD'),"
        " left_bytes = left_bytes + new.size * ((new.state <> 'READY') - (old.state <> 'READY')),"
        " first_ready = CASE WHEN new.state = 'READY' THEN min(first_ready, new.seq) ELSE first_ready END"
        " WHERE id = new.chain; END"
    )
    schema.execute(
        "CREATE TRIGGER outbox_judged AFTER UPDATE OF verdict ON outbox_rows"
        " WHEN (old.verdict IS 'quarantined') <> (new.verdict IS 'quarantined') BEGIN"
        " UPDATE outbox_chains SET held = held + (new.verdict IS 'quarantined') - (old.verdict IS 'quarantined')"
        " WHERE id = new.chain; END"
    )


def _guards_of_bytes_under_their_row(schema: Schema) -> None:
    schema.execute(
        "CREATE TRIGGER outbox_sealed BEFORE UPDATE ON outbox_envelopes"
        " BEGIN SELECT RAISE(ABORT, 'sealed bytes never change'); END"
    )
    # Nothing loses its bytes without a receipt: only a purged row may, and none is purged without one.
    schema.execute(
        "CREATE TRIGGER outbox_held_fast BEFORE DELETE ON outbox_envelopes"
        " WHEN (SELECT state FROM outbox_rows WHERE id = old.id) <> 'PURGED'"
        " BEGIN SELECT RAISE(ABORT, 'only purged rows lose their bytes'); END"
    )
    schema.execute(
        "CREATE TRIGGER outbox_purged AFTER UPDATE OF state ON outbox_rows WHEN new.state = 'PURGED'"
        " BEGIN DELETE FROM outbox_envelopes WHERE id = new.id; END"
    )


def _owners(schema: Schema) -> None:
    # Whose signature the packets of a chain carry: only that device can deliver them.
    schema.execute("ALTER TABLE outbox_chains ADD COLUMN device_id TEXT")


def _older_receipts(schema: Schema) -> None:
    # The newest export to a stick when head office asked for the packet again: receipts up to it are of before.
    schema.execute("ALTER TABLE outbox_rows ADD COLUMN resent_after INTEGER")


def _by_place(schema: Schema) -> None:
    """The number of a row is its place (outbox_row.row_id), which spares every packet that is put an index of places.

    Only the narrow rows are written anew. Sealed bytes stay where they lie, there may be gigabytes of them and no
    room: rows from before know under which number.
    """
    _free_envelopes(schema)
    schema.execute("DROP VIEW outbox_stubs")
    schema.execute("DROP TRIGGER outbox_held_fast")
    schema.execute("ALTER TABLE outbox_rows RENAME TO outbox_rows_before")
    _rows_by_place(schema)
    columns = (
        "packet_id, state, next_at_ms, attempts, last_error, digest, prev_hash, size, total, queued_at_ms, verdict,"
        " reason, receipt_no, stored_at_ms, receipt_id, acked_at_ms, resends, resent_after"
    )
    schema.execute(
        f"INSERT INTO outbox_rows (id, envelope, {columns})"  # noqa: S608 - fixed words
        f" SELECT chain * {PLACES} + seq, id, {columns} FROM outbox_rows_before ORDER BY chain, seq"
    )
    # Its indexes and triggers go with it.
    schema.execute("DROP TABLE outbox_rows_before")
    schema.execute("CREATE INDEX outbox_acked ON outbox_rows (acked_at_ms) WHERE state = 'ACKED'")
    schema.execute("CREATE INDEX outbox_dead ON outbox_rows (chain) WHERE state = 'DEAD'")
    schema.execute("CREATE INDEX outbox_last_word ON outbox_rows (chain) WHERE verdict IS NOT NULL")
    schema.execute("CREATE UNIQUE INDEX outbox_elsewhere ON outbox_rows (envelope) WHERE envelope IS NOT NULL")
    _guards(schema)
    schema.execute(
        "CREATE TRIGGER outbox_held_fast BEFORE DELETE ON outbox_envelopes WHEN"
        " NOT EXISTS (SELECT 1 FROM outbox_rows WHERE id = old.id AND state = 'PURGED') AND"
        " NOT EXISTS (SELECT 1 FROM outbox_rows WHERE envelope = old.id AND state = 'PURGED')"
        " BEGIN SELECT RAISE(ABORT, 'only purged rows lose their bytes'); END"
    )
    schema.execute(
        "CREATE TRIGGER outbox_purged AFTER UPDATE OF state ON outbox_rows WHEN new.state = 'PURGED'"
        " BEGIN DELETE FROM outbox_envelopes WHERE id = coalesce(new.envelope, new.id); END"
    )
    schema.execute(
        "CREATE VIEW outbox_stubs AS SELECT r.id, packet_id, lane, epoch, chain, seq, state, size, digest, prev_hash,"
        " queued_at_ms, next_at_ms, attempts, last_error, verdict, reason, receipt_no, stored_at_ms, acked_at_ms,"
        " resends FROM outbox_rows r JOIN outbox_chains c ON c.id = r.chain"
    )


def _free_envelopes(schema: Schema) -> None:
    """Take the reference to rows out of the declaration of ``outbox_envelopes``, as SQLite's manual has it done.

    SQLite has no statement for that, and making the table anew would copy every byte that waits.
    """
    schema.execute("PRAGMA writable_schema = ON")
    try:
        changed = schema.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' REFERENCES outbox_rows (id)', '')"
            " WHERE type = 'table' AND name = 'outbox_envelopes' AND sql LIKE '% REFERENCES outbox_rows (id)%'"
        ).rowcount
        assert changed == 1, "made by a step above"
    finally:
        schema.execute("PRAGMA writable_schema = RESET")  # has the engine read its schema again


def _rows_by_place(schema: Schema) -> None:
    schema.execute(
        "CREATE TABLE outbox_rows ("
        " id INTEGER PRIMARY KEY,"
        " packet_id BLOB NOT NULL UNIQUE,"
        # Not IN: for more than two words the engine makes a table of them, at every INSERT.
        " state TEXT NOT NULL CHECK (state = 'READY' OR state = 'ACKED' OR state = 'PURGED' OR state = 'DEAD'),"
        " next_at_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, last_error TEXT,"
        " digest BLOB NOT NULL, prev_hash BLOB NOT NULL, size INTEGER NOT NULL,"
        " total INTEGER NOT NULL,"
        " queued_at_ms INTEGER NOT NULL,"
        " verdict TEXT, reason TEXT, receipt_no TEXT, stored_at_ms INTEGER,"
        " receipt_id INTEGER REFERENCES outbox_receipts (id), acked_at_ms INTEGER,"
        " resends INTEGER NOT NULL DEFAULT 0, resent_after INTEGER,"
        " envelope INTEGER,"  # where its bytes lie, for a row of before; else they have its own number
        f" chain INTEGER NOT NULL AS (id / {PLACES}) VIRTUAL REFERENCES outbox_chains (id),"
        f" seq INTEGER NOT NULL AS (id % {PLACES}) VIRTUAL,"
        " CHECK (state = 'READY' OR receipt_id IS NOT NULL OR state = 'DEAD')"
        ") STRICT"
    )


NAME = "outbox"


def _times_of_head_office(schema: Schema) -> None:
    # Retention used to run from this machine's wall clock at the receipt, which may have been wrong by years.
    schema.execute(
        "UPDATE outbox_rows SET acked_at_ms = stored_at_ms WHERE state = 'ACKED' AND stored_at_ms IS NOT NULL"
    )


STEPS: tuple[Callable[[Schema], None], ...] = (
    _rows, _stubs, _lanes, _counts, _receipts, _held, _apart, _owners, _older_receipts,
    _by_place, _times_of_head_office,
)  # fmt: skip
