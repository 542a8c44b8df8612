"""Which lane goes next when both wait: claims first, and an eighth of the bytes for documents; pure.

A scan is often larger than the share of one batch. So the share is saved up from batch to batch until the next scan
fits into it, as in deficit round robin (Shreedhar and Varghese, 1995); a scan larger than the whole batch then goes
alone, in a batch of its own.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from sync.envelope import MAX_ENVELOPE_BYTES

SHARE = 8
"""One part in so many belongs to the lower lane."""


class Sized(Protocol):
    """What has a size in bytes."""

    @property
    def size(self) -> int:
        """Bytes on the wire."""


Packet = TypeVar("Packet", bound=Sized)


class FairShare:
    """Remembers what the lower lane has saved up; forgotten at a restart, which costs it one batch."""

    def __init__(self) -> None:
        self.saved = 0

    def choose(self, upper: Sequence[Packet], lower: Sequence[Packet], limit: int, most: int) -> list[Packet]:
        """The packets of one batch, the upper lane's before the lower one's, each lane from its beginning.

        At most ``most`` packets and ``limit`` bytes; if any waits at least one comes, however small ``limit``.
        """
        own: list[Packet] = []
        if len(upper) + len(lower) <= most and _bytes(upper) + _bytes(lower) <= limit:
            self.saved = 0  # nobody has to wait for anybody
            return [*upper, *lower]
        if upper and lower and most > 1:
            self.saved = min(self.saved + limit // SHARE, max(limit, MAX_ENVELOPE_BYTES))
            own = _fitting(lower, min(self.saved, max(limit, lower[0].size)), most - 1, at_least=0)
            self.saved -= _bytes(own)
        elif not upper:
            self.saved = 0  # it has the line to itself
        first = _fitting(upper, limit - _bytes(own), most - len(own), at_least=0 if own else 1)
        if len(first) == len(upper):
            # What claims leave over is for documents, and nobody's share.
            room = limit - _bytes(own) - _bytes(first)
            own += _fitting(lower[len(own) :], room, most - len(own) - len(first), at_least=0 if own or first else 1)
        return [*first, *own]


def _fitting(packets: Sequence[Packet], room: int, most: int, *, at_least: int) -> list[Packet]:
    taken: list[Packet] = []
    for packet in packets[: max(most, 0)]:
        if packet.size > room and len(taken) >= at_least:
            break
        room -= packet.size
        taken.append(packet)
    return taken


def _bytes(packets: Sequence[Packet]) -> int:
    return sum(packet.size for packet in packets)
