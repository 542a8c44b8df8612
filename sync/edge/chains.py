"""The chains of the queue: one per lane and epoch, the newest of a lane is the one that grows.

The head of a chain is its last row and stands nowhere else, so that the two can not disagree. A chain that ended
stays: its packets name their epoch under their signature and are delivered under it, whatever follows.
"""

import hashlib
from dataclasses import dataclass

from sync.edge.database import Database, Row, Transaction
from sync.edge.outbox_row import row_id
from sync.envelope import FIRST_SEQ, NO_HASH, Lane, read_header
from sync.errors import ChainError

ROWS_AT_ONCE, ENVELOPES_AT_ONCE = 5_000, 64
"""Of a check: what one step holds in memory (about a megabyte, and at most 25 MB), and how long others wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """One chain and its head."""

    id: int
    lane: Lane
    epoch: bytes
    next_seq: int
    head_hash: bytes
    total: int
    """Bytes of every packet ever put into it."""
    acked: int
    purged: int
    dead: int
    held: int
    left_bytes: int
    """Of ``total``, what no longer waits."""
    first_ready: int
    """No packet before this place waits."""
    device_id: str | None
    """Who signed its packets; None before the first enrolment."""

    @property
    def ready(self) -> int:
        """Packets that wait."""
        return self.next_seq - FIRST_SEQ - self.acked - self.purged - self.dead


_CHAIN = (
    "SELECT c.id, lane, epoch, c.acked, c.purged, c.dead, c.held, c.left_bytes, first_ready, c.device_id,"
    " r.seq, r.digest, r.total"
    " FROM outbox_chains c LEFT JOIN outbox_rows r"
    " ON r.id = (SELECT max(id) FROM outbox_rows WHERE id BETWEEN c.id << 40 AND (c.id + 1 << 40) - 1)"
)


def current(tx: Transaction, lane: Lane) -> Chain:
    """The chain of a lane that grows."""
    return _from(
        tx.execute(
            f"{_CHAIN} WHERE c.id = (SELECT max(id) FROM outbox_chains WHERE lane = ?)",  # noqa: S608 - fixed words
            (lane.value,),
        ).fetchone()
    )


def of_lane(tx: Transaction, lane: Lane) -> list[Chain]:
    """Every chain of a lane, the one that grows last."""
    found = tx.execute(f"{_CHAIN} WHERE lane = ? ORDER BY c.id", (lane.value,))
    return [_from(row) for row in found.fetchall()]


def of_this_device(tx: Transaction, lane: Lane) -> list[Chain]:
    """The same without what was sealed under a former enrolment: head office takes that from the former device only."""
    every = of_lane(tx, lane)
    return [chain for chain in every if chain.device_id == every[-1].device_id]


def find(tx: Transaction, lane: Lane, epoch: bytes) -> Chain | None:
    """The chain of that lane and epoch, if it is ours."""
    row = tx.execute(
        f"{_CHAIN} WHERE lane = ? AND epoch = ?",
        (lane.value, epoch),
    ).fetchone()
    return None if row is None else _from(row)


def begin(tx: Transaction, lane: Lane, epoch: bytes, device_id: str | None) -> None:
    """From now on packets of this lane go into a new chain, signed by that device."""
    tx.execute("INSERT INTO outbox_chains (lane, epoch, device_id) VALUES (?, ?, ?)", (lane.value, epoch, device_id))


def take_up(tx: Transaction, lane: Lane, device_id: str) -> bool:
    """Whether the chain that grows is that device's; one that is nobody's yet becomes it."""
    growing = current(tx, lane)
    if growing.device_id is not None:
        return growing.device_id == device_id
    sealed = tx.execute(
        "SELECT bytes FROM outbox_rows r JOIN outbox_envelopes e ON e.id = coalesce(r.envelope, r.id)"
        " WHERE r.id BETWEEN ? AND ? ORDER BY r.id DESC LIMIT 1",
        (row_id(growing.id, 0), row_id(growing.id + 1, 0) - 1),
    ).fetchone()
    owner = device_id if sealed is None else read_header(sealed["bytes"]).device_id
    tx.execute("UPDATE outbox_chains SET device_id = ? WHERE lane = ? AND device_id IS NULL", (owner, lane.value))
    return owner == device_id


def advance(tx: Transaction, chain: int) -> None:
    """After packets were settled: from where on the next to send is looked for."""
    tx.execute(
        "UPDATE outbox_chains SET first_ready = coalesce("
        " (SELECT seq FROM outbox_rows r WHERE r.id BETWEEN :first + first_ready AND :last AND state = 'READY'"
        "  ORDER BY r.id LIMIT 1),"
        " (SELECT max(r.id) - :first + 1 FROM outbox_rows r WHERE r.id BETWEEN :first AND :last)) WHERE id = :chain",
        {"chain": chain, "first": row_id(chain, 0), "last": row_id(chain + 1, 0) - 1},
    )


def check(database: Database, most_bytes: int | None = None) -> int:
    """Walk every chain from its first packet to its head; gives the number of packets.

    The links of all of them are followed. Bytes are hashed where they are still owed: of packets that wait, oldest
    first, up to ``most_bytes`` (None: all). Both in steps, so that memory stays small and nobody waits long.

    Raises
    ------
    ChainError
        A gap, a broken link, bytes that are gone, or that no longer have their digest.
    """
    walked = 0
    for chain in database.read("SELECT id, lane, first_ready FROM outbox_chains ORDER BY id"):
        walked += _check_links(database, chain)
        _check_bytes(database, chain, most_bytes)
    return walked


_LINKS = (
    "SELECT count(*) AS walked, max(id) AS last, min(seq) FILTER (WHERE NOT linked) AS broken,"
    " min(seq) FILTER (WHERE state = 'READY' AND seq < :first_ready) AS unseen FROM ("
    "SELECT r.id, r.seq, r.state, r.prev_hash IS (CASE r.seq WHEN 1 THEN :no_hash ELSE before.digest END) AS linked"
    " FROM outbox_rows r LEFT JOIN outbox_rows before ON before.id = r.id - 1"
    " WHERE r.id > :after AND r.id < :end ORDER BY r.id LIMIT :most)"
)
"""In the engine: row by row in Python it takes three times as long."""


def _check_links(database: Database, chain: Row) -> int:
    step = {
        "first_ready": chain["first_ready"],
        "no_hash": NO_HASH,
        "after": row_id(chain["id"], 0),
        "end": row_id(chain["id"] + 1, 0),
        "most": ROWS_AT_ONCE,
    }
    walked = 0
    while True:
        (found,) = database.read(_LINKS, step)
        if not found["walked"]:
            return walked
        if found["broken"] is not None:
            raise ChainError(f"the chain is broken at {chain['lane']} {found['broken']}")
        if found["unseen"] is not None:
            raise ChainError(f"{chain['lane']} {found['unseen']} waits and would never be found")
        walked, step["after"] = walked + found["walked"], found["last"]


def _check_bytes(database: Database, chain: Row, most_bytes: int | None) -> None:
    after, end = row_id(chain["id"], chain["first_ready"] - 1), row_id(chain["id"] + 1, 0)
    hashed = 0
    while rows := database.read(
        "SELECT r.id, seq, digest, bytes"
        " FROM outbox_rows r LEFT JOIN outbox_envelopes e ON e.id = coalesce(r.envelope, r.id)"
        " WHERE r.id > ? AND r.id < ? AND state = 'READY' ORDER BY r.id LIMIT ?",
        (after, end, ENVELOPES_AT_ONCE),
    ):
        for row in rows:
            if row["bytes"] is None:
                raise ChainError(f"the bytes of {chain['lane']} {row['seq']} are gone")
            if hashlib.sha256(row["bytes"]).digest() != row["digest"]:
                raise ChainError(f"the bytes of {chain['lane']} {row['seq']} have changed")
            hashed += len(row["bytes"])
            if most_bytes is not None and hashed >= most_bytes:
                return
        after = rows[-1]["id"]


def _from(row: Row) -> Chain:
    begun = row["seq"] is not None
    return Chain(
        id=row["id"],
        lane=Lane(row["lane"]),
        epoch=row["epoch"],
        next_seq=row["seq"] + 1 if begun else FIRST_SEQ,
        head_hash=row["digest"] if begun else NO_HASH,
        total=row["total"] if begun else 0,
        acked=row["acked"],
        purged=row["purged"],
        dead=row["dead"],
        held=row["held"],
        left_bytes=row["left_bytes"],
        first_ready=row["first_ready"],
        device_id=row["device_id"],
    )
