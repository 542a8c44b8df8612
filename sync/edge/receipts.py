"""What a verified receipt changes on this device: one door, whether it came over the line or on a stick."""

from collections.abc import Callable
from dataclasses import dataclass

from sync.checkpoint import CommandRefused
from sync.edge.commands import Commands, Taken
from sync.edge.frozen_lanes import FrozenLane, FrozenLanes
from sync.edge.outbox import Outbox
from sync.edge.settlement import Settlement
from sync.receipt import VerifiedReceipt

NOTHING = Taken((), ())


def nothing_new(_trust: bytes) -> None:
    """Nobody here takes head office's new keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one receipt came to."""

    settlement: Settlement
    frozen: tuple[FrozenLane, ...]
    commands: Taken


class Receipts:
    """Takes verified receipts. Custody first: a command that fails costs no packet its acknowledgement."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        frozen: FrozenLanes | None = None,
        commands: Commands | None = None,
        on_trust: Callable[[bytes], None] = nothing_new,
    ) -> None:
        """``on_trust`` is given head office's new keys where a receipt brings some."""
        self._outbox, self._frozen, self._commands, self._on_trust = outbox, frozen, commands, on_trust

    def take(self, receipt: VerifiedReceipt, export: int | None = None) -> Answer:
        """Settle the queue against it, note what is frozen, take new keys, carry out what it asks.

        ``export`` is the running number of the stick it answers; None: it answers a round that was made just now.
        Raises what the disk raises; packets that were settled until then stay so.
        """
        settlement = self._outbox.settle(receipt, export)
        if self._frozen is not None:
            self._frozen.note(receipt.content)
        trust = receipt.content.trust
        if trust is not None:
            self._on_trust(trust)
        taken = NOTHING if self._commands is None else self._commands.take(receipt.content.commands)
        return Answer(settlement=settlement, frozen=self.frozen(), commands=taken)

    def frozen(self) -> tuple[FrozenLane, ...]:
        """Lanes head office accepts nothing more in."""
        if self._frozen is None:
            return ()
        return self._frozen.now((counts.lane, counts.epoch) for counts in self._outbox.counts())

    def report(self) -> tuple[tuple[bytes, ...], tuple[CommandRefused, ...]]:
        """Ids of commands done, and commands refused, for the next checkpoint."""
        return ((), ()) if self._commands is None else self._commands.report()
