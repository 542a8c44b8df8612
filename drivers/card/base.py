"""What the e-KTP transaction needs of a card reader, whichever way the bytes travel."""

import abc
from types import TracebackType
from typing import Self


class CardConnection(abc.ABC):
    """One card (or SAM), connected exclusively. One thread at a time; close it, or use ``with``."""

    reader: str
    """Name of the reader or slot as the system gives it."""
    atr: bytes
    """Answer to reset, a hint only: no decision rests on it."""

    @abc.abstractmethod
    def transmit(self, apdu: bytes) -> bytes:
        """Send one command APDU; give response data and status word (always at least two bytes).

        Raises
        ------
        CardRemovedError
            The card left, also when the reader reports success with fewer than two bytes.
        ServiceDownError
            The PC/SC service went away.
        DeviceTimeoutError, DeviceRemovedError
            The reader did not answer, or was unplugged.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the transaction and disconnect; safe to call twice and after any error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CardReader(abc.ABC):
    """A reader or SAM slot that was found but not opened; listing readers opens nothing."""

    name: str

    @abc.abstractmethod
    def connect(self) -> CardConnection:
        """Connect exclusively to the card in it.

        Raises
        ------
        NoCardError
            Nothing lies on the reader.
        DeviceBusyError
            Another program holds the card.
        """

    @abc.abstractmethod
    def wait_for_card(self, timeout_s: float) -> bool:
        """True as soon as a card is present, False when the time is over."""
