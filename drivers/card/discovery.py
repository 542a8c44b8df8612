"""Which slot the card lies on and which one holds the SAM, when the configuration does not say.

The SAM is found by opening slots and asking: a closed SAM refuses every command with 6982, which no other card
does. Its password is never part of a question, so finding it costs no try. Once found it is remembered, with its
ATR, until its reader goes away or another card sits in that slot. Readers may come and go at any time: names are
listed anew for every look.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from drivers.card.apdu import Command, Ins, Sw
from drivers.card.base import CardConnection, CardReader
from drivers.card.ektp.files import DF_EKTP
from drivers.card.ektp.sam import SamIns
from drivers.card.errors import NoCardError, SamMissingError, SeveralCardsError
from drivers.card.exchange import exchange
from drivers.card.pair import SLOTS, SwitchedSlot
from drivers.card.reader_profiles import Role, profile_of, role_of
from drivers.errors import DeviceError, DeviceNotFoundError, ServiceDownError

log = logging.getLogger(__name__)

_SAM_UID_SIZE = 7
_QUESTIONS = (
    Command(0x00, SamIns.RESET),
    Command(0x00, SamIns.GET_UID),
    # An e-KTP selects it, other cards say "not found".
    Command(0x00, Ins.SELECT, data=DF_EKTP.to_bytes(2, "big")),
)
_ORDER = (Role.SAM, Role.UNKNOWN, Role.NEITHER, Role.CARD)


class Slots(Protocol):
    """The readers of this machine as some service knows them."""

    def names(self) -> list[str]:
        """Readers and slots that are plugged in; opens none."""

    def reader(self, name: str) -> CardReader:
        """One of them."""

    def with_cards(self, names: Sequence[str], timeout_s: float) -> list[str]:
        """Those of ``names`` that hold an answering card, as soon as there is one; empty when the time is over."""


def match_reader(names: Sequence[str], pattern: str) -> str:
    """The one name that contains ``pattern``.

    Numbers at the end of a name follow the order of plugging in; only the configuration may name them.

    Raises
    ------
    DeviceNotFoundError
        None, or several: then the pattern must say more.
    """
    found = [name for name in names if pattern in name]
    if len(found) == 1:
        return found[0]
    if found:
        raise DeviceNotFoundError(pattern, "choosing a reader", f"{len(found)} readers match: {', '.join(found)}")
    there = ", ".join(names) or "none"
    raise DeviceNotFoundError(pattern, "choosing a reader", f"no reader of that name; plugged in: {there}")


def answers_as_sam(connection: CardConnection) -> bool:
    """Whether a SAM answers: closed it refuses everything, opened it resets and tells its number.

    Three questions, no password among them.
    """
    reset, uid, select = (exchange(connection, question, "asking for a SAM") for question in _QUESTIONS)
    if (reset.sw, uid.sw) == (Sw.OK, Sw.OK):
        return len(uid.data) == _SAM_UID_SIZE
    return {reset.sw, uid.sw, select.sw} == {Sw.SECURITY_STATUS_NOT_SATISFIED}


class ReaderFinder:
    """Finds the card's and the SAM's slot of one counter. One thread at a time.

    ``card_pattern`` and ``sam_pattern`` are parts of names; empty means: find it. ``slot_switch`` is the SAM's slot
    (1 or 2) where one reader entry serves several; None means both are asked where the model is known to have them.
    """

    def __init__(
        self, slots: Slots, *, card_pattern: str = "", sam_pattern: str = "", slot_switch: int | None = None
    ) -> None:
        self._slots = slots
        self._card_pattern, self._sam_pattern, self._slot_switch = card_pattern, sam_pattern, slot_switch
        self._sam: tuple[str, int | None] | None = None
        self._sam_atr = b""
        # These slots were all asked and none is a SAM's.
        self._without_sam: list[str] = []

    def pair(self) -> tuple[CardReader, CardReader]:
        """The card's reader and the SAM's, not yet connected; opens nothing.

        Raises
        ------
        DeviceNotFoundError
            None plugged in, or a pattern that fits none or several.
        ServiceDownError
            The service does not run.
        """
        names = self._names()
        if self._sam_pattern:
            sam_name = match_reader(names, self._sam_pattern)
            sam = self._slot(sam_name, self._slot_switch)
        else:
            sam_name = self._sam_so_far(names)
            sam = _SamToBeFound(self, sam_name or "SAM")
        if not self._card_pattern:
            return _CardToBeFound(self, self._label(names, sam_name), with_sam=True), sam
        card_name = match_reader(names, self._card_pattern)
        if card_name == sam_name:
            raise DeviceNotFoundError(self._sam_pattern, "choosing a reader", "card and SAM are the same reader")
        return self._slots.reader(card_name), sam

    def card_alone(self) -> CardReader:
        """The reader for cards that need no SAM: passports. Works with no SAM in the machine."""
        names = self._names()
        if self._card_pattern:
            return self._slots.reader(match_reader(names, self._card_pattern))
        return _CardToBeFound(self, self._label(names, self._sam_so_far(names)), with_sam=False)

    # --- for the readers below ---

    def connect_sam(self) -> CardConnection:
        """Connect to the SAM where it was found before, else look for it.

        Raises
        ------
        SamMissingError
            No slot answers as one.
        DeviceNotFoundError
            Several do: the configuration must say which.
        """
        remembered = self._sam
        if remembered is not None and remembered[0] in self._names():
            try:
                connection = self._slot(*remembered).connect()
            except (NoCardError, SamMissingError, DeviceNotFoundError):
                log.info("%s: the SAM is not where it was", remembered[0])
            else:
                if connection.atr == self._sam_atr:
                    return connection
                connection.close()
        self._sam = None
        return self._slot(*self._look()).connect()

    def candidates(self, *, with_sam: bool) -> list[str]:
        """Slots a card may lie on: every one that is neither the SAM's nor made for something else."""
        names = self._names()
        if self._sam_pattern:
            sam = match_reader(names, self._sam_pattern) if with_sam else ""
        else:
            sam = self._known_or_found(names, with_sam=with_sam)
        return [name for name in names if name != sam and role_of(name) in (Role.CARD, Role.UNKNOWN)]

    def cards(self, *, with_sam: bool, timeout_s: float) -> list[str]:
        """Slots of those that hold a card, as soon as there is one."""
        return self._slots.with_cards(self.candidates(with_sam=with_sam), timeout_s)

    def reader(self, name: str) -> CardReader:
        """One slot."""
        return self._slots.reader(name)

    def _known_or_found(self, names: Sequence[str], *, with_sam: bool) -> str:
        if self._sam is not None and self._sam[0] in names:
            return self._sam[0]
        if not with_sam and names == self._without_sam:
            return ""
        try:
            return self._look()[0]
        except SamMissingError:
            if with_sam:
                raise
            self._without_sam = list(names)
            return ""

    def _names(self) -> list[str]:
        names = self._slots.names()
        if not names:
            raise DeviceNotFoundError("card reader", "choosing a reader", "none is plugged in")
        return names

    def _slot(self, name: str, slot_switch: int | None) -> CardReader:
        reader = self._slots.reader(name)
        return reader if slot_switch is None else SwitchedSlot(reader, slot_switch)

    def _sam_so_far(self, names: Sequence[str]) -> str:
        """What can be said of the SAM's slot without opening any."""
        if self._sam is not None and self._sam[0] in names:
            return self._sam[0]
        named = [name for name in names if role_of(name) is Role.SAM]
        return named[0] if len(named) == 1 else ""

    def _label(self, names: Sequence[str], sam_name: str) -> str:
        able = [name for name in names if name != sam_name and role_of(name) in (Role.CARD, Role.UNKNOWN)]
        return " | ".join(able) or "card reader"

    def _look(self) -> tuple[str, int | None]:
        """Open slots and ask, likeliest first; a slot with the antenna only when no other one answers."""
        names = self._names()
        self._without_sam = []
        for role in _ORDER:
            found = [
                (place, atr)
                for name in names
                if role_of(name) is role
                for place in self._places(name)
                if (atr := self._atr_of_sam(*place)) is not None
            ]
            if len(found) > 1:
                told = ", ".join(name if slot is None else f"{name} slot {slot}" for (name, slot), _ in found)
                # One of them would be tried with the other one's password.
                raise DeviceNotFoundError("SAM", "looking for the SAM", f"several answer, name one: {told}")
            if found:
                self._sam, self._sam_atr = found[0]
                log.info("SAM found: %s", self._sam[0])
                return self._sam
        raise SamMissingError("SAM", "looking for the SAM", f"no slot answers as one: {', '.join(names)}")

    def _places(self, name: str) -> Iterator[tuple[str, int | None]]:
        profile = profile_of(name)
        if self._slot_switch is not None:
            yield name, self._slot_switch
        elif profile is not None and profile.slot_switch and profile.role(name) is Role.SAM:
            yield from ((name, slot) for slot in SLOTS)
        else:
            yield name, None

    def _atr_of_sam(self, name: str, slot_switch: int | None) -> bytes | None:
        """The ATR of the SAM in that slot; None when there is nothing, or something else."""
        try:
            with self._slot(name, slot_switch).connect() as connection:
                return connection.atr if answers_as_sam(connection) else None
        except ServiceDownError:
            raise
        except DeviceError as error:
            log.debug("%s is not the SAM's slot: %s", name, error)
            return None


class _SamToBeFound(CardReader):
    """The SAM's slot, found when it is first needed."""

    def __init__(self, finder: ReaderFinder, name: str) -> None:
        self._finder, self.name = finder, name

    def connect(self) -> CardConnection:
        connection = self._finder.connect_sam()
        self.name = connection.reader
        return connection

    def wait_for_card(self, timeout_s: float) -> bool:
        """A SAM is there or it is not: nobody inserts one while a member waits."""
        try:
            self._finder.connect_sam().close()
        except SamMissingError:
            return False
        return True


class _CardToBeFound(CardReader):
    """Whichever slot the member's card is laid on."""

    def __init__(self, finder: ReaderFinder, name: str, *, with_sam: bool) -> None:
        self._finder, self.name, self._with_sam = finder, name, with_sam

    def connect(self) -> CardConnection:
        """Connect to the one card there is.

        Raises
        ------
        SeveralCardsError
            Cards lie on more than one slot: whose claim it is cannot be guessed.
        """
        doing = "connecting"
        there = self._finder.cards(with_sam=self._with_sam, timeout_s=0.0)
        if not there:
            raise NoCardError(self.name, doing)
        if len(there) > 1:
            raise SeveralCardsError(self.name, doing, ", ".join(there))
        return self._finder.reader(there[0]).connect()

    def wait_for_card(self, timeout_s: float) -> bool:
        return bool(self._finder.cards(with_sam=self._with_sam, timeout_s=timeout_s))
