"""Run an ASGI application on a real Unix socket and a real loopback port while a test runs."""

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from mpos_agent.api.gate import Asgi
from mpos_agent.api.listeners import Server, loopback_listener, unix_listener


@dataclasses.dataclass(frozen=True)
class Served:
    """Where it listens."""

    socket: Path
    port: int


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(app: Asgi, folder: Path, port: int) -> Iterator[Served]:
    """Serve ``app`` in a thread; it has answered its last request when the block ends."""
    listening = threading.Event()

    async def started() -> None:
        listening.set()

    server = Server(app, started)
    sockets = [unix_listener(folder / "agent.sock", 0o600), loopback_listener(port)]
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets)), name="test server")
    thread.start()
    try:
        # Starting takes milliseconds; a machine that swaps gets this long.
        assert listening.wait(20), "the server did not start"
        yield Served(folder / "agent.sock", port)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"
