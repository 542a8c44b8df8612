"""The virtual scanner at both ends: what a broken, hostile or careless other end does to it, by cause."""

import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)
from drivers.scanner.base import FingerImage, PlaceAgain
from drivers.scanner.discovery import Wanted, find_scanners
from drivers.scanner.virtual import VirtualScanner, VirtualScannerSource
from drivers.scanner.virtual_frames import HEADER_BYTES, Header, Kind, encode_header
from drivers.scanner.virtual_server import VirtualScannerServer

HELLO = encode_header(Header(Kind.HELLO, 388, 374, 500.0))
IMAGE = encode_header(Header(Kind.IMAGE, 40, 30, 500.0))
CANCELLED = encode_header(Header(Kind.CANCELLED))
PIXELS = np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1))


class Peer:
    """The other end of the socket, following a script instead of the protocol."""

    def __init__(self, path: Path, script: Callable[[socket.socket], None]) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._script = script
        self._thread = threading.Thread(target=self._play, name="peer")

    def _play(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(30)
            try:
                self._script(connection)
            except OSError:
                return  # the scanner hung up on us, which is what most scripts provoke

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.join()
        self._listener.close()


class FastClock:
    """Half a second passes whenever somebody looks: waits end by the clock, not by waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


def answer_a_capture_with(*chunks: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(HEADER_BYTES)
        for chunk in chunks:
            connection.sendall(chunk)

    return script


def hold_after(*chunks: bytes) -> Callable[[socket.socket], None]:
    """Say this, then nothing, until the scanner hangs up."""

    def script(connection: socket.socket) -> None:
        for chunk in chunks:
            connection.sendall(chunk)
        while connection.recv(4096):
            pass

    return script


def hung_up(user: socket.socket) -> bool:
    """Whether the other end closes; with words of ours unread the system calls that a reset."""
    try:
        return user.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scanner.sock"


@pytest.fixture
def server(path: Path) -> Iterator[VirtualScannerServer]:
    with VirtualScannerServer(path) as running:
        yield running


@pytest.mark.parametrize("arrived", [0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + 1199])
def test_unplugged_in_the_middle_of_a_picture(path: Path, arrived: int) -> None:
    """Wherever the cable is pulled, half a picture is never handed on, and the cause is named."""
    frame = IMAGE + PIXELS.tobytes()
    with Peer(path, answer_a_capture_with(frame[:arrived])), VirtualScannerSource(path).open() as scanner:
        with pytest.raises(DeviceRemovedError):
            scanner.capture(30)


def test_a_picture_that_stops_arriving_is_given_up(path: Path) -> None:
    """A scanner that freezes in mid-picture costs seconds, not the counter."""
    with Peer(path, hold_after(HELLO)), pytest.raises(DeviceTimeoutError, match="0 of 14"):
        with VirtualScanner(VirtualScannerSource(path).info, FastClock()) as scanner:
            scanner.capture(1)


def test_a_picture_that_drips_for_ever_is_given_up(path: Path) -> None:
    """Each byte arrives in time, the whole never does: the time limit is for the whole."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(HEADER_BYTES)
        connection.sendall(encode_header(Header(Kind.IMAGE, 2048, 2048, 500.0)))
        while True:
            connection.sendall(b"\x80")

    with Peer(path, drip), pytest.raises(DeviceTimeoutError, match="of 4194304 bytes"):
        with VirtualScanner(VirtualScannerSource(path).info, FastClock()) as scanner:
            scanner.capture(30)


def test_a_scanner_that_says_nothing_cannot_be_opened(path: Path) -> None:
    """Something accepts the connection and stays silent: opening ends with a time-out, not never."""
    with Peer(path, hold_after()), pytest.raises(DeviceTimeoutError, match="open"):
        VirtualScanner(VirtualScannerSource(path).info, FastClock())


@pytest.mark.parametrize(
    "greeting",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        bytes(HEADER_BYTES),
        IMAGE,
        CANCELLED,
        struct.pack(">4sBBHHI", b"MPVS", 9, 1, 388, 374, 50000),
    ],
)
def test_something_else_listens_there(path: Path, greeting: bytes) -> None:
    """A socket of another program is not taken for a scanner."""
    with Peer(path, hold_after(greeting)), pytest.raises(DeviceProtocolError):
        VirtualScannerSource(path).open()


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00" * 64,
        HELLO,
        struct.pack(">4sBBHHI", b"MPVS", 1, 5, 60000, 60000, 50000),
        struct.pack(">4sBBHHI", b"MPVS", 1, 5, 40, 30, 7),
    ],
)
def test_garbage_instead_of_a_picture(path: Path, answer: bytes) -> None:
    """Nonsense, or a picture of impossible size, is refused before a byte of it is stored."""
    with Peer(path, answer_a_capture_with(answer)), VirtualScannerSource(path).open() as scanner:
        with pytest.raises(DeviceProtocolError):
            scanner.capture(30)


def test_a_picture_nobody_asked_for_is_not_taken(path: Path) -> None:
    """One picture too many may be of the previous member: the next capture refuses it."""
    frame = IMAGE + PIXELS.tobytes()

    def send_two(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(HEADER_BYTES)
        connection.sendall(frame + frame)
        connection.recv(HEADER_BYTES)

    with Peer(path, send_two), VirtualScannerSource(path).open() as scanner:
        assert isinstance(scanner.capture(30), FingerImage)
        with pytest.raises(DeviceProtocolError, match="before it was asked"):
            scanner.capture(30)


def test_a_picture_that_crosses_the_end_of_the_wait_is_used(path: Path) -> None:
    """The finger came in the last instant: the picture already on its way is not thrown away or left lying."""

    def too_late(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        connection.recv(HEADER_BYTES)
        assert connection.recv(HEADER_BYTES) == encode_header(Header(Kind.CANCEL))
        connection.sendall(IMAGE + PIXELS.tobytes())
        connection.recv(1)

    with Peer(path, too_late), VirtualScannerSource(path).open() as scanner:
        assert isinstance(scanner.capture(0.01), FingerImage)


def test_after_an_error_the_scanner_must_be_opened_anew(path: Path) -> None:
    """What is left of a failed conversation is never read as the answer to the next one."""
    with Peer(path, answer_a_capture_with(b"\x00" * 64)), VirtualScannerSource(path).open() as scanner:
        with pytest.raises(DeviceProtocolError):
            scanner.capture(30)
        with pytest.raises(DeviceRemovedError, match="open it again"):
            scanner.capture(30)


def test_nobody_listens(path: Path) -> None:
    """No socket, a socket without a program, a plain file, a path too long: all mean that it is not plugged in."""
    with pytest.raises(DeviceNotFoundError):
        VirtualScannerSource(path).open()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(DeviceNotFoundError):
        VirtualScannerSource(path).open()
    path.unlink()
    path.write_text("")
    with pytest.raises(DeviceNotFoundError):
        VirtualScannerSource(path).open()
    with pytest.raises(DeviceNotFoundError):
        VirtualScannerSource(path.with_name("x" * 200)).open()


def test_only_plugged_in_scanners_are_listed(server: VirtualScannerServer, path: Path) -> None:
    """The technician's list shows what could be opened now."""
    assert [source.info.path for source in find_scanners(Wanted(virtual_socket=path))] == [str(path)]
    assert find_scanners(Wanted(virtual_socket=path.with_name("other.sock"))) == []
    server.unplug()
    assert find_scanners(Wanted(virtual_socket=path)) == []


def test_the_socket_is_for_this_user_only(server: VirtualScannerServer, path: Path) -> None:
    """No other user of the machine can lay a finger on our glass or read one from it."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    server.unplug()
    assert not path.exists()


def test_a_socket_left_by_a_crash_is_replaced_and_a_live_one_is_not(path: Path) -> None:
    """After a power cut the virtual scanner starts again; two at once on one socket are refused."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as crashed:
        crashed.bind(str(path))
    with VirtualScannerServer(path) as server:
        server.place(PIXELS)
        with pytest.raises(DeviceBusyError):
            VirtualScannerServer(path)
        with VirtualScannerSource(path).open() as scanner:
            assert isinstance(scanner.capture(30), FingerImage)


def test_the_resolution_travels_with_the_picture(server: VirtualScannerServer, path: Path) -> None:
    """Pictures of different scanners can be played through one socket; each says its own dpi."""
    with VirtualScannerSource(path).open() as scanner:
        for dpi in (500.0, 569.0, 385.0):
            server.place(PIXELS, dpi)
            image = scanner.capture(30)
            assert isinstance(image, FingerImage)
            assert image.dpi == dpi


@pytest.mark.parametrize(
    ("pixels", "dpi"),
    [
        (np.zeros((30, 40, 3), dtype=np.uint8), 500.0),
        (np.zeros((30, 40), dtype=np.float64), 500.0),
        (np.zeros((0, 40), dtype=np.uint8), 500.0),
        (np.zeros((30, 4000), dtype=np.uint8), 500.0),
        (np.zeros((30, 40), dtype=np.uint8), 20.0),
    ],
)
def test_what_is_no_picture_cannot_be_placed(server: VirtualScannerServer, pixels: np.ndarray, dpi: float) -> None:
    """Colour, floats, empty, oversized or without resolution: the mistake shows where it is made."""
    with pytest.raises(ValueError, match=r"picture|dpi"):
        server.place(pixels, dpi)


def test_a_lifted_finger_leaves_no_picture_in_the_server(server: VirtualScannerServer) -> None:
    """The picture's memory is overwritten, not merely forgotten."""
    server.place(PIXELS)
    assert server._glass is not None
    buffer = server._glass[1]
    assert any(buffer)
    server.lift()
    assert not any(buffer)
    assert server._glass is None


def test_a_user_talking_nonsense_is_dropped_and_the_next_one_served(server: VirtualScannerServer, path: Path) -> None:
    """One broken program does not take the scanner away from the others."""
    server.place(PIXELS)
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\x00", encode_header(Header(Kind.HELLO, 1, 1, 500.0))):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as user:
            user.settimeout(30)
            user.connect(str(path))
            user.recv(HEADER_BYTES)
            user.sendall(nonsense)
            assert hung_up(user)
        with VirtualScannerSource(path).open() as scanner:
            assert isinstance(scanner.capture(30), FingerImage)


def test_a_user_that_hangs_up_in_mid_wait_frees_the_scanner(server: VirtualScannerServer, path: Path) -> None:
    """The agent was killed while waiting for a finger; started again it gets the scanner and its own picture."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as user:
        user.connect(str(path))
        user.sendall(encode_header(Header(Kind.CAPTURE)))
    with VirtualScannerSource(path).open() as scanner:
        assert scanner.capture(0.05) is PlaceAgain.NO_FINGER
        server.place(PIXELS)
        image = scanner.capture(30)
    assert isinstance(image, FingerImage)
    same = np.array_equal(image.pixels, PIXELS)
    assert same, "another picture than the one placed"


def test_errors_say_which_scanner_and_no_pixels(path: Path) -> None:
    """The message names socket and cause; what had arrived of the picture is not in it."""
    frame = IMAGE + PIXELS.tobytes()
    with Peer(path, answer_a_capture_with(frame[:-1])), VirtualScannerSource(path).open() as scanner:
        with pytest.raises(DeviceError) as raised:
            scanner.capture(30)
    assert str(path) in str(raised.value)
    assert "1199 of 1200" in str(raised.value)
