"""A virtual reader entry behind which several SAM slots lie, chosen by the slot switch."""

from collections.abc import Mapping

from drivers.card.apdu import Sw
from drivers.card.pair import SLOT_SWITCH
from drivers.card.virtual import invented
from drivers.card.virtual.sam import VirtualSam


class VirtualSamSlots:
    """The SAM entry of such a reader. Implements :class:`~drivers.card.virtual.emulator.Emulator`.

    What it answers before the switch, and for an empty slot, is not public: no SAM answers here.
    """

    def __init__(self, slots: Mapping[int, VirtualSam]) -> None:
        self._slots = dict(slots)
        self._chosen: VirtualSam | None = None

    @property
    def atr(self) -> bytes:
        """The entry shows one ATR whichever slot is chosen."""
        return invented.SAM_ATR

    def power_on(self) -> None:
        """No slot is chosen yet."""
        self._chosen = None
        for sam in self._slots.values():
            sam.power_on()

    def power_off(self) -> None:
        """Power goes for all slots."""
        self._chosen = None
        for sam in self._slots.values():
            sam.power_off()

    def reset(self) -> None:
        """Same as power off and on."""
        self.power_on()

    def transmit(self, apdu: bytes) -> bytes:
        """Switch, or hand on to the chosen slot."""
        if apdu[:-1] == SLOT_SWITCH:
            self._chosen = self._slots.get(apdu[-1])
            return _sw(Sw.OK if self._chosen else Sw.CONDITIONS_NOT_SATISFIED)
        return self._chosen.transmit(apdu) if self._chosen else _sw(Sw.CONDITIONS_NOT_SATISFIED)


def _sw(sw: Sw) -> bytes:
    return sw.to_bytes(2, "big")
