"""The history as it happens, one line for each event, so that a child that dies leaves its part of it behind."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from bench.faults.history import Captured, Place
from sync.edge.outbox_row import ChainPosition
from sync.envelope import envelope_digest


class Listener(Protocol):
    """Who is told of events."""

    def captured(self, packet: UUID, device: str, position: ChainPosition, envelope: bytes) -> None:
        """Sealed, and before the commit: it may or may not come to be."""

    def promised(self, digest: bytes) -> None:
        """The user is told that it is queued."""

    def acknowledged(self, digest: bytes) -> None:
        """The user is told that head office has it."""


class Marks:
    """The history as it happens: each line is one write, at the moment of the event."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def captured(self, packet: UUID, device: str, position: ChainPosition, envelope: bytes) -> None:
        place = f"{device} {position.lane.value} {position.epoch.hex()} {position.seq}"
        self._say(f"C {packet} {place} {envelope_digest(envelope).hex()}")

    def promised(self, digest: bytes) -> None:
        self._say(f"P {digest.hex()}")

    def acknowledged(self, digest: bytes) -> None:
        self._say(f"A {digest.hex()}")

    def _say(self, line: str) -> None:
        # A call nothing else makes, so that a tool that breaks every write leaves the record of it whole.
        os.writev(self._handle, [f"{line}\n".encode("ascii")])


@dataclass
class Told:
    """Marks read back."""

    captured: list[Captured] = field(default_factory=list)
    promised: set[bytes] = field(default_factory=set)
    acknowledged: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Told":
        """Read whole lines; one that was cut off by a crash is left out."""
        told = cls()
        for line in lines:
            match line.split():
                case ["C", packet, device, lane, epoch, seq, digest] if len(digest) == 64:
                    place = Place(device, lane, bytes.fromhex(epoch), int(seq))
                    told.captured.append(Captured(packet, place, bytes.fromhex(digest)))
                case ["P", digest] if len(digest) == 64:
                    told.promised.add(bytes.fromhex(digest))
                case ["A", digest] if len(digest) == 64:
                    told.acknowledged.add(bytes.fromhex(digest))
        return told


@dataclass
class Ears:
    """Marks kept in memory."""

    told: Told = field(default_factory=Told)

    def captured(self, packet: UUID, device: str, position: ChainPosition, envelope: bytes) -> None:
        place = Place(device, position.lane.value, position.epoch, position.seq)
        self.told.captured.append(Captured(str(packet), place, envelope_digest(envelope)))

    def promised(self, digest: bytes) -> None:
        self.told.promised.add(digest)

    def acknowledged(self, digest: bytes) -> None:
        self.told.acknowledged.add(digest)
