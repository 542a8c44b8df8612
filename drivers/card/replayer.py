"""Plays a recording back as a card and a SAM, to the real driver: yesterday's failed read, as often as wanted.

An open recording is played byte for byte. A masked one has no bytes to play: answers of the recorded lengths and
status words are made up around a stand-in of nobody (``virtual/stand_in.py``), which takes an e-KTP read through to
its end. A masked passport cannot be played beyond its authentication: nobody here has its keys.
"""

import threading
from collections.abc import Mapping

from drivers.card.apdu import CLA_SECURE, Ins
from drivers.card.base import CardConnection, CardReader
from drivers.card.ektp.sam import SamIns
from drivers.card.ektp.secure_channel import DO_CRYPTOGRAM, DO_MAC, DO_STATUS
from drivers.card.errors import CardRemovedError, NoCardError
from drivers.card.recording import CARD, SAM, Exchange, Recording
from drivers.card.tlv import DataObject
from drivers.card.virtual.stand_in import stand_in
from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
    ServiceDownError,
)

_ERRORS: Mapping[str, type[DeviceError]] = {
    kind.code: kind
    for kind in (
        CardRemovedError,
        DeviceBusyError,
        DeviceProtocolError,
        DeviceRemovedError,
        DeviceTimeoutError,
        ServiceDownError,
    )
}


class OtherCommandError(Exception):
    """The driver sends something else than it did when this was recorded: it was changed."""


class Replay:
    """One recording, played once. ``card`` and ``sam`` are readers with nobody's card in them."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._place = 0
        self._lock = threading.Lock()
        self._file: int | None = None
        self._offset = 0
        self._lengths: dict[int, int] = {}

    @property
    def card(self) -> CardReader:
        """The card's reader."""
        return _ReplayedReader(self, CARD, self._recording)

    @property
    def sam(self) -> CardReader:
        """The SAM's reader."""
        return _ReplayedReader(self, SAM, self._recording)

    @property
    def finished(self) -> bool:
        """Every exchange was played."""
        return self._place == len(self._recording.exchanges)

    def answer(self, who: str, apdu: bytes) -> bytes:
        """The next answer. Raises OtherCommandError, or the error that was recorded."""
        with self._lock:
            if self.finished:
                raise OtherCommandError(f"the recording ended before a command to the {who}")
            exchange = self._recording.exchanges[self._place]
            self._place += 1
            self._compare(exchange, who, apdu)
            self._follow(exchange, apdu)
            if exchange.error:
                kind = _ERRORS.get(exchange.error, DeviceError)
                raise kind(self._recording.opened[who].reader, "sending a command", "as recorded")
            return exchange.answer if exchange.answer is not None else self._made_up(exchange, apdu)

    def _compare(self, exchange: Exchange, who: str, apdu: bytes) -> None:
        same = (exchange.who, exchange.header, exchange.length) == (who, apdu[:4], len(apdu))
        if not same or (exchange.body is not None and exchange.body != apdu[4:]):
            raise OtherCommandError(
                f"exchange {self._place}: recorded {exchange.who} {exchange.header.hex()} of {exchange.length} bytes, "
                f"now {who} {apdu[:4].hex()} of {len(apdu)}"
            )

    def _follow(self, exchange: Exchange, apdu: bytes) -> None:
        """Which file is read, and where: in clear by the card, wrapped by the SAM."""
        wraps = exchange.who == SAM and apdu[:2] == bytes([0x00, SamIns.ENCODE])
        plain = apdu[5:] if wraps else apdu if exchange.who == CARD and apdu[0] == 0x00 else b""
        if plain[1:2] == bytes([Ins.SELECT]):
            self._file = int.from_bytes(plain[5:7], "big")
        elif plain[1:2] == bytes([Ins.READ_BINARY]):
            self._offset = int.from_bytes(plain[2:4], "big")
        if exchange.file_length is not None and self._file is not None:
            self._lengths[self._file] = exchange.file_length

    def _made_up(self, exchange: Exchange, apdu: bytes) -> bytes:
        return self._data(exchange, apdu) + bytes.fromhex(exchange.sw)

    def _data(self, exchange: Exchange, apdu: bytes) -> bytes:
        size, ins = exchange.answer_length, apdu[1]
        if exchange.who == SAM:
            if ins == SamIns.ENCODE and size > 6:
                # The plain header under secure messaging, Lc, a body nobody opens, Le.
                return bytes([CLA_SECURE]) + apdu[6:9] + bytes([size - 6]) + bytes(size - 5)
            if ins == SamIns.DECODE and exchange.inner_sw:
                return self._content(size - 2) + bytes.fromhex(exchange.inner_sw)
            if ins == SamIns.GENERATE_MUTUAL_AUTH and size:
                return bytes(size - 1) + bytes([size - 1])
        elif apdu[0] == CLA_SECURE and size:
            return _framed(size)
        elif apdu[0] == 0x00 and ins == Ins.READ_BINARY:
            return self._content(size)
        return bytes(size)

    def _content(self, size: int) -> bytes:
        if self._file is None:
            return bytes(size)
        file = stand_in(self._file, self._lengths.get(self._file))
        return file[self._offset : self._offset + size].ljust(size, b"\x00")


def _framed(size: int) -> bytes:
    """Data objects of a secured answer that are as long together, and hold nothing."""
    end = DataObject(DO_STATUS, b"\x90\x00").encode() + DataObject(DO_MAC, bytes(8)).encode()
    room = size - len(end)
    if room <= 0:
        return end[:size]
    head = 2 if room <= 2 + 0x7F else 3
    return DataObject(DO_CRYPTOGRAM, bytes(room - head)).encode() + end


class _ReplayedReader(CardReader):
    def __init__(self, replay: Replay, who: str, recording: Recording) -> None:
        self._replay, self._who, self._opened = replay, who, recording.opened.get(who)
        self.name = "replayed" if self._opened is None else self._opened.reader

    def connect(self) -> CardConnection:
        if self._opened is None:
            raise NoCardError(self.name, "connecting", "none was recorded")
        return _ReplayedConnection(self._replay, self._who, self._opened.reader, self._opened.atr)

    def wait_for_card(self, timeout_s: float) -> bool:
        return self._opened is not None


class _ReplayedConnection(CardConnection):
    def __init__(self, replay: Replay, who: str, reader: str, atr: bytes) -> None:
        self._replay, self._who, self.reader, self.atr = replay, who, reader, atr

    def transmit(self, apdu: bytes) -> bytes:
        return self._replay.answer(self._who, apdu)

    def close(self) -> None:
        """Nothing to let go."""
