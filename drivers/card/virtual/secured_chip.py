"""What virtual chips with secure messaging have in common: power, a challenge answered, a channel, files in pieces."""

import abc
from collections.abc import Callable
from typing import ClassVar

from drivers.card import synthetic_mark
from drivers.card.apdu import CLA_SECURE, Command, Response, Sw
from drivers.card.secure_messaging import (
    Channel,
    Keys,
    SecureMessagingError,
    open_cryptogram,
    seal_cryptogram,
    session,
)
from drivers.card.virtual.faults import FaultInjector, Faults

_NUMBER_SIZE, _KEY_SIZE = 8, 16


class SecuredChip(abc.ABC):
    """A chip without a reader. Implements :class:`~drivers.card.virtual.emulator.Emulator` but for the ATR.

    One chip is one object; it keeps its files over power cycles and forgets selection, challenge and channel.
    """

    wrong_cryptogram: ClassVar[int]
    """Status word where whoever asks does not know the key."""
    wrong_mac: ClassVar[int]
    """Status word where a secured command was altered; the channel is gone with it."""
    torn_by: ClassVar[int]
    """Bytes that the last piece of a truncated file lacks."""

    def __init__(
        self,
        files: dict[int, bytes],
        keys: Keys,
        faults: Faults,
        *,
        random: Callable[[int], bytes],
        sleep: Callable[[float], None],
    ) -> None:
        self._files, self._keys, self._faults, self._random = files, keys, faults, random
        self._wire = FaultInjector(faults, sleep)
        self._forget()

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

    @abc.abstractmethod
    def _plain(self, command: Command) -> Response:
        """A command outside the channel."""

    @abc.abstractmethod
    def _within(self, command: Command) -> Response:
        """A command that came through the channel."""

    def _forget(self) -> None:
        self._application = False
        self._file: int | None = None
        self._challenge: bytes | None = None
        self._channel: Channel | None = None
        self._secured_answers = 0

    def _answer(self, apdu: bytes) -> Response:
        if apdu == synthetic_mark.QUESTION:
            return ok(synthetic_mark.ANSWER)
        try:
            command = Command.decode(apdu)
        except ValueError:
            return refused(Sw.WRONG_LENGTH)
        return self._secured(command) if command.cla == CLA_SECURE else self._plain(command)

    def _give_challenge(self) -> Response:
        self._challenge = self._random(_NUMBER_SIZE)
        return ok(self._challenge)

    def _authenticate(self, command: Command) -> Response:
        """Challenge answered, cryptogram and MAC right: both sides now hold the same channel."""
        challenge, self._challenge, self._channel = self._challenge, None, None
        if not command.data:
            return refused(Sw.WRONG_LENGTH)
        if challenge is None:
            return refused(Sw.CONDITIONS_NOT_SATISFIED)
        try:
            content = open_cryptogram(self._keys, command.data)
        except SecureMessagingError:
            return refused(self.wrong_cryptogram)
        numbers, k_ifd = content[: 2 * _NUMBER_SIZE], content[2 * _NUMBER_SIZE :]
        rnd_ifd, rnd_icc = numbers[:_NUMBER_SIZE], numbers[_NUMBER_SIZE:]
        if rnd_icc != challenge:
            return refused(self.wrong_cryptogram)
        k_icc = self._random(_KEY_SIZE)
        self._channel = session(k_ifd, k_icc, rnd_ifd, rnd_icc)
        return ok(seal_cryptogram(self._keys, rnd_icc + rnd_ifd + k_icc))

    def _secured(self, protected: Command) -> Response:
        """Open, do, protect. Anything wrong ends the channel, so that nothing can be tried against it."""
        if self._channel is None:
            return refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
        try:
            command = self._channel.unwrap_command(protected)
        except SecureMessagingError:
            self._channel = None
            return refused(self.wrong_mac)
        answer = self._within(command)
        self._secured_answers += 1
        if self._secured_answers == self._faults.inner_status_at:
            answer = refused(Sw.MEMORY_FAILURE)
        protected_answer = self._channel.wrap_response(answer)
        if self._secured_answers == self._faults.wrong_mac_at:
            protected_answer = protected_answer[:-1] + bytes([protected_answer[-1] ^ 0xFF])
        return ok(protected_answer)

    def _piece(self, command: Command) -> Response:
        """READ BINARY of the selected file."""
        if self._file is None:
            return refused(Sw.CONDITIONS_NOT_SATISFIED)
        offset, size, content = command.p1 << 8 | command.p2, command.le or 256, self._files[self._file]
        if offset > len(content):
            return refused(Sw.WRONG_OFFSET)
        data = content[offset : offset + size]
        if self._file == self._faults.truncated_file and offset > 0 and offset + size >= len(content):
            data = data[: -self.torn_by]
        return ok(data)


def ok(data: bytes = b"") -> Response:
    """Done, with what was asked for."""
    return Response(data, Sw.OK)


def refused(sw: int) -> Response:
    """Not done, and why."""
    return Response(b"", sw)
