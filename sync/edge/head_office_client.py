"""Requests to head office over TLS; the only importer of the HTTP client.

Nothing that comes back is believed here: whether a reply is a receipt is decided by its signature. This file
only tells apart, by cause, the ways in which no reply of head office's came at all.
"""

import errno
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

from sync import enrolment
from sync.edge.address import head_office_url
from sync.enrolment import CONTENT_TYPE, ErrorReply
from sync.errors import Cause, EnrolmentMessageError, HeadOfficeError

MAX_REPLY_BYTES = 1024 * 1024
_CHUNK = 64 * 1024

_NOT_VALID_NOW = {9, 10}
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_NO_WAY_THERE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}
_PEER_REFUSED_OURS = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|CERTIFICATE_REVOKED"
    r"|CERTIFICATE_UNKNOWN|ACCESS_DENIED|UNSUPPORTED_CERTIFICATE)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. Chosen for 64 kbit/s with 600 ms round trip."""

    connect_s: float = 15.0
    """TCP and TLS take four round trips and certificates; also the longest one 16 kB block may take to leave."""
    read_s: float = 60.0
    """Silence while waiting: head office answers after one disk flush, but may stand in a queue."""
    whole_s: float = 300.0
    """For the reply as a whole: a server that drips bytes must not hold the device for ever."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A 200 with a CBOR body: head office's own, or so it says."""

    body: bytes = field(repr=False)
    sent_ns: int
    """Monotonic time when the request began."""
    received_ns: int
    """Monotonic time when the body was complete."""


class HeadOfficeClient:
    """One connection, kept alive; for one thread. Close it, or use ``with``."""

    def __init__(
        self,
        url: str,
        ca_file: Path,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        timeouts: Timeouts | None = None,
        *,
        monotonic_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``ca_file`` holds the one certificate authority believed, the system's list is not; PEM all of them.

        Raises AddressError for a ``url`` that is more or less than ``https://HOST[:PORT]``.
        """
        self.url = head_office_url(url)
        self._timeouts = Timeouts() if timeouts is None else timeouts
        self._monotonic_ns, self._utc = monotonic_ns, utc
        self._session = requests.Session()
        # Neither environment nor ~/.netrc may point us elsewhere or exchange the pinned authority.
        self._session.trust_env = False
        self._session.verify = str(ca_file)
        if client_cert is not None and client_key is not None:
            self._session.cert = (str(client_cert), str(client_key))
        # No retries down there: the schedule lies in the database and survives a restart.
        self._session.mount("https://", _OneLine(pool_connections=1, pool_maxsize=1, max_retries=0))
        # Nothing may leave in clear text, whatever an address or a reply says.
        del self._session.adapters["http://"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._session.close()

    def post(self, path: str, body: bytes) -> Reply:
        """POST a CBOR body, give back the CBOR body of a 200.

        Raises
        ------
        HeadOfficeError
            With one Cause for every other ending.
        """
        with _causes():
            sent_ns = self._monotonic_ns()
            with self._session.post(
                self.url + path,
                # As a stream it leaves in blocks, each with its own time-out; as bytes it would have one for all,
                # and a megabyte takes two minutes at 64 kbit/s.
                data=io.BytesIO(body),
                headers={"Content-Type": CONTENT_TYPE, "Accept": CONTENT_TYPE, "Accept-Encoding": "identity"},
                timeout=(self._timeouts.connect_s, self._timeouts.read_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                content = self._read(response, sent_ns)
                received_ns = self._monotonic_ns()
        _refuse_unless_ok(response, content, self._utc())
        return Reply(content, sent_ns, received_ns)

    def _read(self, response: requests.Response, sent_ns: int) -> bytes:
        content = bytearray()
        # What has arrived, not what was asked for: waiting for a full chunk would let each byte take its time-out.
        while chunk := response.raw.read1(_CHUNK):
            content += chunk
            if len(content) > MAX_REPLY_BYTES:
                raise HeadOfficeError(Cause.BROKEN_REPLY, f"more than {MAX_REPLY_BYTES} bytes")
            if self._monotonic_ns() - sent_ns > self._timeouts.whole_s * 1e9:
                raise HeadOfficeError(Cause.TIMEOUT, "the reply dripped in too slowly")
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) != len(content):
            raise HeadOfficeError(Cause.BROKEN_REPLY, "shorter than announced")
        return bytes(content)


class _ClosedWhenCut(ssl.SSLSocket):
    """Python lets go, open, of a socket whose peer has reset it before the handshake.

    To find such a socket it reads one byte of it; nothing else here reads by ``recv``.
    """

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError:
            self.close()
            raise


class _HeadWithBody(HTTPSConnection):
    """Sends the head together with the first piece of the body: a poll is one segment, not two."""

    _head: bytes | None = None
    """None: nothing is held back; empty: the head comes next; else: it waits for the body."""

    def connect(self) -> None:
        if self.ssl_context is None:
            self.ssl_context = create_urllib3_context()
            self.ssl_context.sslsocket_class = _ClosedWhenCut
        super().connect()

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        self._head = b""
        super().endheaders(message_body, encode_chunked=encode_chunked)

    def send(self, data: Any) -> None:
        if self._head == b"":
            self._head = bytes(data)
            return
        head, self._head = self._head, None
        super().send(data if head is None else head + data)

    def request(self, *arguments: Any, **more: Any) -> None:
        super().request(*arguments, **more)
        if self._head:
            # There was no body.
            head, self._head = self._head, None
            super().send(head)


class _HeadWithBodyPool(HTTPSConnectionPool):
    ConnectionCls = _HeadWithBody


class _OneLine(HTTPAdapter):
    """The adapter whose connections are those above."""

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        super().init_poolmanager(*arguments, **more)
        self.poolmanager.pool_classes_by_scheme = {"https": _HeadWithBodyPool}


def _refuse_unless_ok(response: requests.Response, content: bytes, now: datetime) -> None:
    status = response.status_code
    is_ours = response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == CONTENT_TYPE
    if status in (429, 503):
        raise HeadOfficeError(
            Cause.BUSY, f"HTTP {status}", retry_after_s=retry_after_s(response.headers.get("Retry-After", ""), now)
        )
    if status == 200 and is_ours:
        return
    if status < 400 or status == 511 or (status < 500 and not is_ours):
        # Head office never redirects, and names every refusal in CBOR: this is a hotspot or a proxy.
        raise HeadOfficeError(Cause.CAPTIVE_PORTAL, f"HTTP {status} with something else than CBOR")
    if status >= 500 and not is_ours:
        raise HeadOfficeError(Cause.SERVER_ERROR, f"HTTP {status}")
    refusal = _error_reply(content)
    cause = Cause.REFUSED if status < 500 else Cause.SERVER_ERROR
    raise HeadOfficeError(cause, f"HTTP {status}", refused_as=refusal.error, hint=refusal.hint)


def _error_reply(content: bytes) -> ErrorReply:
    try:
        return enrolment.decode_error(content)
    except EnrolmentMessageError as error:
        raise HeadOfficeError(Cause.BROKEN_REPLY, f"an error reply that is none: {error}") from error


def retry_after_s(value: str, now: datetime) -> int | None:
    """Seconds of a Retry-After header, a number or a date; None when it is neither."""
    if re.fullmatch(r"\d{1,9}", value.strip(), re.ASCII):
        return int(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.utcoffset() is None:
        return None
    return max(0, round((moment - now).total_seconds()))


@contextmanager
def _causes() -> Iterator[None]:
    """The HTTP client's exceptions by cause."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise _tls_cause(error) from error
    except requests.exceptions.Timeout as error:
        raise HeadOfficeError(Cause.TIMEOUT) from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise _broken_link(error, Cause.BROKEN_REPLY) from error
    except requests.exceptions.ConnectionError as error:
        raise _broken_link(error, Cause.UNREACHABLE) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _broken_link(error, Cause.BROKEN_REPLY) from error
    except OSError as error:
        # The certificate files: requests looks for them only now.
        raise HeadOfficeError(Cause.OUR_CERTIFICATE_REFUSED, f"certificate files: {error}") from error


def _broken_link(error: Exception, otherwise: Cause) -> HeadOfficeError:
    links = list(_chain(error))
    # In this order: urllib3 counts a refused connection among its time-outs.
    if any(isinstance(link, ssl.SSLError) for link in links):
        return _tls_cause(error)
    if any(isinstance(link, urllib3.exceptions.NameResolutionError | socket.gaierror) for link in links):
        return HeadOfficeError(Cause.NAME_NOT_FOUND)
    if any(isinstance(link, OSError) and link.errno == errno.ECONNREFUSED for link in links):
        return HeadOfficeError(Cause.CONNECTION_REFUSED)
    if any(isinstance(link, OSError) and link.errno in _NO_WAY_THERE for link in links):
        return HeadOfficeError(Cause.UNREACHABLE)
    if any(isinstance(link, ConnectionError) for link in links):
        return HeadOfficeError(otherwise, "the link broke")
    if any(isinstance(link, TimeoutError | urllib3.exceptions.TimeoutError) for link in links):
        return HeadOfficeError(Cause.TIMEOUT)
    return HeadOfficeError(otherwise, type(error).__name__)


def _tls_cause(error: Exception) -> HeadOfficeError:
    for link in _chain(error):
        if isinstance(link, ssl.SSLCertVerificationError):
            if link.verify_code in _NOT_VALID_NOW:
                return HeadOfficeError(Cause.CLOCK_WRONG, link.verify_message)
            return HeadOfficeError(Cause.WRONG_CERTIFICATE, link.verify_message)
        if isinstance(link, ssl.SSLEOFError):
            return HeadOfficeError(Cause.UNREACHABLE, "the link broke inside TLS")
        if isinstance(link, ssl.SSLError):
            reason = link.reason or ""
            if _PEER_REFUSED_OURS.search(reason):
                return HeadOfficeError(Cause.OUR_CERTIFICATE_REFUSED, reason)
            if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
                return HeadOfficeError(Cause.CAPTIVE_PORTAL, "something else than TLS answers")
            return HeadOfficeError(Cause.WRONG_CERTIFICATE, reason)
    return HeadOfficeError(Cause.WRONG_CERTIFICATE, type(error).__name__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, what it was raised from, and what libraries put into its arguments, each once."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = [getattr(link, "reason", None), link.__cause__, link.__context__, *link.args]
        waiting += [each for each in inner if isinstance(each, BaseException)]
