"""A queue written by the version before is taken over whole: rows, bytes, places, counts."""

from uuid import UUID

from sync.edge import migrations
from sync.edge.database import Database
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import ChainPosition
from sync.envelope import FIRST_SEQ, NO_HASH, Lane, envelope_digest
from tests.sync.edge.conftest import Desk, packet_id

BEFORE = migrations.STEPS[:6]


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
