"""How the command line reaches the daemon: HTTP over the agent's Unix socket, with a credential."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import httpx

from mpos_agent.errors import AgentError, CallerUnknownError, NoDaemonError

# The longest wait of a route is a card (card.wait_s, at most 600 s) or a finger; the daemon ends those itself.
# Anything else that takes this long is a daemon that hangs.
_ANSWER_S = 660.0
# A Unix socket connects at once, or nobody listens.
_CONNECT_S = 3.0
_PIECE_BYTES = 64 * 1024


class RemoteError(AgentError):
    """The daemon said no. ``body`` is its error object: code, cause, cure, text_id, text_en, retryable."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body.get("detail") or body.get("cause") or status))
        self.status, self.body = status, dict(body)


@dataclasses.dataclass(frozen=True, slots=True)
class StickFile:
    """One file for a stick, as the daemon made it."""

    name: str
    body: bytes
    packets: int
    after: str
    """What to ask the next file with."""


class AgentClient:
    """One caller's connection to the agent. Close it, or use ``with``."""

    def __init__(self, socket: Path, token: str, operator: str | None = None) -> None:
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
        )
        self._socket = socket
        if operator is not None:
            self.sign_in_token(operator)

    def sign_in_token(self, operator: str) -> None:
        """Send this sign-in with every later request."""
        self._http.headers["X-Operator"] = operator

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Ask. Raises NoDaemonError, RemoteError."""
        return self._answer("GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Do. Raises NoDaemonError, RemoteError."""
        return self._answer("POST", path, json=dict(body or {}))

    def photo(self, claim_id: str) -> bytes | None:
        """The chip's photo (JPEG) of a claim; None when there is none. Raises as :meth:`get`."""
        with self._translated():
            answer = self._http.get(f"/v1/claims/{claim_id}/photo")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise _refusal(answer)
        return answer.content

    def next_stick_file(self, after: str) -> StickFile | None:
        """The next file of an export; None when everything waiting is out. Raises as :meth:`get`."""
        with self._translated():
            answer = self._http.post("/v1/stick/export", params={"after": after})
        if answer.is_error:
            raise _refusal(answer)
        if answer.status_code == httpx.codes.NO_CONTENT:
            return None
        told = answer.headers
        return StickFile(told["X-Stick-Name"], answer.content, int(told["X-Stick-Packets"]), told["X-Stick-After"])

    def bring_receipt(self, receipt: bytes) -> dict[str, Any]:
        """Hand over one receipt from a stick. Raises as :meth:`get`."""
        return self._answer("POST", "/v1/stick/receipt", content=receipt)

    def send_file(self, method: str, path: str, file: BinaryIO, **query: str | int) -> dict[str, Any]:
        """Send a file as the body, piece by piece. Raises as :meth:`get`."""
        return self._answer(method, path, params=query, content=iter(lambda: file.read(_PIECE_BYTES), b""))

    @contextlib.contextmanager
    def events(self) -> Iterator[Iterator[dict[str, Any]]]:
        """What happens from now on: ``{"number", "kind", facts…}`` one by one, until the daemon or we stop."""
        with self._translated(), self._http.stream("GET", "/v1/events") as answer:
            if answer.status_code != httpx.codes.OK:
                answer.read()
                raise _refusal(answer)
            yield (json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: "))

    def close(self) -> None:
        """Give the connections back; safe to call twice."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        with self._translated():
            answer = self._http.request(method, path, **arguments)
        if answer.is_error:
            raise _refusal(answer)
        body = answer.json()
        assert isinstance(body, dict)
        return body

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise NoDaemonError(f"nobody answers at {self._socket}") from error
        except httpx.TransportError as error:
            raise NoDaemonError(f"the agent stopped answering ({type(error).__name__})") from error


def _refusal(answer: httpx.Response) -> RemoteError:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    return RemoteError(answer.status_code, body if isinstance(body, dict) else {})


def read_token(candidates: tuple[Path, ...]) -> str:
    """The first credential file that this user may read.

    Raises
    ------
    CallerUnknownError
        None of them can be read; ``detail`` says where was looked.
    """
    for file in candidates:
        with contextlib.suppress(OSError):
            return file.read_text(encoding="ascii").strip()
    raise CallerUnknownError("no credential in " + ", ".join(str(file) for file in candidates))
