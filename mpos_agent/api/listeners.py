"""Where the local API listens: one Unix socket, and 127.0.0.1 where a port is set. Never another address."""

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvicorn

from mpos_agent.api.gate import Asgi
from mpos_agent.errors import PortTakenError, SocketPathError

# A finger attempt may take a minute; when the agent stops, attempts are told to end and answer at once. What
# is left after this is a client that does not read its answer.
_LAST_ANSWERS_S = 5


class Server(uvicorn.Server):
    """uvicorn with the signals left to the daemon, and a word when it listens."""

    def __init__(self, app: Asgi, on_started: Callable[[], Awaitable[None]]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                # Our log set-up stays; one line per request would tell nothing and cost a disk.
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
        )
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def unix_listener(path: Path, mode: int) -> socket.socket:
    """A listening Unix socket with this file mode from the first moment on; a stale one is replaced.

    That nobody else listens there is known: the caller holds the lock of the runtime folder.
    Raises SocketPathError.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o777 & ~mode)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(mode)
    except OSError as error:
        listener.close()
        raise SocketPathError(f"{path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    listener.listen()
    return listener


def loopback_listener(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1, reachable from this machine alone. Raises PortTakenError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise PortTakenError(f"api.port = {port}") from error
    listener.listen()
    return listener
