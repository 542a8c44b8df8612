"""The TLS listener: uvicorn, with the peer's certificate handed to the application.

Client certificates are asked for and not required, because a browser at the desk and a device that enrols have
none; what needs one checks for it. A certificate that is not signed by our CA ends the handshake. Validity dates
are left to the registry, which can say "expired" in words where TLS would only hang up.

Behind a proxy that ends TLS, on a Unix socket that only the proxy may open (``unix:PATH``), the certificate comes in a
header instead. That header counts on such a listener and nowhere else: on the TLS listener nobody ever looks at it.
"""

import asyncio
import contextlib
import signal
import socket
import ssl
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from head_office.errors import ListenError
from head_office.keys.home import Home
from head_office.keys.server_certificate import Served
from head_office.moment import utc_now

PEER_CERTIFICATE = "peer_certificate"
PROXY_HEADER = b"x-mpos-client-certificate"
"""The client's certificate as nginx hands it on (``$ssl_client_escaped_cert``): PEM, URL-escaped; absent when none."""
UNIX = "unix:"
SOCKET_MODE = 0o660  # The proxy's user shares the group; for others the socket is not there.
LARGEST_CERTIFICATE = 8 << 10
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL; the ssl module has no name for it.
NO_CHECK_TIME = 0x200000

HANDSHAKE_AND_FIRST_REQUEST_S = 30.0  # A satellite link needs about 2 s for both; idle strangers are let go.
KEEP_ALIVE_S = 75  # A device sends a backlog over one connection; a handshake on a satellite link costs seconds.
STOP_WITHIN_S = 20  # A batch takes at most seconds to store; what is not answered then is repaired by the next receipt.
FAREWELL_S = 1.0
LOOK_EVERY_TICKS = 20  # A renewed certificate is served within two seconds.
CONNECTIONS = 512
LARGEST_HEADERS = 16 << 10


class PeerCertificateProtocol(H11Protocol):
    """HTTP/1.1 that puts the client certificate (DER or None) into ``request.state`` and drops idle strangers."""

    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        # Copied for this connection; uvicorn copies it again into each request's scope.
        self.app_state = {**self.app_state, PEER_CERTIFICATE: tls.getpeercert(True) if tls else None}
        self._silence = self.loop.call_later(HANDSHAKE_AND_FIRST_REQUEST_S, self._drop_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._silence is not None:
            self._silence.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(FAREWELL_S, self._hang_up)

    def _hang_up(self) -> None:
        """End a connection without its peer: closing TLS waits 30 s for a farewell that a device between two
        rounds does not send. A request that is being answered is left until its answer is out.
        """
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            self.loop.call_later(FAREWELL_S, self._hang_up)

    def _drop_if_silent(self) -> None:
        if not self.cycle:
            self.transport.close()


class CertificateFromProxy:
    """ASGI around the application on a proxy's listener: the header becomes what TLS gives elsewhere."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})[PEER_CERTIFICATE] = _from_header(scope["headers"])
        await self._inner(scope, receive, send)


def _from_header(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The certificate (DER) the proxy has seen; None without one, and where it is not exactly one readable one."""
    values = [value for name, value in headers if name.lower() == PROXY_HEADER]
    if len(values) != 1 or not values[0] or len(values[0]) > LARGEST_CERTIFICATE:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(unquote_to_bytes(values[0]))
    except (ValueError, x509.InvalidVersion):
        return None
    return certificate.public_bytes(serialization.Encoding.DER)


def peer_certificate(request: Request) -> bytes | None:
    """The client certificate of the connection a request came on, DER."""
    certificate = request.scope.get("state", {}).get(PEER_CERTIFICATE)
    return certificate if isinstance(certificate, bytes) else None


def tls_context(home: Home) -> ssl.SSLContext:
    """TLS 1.2 and newer with the server's certificate, asking for certificates of our CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(home.server_certificate, home.server_key)
    context.load_verify_locations(home.ca_certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    return context


class Server(uvicorn.Server):
    """uvicorn that says when it listens, and ends in order (status 0) on SIGTERM and SIGINT."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[str, int], None], certificate: Served) -> None:
        super().__init__(config)
        self._on_listening, self._certificate = on_listening, certificate

    async def on_tick(self, counter: int) -> bool:
        # Ten ticks a second, counted from 0 again each day; one stat() costs nothing beside them.
        if counter % LOOK_EVERY_TICKS == 0:
            self._certificate.refresh()
        if counter == 0:
            self._certificate.remind(utc_now())
        return await super().on_tick(counter)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            address = self.servers[0].sockets[0].getsockname()
            if isinstance(address, str):
                self._on_listening(UNIX + address, 0)
            else:
                self._on_listening(*address[:2])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again after the shutdown, which would end the process before the
        # ledger is closed.
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Stop listening, finish what is being answered, return from :meth:`run`."""
        self.should_exit = True


def make_server(app: FastAPI, home: Home, host: str, port: int, on_listening: Callable[[str, int], None]) -> Server:
    """A server for ``app``; port 0 takes a free one, ``unix:PATH`` serves a proxy; ``on_listening`` hears where."""
    behind_proxy = host.startswith(UNIX)
    context = None if behind_proxy else tls_context(home)
    where: dict[str, Any] = {
        "host": host,
        "port": port,
        "http": PeerCertificateProtocol,
        "ssl_context_factory": lambda _config, _default: context,
    }
    if behind_proxy:
        path = host.removeprefix(UNIX)
        _reserve(path)
        where = {"uds": path, "http": H11Protocol}
    config = uvicorn.Config(
        CertificateFromProxy(app) if behind_proxy else app,
        **where,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        h11_max_incomplete_event_size=LARGEST_HEADERS,
    )
    return Server(config, on_listening, Served(home, context))


def _reserve(path: str) -> None:
    """Leave a socket with the right mode at ``path``: uvicorn takes over the mode of what is there, or lets all in."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise ListenError(path, "is there and no socket")
        Path(path).unlink()
    with socket.socket(socket.AF_UNIX) as reserved:
        try:
            reserved.bind(path)
        except OSError as error:
            raise ListenError(path, error.strerror or "cannot be bound") from error
    Path(path).chmod(SOCKET_MODE)


def split_listen(listen: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPv6]:PORT``, or ``unix:PATH`` as the host. Raises ValueError."""
    if listen.startswith(UNIX + "/"):
        return listen, 0
    host, separator, port = listen.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{listen!r} is not HOST:PORT")
    return host.strip("[]"), int(port)
