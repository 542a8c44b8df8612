"""One question to a device service and its answer: HTTP/1.1 with verbs of its own, over the loopback address alone.

Read by hand, because services miscount: Content-Length may count characters instead of bytes, empty lines may follow
the body, the connection may stay open. What is read is bounded in size and in time, however thinly it drips, and a
wait ends at once when it is not wanted any more: closing the connection is the only way the interface has to cancel.
No proxy is asked, whatever the environment says.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from drivers.errors import DeviceError, DeviceRemovedError, DeviceTimeoutError
from drivers.scanner.sbi.errors import AnswerRefusedError, Refusal
from drivers.scanner.sbi.protocol import HOST, PATHS, Verb

LARGEST_BODY_BYTES = 8 * 1024 * 1024
"""A raw picture of 2048 x 2048 in base64 twice over is 7.5 MB."""
LARGEST_HEAD_BYTES = 16 * 1024
LINGER_S = 0.1
"""How long bytes beyond Content-Length are waited for when the service does not hang up: they are there already."""
SLICE_S = 0.05
"""How often a wait looks at the stop event."""
_CHUNK_BYTES = 64 * 1024


class StopWaitingError(Exception):
    """The caller's stop event was set; the connection is closed. Never leaves the driver."""


class NobodyThereError(DeviceRemovedError):
    """Nothing listens on the port."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Until when an answer is waited for, on which clock, and what ends the wait earlier."""

    until: float
    monotonic: Callable[[], float]
    stop: threading.Event | None = None

    def left(self) -> float:
        """Seconds; raises StopWaitingError when the wait is not wanted any more."""
        if self.stop is not None and self.stop.is_set():
            raise StopWaitingError
        return self.until - self.monotonic()


def ask(port: int, verb: Verb, body: bytes, wait: Wait, *, application: str = "mpos-agent") -> bytearray:
    """Ask the service on that port; gives the body of its answer, the caller's to overwrite.

    Raises
    ------
    NobodyThereError
        The port is closed.
    DeviceRemovedError
        The service hung up without a word, or broke the connection.
    DeviceTimeoutError
        It did not finish its answer in time.
    AnswerRefusedError
        Not HTTP, not status 200, not JSON by its own word, cut short, or larger than 8 MB.
    """
    name = f"device service {HOST}:{port}"
    head = (
        f"{verb} {PATHS[verb]} HTTP/1.1\r\nHOST: {HOST}:{port}\r\nEXT: {application}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        conversation = _Conversation(connection, name, verb.lower(), wait)
        try:
            conversation.connect(port)
            conversation.send(head.encode("ascii") + body)
            return conversation.answer()
        finally:
            conversation.wipe()


class _Conversation:
    """What was received so far, and the rules under which more is received."""

    def __init__(self, connection: socket.socket, name: str, doing: str, wait: Wait) -> None:
        self._connection, self._name, self._doing, self._wait = connection, name, doing, wait
        self._chunk = bytearray(_CHUNK_BYTES)
        self._received = bytearray()

    def connect(self, port: int) -> None:
        self._connection.settimeout(self._left())
        try:
            self._connection.connect((HOST, port))
        except ConnectionRefusedError as error:
            raise NobodyThereError(self._name, self._doing, "nobody listens there") from error
        except TimeoutError as error:
            raise DeviceTimeoutError(self._name, self._doing, "it takes no connection") from error
        except OSError as error:
            raise DeviceRemovedError(self._name, self._doing, error.strerror or "no connection") from error

    def send(self, request: bytes) -> None:
        self._connection.settimeout(self._left())
        try:
            self._connection.sendall(request)
        except TimeoutError as error:
            raise DeviceTimeoutError(self._name, self._doing, "it takes no request") from error
        except OSError as error:
            raise DeviceRemovedError(self._name, self._doing, "it hung up") from error

    def answer(self) -> bytearray:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > LARGEST_HEAD_BYTES:
                raise self._refused(Refusal.NOT_HTTP, "a head without end")
            if not self._more():
                if not self._received:
                    raise DeviceRemovedError(self._name, self._doing, "it hung up without an answer")
                raise self._refused(Refusal.CUT_SHORT, "in the head")
            self._must_look_like_http()
        headers = self._headers(bytes(self._received[:end]))
        if headers.get("transfer-encoding", "identity").lower() != "identity":
            raise self._refused(Refusal.NOT_HTTP, "a transfer encoding")
        length = self._length(headers)
        self._read_body(end + 4, length)
        return self._received[end + 4 :]

    def wipe(self) -> None:
        self._chunk[:] = bytes(len(self._chunk))
        self._received[:] = bytes(len(self._received))

    def _must_look_like_http(self) -> None:
        beginning = b"HTTP/1."
        if bytes(self._received[: len(beginning)]) != beginning[: len(self._received)]:
            raise self._refused(Refusal.NOT_HTTP)

    def _headers(self, head: bytes) -> dict[str, str]:
        status, *lines = head.decode("latin-1").split("\r\n")
        number = status.split(" ")[1] if " " in status else ""
        if number == "405":
            raise self._refused(Refusal.VERSION, f"it does not know {self._doing.upper()}: another dialect")
        if number != "200":
            raise self._refused(Refusal.STATUS, f"HTTP {number[:3]}")
        headers = {}
        for line in lines:
            key, colon, value = line.partition(":")
            if colon:
                headers[key.strip().lower()] = value.strip()
        said = headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if said != "application/json":
            raise self._refused(Refusal.CONTENT_TYPE, said[:40])
        return headers

    def _length(self, headers: dict[str, str]) -> int | None:
        said = headers.get("content-length")
        if said is None:
            return None
        if not (said.isascii() and said.isdigit() and len(said) < 12):
            raise self._refused(Refusal.NOT_HTTP, "Content-Length is no number")
        if int(said) > LARGEST_BODY_BYTES:
            raise self._refused(Refusal.OVERSIZED, f"{said} bytes announced")
        return int(said)

    def _read_body(self, start: int, length: int | None) -> None:
        """To Content-Length, and on to the end of the connection as far as that comes at once."""
        lingering = None
        while True:
            got = len(self._received) - start
            if got > LARGEST_BODY_BYTES:
                raise self._refused(Refusal.OVERSIZED, f"more than {LARGEST_BODY_BYTES} bytes")
            if length is not None and got >= length and lingering is None:
                lingering = min(self._wait.until, self._wait.monotonic() + LINGER_S)
            if not self._more(lingering):
                if length is not None and got < length:
                    raise self._refused(Refusal.CUT_SHORT, f"{got} of {length} bytes came")
                return

    def _more(self, lingering: float | None = None) -> bool:
        """Receive something; False when the service has hung up, or nothing more comes while lingering."""
        while True:
            left = self._left()
            if lingering is not None:
                left = min(left, lingering - self._wait.monotonic())
                if left <= 0:
                    return False
            self._connection.settimeout(min(left, SLICE_S))
            try:
                count = self._connection.recv_into(self._chunk)
            except TimeoutError:
                continue
            except ConnectionResetError:
                return False
            except OSError as error:
                raise DeviceRemovedError(self._name, self._doing, error.strerror or "broken") from error
            self._received += memoryview(self._chunk)[:count]
            return count > 0

    def _left(self) -> float:
        left = self._wait.left()
        if left <= 0:
            raise DeviceTimeoutError(self._name, self._doing, f"{len(self._received)} bytes came")
        return left

    def _refused(self, refusal: Refusal, detail: str = "") -> DeviceError:
        return AnswerRefusedError(self._name, self._doing, refusal, detail)
