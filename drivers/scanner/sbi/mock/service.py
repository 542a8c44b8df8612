"""The pretended service: HTTP with verbs of its own on one loopback port, and everything that can go wrong there."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

import cv2

from drivers.scanner.sbi.mock import admin
from drivers.scanner.sbi.mock.device import ANY_TYPE, MockDevice, parsed
from drivers.scanner.sbi.mock.identity import as_json
from drivers.scanner.sbi.mock.mistakes import Mistake, Quirk
from drivers.scanner.sbi.protocol import FINGER, HOST, PATHS, Status, Verb

LARGEST_REQUEST = 64 * 1024
REQUEST_S = 5.0
"""A client that does not finish its request must not hold a thread for ever."""
_TURN_S = 0.02
_CAPTURES = frozenset({Verb.REGISTER, Verb.CAPTURE})


class MockService:
    """Listens from the start. ``unplug`` and ``plug`` end and begin it anew; ``close`` ends it for good."""

    def __init__(self, device: MockDevice, ports: Collection[int] = (0,)) -> None:
        self.device = device
        self.mistaken: frozenset[str] = frozenset(_CAPTURES)
        """The verbs at which a mistake of the line is made."""
        self._listener = _listen(ports)
        self.port: int = self._listener.getsockname()[1]
        self._callers: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._accepting = self._start()

    def unplug(self) -> None:
        """The service is gone, and every conversation with it."""
        self._ended.set()
        with self._guard:
            for caller in self._callers:
                with contextlib.suppress(OSError):
                    caller.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def plug(self, port: int | None = None) -> None:
        """It is there again: at the same port, or at another (0: any)."""
        self._listener = _listen((self.port if port is None else port,))
        self.port = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self._accepting = self._start()

    def close(self) -> None:
        """End; safe to call twice."""
        if not self._ended.is_set():
            self.unplug()
        self.device.glass.lift()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(target=self._accept, name=f"mock device service {self.port}")
        thread.start()
        return thread

    def _accept(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._listener], [], [], _TURN_S)[0]:
                continue
            caller, _ = self._listener.accept()
            with self._guard:
                self._callers.add(caller)
            thread = threading.Thread(target=self._serve, args=(caller,), name=f"mock device call {self.port}")
            thread.start()
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]

    def _serve(self, caller: socket.socket) -> None:
        try:
            caller.settimeout(REQUEST_S)
            request = _read_request(caller)
            if request is not None:
                self._answer(caller, *request)
        except OSError:
            return  # the caller has gone: nobody is left to tell
        finally:
            with self._guard:
                self._callers.discard(caller)
            caller.close()

    def _answer(self, caller: socket.socket, verb: str, path: str, body: bytes) -> None:
        self.device.wait_as_told(verb)
        if verb == "OPTIONS":
            _send(caller, b"", "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: *\r\n")
            return
        if verb == "POST" and path.startswith("/admin/"):
            _send(caller, as_json(admin.carry_out(self, path, parsed(body))))
            return
        known = "SBIDISC" if self.device.mistake is Mistake.DIALECT_1_0 else verb
        if PATHS.get(Verb(verb) if verb in set(Verb) else Verb.INFO) != path or known not in set(Verb):
            content = as_json({"error": {"errorCode": "500", "errorInfo": "unknown URL"}})
            _send(caller, content, status="405 Method Not Allowed")
            return
        if verb == Verb.STREAM:
            self._stream(caller, parsed(body))
            return
        content = self._content(Verb(verb), body, caller)
        mistake = self.device.mistake if verb in self.mistaken else None
        if mistake is None or not self._sent_wrongly(caller, mistake, content):
            self._send_rightly(caller, content)

    def _content(self, verb: Verb, body: bytes, caller: socket.socket) -> bytes:
        match verb:
            case Verb.DISCOVER:
                wanted = parsed(body)
                kind = wanted.get("type") if isinstance(wanted, dict) else None
                if kind is None:
                    return as_json([{"error": {"errorCode": "501", "errorInfo": "type is missing"}}])
                if kind not in (FINGER, "Face", "Iris", ANY_TYPE):
                    return as_json([{"error": {"errorCode": "502", "errorInfo": "type is unknown"}}])
                return as_json(self.device.discover(kind, self.port))
            case Verb.INFO:
                return as_json(self.device.inform(self.port))
            case _:
                return self.device.capture(verb, parsed(body), lambda: self._ended.is_set() or _has_gone(caller))

    def _send_rightly(self, caller: socket.socket, content: bytes) -> None:
        quirks = self.device.quirks
        if Quirk.NO_LENGTH in quirks:
            caller.sendall(_head("200 OK", None) + content)
            return
        caller.sendall(_head("200 OK", len(content)) + content + (b"\r\n\r\n" if Quirk.EXTRA_LINES in quirks else b""))
        if Quirk.KEEPS_OPEN in quirks:
            self._until(lambda: _has_gone(caller))

    def _sent_wrongly(self, caller: socket.socket, mistake: Mistake, content: bytes) -> bool:
        size = len(content)
        match mistake:
            case Mistake.SILENT:
                self._until(lambda: _has_gone(caller))
            case Mistake.HANGS_UP:
                caller.sendall(_head("200 OK", size) + content[: size // 2])
            case Mistake.NEVER_ENDING:
                caller.sendall(_head("200 OK", None))
                self._until(lambda: _has_gone(caller) or caller.send(b" " * 1024) == 0)
            case Mistake.OVERSIZED:
                caller.sendall(_head("200 OK", 9_000_000) + content)
            case Mistake.DRIPPING:
                caller.sendall(_head("200 OK", size))
                rest = iter(content)
                self._until(lambda: _has_gone(caller) or caller.send(bytes([next(rest)])) == 0)
            case Mistake.LENGTH_TOO_LARGE:
                caller.sendall(_head("200 OK", size + 10) + content)
            case Mistake.LENGTH_TOO_SMALL:
                caller.sendall(_head("200 OK", size - 10) + content)
            case Mistake.CONTENT_TYPE:
                caller.sendall(_head("200 OK", size, "text/html") + content)
            case Mistake.HTTP_ERROR:
                caller.sendall(_head("500 Internal Server Error", size) + content)
            case Mistake.NOT_HTTP:
                caller.sendall(b"SSH-2.0-nothing\r\n")
            case Mistake.TRUNCATED_JSON:
                caller.sendall(_head("200 OK", size - 10) + content[:-10])
            case Mistake.TWO_VALUES:
                caller.sendall(_head("200 OK", size * 2) + content * 2)
            case Mistake.WRONG_SHAPE:
                _send(caller, b'{"biometrics": {"0": []}}')
            case _:
                return False
        return True

    def _stream(self, caller: socket.socket, body: Any) -> None:
        """Section 7: JPEG pictures one after another, as HTTP/1.0, until the caller goes or the time is over."""
        said = body if isinstance(body, dict) else {}
        problem = (
            ("604", "device id missing")
            if not said.get("deviceId")
            else ("605", "device not connected")
            if said["deviceId"] != self.device.device_id
            else ("601", "not on an Auth device")
            if self.device.purpose == "Auth"
            else ("607", "not ready or busy")
            if self.device.status is not Status.READY
            else None
        )
        if problem is not None:
            _send(caller, as_json({"error": {"errorCode": problem[0], "errorInfo": problem[1]}}))
            return
        said_timeout = str(said.get("timeout", ""))
        until = time.monotonic() + (int(said_timeout) if said_timeout.isdigit() else 300_000) / 1000
        caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=--BoundaryString\r\n\r\n")
        while not self._ended.is_set() and not _has_gone(caller) and time.monotonic() < until:
            frame = self.device.glass.frame()
            if frame is not None:
                done, jpeg = cv2.imencode(".jpg", frame[0])
                frame[0][...] = 0
                assert done
                part = f"--BoundaryString\r\nContent-Type:image/jpeg\r\nContent-Length:{len(jpeg)}\r\n\r\n"
                caller.sendall(part.encode("ascii") + jpeg.tobytes() + b"\r\n\r\n")
            self._ended.wait(0.2)

    def _until(self, over: Callable[[], bool]) -> None:
        while not self._ended.wait(_TURN_S):
            if over():
                return


def _listen(ports: Collection[int]) -> socket.socket:
    """At the first port that is free."""
    for port in ports:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(16)
        except OSError:
            listener.close()
            continue
        return listener
    raise OSError(f"no free port of {HOST} among the {len(ports)} that were tried")


def _read_request(caller: socket.socket) -> tuple[str, str, bytes] | None:
    """Verb, path and body; both the origin form and the absolute form of the address."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = caller.recv(4096)
        if not more or len(received) > LARGEST_REQUEST:
            return None
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").split("\r\n")
    verb, _, address = line.partition(" ")
    address = address.split(" ")[0]
    path = "/" + address.split("/", 3)[3] if address.startswith("http://") and address.count("/") > 2 else address
    # Exactly so written: that is how services in the field look for it.
    lengths = [one.removeprefix("Content-Length: ") for one in headers if one.startswith("Content-Length: ")]
    length = int(lengths[0]) if lengths and lengths[0].isdigit() else 0
    while len(body) < min(length, LARGEST_REQUEST):
        more = caller.recv(4096)
        if not more:
            return None
        body += more
    return verb, path, body[:length]


def _head(status: str, length: int | None, kind: str = "application/json") -> bytes:
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return (
        f"HTTP/1.1 {status}\r\nCache-Control: no-store\r\nContent-Type: {kind}\r\n{size}Connection: Closed\r\n\r\n"
    ).encode("ascii")


def _send(caller: socket.socket, content: bytes, headers: str = "", status: str = "200 OK") -> None:
    head = _head(status, len(content))
    caller.sendall(head[:-2] + headers.encode("ascii") + b"\r\n" + content)


def _has_gone(caller: socket.socket) -> bool:
    """Whether the other end has closed: the only way a client has to cancel."""
    if not select.select([caller], [], [], 0)[0]:
        return False
    try:
        return caller.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True
