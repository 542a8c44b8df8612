"""A queue written by an older version is taken over whole: rows, bytes, places, counts."""

import sqlite3
from datetime import timedelta
from uuid import UUID

import pytest

from sync.edge import migrations
from sync.edge.database import Database, Schema
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import ChainPosition, RowState
from sync.envelope import FIRST_SEQ, NO_HASH, Lane, envelope_digest
from tests.sync.edge.conftest import Desk, packet_id
from tests.sync.edge.test_outbox import signed, verdict_on

BEFORE = migrations.STEPS[:6]
NUMBERED = migrations.STEPS[:9]
"""Rows apart from their bytes, both under running numbers."""


def write_as_before(desk: Desk, database: Database) -> dict[UUID, bytes]:
    """Two lanes, a packet in each state, as the steps before this version stored them."""
    database.migrate(migrations.NAME, BEFORE)
    envelopes: dict[UUID, bytes] = {}
    with database.transaction() as tx:
        tx.execute("INSERT INTO outbox_receipts VALUES (1, 0, x'00', x'01')")
        for lane, states in ((Lane.CORE, ("PURGED", "ACKED", "DEAD", "READY", "READY")), (Lane.DOCUMENTS, ("READY",))):
            epoch, previous = lane.value.encode().ljust(16, b"-"), NO_HASH
            for seq, state in enumerate(states, FIRST_SEQ):
                number = seq + 100 * (lane is Lane.DOCUMENTS)
                envelope = desk.sealer.sealed(b"packet %d" % number)(ChainPosition(lane, epoch, seq, previous))
                settled = state in ("PURGED", "ACKED")
                tx.execute(
                    "INSERT INTO outbox_rows (packet_id, lane, epoch, seq, state, next_at_ms, attempts, digest,"
                    " prev_hash, size, queued_at_ms, verdict, receipt_id, acked_at_ms, envelope)"
                    " VALUES (?, ?, ?, ?, ?, 0, 0, ?, ?, ?, 0, ?, ?, ?, ?)",
                    (
                        packet_id(number).bytes,
                        lane.value,
                        epoch,
                        seq,
                        state,
                        envelope_digest(envelope),
                        previous,
                        len(envelope),
                        {"PURGED": "accepted", "ACKED": "quarantined", "DEAD": "not_yours"}.get(state),
                        1 if settled else None,
                        5 if settled else None,
                        None if state == "PURGED" else envelope,
                    ),
                )
                previous = envelope_digest(envelope)
                envelopes[packet_id(number)] = envelope
            tx.execute("INSERT INTO outbox_lanes VALUES (?, ?, ?, ?)", (lane.value, epoch, len(states) + 1, previous))
    return envelopes


def test_a_queue_of_the_version_before_goes_on_without_a_seam(desk: Desk) -> None:
    """Nothing waits less or more than before, and the next packet takes the next place."""
    path = desk.path.with_name("older.db")
    with Database(path) as database:
        envelopes = write_as_before(desk, database)
    with Database(path) as database:
        outbox = Outbox(database, desk.clock)
        assert outbox.check_chain() == 6
        core, documents = outbox.counts()
        assert (core.ready, core.acked, core.purged, core.dead, core.held) == (2, 1, 1, 1, 1)
        assert (documents.ready, documents.next_seq) == (1, 2)
        assert core.ready_bytes == sum(len(envelopes[packet_id(number)]) for number in (4, 5))
        waiting = outbox.due(desk.clock.utc(), 10**7)
        assert [row.envelope for row in waiting] == [envelopes[packet_id(number)] for number in (4, 5, 101)]
        following = outbox.put(packet_id(6), Lane.CORE, desk.sealer.sealed(b"packet 6"))
        assert (following.seq, following.prev_hash) == (6, envelope_digest(envelopes[packet_id(5)]))
        assert outbox.check_chain() == 7
        assert database.read("PRAGMA foreign_key_check") == []


def write_numbered(desk: Desk, database: Database) -> dict[int, bytes]:
    """Two lanes that took turns, a packet in each state, as the version before this one stored them."""
    database.migrate(migrations.NAME, NUMBERED)
    envelopes: dict[int, bytes] = {}
    lanes = {Lane.CORE: (1, b"c" * 16), Lane.DOCUMENTS: (2, b"d" * 16)}
    heads = dict.fromkeys(lanes, (FIRST_SEQ, NO_HASH, 0))
    with database.transaction() as tx:
        for lane, (chain, epoch) in lanes.items():
            tx.execute("INSERT INTO outbox_chains (id, lane, epoch) VALUES (?, ?, ?)", (chain, lane.value, epoch))
        tx.execute("INSERT INTO outbox_receipts VALUES (1, 0, x'00', x'01')")
        for number in range(1, 11):
            lane = Lane.CORE if number % 2 else Lane.DOCUMENTS
            chain, epoch = lanes[lane]
            seq, previous, total = heads[lane]
            envelope = desk.sealer.sealed(b"packet %d" % number)(ChainPosition(lane, epoch, seq, previous))
            heads[lane] = (seq + 1, envelope_digest(envelope), total + len(envelope))
            tx.execute(
                "INSERT INTO outbox_rows (packet_id, chain, seq, state, next_at_ms, attempts, digest, prev_hash, size,"
                " total, queued_at_ms) VALUES (?, ?, ?, 'READY', 0, 0, ?, ?, ?, ?, ?)",
                (
                    packet_id(number).bytes,
                    chain,
                    seq,
                    envelope_digest(envelope),
                    previous,
                    len(envelope),
                    heads[lane][2],
                    number,
                ),
            )
            tx.execute("INSERT INTO outbox_envelopes (id, bytes) VALUES (?, ?)", (number, envelope))
            envelopes[number] = envelope
        tx.execute(
            "UPDATE outbox_rows SET state = 'ACKED', receipt_id = 1, acked_at_ms = 5, verdict = 'accepted',"
            " stored_at_ms = 5, receipt_no = 'R-' || id WHERE id <= 4"
        )
        tx.execute("UPDATE outbox_rows SET state = 'PURGED' WHERE id <= 2")
        tx.execute("UPDATE outbox_rows SET state = 'DEAD', verdict = 'not_yours' WHERE id = 5")
        tx.execute("UPDATE outbox_chains SET first_ready = 4 WHERE id = 1")
        tx.execute("UPDATE outbox_chains SET first_ready = 3 WHERE id = 2")
    return envelopes


def test_a_queue_of_running_numbers_is_taken_over_without_touching_a_sealed_byte(desk: Desk) -> None:
    """Rows get their places for numbers; the bytes, perhaps gigabytes on a full disk, lie where they lay."""
    path = desk.path.with_name("numbered.db")
    with Database(path) as database:
        envelopes = write_numbered(desk, database)
        lay = database.read("SELECT id, bytes FROM outbox_envelopes ORDER BY id")
    with Database(path) as database:
        outbox = Outbox(database, desk.clock)
        assert [tuple(row) for row in database.read("SELECT id, bytes FROM outbox_envelopes ORDER BY id")] == [
            tuple(row) for row in lay
        ]
        assert outbox.check_chain() == 10
        assert [(c.ready, c.acked, c.purged, c.dead) for c in outbox.counts()] == [(2, 1, 1, 1), (3, 1, 1, 0)]
        assert [row.envelope for row in outbox.due(desk.clock.utc(), 10**7)] == [envelopes[n] for n in (7, 9, 6, 8, 10)]
        assert [row.packet_id for row in outbox.rows()] == [packet_id(number) for number in range(10, 0, -1)]
        assert database.read("PRAGMA foreign_key_check") == []
        assert "REFERENCES" not in database.read("SELECT sql FROM sqlite_master WHERE name = 'outbox_envelopes'")[0][0]
        following = [outbox.put(packet_id(n), Lane.CORE, desk.sealer.sealed(b"packet %d" % n)) for n in (11, 12)]
        assert [row.seq for row in following] == [6, 7]
        assert following[0].prev_hash == envelope_digest(envelopes[9])
        assert outbox.put(packet_id(9), Lane.CORE, desk.sealer.sealed(b"again")).seq == 5
        assert outbox.check_chain() == 12
        # Whose a chain is stands in its newest packet, in one lane one of before.
        assert [begun.last_seq for begun in outbox.take_up("another-device")] == [7, 5]


def test_packets_of_before_are_guarded_resent_and_purged_as_the_new_ones_are(desk: Desk) -> None:
    """What no statement may do it may not do to them either; what head office orders is done to both."""
    path = desk.path.with_name("numbered.db")
    with Database(path) as database:
        envelopes = write_numbered(desk, database)
    with Database(path) as database:
        outbox = Outbox(database, desk.clock)
        new = outbox.put(packet_id(11), Lane.CORE, desk.sealer.sealed(b"packet 11"))
        for row_id in (3, 5, 9, new.id):  # acknowledged, refused, waiting; waiting and of today
            for statement in (
                "DELETE FROM outbox_envelopes WHERE id = ?",
                "UPDATE outbox_envelopes SET id = -id WHERE id = ?",
            ):
                with pytest.raises(sqlite3.IntegrityError), database.transaction() as tx:
                    tx.execute(statement, (row_id,))
        with pytest.raises(sqlite3.IntegrityError), database.transaction() as tx:
            tx.execute("UPDATE outbox_rows SET state = 'READY' WHERE state = 'ACKED'")
        kept = {row.packet_id: row for row in outbox.rows()}
        assert [row.id for row in outbox.settle(signed(desk, verdict_on(kept[packet_id(7)]))).acked] == [
            kept[packet_id(7)].id
        ]
        assert outbox.resend(Lane.CORE, kept[packet_id(5)].epoch, 1, 3).again == 2
        assert [row.envelope for row in outbox.due(desk.clock.utc(), 10**7)][:2] == [envelopes[3], envelopes[5]]
        assert outbox.purge(desk.clock.utc() + timedelta(days=1)) == 2
        assert outbox.envelope(kept[packet_id(4)].id) is None
        assert {row.packet_id for row in outbox.rows(RowState.PURGED)} == {packet_id(n) for n in (1, 2, 4, 7)}
        assert [row[0] for row in database.read("SELECT id FROM outbox_envelopes ORDER BY id")] == [
            3,
            5,
            6,
            *range(8, 11),
            new.id,
        ]
        assert outbox.check_chain() == 11


def test_a_step_that_breaks_off_leaves_the_older_queue_as_it_was(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power fails or the disk fills in the middle: the next start finds the older queue and takes it over."""
    path = desk.path.with_name("numbered.db")
    with Database(path) as database:
        envelopes = write_numbered(desk, database)

    def breaks_off(schema: Schema) -> None:
        migrations.STEPS[9](schema)
        raise sqlite3.OperationalError("in the middle")

    breaks_off.__name__ = migrations.STEPS[9].__name__
    with Database(path) as database:
        declared = "SELECT sql FROM sqlite_master ORDER BY name"
        before = [row[0] for row in database.read(declared)]
        with pytest.raises(sqlite3.OperationalError):
            database.migrate(migrations.NAME, (*NUMBERED, breaks_off))
        assert [row[0] for row in database.read(declared)] == before
        with pytest.raises(sqlite3.OperationalError), database.transaction() as tx:
            tx.execute("UPDATE sqlite_master SET sql = sql")  # the schema is closed again
        assert database.read("PRAGMA integrity_check")[0][0] == "ok"
        outbox = Outbox(database, desk.clock)
        assert [row.envelope for row in outbox.due(desk.clock.utc(), 10**7)] == [envelopes[n] for n in (7, 9, 6, 8, 10)]


def test_the_retention_of_an_older_queue_runs_by_head_offices_time_too(desk: Desk) -> None:
    """It used to note this machine's wall clock, here ten years ahead; what head office signed was noted as well."""
    path = desk.path.with_name("ahead.db")
    with Database(path) as database:
        write_numbered(desk, database)
        with database.transaction() as tx:
            tx.execute("UPDATE outbox_rows SET acked_at_ms = 2000000000000 WHERE state = 'ACKED'")
    with Database(path) as database:
        assert Outbox(database, desk.clock).purge(desk.clock.utc()) == 2
