"""What every request passes before a route sees it: Host, Origin, size, credential.

A page of another site open in a browser on this machine can send requests to 127.0.0.1. It cannot set
``Authorization``, its ``Origin`` betrays it, and when it lets its own name resolve to 127.0.0.1 the ``Host``
betrays that. There are no CORS headers, so it could not read an answer either.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mpos_agent.api.callers import Callers
from mpos_agent.errors import (
    AgentError,
    BadRequestError,
    CallerUnknownError,
    ForeignPageError,
    RequestTooLargeError,
)

AsgiScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[AsgiScope, Receive, Send], Awaitable[None]]
Refuse = Callable[[AgentError], Asgi]

_HOST = re.compile(r"(127\.0\.0\.1|localhost)(?::(\d{1,5}))?", re.IGNORECASE)
_ANSWER_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)


def _nothing_streamed(_method: str, _path: str) -> int | None:
    return None


class Gate:
    """ASGI middleware around the whole application.

    ``port`` is the one on 127.0.0.1 (0: only the Unix socket); ``open_paths`` need no credential, because they
    hold nothing but the description of the interface. ``streamed`` gives, for method and path, how much a route takes
    that reads its body as it comes; None for the others, whose body is taken in first.
    """

    def __init__(
        self,
        inner: Asgi,
        *,
        callers: Callers,
        port: int,
        limit_bytes: int,
        open_paths: frozenset[str],
        refuse: Refuse,
        streamed: Callable[[str, str], int | None] = _nothing_streamed,
    ) -> None:
        self._inner, self._callers, self._refuse = inner, callers, refuse
        self._limit_bytes, self._open_paths, self._streamed = limit_bytes, open_paths, streamed
        self._ports = {None, str(port)} if port else {None}
        self._origins = {f"http://{name}:{port}".encode() for name in ("127.0.0.1", "localhost")} if port else set()

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            if scope["type"] != "http":
                raise BadRequestError("only HTTP is spoken here")
            headers = [(name.lower(), value) for name, value in scope["headers"]]
            self._check_origin(headers)
            streamed = self._streamed(scope["method"], scope["path"])
            limit = self._limit_bytes if streamed is None else streamed
            self._check_length(headers, limit)
            if scope["path"] not in self._open_paths:
                scope.setdefault("state", {})["caller"] = self._caller(headers)
            # A route that reads its body by itself does so as it comes; counted all the same.
            body = await self._whole_body(receive) if streamed is None else _counted(receive, streamed)
        except AgentError as error:
            await self._refuse(error)(scope, receive, send)
            return
        await self._inner(scope, body, send)

    def _check_origin(self, headers: list[tuple[bytes, bytes]]) -> None:
        hosts = _values(headers, b"host")
        found = _HOST.fullmatch(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
        if found is None or found[2] not in self._ports:
            raise ForeignPageError("Host is not this machine's")
        if any(origin.lower() not in self._origins for origin in _values(headers, b"origin")):
            raise ForeignPageError("Origin is not this machine's")
        # Browsers tell it themselves; "none" is a person typing the address.
        if any(site not in {b"same-origin", b"none"} for site in _values(headers, b"sec-fetch-site")):
            raise ForeignPageError("a page of another site sent this")

    def _check_length(self, headers: list[tuple[bytes, bytes]], limit: int) -> None:
        for length in _values(headers, b"content-length"):
            if not length.isdigit() or int(length) > limit:
                raise RequestTooLargeError(f"at most {limit} bytes are taken")

    def _caller(self, headers: list[tuple[bytes, bytes]]) -> Any:
        given = _values(headers, b"authorization")
        kind, _, token = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
        caller = self._callers.known(token.strip()) if kind.lower() == "bearer" else None
        if caller is None:
            raise CallerUnknownError
        return caller

    async def _whole_body(self, receive: Receive) -> Receive:
        """Take the body in, counting: Content-Length may be absent or false."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return _replay(message, receive)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit_bytes:
                raise RequestTooLargeError(f"at most {self._limit_bytes} bytes are taken")
            more = message.get("more_body", False)
        return _replay({"type": "http.request", "body": b"".join(parts), "more_body": False}, receive)


def _counted(receive: Receive, limit: int) -> Receive:
    """A receive that gives up where more comes than ``limit``."""
    size = 0

    async def wrapped() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise RequestTooLargeError(f"at most {limit} bytes are taken")
        return message

    return wrapped


def _replay(first: Message, receive: Receive) -> Receive:
    """A receive that gives ``first`` and then goes on as before."""
    waiting = [first]

    async def wrapped() -> Message:
        return waiting.pop() if waiting else await receive()

    return wrapped


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_ANSWER_HEADERS]
        await send(message)

    return wrapped


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]
