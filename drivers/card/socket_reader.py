"""A card reader behind a Unix socket, for machines without pcscd: virtual cards only.

The slot listens, the reader connects and speaks the frames of the virtual PC/SC reader. An empty ATR means
that no card lies there; a slot that hangs up before giving one is held by somebody else.
"""

import contextlib
import socket
import time
from pathlib import Path

from drivers.card.base import CardConnection, CardReader
from drivers.card.errors import CardRemovedError, NoCardError
from drivers.card.frames import Control, receive_frame, send_frame
from drivers.errors import DeviceBusyError, DeviceNotFoundError, DevicePermissionError, DeviceTimeoutError

ANSWER_TIMEOUT_S = 30.0
"""As long as a PC/SC call may last: a card that takes its time is no different here."""
HANDSHAKE_TIMEOUT_S = 5.0
"""Control bytes are answered by the slot itself, without asking the card's program to compute."""
POLL_S = 0.1
"""Between two looks whether a card lies there; the real service looks every 0.4 s."""


class SocketReader(CardReader):
    """A slot served at a socket path."""

    def __init__(self, path: Path, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.name = f"socket {path.name}"
        self._path, self._answer_timeout_s = path, answer_timeout_s

    def connect(self) -> CardConnection:
        """Power the card; one connection at a time."""
        doing = "connecting"
        link, atr = self._open(doing)
        if not atr:
            link.close()
            raise NoCardError(self.name, doing)
        link.settimeout(self._answer_timeout_s)
        return _SocketConnection(self.name, link, atr)

    def wait_for_card(self, timeout_s: float) -> bool:
        """True as soon as a card lies there, also when somebody else is using it."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                link, atr = self._open("waiting for a card")
            except DeviceBusyError:
                return True
            link.close()
            if atr:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(POLL_S)

    def _open(self, doing: str) -> tuple[socket.socket, bytes]:
        """A link to the slot and the ATR of the card in it, empty without one."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(HANDSHAKE_TIMEOUT_S)
        try:
            link.connect(str(self._path))
        except PermissionError as error:
            link.close()
            raise DevicePermissionError(self.name, doing, str(self._path)) from error
        except OSError as error:
            link.close()
            raise DeviceNotFoundError(self.name, doing, f"nobody serves {self._path}") from error
        try:
            send_frame(link, bytes([Control.POWER_ON]))
            send_frame(link, bytes([Control.ATR]))
            atr = receive_frame(link)
        except TimeoutError as error:
            link.close()
            raise DeviceTimeoutError(self.name, doing, "the slot does not answer") from error
        except OSError:
            atr = None
        if atr is None:
            link.close()
            raise DeviceBusyError(self.name, doing, "the slot is held by another connection")
        return link, atr


class _SocketConnection(CardConnection):
    def __init__(self, name: str, link: socket.socket, atr: bytes) -> None:
        self.reader, self.atr, self._link = name, atr, link

    def transmit(self, apdu: bytes) -> bytes:
        doing = "sending a command"
        try:
            send_frame(self._link, apdu)
            answer = receive_frame(self._link)
        except TimeoutError as error:
            raise DeviceTimeoutError(self.reader, doing) from error
        except OSError as error:
            raise CardRemovedError(self.reader, doing) from error
        if answer is None or len(answer) < 2:
            raise CardRemovedError(self.reader, doing)
        return answer

    def close(self) -> None:
        # The slot powers the card down when the link ends, however it ends.
        with contextlib.suppress(OSError):
            send_frame(self._link, bytes([Control.POWER_OFF]))
        self._link.close()
