"""A reader without pcscd and without a socket: the emulator is a function call away."""

import threading
import time

from drivers.card.base import CardConnection, CardReader
from drivers.card.errors import CardRemovedError, NoCardError
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import TornOffError
from drivers.errors import DeviceBusyError


class InProcessReader(CardReader):
    """One slot; :meth:`insert` and :meth:`remove` are the hand at the counter."""

    def __init__(self, emulator: Emulator | None = None, name: str = "In-process reader") -> None:
        self.name = name
        self._emulator = emulator
        self._changed = threading.Condition(threading.RLock())
        self._holder: _InProcessConnection | None = None

    def insert(self, emulator: Emulator) -> None:
        """Lay a card on the reader."""
        with self._changed:
            self._emulator = emulator
            self._changed.notify_all()

    def remove(self) -> None:
        """Take the card away; an open connection notices at its next command."""
        with self._changed:
            if self._emulator is not None:
                self._emulator.power_off()
            self._emulator = None
            self._holder = None
            self._changed.notify_all()

    def connect(self) -> CardConnection:
        """Exclusively, as the interface asks."""
        with self._changed:
            if self._emulator is None:
                raise NoCardError(self.name, "connecting")
            if self._holder is not None:
                raise DeviceBusyError(self.name, "connecting")
            self._emulator.power_on()
            self._holder = _InProcessConnection(self, self._emulator.atr)
            return self._holder

    def wait_for_card(self, timeout_s: float) -> bool:
        """True as soon as a card lies there."""
        end = time.monotonic() + timeout_s
        with self._changed:
            return self._changed.wait_for(lambda: self._emulator is not None, max(0.0, end - time.monotonic()))

    def transmit_for(self, connection: "_InProcessConnection", apdu: bytes) -> bytes:
        """One command of the connection that holds the card."""
        with self._changed:
            if self._emulator is None or self._holder is not connection:
                raise CardRemovedError(self.name, "sending a command")
            try:
                answer = self._emulator.transmit(apdu)
            except TornOffError as error:
                self.remove()
                raise CardRemovedError(self.name, "sending a command") from error
            if len(answer) < 2:
                raise CardRemovedError(self.name, "sending a command", "fewer than two bytes came back")
            return answer

    def release(self, connection: "_InProcessConnection") -> None:
        """The card is reset, so that no session outlives its connection."""
        with self._changed:
            if self._holder is connection:
                self._holder = None
                if self._emulator is not None:
                    self._emulator.reset()


class _InProcessConnection(CardConnection):
    def __init__(self, slot: InProcessReader, atr: bytes) -> None:
        self._slot, self.reader, self.atr = slot, slot.name, atr

    def transmit(self, apdu: bytes) -> bytes:
        return self._slot.transmit_for(self, apdu)

    def close(self) -> None:
        self._slot.release(self)
