"""The judge of every fault tool: what was promised, what is where in the end, and what of it may not be; pure.

The model is a set that only grows, so that a general checker is not needed. A packet is *captured* when it is
sealed, *promised* once the device told its user that it is queued, *acknowledged* once the device believes that head
office has it. From there:

1. promised ⊆ stored ∪ waiting, acknowledged ⊆ stored: else it is LOST;
2. each packet is stored once, in whichever ledger: else DOUBLED;
3. what is stored was captured, byte for byte: else CHANGED or UNKNOWN. Spoilt bytes may stand beside it or in its
   place, set aside for not being authentic;
4. within a chain packets are stored in their order and without a gap: else OUT_OF_ORDER or GAP;
5. a packet is settled at the device, and its bytes leave it, only against a receipt that verifies and names them: else
   UNPROVED;
6. after the faults have stopped the queue drains: else NOT_DRAINED.

A ledger that was put back from an older backup has lost what it acknowledged since. That is LOST as well, unless the
device still has the bytes, and it is stored again when the faults have stopped; or the device has none any more, and
head office names it as missing. What it has given up for gone no device has.
"""

import enum
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise


class Fault(enum.StrEnum):
    """See the module's list."""

    LOST = "lost"
    DOUBLED = "doubled"
    CHANGED = "changed"
    UNKNOWN = "unknown"
    OUT_OF_ORDER = "out_of_order"
    GAP = "gap"
    UNPROVED = "unproved"
    NOT_DRAINED = "not_drained"
    UNNOTICED = "unnoticed"
    """Two histories under one key, and no alarm or no frozen lane; found by a tool."""
    REFUSED = "refused"
    """A part could not be opened again, set its file aside, or raised what nobody expects; found by a tool."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that may not be."""

    fault: Fault
    detail: str

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Place:
    """One position in a chain of one device."""

    device: str
    lane: str
    epoch: bytes
    seq: int

    def __str__(self) -> str:
        return f"{self.device} {self.lane} {self.epoch.hex()[:6]} {self.seq}"


@dataclass(frozen=True, slots=True)
class Captured:
    """A packet as it was sealed; one that was sealed again after a crash is captured twice, under one id."""

    packet: str
    place: Place
    digest: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes found somewhere: in the device's queue, or in head office's ledger. The digest is of those bytes."""

    place: Place
    digest: bytes
    number: int = 0
    """Of the receipt, in the ledger: the order in which they were stored."""
    in_chain: bool = True
    """False for what head office set aside beside a place that is taken."""
    spoilt: bool = False
    """Kept by head office as not authentic, and never opened."""
    ledger: str = ""
    """Which one, where there are several: numbers count in each by itself."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A packet that waits no more, and whether a receipt kept at the device verifies and names it."""

    place: Place
    digest: bytes
    proved: bool
    kept: bool = False
    """Whether the device still has the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything the judge looks at."""

    captured: Sequence[Captured]
    promised: frozenset[bytes]
    """Digests whose queueing was reported."""
    acknowledged: frozenset[bytes]
    """Digests the device holds for delivered."""
    waiting: Sequence[Held]
    stored: Sequence[Held]
    settled: Sequence[Settled] = field(default=())
    drained: bool = True
    """Whether the faults are over and rounds were made until nothing moved any more."""
    undone: frozenset[bytes] = frozenset()
    """Digests a ledger held that was put back from a backup without them."""
    named_missing: frozenset[Place] = frozenset()
    """Places head office shows to people as missing."""
    named_gone: frozenset[Place] = frozenset()
    """Those of them people gave up, so that the chain may go on without them."""


def violations(history: History) -> list[Violation]:
    """What of a history may not be; nothing when all is well."""
    return [
        *_lost(history),
        *_doubled(history),
        *_foreign(history),
        *_chains(history.stored, history.named_gone),
        *(
            Violation(Fault.UNPROVED, f"{row.place} was settled{'' if row.kept else ' and dropped'} without a receipt")
            for row in history.settled
            if not row.proved
        ),
        *(
            Violation(Fault.NOT_DRAINED, f"{row.place} still waits")
            for row in (history.waiting if history.drained else ())
        ),
    ]


def _lost(history: History) -> list[Violation]:
    stored = {row.digest for row in history.stored}
    waiting = {row.digest for row in history.waiting}
    at_device = waiting | {row.digest for row in history.settled if row.kept}
    proved_gone = {row.digest for row in history.settled if row.proved and not row.kept}
    places = _places(history.captured)
    # What a backup has undone is at its device until the faults are over, or gone from there and named in the end.
    named = {digest for digest in proved_gone if places.get(digest) in history.named_missing}
    excused = history.undone & (named if history.drained else at_device | proved_gone)
    somewhere = stored | waiting | excused
    return [
        *(
            Violation(Fault.LOST, f"{places[digest]} is named as gone, and its device has it")
            for digest in sorted(at_device - stored)
            if places.get(digest) in history.named_gone
        ),
        *(
            Violation(Fault.LOST, f"{_name(places, digest)} was promised and is nowhere")
            for digest in sorted(history.promised - somewhere)
        ),
        *(
            Violation(Fault.LOST, f"{_name(places, digest)} was acknowledged and is not stored")
            for digest in sorted(history.acknowledged - stored - excused - (history.promised - somewhere))
        ),
    ]


def _doubled(history: History) -> list[Violation]:
    packet_of = {one.digest: one.packet for one in history.captured}
    times = Counter(packet_of.get(row.digest, row.digest.hex()) for row in history.stored)
    return [
        Violation(Fault.DOUBLED, f"packet {packet} is stored {count} times")
        for packet, count in times.items()
        if count > 1
    ]


def _foreign(history: History) -> list[Violation]:
    known = {one.digest for one in history.captured}
    taken = {one.place for one in history.captured}
    return [
        Violation(Fault.CHANGED, f"other bytes than were sealed at {row.place}")
        if row.place in taken
        else Violation(Fault.UNKNOWN, f"nobody sealed what is at {row.place}")
        for row in history.stored
        if row.digest not in known and not row.spoilt
    ]


def _chains(stored: Sequence[Held], named_gone: frozenset[Place]) -> list[Violation]:
    chains: dict[tuple[str, str, bytes], list[Held]] = defaultdict(list)
    for row in sorted(stored, key=lambda row: (row.ledger, row.number)):
        if row.in_chain:
            chains[row.place.device, row.place.lane, row.place.epoch].append(row)
    # Where spoilt bytes stood, or a place was given up, its packet comes late and is known by its digest.
    late = {row.place for row in stored if row.spoilt} | named_gone
    found: list[Violation] = []
    for chain, rows in chains.items():
        found += [
            Violation(Fault.OUT_OF_ORDER, f"{after.place} was stored after {before.place}")
            for before, after in pairwise([row for row in rows if row.place not in late])
            if before.ledger == after.ledger and after.place.seq <= before.place.seq
        ]
        there = {row.place.seq for row in rows}
        found += [
            Violation(Fault.GAP, f"{seq} is missing below {rows[-1].place}")
            for seq in range(1, max(there) + 1)
            if seq not in there and Place(*chain, seq) not in named_gone
        ]
    return found


def _places(captured: Sequence[Captured]) -> Mapping[bytes, Place]:
    return {one.digest: one.place for one in captured}


def _name(places: Mapping[bytes, Place], digest: bytes) -> str:
    return str(places.get(digest, digest.hex()[:12]))
