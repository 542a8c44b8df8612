"""What every virtual card offers to the thing it is served through: a real pcscd, a socket, a function call."""

from typing import Protocol


class Emulator(Protocol):
    """A card without a reader. Calls come one at a time."""

    @property
    def atr(self) -> bytes:
        """Answer to reset."""

    def power_on(self) -> None:
        """Field or contact power comes: the state of a fresh card."""

    def power_off(self) -> None:
        """Power goes."""

    def reset(self) -> None:
        """Warm reset: as power off and on."""

    def transmit(self, apdu: bytes) -> bytes:
        """Answer one command: data and status word. Raises TornOffError when the card leaves instead."""
