"""Where a packet belongs in its lane: the rules of sequence and chain, with nothing else around them.

Per device, lane and epoch there is a gapless sequence, and each packet names the hash of the one before it. So
one comparison with the lane's head tells the next packet from a copy, a gap and a fork, whatever clocks say.

==================  =========================================  ==================================
placement           when                                       what ingest does
==================  =========================================  ==================================
NEXT                follows the head                           takes it in, moves the head
DUPLICATE           these very bytes are here already          repeats the old receipt number
GAP                 one before it is missing                   asks to send again from the head
EPOCH_UNKNOWN       its epoch was never announced              asks to send again, announced
LATE                spoilt bytes hold its place, and its       takes it in; the spoilt bytes stay aside
                    successor named this very digest
SUCCESSOR_FIRST     spoilt bytes hold its place, and nobody    asks to send again, with its successor
                    has named yet what belongs there
EMPTY               two people gave its place up, nothing      takes it in
                    holds it, and it contradicts nobody
FORK                another packet holds its place             freezes the lane, sets it aside
CHAIN_BROKEN        its place is free, its past is not ours    freezes the lane, sets it aside
LANE_FROZEN         the lane was frozen earlier                sets it aside
==================  =========================================  ==================================

A fork proves that two histories were signed with one key: a restored disk image, a copied device, or worse. Both
packets may be real claims, so neither is refused and neither overwrites the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Placement(StrEnum):
    """See the table above."""

    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"
    EPOCH_UNKNOWN = "epoch_not_announced"
    LATE = "late"
    SUCCESSOR_FIRST = "successor_first"
    EMPTY = "empty"
    FORK = "fork"
    CHAIN_BROKEN = "chain_broken"
    LANE_FROZEN = "lane_frozen"


@dataclass(frozen=True, slots=True)
class LaneHead:
    """What the ledger knows of one lane in one epoch: the next number it waits for, the hash that must precede it."""

    next_seq: int
    head_hash: bytes
    frozen: str | None = None
    """Why nothing more is accepted in it."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """A place that spoilt bytes hold, or nothing, so that the chain could go on."""

    expected: bytes | None
    """Digest of the packet that belongs there, as its authentic successor names it; None while that is not here."""
    empty: bool = False
    """Nothing holds it: it was declared gone."""
    before: bytes | None = None
    """Digest of the packet that stands in the place before an empty one, where there is one."""


def place(
    *,
    seq: int,
    prev_hash: bytes,
    digest: bytes,
    head: LaneHead | None,
    already_here: Callable[[], bool],
    stand_in: Callable[[], StandIn | None],
) -> Placement:
    """Compare one packet with its lane's head; ``head`` is None when the epoch was never announced.

    ``already_here`` looks for these very bytes, ``stand_in`` for spoilt ones in their place; they are asked only when
    the packet is not simply the next one.
    """
    placement = _by_position(seq, prev_hash, head)
    if placement is Placement.NEXT or head is None:
        return placement
    if already_here():
        return Placement.DUPLICATE
    if seq >= head.next_seq or (standing := stand_in()) is None:
        return placement
    if standing.expected == digest:
        # Proved by the successor's signature, whatever was learnt of the lane since.
        return Placement.LATE
    if standing.expected is not None or head.frozen:
        return placement
    if standing.empty:
        return Placement.EMPTY if standing.before in (None, prev_hash) else placement
    return Placement.SUCCESSOR_FIRST


def _by_position(seq: int, prev_hash: bytes, head: LaneHead | None) -> Placement:
    if head is None:
        return Placement.EPOCH_UNKNOWN
    if head.frozen:
        return Placement.LANE_FROZEN
    if seq < head.next_seq:
        return Placement.FORK
    if seq > head.next_seq:
        return Placement.GAP
    if prev_hash != head.head_hash:
        return Placement.CHAIN_BROKEN
    return Placement.NEXT
