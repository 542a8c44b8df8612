"""What every request must have before a route sees it, asked over real sockets."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.responses import JSONResponse

from mpos_agent.api.callers import Callers, Scope
from mpos_agent.api.gate import AsgiScope, Gate, Receive, Send
from mpos_agent.outcomes import outcome_of
from tests.api.serving import Served, free_port, served

LIMIT = 2_000


async def echo(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """An application that says who called and how much was sent."""
    message = await receive()
    caller = scope.get("state", {}).get("caller")
    answer = JSONResponse({"caller": caller.name if caller else None, "bytes": len(message["body"])})
    await answer(scope, receive, send)


@pytest.fixture
def token(tmp_path: Path) -> str:
    """The credential of a counter application."""
    return Callers(tmp_path / "callers.json").add("counter", Scope.COUNTER, datetime.datetime.now(datetime.UTC))


@pytest.fixture
def gate(tmp_path: Path, token: str) -> Iterator[Served]:
    """The gate before the echo, listening."""
    port = free_port()
    app = Gate(
        echo,
        callers=Callers(tmp_path / "callers.json"),
        port=port,
        limit_bytes=LIMIT,
        open_paths=frozenset({"/open"}),
        refuse=lambda error: JSONResponse(outcome_of(error).as_json(), status_code=outcome_of(error).status),
    )
    with served(app, tmp_path, port) as where:
        yield where


def ask(gate: Served, path: str = "/", body: bytes = b"", **headers: str) -> httpx.Response:
    """One request over the loopback port."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"http://127.0.0.1:{gate.port}{path}", content=body, headers=named, trust_env=False)


def test_a_known_caller_passes_over_both_sockets(gate: Served, token: str) -> None:
    """The same credential works on the Unix socket and on the port."""
    assert ask(gate, Authorization=f"Bearer {token}").json() == {"caller": "counter", "bytes": 0}
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(gate.socket))) as client:
        answer = client.post("http://localhost/", headers={"Authorization": f"Bearer {token}"}, content=b"12345")
    assert answer.json() == {"caller": "counter", "bytes": 5}


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic eDp5", "Bearer", "bearer x"])
def test_without_a_credential_nothing_is_answered(gate: Served, header: str) -> None:
    """A program that was not let in learns how to be let in, and nothing else."""
    answer = ask(gate, Authorization=header) if header else ask(gate)
    assert answer.status_code == 401
    assert answer.json()["code"] == "caller_unknown"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", "[::1]:{port}", ""])
def test_a_rebound_name_is_refused(gate: Served, token: str, host: str) -> None:
    """A foreign name that resolves to 127.0.0.1 gives itself away in Host."""
    answer = ask(gate, Host=host.format(port=gate.port), Authorization=f"Bearer {token}")
    assert answer.status_code == 403
    assert answer.json()["code"] == "foreign_page"


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "localhost", "127.0.0.1"])
def test_this_machines_own_names_pass(gate: Served, token: str, host: str) -> None:
    """The names a person types for this machine work."""
    assert ask(gate, Host=host.format(port=gate.port), Authorization=f"Bearer {token}").status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_a_foreign_page_is_refused_even_with_a_credential(gate: Served, token: str, origin: str) -> None:
    """A page elsewhere that got hold of a token still says where it comes from."""
    answer = ask(gate, Origin=origin.format(port=gate.port), Authorization=f"Bearer {token}")
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_page")
    assert "access-control-allow-origin" not in answer.headers


def test_the_own_page_passes(gate: Served, token: str) -> None:
    """A page that this port served may call it."""
    answer = ask(
        gate, Origin=f"http://127.0.0.1:{gate.port}", Sec_Fetch_Site="same-origin", Authorization=f"Bearer {token}"
    )
    assert answer.status_code == 200


def test_what_a_browser_marks_as_cross_site_is_refused(gate: Served) -> None:
    """Plain links and images from other sites carry no Origin, but browsers mark them."""
    assert ask(gate, "/open", Sec_Fetch_Site="cross-site").status_code == 403


def test_a_preflight_gets_no_leave(gate: Served) -> None:
    """No page of another origin is ever told that it may call."""
    answer = httpx.options(
        f"http://127.0.0.1:{gate.port}/",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        trust_env=False,
    )
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_only_the_description_is_open(gate: Served) -> None:
    """An integrator reads what there is without a credential; nothing else."""
    assert ask(gate, "/open").status_code == 200
    assert ask(gate, "/open/x").status_code == 401


def test_a_long_body_is_refused_announced_or_not(gate: Served, token: str) -> None:
    """The limit holds for a Content-Length that is too large and for a stream without one."""
    header = {"Authorization": f"Bearer {token}"}
    address = f"http://127.0.0.1:{gate.port}/"
    announced = httpx.post(address, content=b"x" * (LIMIT + 1), headers=header, trust_env=False)
    streamed = httpx.post(address, content=iter([b"x" * LIMIT, b"x"]), headers=header, trust_env=False)
    fits = httpx.post(address, content=iter([b"x" * LIMIT]), headers=header, trust_env=False)
    assert [announced.status_code, streamed.status_code, fits.status_code] == [413, 413, 200]


def test_answers_are_not_cached_or_guessed(gate: Served, token: str) -> None:
    """What a claim answered does not stay in a browser's cache."""
    answer = ask(gate, Authorization=f"Bearer {token}")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_refusal_says_cause_and_cure_in_both_languages(gate: Served) -> None:
    """The error object is the same everywhere."""
    body = json.loads(ask(gate).content)
    assert set(body) == {"code", "cause", "cure", "text_id", "text_en", "retryable", "detail"}


def test_the_unix_socket_is_for_its_owner_alone(gate: Served) -> None:
    """Its mode is what the settings say, whatever the umask of whoever starts the agent."""
    assert gate.socket.stat().st_mode & 0o777 == 0o600
