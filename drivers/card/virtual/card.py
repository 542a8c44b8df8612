"""A virtual e-KTP: files, free-read rules, mutual authentication and secure messaging of the real card.

Structure, lengths and status words are those seen on real cards; what is not public comes from ``invented.py``.
"""

import secrets
import time
from collections.abc import Callable

from drivers.card.apdu import Command, Ins, Response, Sw
from drivers.card.ektp.files import CARD_CONTROL, DF_EKTP, PHOTO
from drivers.card.ektp.record import CardType
from drivers.card.secure_messaging import BLOCK
from drivers.card.virtual import invented
from drivers.card.virtual.chip import NXP_A, ChipProfile
from drivers.card.virtual.faults import NO_FAULTS, Faults
from drivers.card.virtual.person import VirtualPerson
from drivers.card.virtual.personalise import personalise
from drivers.card.virtual.secured_chip import SecuredChip, ok, refused

_FREE = (CARD_CONTROL.file_id, PHOTO.file_id)
_CLA_READER = 0xFF
"""Pseudo-commands that a contactless reader answers itself; the virtual reader hands them through."""


class VirtualEktp(SecuredChip):
    """An e-KTP of one person."""

    wrong_cryptogram = invented.SW_WRONG_CRYPTOGRAM
    wrong_mac = invented.SW_WRONG_MAC
    torn_by = BLOCK

    def __init__(
        self,
        person: VirtualPerson,
        chip: ChipProfile = NXP_A,
        faults: Faults = NO_FAULTS,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chip = chip
        control = invented.card_control(chip.working_uid, chip.control_length)
        super().__init__(
            personalise(person, chip, faults),
            invented.static_keys(control, chip.working_uid),
            faults,
            random=random,
            sleep=sleep,
        )

    @property
    def atr(self) -> bytes:
        """As the chip profile says."""
        return self._chip.atr

    def _plain(self, command: Command) -> Response:
        if command.cla == _CLA_READER and command.ins == Ins.GET_DATA:
            return refused(invented.SW_TWO_CARDS) if self._faults.two_cards else ok(self._chip.reader_uid)
        if command.cla != 0x00:
            return refused(Sw.CLASS_NOT_SUPPORTED)
        match command.ins:
            case Ins.SELECT:
                return self._select(command)
            case Ins.READ_BINARY if self._file is not None and self._file not in _FREE:
                return refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
            case Ins.READ_BINARY:
                return self._piece(command)
            case Ins.GET_CHALLENGE:
                return self._give_challenge()
            case Ins.EXTERNAL_AUTHENTICATE:
                return self._authenticate(command)
            case 0xDD if self._chip.card_type is CardType.B and command.le == 8:
                return ok(self._chip.serial)
            case _:
                return refused(Sw.INSTRUCTION_NOT_SUPPORTED)

    def _within(self, command: Command) -> Response:
        match command.ins:
            case Ins.SELECT:
                return self._select(command)
            case Ins.READ_BINARY:
                return self._piece(command)
            case _:
                return refused(Sw.INSTRUCTION_NOT_SUPPORTED)

    def _select(self, command: Command) -> Response:
        file_id = int.from_bytes(command.data, "big")
        if file_id == DF_EKTP and not self._faults.unknown_chip:
            self._application, self._file = True, None
            return ok()
        if self._application and file_id in self._files:
            self._file = file_id
            return ok()
        return refused(Sw.FILE_NOT_FOUND)
