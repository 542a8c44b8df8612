"""What head office may order of the queue: send again, and begin a new epoch. Each leaves its record.

Head office repeats an order until it hears that it was carried out, so each of them may come twice.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sync.commands import CommandName, NewEpoch, Resend
from sync.edge.commands import CommandRefusedError, Handler
from sync.edge.outbox import NewChain, Outbox, Resent

GONE, UNKNOWN_PLACE = "purged", "unknown_place"


class QueueOrders:
    """Handlers for the register of commands; they run inside the transaction that notes the command as done."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        on_resent: Callable[[Resend, Resent], None],
        on_new_epoch: Callable[[NewChain], None],
    ) -> None:
        """Both are called inside the same transaction, for the audit record."""
        self._outbox, self._on_resent, self._on_new_epoch = outbox, on_resent, on_new_epoch

    def handlers(self) -> Mapping[CommandName, Handler]:
        """What to register."""
        handlers: dict[CommandName, Callable[[Any], None]] = {
            CommandName.RESEND: self.resend,
            CommandName.NEW_EPOCH: self.new_epoch,
        }
        return handlers

    def resend(self, order: Resend) -> None:
        """Let the places wait again. CommandRefusedError when none of them can: purged, or never ours."""
        resent = self._outbox.resend(order.lane, order.epoch, order.first_seq, order.last_seq)
        if resent.again or resent.waiting:
            self._on_resent(order, resent)
        elif resent.gone:
            raise CommandRefusedError(GONE, f"{resent.gone} purged after their receipt")
        else:
            raise CommandRefusedError(UNKNOWN_PLACE, "no such epoch or place on this device")

    def new_epoch(self, order: NewEpoch) -> None:
        """End the chain that is named; nothing to do where another one grows already."""
        begun = self._outbox.new_epoch(order.lane, order.epoch)
        if begun is not None:
            self._on_new_epoch(begun)
