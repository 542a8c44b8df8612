"""A TCP proxy between device and head office that breaks the line in one chosen way at a time."""

import asyncio
import random
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

LOCAL = "127.0.0.1"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: close() sends RST
STALL_S = 60.0
"""Longer than any time-out of the device under test."""
PIECE = 1024


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens to each connection, in the words of a technician."""

    name: str
    up: int | None = None
    """Bytes from the device after which ``then`` happens; None for never."""
    down: int | None = None
    """Bytes from head office after which ``then`` happens."""
    then: str = "reset"
    """reset, close, half_close (of the direction that has reached its bytes), stall."""
    bits_per_s: float | None = None
    one_way_s: float = 0.0
    jitter_s: float = 0.0
    page: bytes | None = None
    """Said in head office's place, to whatever comes."""
    tls: Callable[[], ssl.SSLContext] | None = None
    """Whether the page is said inside TLS."""


GOOD = Trouble("none")


class LinkProxy:
    """Listens on a port of its own in a thread of its own; ``with`` it."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.trouble = GOOD
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="link", daemon=True)
        self.port = 0
        # asyncio itself holds on to a task only as long as something else does.
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, LOCAL, 0), self._loop).result(10)
        self._server, self.port = server, server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"https://{LOCAL}:{self.port}"

    async def _end(self) -> None:
        self._server.close()
        # Again, for connections that were accepted meanwhile.
        while others := [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        trouble = self.trouble
        with suppress(OSError, asyncio.CancelledError, ssl.SSLError):
            if trouble.page is not None:
                await self._say_page(trouble, reader, writer)
            else:
                await self._forward(trouble, reader, writer)
        writer.close()

    async def _say_page(self, trouble: Trouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert trouble.page is not None
        if trouble.tls is not None:
            await writer.start_tls(trouble.tls(), ssl_handshake_timeout=10)
            head = await reader.readuntil(b"\r\n\r\n")
            # The whole request first: an answer before its end is a broken line to the client, and not this trouble.
            if b"chunked" in head.lower():
                await reader.readuntil(b"0\r\n\r\n")
            else:
                lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                await reader.readexactly(int(lines[b"content-length"]))
        else:
            await reader.read(PIECE)
        writer.write(trouble.page)
        await writer.drain()

    async def _forward(self, trouble: Trouble, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        office_reader, office_writer = await asyncio.open_connection(LOCAL, self._to_port)
        try:
            up = asyncio.create_task(self._pump(trouble, trouble.up, reader, office_writer, writer))
            down = asyncio.create_task(self._pump(trouble, trouble.down, office_reader, writer, office_writer))
            await asyncio.gather(up, down)
        finally:
            office_writer.close()

    async def _pump(
        self,
        trouble: Trouble,
        limit: int | None,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        passed = 0
        while limit is None or passed < limit:
            piece = await source.read(PIECE if limit is None else min(PIECE, limit - passed))
            if not piece:
                with suppress(OSError):
                    sink.write_eof()
                return
            if trouble.bits_per_s:
                await asyncio.sleep(8 * len(piece) / trouble.bits_per_s)
            if trouble.one_way_s and passed == 0:
                await asyncio.sleep(trouble.one_way_s + random.random() * trouble.jitter_s)
            sink.write(piece)
            await sink.drain()
            passed += len(piece)
        match trouble.then:
            case "reset":
                for writer in (sink, back):
                    _reset(writer)
            case "close":
                sink.close()
                back.close()
            case "half_close":
                sink.write_eof()
                while await source.read(PIECE):
                    pass
            case "stall":
                await asyncio.sleep(STALL_S)


def _reset(writer: asyncio.StreamWriter) -> None:
    held = writer.get_extra_info("socket")
    with suppress(OSError):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
