"""A virtual e-KTP: files, free-read rules, mutual authentication and secure messaging of the real card.

Structure, lengths and status words are those seen on real cards; what is not public comes from
``invented.py``. One card is one object; it keeps its content over power cycles and forgets its session.
"""

import secrets
import time
from collections.abc import Callable

from drivers.card import synthetic_mark
from drivers.card.apdu import CLA_SECURE, Command, Ins, Response, Sw
from drivers.card.ektp.files import CARD_CONTROL, DF_EKTP, PHOTO
from drivers.card.ektp.record import CardType
from drivers.card.secure_messaging import (
    BLOCK,
    Channel,
    SecureMessagingError,
    open_cryptogram,
    seal_cryptogram,
    session,
)
from drivers.card.virtual import invented
from drivers.card.virtual.chip import NXP_A, ChipProfile
from drivers.card.virtual.faults import NO_FAULTS, FaultInjector, Faults
from drivers.card.virtual.person import VirtualPerson
from drivers.card.virtual.personalise import personalise

_FREE = (CARD_CONTROL.file_id, PHOTO.file_id)
_CLA_READER = 0xFF
"""Pseudo-commands that a contactless reader answers itself; the virtual reader hands them through."""


class VirtualEktp:
    """An e-KTP of one person. Implements :class:`~drivers.card.virtual.emulator.Emulator`."""

    def __init__(
        self,
        person: VirtualPerson,
        chip: ChipProfile = NXP_A,
        faults: Faults = NO_FAULTS,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chip, self._faults, self._random = chip, faults, random
        self._files = personalise(person, chip, faults)
        control = invented.card_control(chip.working_uid, chip.control_length)
        self._static_keys = invented.static_keys(control, chip.working_uid)
        self._wire = FaultInjector(faults, sleep)
        self._forget()

    @property
    def atr(self) -> bytes:
        """As the chip profile says."""
        return self._chip.atr

    def power_on(self) -> None:
        """Fresh state; commands are counted anew."""
        self._forget()
        self._wire.power_cycle()

    def power_off(self) -> None:
        """Selection, challenge and channel are gone."""
        self._forget()

    def reset(self) -> None:
        """Same as power off and on."""
        self.power_on()

    def transmit(self, apdu: bytes) -> bytes:
        """Answer one command."""
        return self._wire.answer(apdu, lambda command: self._answer(command).encode())

    def _forget(self) -> None:
        self._application = False
        self._file: int | None = None
        self._challenge: bytes | None = None
        self._channel: Channel | None = None
        self._secured_answers = 0

    def _answer(self, apdu: bytes) -> Response:
        if apdu == synthetic_mark.QUESTION:
            return _ok(synthetic_mark.ANSWER)
        try:
            command = Command.decode(apdu)
        except ValueError:
            return Response(b"", Sw.WRONG_LENGTH)
        if command.cla == CLA_SECURE:
            return self._secured(command)
        if command.cla == _CLA_READER and command.ins == Ins.GET_DATA:
            return Response(b"", invented.SW_TWO_CARDS) if self._faults.two_cards else _ok(self._chip.reader_uid)
        if command.cla != 0x00:
            return Response(b"", Sw.CLASS_NOT_SUPPORTED)
        match command.ins:
            case Ins.SELECT:
                return self._select(command)
            case Ins.READ_BINARY:
                return self._read(command, secured=False)
            case Ins.GET_CHALLENGE:
                self._challenge = self._random(8)
                return _ok(self._challenge)
            case Ins.EXTERNAL_AUTHENTICATE:
                return self._authenticate(command)
            case 0xDD if self._chip.card_type is CardType.B and command.le == 8:
                return _ok(self._chip.serial)
            case _:
                return Response(b"", Sw.INSTRUCTION_NOT_SUPPORTED)

    def _select(self, command: Command) -> Response:
        file_id = int.from_bytes(command.data, "big")
        if file_id == DF_EKTP and not self._faults.unknown_chip:
            self._application, self._file = True, None
            return _ok()
        if self._application and file_id in self._files:
            self._file = file_id
            return _ok()
        return Response(b"", Sw.FILE_NOT_FOUND)

    def _read(self, command: Command, *, secured: bool) -> Response:
        if self._file is None:
            return Response(b"", Sw.CONDITIONS_NOT_SATISFIED)
        if not secured and self._file not in _FREE:
            return Response(b"", Sw.SECURITY_STATUS_NOT_SATISFIED)
        offset, size = command.p1 << 8 | command.p2, command.le or 256
        content = self._files[self._file]
        if offset > len(content):
            return Response(b"", Sw.WRONG_OFFSET)
        data = content[offset : offset + size]
        if self._file == self._faults.truncated_file and offset > 0 and offset + size >= len(content):
            data = data[:-BLOCK]
        return _ok(data)

    def _authenticate(self, command: Command) -> Response:
        """Challenge answered, cryptogram and MAC right: both sides now hold the same channel."""
        challenge, self._challenge, self._channel = self._challenge, None, None
        if not command.data:
            return Response(b"", Sw.WRONG_LENGTH)
        if challenge is None:
            return Response(b"", Sw.CONDITIONS_NOT_SATISFIED)
        try:
            content = open_cryptogram(self._static_keys, command.data)
        except SecureMessagingError:
            return Response(b"", invented.SW_WRONG_CRYPTOGRAM)
        rnd_ifd, rnd_icc, k_ifd = content[:8], content[8:16], content[16:]
        if rnd_icc != challenge:
            return Response(b"", invented.SW_WRONG_CRYPTOGRAM)
        k_icc = self._random(16)
        self._channel = session(k_ifd, k_icc, rnd_ifd, rnd_icc)
        return _ok(seal_cryptogram(self._static_keys, rnd_icc + rnd_ifd + k_icc))

    def _secured(self, protected: Command) -> Response:
        """Open, do, protect. Anything wrong ends the channel, so that nothing can be tried against it."""
        if self._channel is None:
            return Response(b"", Sw.SECURITY_STATUS_NOT_SATISFIED)
        try:
            command = self._channel.unwrap_command(protected)
        except SecureMessagingError:
            self._channel = None
            return Response(b"", invented.SW_WRONG_MAC)
        match command.ins:
            case Ins.SELECT:
                answer = self._select(command)
            case Ins.READ_BINARY:
                answer = self._read(command, secured=True)
            case _:
                answer = Response(b"", Sw.INSTRUCTION_NOT_SUPPORTED)
        self._secured_answers += 1
        if self._secured_answers == self._faults.inner_status_at:
            answer = Response(b"", Sw.MEMORY_FAILURE)
        protected_answer = self._channel.wrap_response(answer)
        if self._secured_answers == self._faults.wrong_mac_at:
            protected_answer = protected_answer[:-1] + bytes([protected_answer[-1] ^ 0xFF])
        return _ok(protected_answer)


def _ok(data: bytes = b"") -> Response:
    return Response(data, Sw.OK)
