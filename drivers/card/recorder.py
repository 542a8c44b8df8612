"""Writes down what passes between driver, card and SAM, for whoever must find out why a card was not read.

Off unless a folder is given. One file per read, for its owner's eyes, the oldest go when there are too many. What a
card or SAM was sent and said is masked (``recording.py``), unless whoever set it up asked for open recordings *and*
every card involved says itself that it is synthetic.
"""

import contextlib
import datetime
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from drivers.card import synthetic_mark
from drivers.card.base import CardConnection, CardReader
from drivers.card.recording import CARD, SAM, Exchange, Masker, Opened, exchange_line, first_line, opened_line
from drivers.errors import DeviceError

log = logging.getLogger(__name__)

PATTERN = "card-*.jsonl"


class Recorder:
    """Hands out readers that record. One read at a time.

    Parameters
    ----------
    folder : where the files go; made when it is not there.
    now : the time, for the files' names.
    open_synthetic : write synthetic cards down in full.
    keep : files; the oldest are deleted.
    """

    def __init__(
        self,
        folder: Path,
        now: Callable[[], datetime.datetime],
        *,
        open_synthetic: bool = False,
        keep: int = 20,
    ) -> None:
        self._folder, self._now, self._open_synthetic, self._keep = folder, now, open_synthetic, keep
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self._connected: dict[str, bool] = {}

    def pair(self, card: CardReader, sam: CardReader) -> tuple[CardReader, CardReader]:
        """Both readers of an e-KTP read, recorded into one file."""
        return _RecordedReader(self, CARD, card), _RecordedReader(self, SAM, sam)

    def alone(self, card: CardReader) -> CardReader:
        """The reader of a card without a SAM."""
        return _RecordedReader(self, CARD, card)

    # --- for the connections below ---

    def connected(self, who: str, connection: CardConnection) -> None:
        """A connection begins; the first one begins the file."""
        synthetic = self._open_synthetic and _says_it_is_synthetic(connection)
        line = opened_line(Opened(who=who, reader=connection.reader, atr=connection.atr, synthetic=synthetic))
        with self._lock:
            if not self._connected:
                self._file = self._begin()
            self._connected[who] = synthetic
            self._write(line)

    @property
    def masked(self) -> bool:
        """Whether what passes now is masked: one real card among those connected is enough."""
        return not self._connected or not all(self._connected.values())

    def note(self, exchange: Exchange) -> None:
        """One exchange."""
        with self._lock:
            self._write(exchange_line(exchange))

    def disconnected(self, who: str) -> None:
        """A connection ended; the last one ends the file."""
        with self._lock:
            self._connected.pop(who, None)
            if not self._connected:
                self._stop()

    def _begin(self) -> TextIO | None:
        """A new file; None where there can be none: a card is read with or without a recording."""
        path = self._folder / f"card-{self._now():%Y%m%dT%H%M%S.%f}.jsonl"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for old in sorted(self._folder.glob(PATTERN))[: -(self._keep - 1) or None]:
                old.unlink()
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii")
        except OSError as error:
            log.warning("nothing is recorded: %s", error)
            return None
        file.write(first_line() + "\n")
        return file

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(line + "\n")
        except OSError as error:
            log.warning("nothing more is recorded: %s", error)
            self._stop()

    def _stop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # What it still holds back meets the same full disk.
            with contextlib.suppress(OSError):
                file.close()


def _says_it_is_synthetic(connection: CardConnection) -> bool:
    with contextlib.suppress(DeviceError):
        return connection.transmit(synthetic_mark.QUESTION) == synthetic_mark.ANSWER + b"\x90\x00"
    return False


class _RecordedReader(CardReader):
    def __init__(self, recorder: Recorder, who: str, inner: CardReader) -> None:
        self._recorder, self._who, self._inner = recorder, who, inner
        self.name = inner.name

    def connect(self) -> CardConnection:
        connection = self._inner.connect()
        try:
            self._recorder.connected(self._who, connection)
        except BaseException:
            connection.close()
            raise
        return _RecordedConnection(self._recorder, self._who, connection)

    def wait_for_card(self, timeout_s: float) -> bool:
        return self._inner.wait_for_card(timeout_s)


class _RecordedConnection(CardConnection):
    def __init__(self, recorder: Recorder, who: str, inner: CardConnection) -> None:
        self._recorder, self._who, self._inner = recorder, who, inner
        self.reader, self.atr = inner.reader, inner.atr
        self._masker = Masker(who)

    def transmit(self, apdu: bytes) -> bytes:
        began, masked = time.monotonic(), self._recorder.masked
        try:
            answer = self._inner.transmit(apdu)
        except DeviceError as error:
            self._recorder.note(self._masker.failed(apdu, error.code, _ms(began), masked=masked))
            raise
        self._recorder.note(self._masker.take(apdu, answer, _ms(began), masked=masked))
        return answer

    def close(self) -> None:
        try:
            self._inner.close()
        finally:
            self._recorder.disconnected(self._who)


def _ms(began: float) -> float:
    return (time.monotonic() - began) * 1000
