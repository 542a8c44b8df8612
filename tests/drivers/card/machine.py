"""A machine with readers of any name, in process: cards are laid on and taken, readers plugged and pulled out."""

import time
from collections.abc import Sequence

from drivers.card.base import CardConnection, CardReader
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.inprocess import InProcessReader


class Machine:
    """The readers of a machine, for ``ReaderFinder``; ``opened`` counts connections by name."""

    def __init__(self, **cards: Emulator | None) -> None:
        self._readers: dict[str, InProcessReader] = {}
        self.opened: dict[str, int] = {}
        for name, card in cards.items():
            self.plug(name, card)

    def plug(self, name: str, card: Emulator | None = None) -> InProcessReader:
        """A reader of that name comes, with or without a card in it."""
        self._readers[name] = InProcessReader(card, name)
        self.opened.setdefault(name, 0)
        return self._readers[name]

    def pull(self, name: str) -> None:
        """It goes."""
        self._readers.pop(name).remove()

    def lay(self, name: str, card: Emulator) -> None:
        """A card is laid on it."""
        self._readers[name].insert(card)

    def take(self, name: str) -> None:
        """The card is taken away."""
        self._readers[name].remove()

    def names(self) -> list[str]:
        """All of them."""
        return list(self._readers)

    def reader(self, name: str) -> CardReader:
        """One of them."""
        return _Counting(self, self._readers[name])

    def with_cards(self, names: Sequence[str], timeout_s: float) -> list[str]:
        """Those that hold a card."""
        end = time.monotonic() + timeout_s
        while True:
            there = [name for name in names if name in self._readers and self._readers[name].wait_for_card(0.0)]
            if there or time.monotonic() >= end:
                return there
            time.sleep(0.01)


class _Counting(CardReader):
    def __init__(self, machine: Machine, inner: InProcessReader) -> None:
        self.name, self._machine, self._inner = inner.name, machine, inner

    def connect(self) -> CardConnection:
        self._machine.opened[self.name] += 1
        return self._inner.connect()

    def wait_for_card(self, timeout_s: float) -> bool:
        return self._inner.wait_for_card(timeout_s)
