"""Damage that lies on the disk until somebody sees to it: told at every start and whenever anybody asks.

A database that was set aside looks like nothing at all from the new one that works behind it; and still it may hold
packets that nobody else has. So the file itself is looked for, not a memory of the start that moved it.
"""

from mpos_agent.outcomes import Outcome, told
from sync.edge.database import Database
from sync.edge.outbox import Outbox
from sync.errors import ChainError

HASHED_AT_START = 256 * 1024 * 1024
"""Bytes of waiting packets whose digest is checked at the start, the oldest: under a second, and more than a branch
queues in a month. Every link of every chain is followed in any case, and whatever head office acknowledges is hashed
again before it counts."""


class Damage:
    """Looks through the queue's chain once for each time the file is opened, and each time anew for files set aside."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database, self._outbox = database, outbox
        self._chain: tuple[Outcome, ...] = ()
        database.prepare(self._look)

    def _look(self) -> None:
        self._chain = ()
        try:
            self._outbox.check_chain(HASHED_AT_START)
        except ChainError as error:
            self._chain = (told("chain_damaged", detail=str(error)),)

    def told(self) -> tuple[Outcome, ...]:
        """Every damage there is, with cause and cure; nothing when all is well."""
        files = self._database.damaged_files()
        if not files:
            return self._chain
        return (told("storage_set_aside", detail=", ".join(file.name for file in files)), *self._chain)
