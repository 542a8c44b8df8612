"""One question and its answer, against services that follow a script instead of HTTP."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from drivers.errors import DeviceError, DeviceRemovedError, DeviceTimeoutError
from drivers.scanner.sbi.errors import AnswerRefusedError, Refusal
from drivers.scanner.sbi.protocol import Verb
from drivers.scanner.sbi.transport import NobodyThereError, StopWaitingError, Wait, ask
from tests.drivers.scanner.leaks import nothing_left

Script = Callable[[socket.socket], None]
OK = b"HTTP/1.1 200 OK\r\n"


class Peer:
    """A listener that plays one script to one caller."""

    def __init__(self, script: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.request = b""
        self._script = script
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def _play(self) -> None:
        try:
            caller, _ = self._listener.accept()
        except OSError:
            return
        with caller:
            self.request = caller.recv(65536)
            try:
                self._script(caller)
            except OSError:
                return  # the caller has hung up in the middle, which is what some tests want

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def playing() -> Iterator[Callable[[Script], Peer]]:
    peers: list[Peer] = []

    def play(script: Script) -> Peer:
        peers.append(Peer(script))
        return peers[-1]

    yield play
    for peer in peers:
        peer.close()


def says(content: bytes) -> Script:
    return lambda caller: caller.sendall(content)


def within(seconds: float, stop: threading.Event | None = None) -> Wait:
    return Wait(time.monotonic() + seconds, time.monotonic, stop)


def test_the_request_as_services_in_the_field_want_it(playing: Callable[[Script], Peer]) -> None:
    """Origin form, the verb of the interface, Content-Length exactly so written."""
    peer = playing(says(OK + b"Content-Length: 2\r\n\r\n{}"))
    assert ask(peer.port, Verb.REGISTER, b'{"a": 1}', within(5)) == b"{}"
    assert peer.request == (
        b"RCAPTURE /capture HTTP/1.1\r\nHOST: 127.0.0.1:%d\r\nEXT: mpos-agent\r\n"
        b'Content-Type: application/json\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"a": 1}' % peer.port
    )


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK + b"\r\n[]", b"[]"),
        (OK + b"content-length:2\r\n\r\n[]", b"[]"),
        (OK + b"Content-Length: 1\r\n\r\n[]\r\n", b"[]\r\n"),
        (OK + b"Content-Type: application/json; charset=utf-8\r\n\r\n[]", b"[]"),
        (b"HTTP/1.0 200 OK\r\nbroken header\r\n\r\n[]", b"[]"),
    ],
)
def test_sloppy_answers_are_read(playing: Callable[[Script], Peer], answer: bytes, body: bytes) -> None:
    """Without a length, with one that is too small, with headers in other letters."""
    assert ask(playing(says(answer)).port, Verb.INFO, b"", within(5)) == body


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (b"SSH-2.0-nothing\r\n", Refusal.NOT_HTTP),
        (b"HTTQ", Refusal.NOT_HTTP),
        (b"HTTP/1.1 200", Refusal.CUT_SHORT),
        (b"HTTP/1.1\r\n\r\n", Refusal.STATUS),
        (b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n", Refusal.STATUS),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n{}", Refusal.VERSION),
        (OK + b"Content-Type: image/jpeg\r\n\r\n", Refusal.CONTENT_TYPE),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refusal.NOT_HTTP),
        (OK + b"Content-Length: -1\r\n\r\n", Refusal.NOT_HTTP),
        (OK + b"Content-Length: 10\r\n\r\n[]", Refusal.CUT_SHORT),
        (OK + b"Content-Length: 8388609\r\n\r\n", Refusal.OVERSIZED),
        (OK + b"X: " + b"x" * 20_000, Refusal.NOT_HTTP),
    ],
)
def test_what_is_no_answer_is_refused_by_name(
    playing: Callable[[Script], Peer], answer: bytes, refusal: Refusal
) -> None:
    """Another protocol, an error, a way elsewhere (never followed), a length that is none, a head without end."""
    with pytest.raises(AnswerRefusedError) as refused:
        ask(playing(says(answer)).port, Verb.INFO, b"", within(5))
    assert refused.value.refusal is refusal


def test_hanging_up_without_a_word(playing: Callable[[Script], Peer]) -> None:
    """The service died: as if the cable had been pulled."""
    with pytest.raises(DeviceRemovedError):
        ask(playing(says(b"")).port, Verb.INFO, b"", within(5))


def test_nobody_listens() -> None:
    """A closed port is told from everything else: in a scan it is the ordinary case."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NobodyThereError):
        ask(port, Verb.INFO, b"", within(5))


def _dripping(caller: socket.socket) -> None:
    for one in OK + b"Content-Length: 1000\r\n\r\n" + b" " * 1000:
        caller.sendall(bytes([one]))
        time.sleep(0.005)


@pytest.mark.parametrize(
    "script",
    [lambda caller: caller.recv(1), _dripping, lambda caller: (caller.sendall(OK), caller.recv(1))],
    ids=["silent", "dripping", "half a head"],
)
def test_an_answer_that_does_not_come_to_an_end(script: Script) -> None:
    """One time-out for the whole answer: bytes that drip do not prolong it; and no descriptor is left."""

    def waited() -> None:
        with Peer(script) as peer, pytest.raises(DeviceTimeoutError):
            ask(peer.port, Verb.INFO, b"", within(0.15))

    waited()
    with nothing_left():
        waited()


def test_a_wait_ends_when_it_is_not_wanted_any_more(playing: Callable[[Script], Peer]) -> None:
    """Long before its time, and the service sees the connection closed: its only way to hear of it."""
    heard = threading.Event()

    def until_closed(caller: socket.socket) -> None:
        if caller.recv(1) == b"":
            heard.set()

    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    with pytest.raises(StopWaitingError):
        ask(playing(until_closed).port, Verb.REGISTER, b"{}", within(60, stop))
    timer.join()
    assert heard.wait(5)


def test_no_proxy_is_asked(playing: Callable[[Script], Peer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says: a finger never takes a way round."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    assert ask(playing(says(OK + b"\r\n{}")).port, Verb.INFO, b"", within(5)) == b"{}"


def test_errors_name_the_service_and_the_question(playing: Callable[[Script], Peer]) -> None:
    """And nothing of what was answered."""
    peer = playing(says(OK + b"Content-Length: 99\r\n\r\nsecret"))
    with pytest.raises(DeviceError) as told:
        ask(peer.port, Verb.REGISTER, b"", within(5))
    assert str(told.value) == f"device service 127.0.0.1:{peer.port}: rcapture: cut_short (6 of 99 bytes came)"
