"""The other end of the virtual scanner: holds what lies on the glass and hands it out over a Unix socket.

Told in-process what happens (``place``, ``lift``, ``unplug`` …). Pictures stay in memory and are
overwritten when the finger is lifted. One thread serves one user at a time, as a real scanner does.
"""

import contextlib
import dataclasses
import select
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceBusyError
from drivers.scanner.virtual_frames import (
    HEADER_BYTES,
    HIGHEST_DPI,
    LARGEST_SIDE,
    LOWEST_DPI,
    FrameError,
    Header,
    Kind,
    decode_header,
    encode_header,
)

SEND_S = 2.0
"""A user that does not take its picture for this long has hung; the glass is not held up for it."""
_WORDS_BEFORE_LEAVING = 4
"""CAPTURE, CANCEL, the end of the connection, and one to spare."""
DEFAULT_GLASS = (374, 388)
"""(H, W) told to users before anything was placed: 19 x 20 mm at 500 dpi."""
BARE_GLASS = bytes([240])
"""Grey of a glass that nothing lies on."""


class VirtualScannerServer:
    """A scanner to be plugged in, touched and unplugged by the program that owns it.

    Plugged in from the start; use ``with`` or :meth:`close` so that no thread, socket or file stays.

    Parameters
    ----------
    path : where the socket will be; made with mode 0600.
    dpi : resolution of pictures placed without their own.
    after_capture : called by the server's thread when a picture was handed out; must return soon.
    streams : shows its glass all the time to a user who looks, as a camera does.
    after_look : called by the server's thread when a frame was handed out, with how many since the last change of
        the glass; must return soon.

    Raises
    ------
    DeviceBusyError
        Somebody else serves this path.
    """

    def __init__(
        self,
        path: Path,
        dpi: float = 500.0,
        after_capture: Callable[[], None] | None = None,
        *,
        streams: bool = False,
        after_look: Callable[[int], None] | None = None,
    ) -> None:
        self.path, self.dpi, self._after_capture = path, dpi, after_capture
        self._streams, self._after_look, self._looks = streams, after_look, 0
        self._lock = threading.Lock()
        self._plug_lock = threading.Lock()
        self._glass: tuple[Header, bytearray] | None = None
        self._brief_touch = False
        self._pictured = False
        self._plug: _Plug | None = None
        self.plug()

    def place(self, pixels: NDArray[np.uint8], dpi: float | None = None) -> None:
        """Lay a finger on the glass, in place of what lay there; it stays until :meth:`lift` and is pictured once.

        Parameters
        ----------
        pixels : (H, W) uint8, at most 2048 on a side; copied.
        dpi : resolution of this picture; that of the scanner when not given.
        """
        resolution = self.dpi if dpi is None else dpi
        if (
            pixels.dtype != np.uint8
            or pixels.ndim != 2
            or not 0 < min(pixels.shape) <= max(pixels.shape) <= LARGEST_SIDE
        ):
            raise ValueError(f"a picture is (H, W) uint8 up to {LARGEST_SIDE}, not {pixels.dtype} {pixels.shape}")
        if not LOWEST_DPI <= resolution <= HIGHEST_DPI:
            raise ValueError(f"{resolution:g} dpi is no resolution of a fingerprint scanner")
        header = Header(Kind.IMAGE, pixels.shape[1], pixels.shape[0], resolution)
        with self._lock:
            self._wipe_glass()
            self._glass = (header, bytearray(pixels.tobytes()))
        self._wake()

    def lift(self) -> None:
        """Take the finger off; its picture is overwritten."""
        with self._lock:
            self._wipe_glass()
        self._wake()

    def touch_briefly(self) -> None:
        """Put a finger on and take it off before the picture is complete; a capture hears of it."""
        with self._lock:
            self._wipe_glass()
            self._brief_touch = True
        self._wake()

    def plug(self) -> None:
        """Plug it in (again): users can connect."""
        with self._plug_lock:
            if self._plug is None:
                self._plug = _Plug(
                    _listen(self.path),
                    self.path,
                    self._greeting,
                    self._answer,
                    cancelled=self._cancelled,
                    after_capture=self._after_capture,
                    look=self._look,
                    looked=self._looked,
                )

    def unplug(self) -> None:
        """Pull the cable: users lose their connection, nobody can connect."""
        with self._plug_lock:
            if self._plug is not None:
                self._plug.pull()
                self._plug = None

    def close(self) -> None:
        """Unplug and forget the picture; safe to call twice."""
        self.unplug()
        with self._lock:
            self._wipe_glass()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wake(self) -> None:
        with self._plug_lock:
            if self._plug is not None:
                self._plug.wake()

    def _wipe_glass(self) -> None:
        if self._glass is not None:
            self._glass[1][:] = bytes(len(self._glass[1]))
        self._glass = None
        self._brief_touch = self._pictured = False
        self._looks = 0

    def _greeting(self) -> Header:
        hello = Kind.HELLO_STREAM if self._streams else Kind.HELLO
        with self._lock:
            # To a scanner that was just opened every finger is new.
            self._pictured = False
            if self._glass is not None:
                shown = self._glass[0]
                return Header(hello, shown.width, shown.height, shown.dpi)
        return Header(hello, DEFAULT_GLASS[1], DEFAULT_GLASS[0], self.dpi)

    def _answer(self) -> bytearray | None:
        """The frame that answers a capture now, if there is one; the caller overwrites it after use."""
        with self._lock:
            if self._glass is not None and not self._pictured:
                self._pictured = True
                return bytearray(encode_header(self._glass[0])) + self._glass[1]
            if self._brief_touch:
                self._brief_touch = False
                return bytearray(encode_header(Header(Kind.TOO_SHORT)))
        return None

    def _look(self) -> bytearray:
        """What lies on the glass now; the caller overwrites it after use."""
        with self._lock:
            if self._glass is not None:
                shown, pixels = self._glass
                return bytearray(encode_header(dataclasses.replace(shown, kind=Kind.FRAME))) + pixels
        height, width = DEFAULT_GLASS
        return bytearray(encode_header(Header(Kind.FRAME, width, height, self.dpi))) + BARE_GLASS * (height * width)

    def _looked(self) -> None:
        with self._lock:
            self._looks += 1
            looks = self._looks
        if self._after_look is not None:
            self._after_look(looks)

    def _cancelled(self) -> Header:
        with self._lock:
            return Header(Kind.NOT_LIFTED if self._pictured else Kind.CANCELLED)


class _Plug:
    """One stretch of being plugged in: a listening socket, at most one user, and the thread serving both."""

    def __init__(
        self,
        listener: socket.socket,
        path: Path,
        greeting: Callable[[], Header],
        answer: Callable[[], bytearray | None],
        *,
        cancelled: Callable[[], Header],
        after_capture: Callable[[], None] | None,
        look: Callable[[], bytearray],
        looked: Callable[[], None],
    ) -> None:
        self._listener, self._path, self._greeting, self._answer = listener, path, greeting, answer
        self._cancelled, self._after_capture = cancelled, after_capture
        self._look, self._looked = look, looked
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._user: socket.socket | None = None
        self._asked = False
        self._pulled = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="virtual-scanner", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let the thread look at the glass again."""
        # A bell that is full has been rung already.
        with contextlib.suppress(BlockingIOError):
            self._bell.send(b"!")

    def pull(self) -> None:
        """End the thread and close everything it held."""
        self._pulled.set()
        self.wake()
        self._thread.join()
        self._drop_user()
        self._selector.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._bell.close()
        self._ear.close()

    def _serve(self) -> None:
        while not self._pulled.is_set():
            # No time-out: the bell ends the wait when something happens or the plug is pulled.
            for key, _ in self._selector.select():
                if key.fileobj is self._ear:
                    self._ear.recv(4096)
                elif key.fileobj is self._listener:
                    self._welcome()
                elif key.fileobj is self._user:
                    self._hear()
            if self._asked and not self._pulled.is_set():
                self._try_to_answer()

    def _welcome(self) -> None:
        try:
            user, _ = self._listener.accept()
        except ConnectionError:  # gone again before it was its turn
            return
        user.settimeout(SEND_S)
        # The former user may have said something and hung up; that comes before the newcomer's turn.
        for _ in range(_WORDS_BEFORE_LEAVING):
            if self._user is not None and select.select([self._user], [], [], 0)[0]:
                self._hear()
        if self._user is not None:
            with user:
                _send(user, encode_header(Header(Kind.BUSY)))
            return
        self._user, self._asked = user, False
        self._selector.register(user, selectors.EVENT_READ)
        if not _send(user, encode_header(self._greeting())):
            self._drop_user()

    def _hear(self) -> None:
        assert self._user is not None
        try:
            # Commands are 14 bytes written at once; a piece of one is not a user of ours.
            data = self._user.recv(HEADER_BYTES)
            command = decode_header(data).kind if data else None
        except (OSError, FrameError):
            command = None
        if command is Kind.CAPTURE and not self._asked:
            self._asked = True
        elif command is Kind.CANCEL:
            # Not asked any more: the picture crossed the cancellation and was its answer.
            if self._asked and not _send(self._user, encode_header(self._cancelled())):
                self._drop_user()
            self._asked = False
        elif command is Kind.LOOK and not self._asked:
            self._show()
        else:
            self._drop_user()

    def _show(self) -> None:
        assert self._user is not None
        frame = self._look()
        sent = _send(self._user, frame)
        frame[:] = bytes(len(frame))
        if sent:
            self._looked()
        else:
            self._drop_user()

    def _try_to_answer(self) -> None:
        answer = self._answer()
        if answer is None or self._user is None:
            return
        self._asked = False
        picture = len(answer) > HEADER_BYTES
        sent = _send(self._user, answer)
        answer[:] = bytes(len(answer))
        if not sent:
            self._drop_user()
        elif picture and self._after_capture is not None:
            self._after_capture()

    def _drop_user(self) -> None:
        if self._user is not None:
            self._selector.unregister(self._user)
            self._user.close()
            self._user, self._asked = None, False


def _send(user: socket.socket, frame: bytes | bytearray) -> bool:
    """False when the user is gone or has hung."""
    try:
        user.sendall(frame)
    except OSError:
        return False
    return True


def _listen(path: Path) -> socket.socket:
    """Listen on ``path``, in place of a socket file left behind by a program that died."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(SEND_S)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise DeviceBusyError(f"virtual scanner {path}", "plug in", "another program serves this socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        # Before listen(), so that nobody connects while the file is open to others.
        path.chmod(0o600)
        listener.listen(4)
    except OSError:
        listener.close()
        raise
    return listener
