"""Card and SAM together: both connected for one read, and readers that hold several SAMs behind one entry."""

import contextlib
from collections.abc import Iterator

from drivers.card.apdu import Sw
from drivers.card.base import CardConnection, CardReader
from drivers.card.errors import NoCardError, SamMissingError
from drivers.card.exchange import exchange_bytes

SLOT_SWITCH = bytes.fromhex("68 92 01 00 03 00 00")
"""Followed by the slot's number; no command of ISO/IEC 7816-4, so it is sent as it stands."""
SLOTS = (1, 2)


class SwitchedSlot(CardReader):
    """A SAM in one slot of a reader entry that serves several: the slot is chosen before anything else is sent."""

    def __init__(self, entry: CardReader, slot: int) -> None:
        if slot not in SLOTS:
            raise ValueError(f"SAM slot {slot}: there are slots 1 and 2")
        self.name, self._entry, self._slot = entry.name, entry, slot

    def connect(self) -> CardConnection:
        """Connect to the entry and switch it.

        Raises
        ------
        SamMissingError
            The entry refuses that slot.
        """
        connection = self._entry.connect()
        try:
            answer = exchange_bytes(connection, SLOT_SWITCH + bytes([self._slot]))
        except BaseException:
            connection.close()
            raise
        if answer != Sw.OK.to_bytes(2, "big"):
            connection.close()
            status = answer[-2:].hex().upper()
            raise SamMissingError(self.name, f"switching to SAM slot {self._slot}", f"status word {status}")
        return connection

    def wait_for_card(self, timeout_s: float) -> bool:
        """Whatever the entry says: it knows of no single slot."""
        return self._entry.wait_for_card(timeout_s)


@contextlib.contextmanager
def connected_pair(card_reader: CardReader, sam_reader: CardReader) -> Iterator[tuple[CardConnection, CardConnection]]:
    """Card and SAM, both held exclusively; both are let go on every way out.

    Raises
    ------
    SamMissingError
        Nothing in the SAM's slot.
    NoCardError, DeviceBusyError, DeviceError
        As connecting to either says.
    """
    try:
        sam = sam_reader.connect()
    except NoCardError as error:
        raise SamMissingError(sam_reader.name, "connecting to the SAM", error.detail) from error
    with sam, card_reader.connect() as card:
        yield card, sam
