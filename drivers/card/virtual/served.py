"""A virtual card on a reader: the real pcscd's virtual one, or a Unix socket of our own.

``insert`` and ``remove`` are the hand at the counter. Each slot has one thread and one emulator at a time.
"""

import contextlib
import logging
import socket
import threading
import time
from pathlib import Path

from drivers.card.frames import Control, receive_frame, send_frame
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import TornOffError

log = logging.getLogger(__name__)

VPCD_CARD_PORT, VPCD_SAM_PORT = 35963, 35964
"""Slots 0 and 1 of the packaged virtual reader."""

RECONNECT_S = 0.2
"""A card stays where it lies while pcscd restarts; the service needs about half a second."""
NOTICED_S = 0.6
"""pcscd looks every 0.4 s: a card exchanged faster than that would pass for the one before it."""
LETTING_GO_S = 0.5
"""A reader that hung up a moment ago still counts as holding the slot until its thread has noticed."""
JOIN_S = 5.0
"""Threads end as soon as their sockets close; more than this is a fault of ours that must not hang a test."""


def _serve(link: socket.socket, emulator: Emulator | None) -> None:
    """Answer frames until the reader hangs up. Raises TornOffError when a fault pulls the card."""
    try:
        while (frame := _next_frame(link)) is not None:
            if len(frame) != 1:
                # Never an empty frame to a command: the virtual reader would block for good.
                send_frame(link, emulator.transmit(frame) or b"\x00" if emulator else b"\x6f\x00")
            elif frame[0] == Control.ATR:
                send_frame(link, emulator.atr if emulator else b"")
            elif emulator is not None and frame[0] in (Control.POWER_ON, Control.RESET):
                emulator.power_on()
            elif emulator is not None and frame[0] == Control.POWER_OFF:
                emulator.power_off()
    except OSError as error:
        log.debug("reader hung up: %s", error)


def _next_frame(link: socket.socket) -> bytes | None:
    """One frame. vpcd sends length and content apart and waits for our ACK between: give it at once, not 40 ms late."""
    if link.family == socket.AF_INET:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    return receive_frame(link)


def _hang_up(link: socket.socket | None) -> None:
    """Close a socket another thread is reading from: shutting it down wakes that thread."""
    if link is not None:
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        link.close()


class VpcdSlot:
    """A slot of the virtual reader (vpcd): it listens, the card connects. Inserted and removed any number of times."""

    def __init__(self, emulator: Emulator, host: str = "127.0.0.1", port: int = VPCD_CARD_PORT) -> None:
        self._emulator, self._address = emulator, (host, port)
        self._lock = threading.Lock()
        self._removed = threading.Event()
        self._removed.set()
        self._link: socket.socket | None = None
        self._empty_since = 0.0
        self._thread: threading.Thread | None = None

    @property
    def inserted(self) -> bool:
        """The card lies on the reader; False again after a fault pulled it."""
        return not self._removed.is_set()

    def insert(self, emulator: Emulator | None = None) -> None:
        """Lay the card (or another one) on the reader; it is seen 0.3 to 0.5 s later.

        Where another one lay a moment ago, the reader gets the time to notice that first.
        """
        self.remove()
        self._emulator = emulator or self._emulator
        self._removed = removed = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._emulator, removed), name="vpcd slot", daemon=True)
        self._thread.start()

    def remove(self) -> None:
        """Take it away; noticed about 0.3 s later. Safe to call twice."""
        self._removed.set()
        with self._lock:
            _hang_up(self._link)
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _run(self, emulator: Emulator, removed: threading.Event) -> None:
        removed.wait(max(0.0, self._empty_since + NOTICED_S - time.monotonic()))
        while not removed.is_set():
            try:
                link = socket.create_connection(self._address, timeout=JOIN_S)
            except OSError:
                removed.wait(RECONNECT_S)
                continue
            link.settimeout(None)
            with self._lock:
                self._link = link
            if removed.is_set():
                _hang_up(link)
                return
            try:
                _serve(link, emulator)
            except TornOffError:
                removed.set()
            finally:
                with self._lock:
                    self._link = None
                link.close()
                self._empty_since = time.monotonic()
            removed.wait(RECONNECT_S)


class SocketSlot:
    """A slot at a Unix socket, for ``SocketReader``: it listens, the reader connects."""

    def __init__(self, emulator: Emulator | None, path: Path) -> None:
        self._emulator = emulator
        self._present = False
        self._path = path
        self._changed = threading.Condition()
        self._holder: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, name=f"slot {path.name}", daemon=True)
        self._thread.start()

    @property
    def inserted(self) -> bool:
        """The card lies in the slot; False again after a fault pulled it."""
        return self._present

    def insert(self, emulator: Emulator | None = None) -> None:
        """Lay the card (or another one) on the reader."""
        with self._changed:
            self._emulator = emulator or self._emulator
            self._present = True

    def remove(self) -> None:
        """Take it away; whoever was using it is cut off. Safe to call twice."""
        with self._changed:
            self._present = False
            if self._holder is not None:
                _hang_up(self._holder)

    def close(self) -> None:
        """Stop serving and delete the socket."""
        self.remove()
        _hang_up(self._listener)
        self._thread.join(JOIN_S)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if not self._changed.wait_for(lambda: self._holder is None, LETTING_GO_S):
                    # Hanging up without an ATR says "held by somebody else".
                    link.close()
                    continue
                self._holder = link
                emulator = self._emulator if self._present else None
            threading.Thread(target=self._hold, args=(link, emulator), name="slot user", daemon=True).start()

    def _hold(self, link: socket.socket, emulator: Emulator | None) -> None:
        try:
            _serve(link, emulator)
        except TornOffError:
            self._present = False
        finally:
            with self._changed:
                self._holder = None
                link.close()
                self._changed.notify_all()
