"""Something breaks in the middle of a claim: the operator reads one sentence with cause and cure, then goes on."""

import http.server
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drivers.card.virtual.faults import Faults
from mpos_agent.api.client import RemoteError
from mpos_agent.demo import private_pcscd
from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.stage import Stage, wait_until
from tests.flow.walk import Walk

RESTARTED: list[subprocess.Popen[bytes]] = []
TRIES, PAUSE_S = 4, 1.0
"""An operator lays the card down again; pcscd polls every 0.4 s, and later on a busy machine."""


def refusal(walk: Walk, claim_id: str, step: str) -> dict[str, object]:
    """The error object of a step that must fail: what happened is told, with a cure, in both languages."""
    with pytest.raises(RemoteError) as raised:
        walk.step(claim_id, step)
    body = raised.value.body
    assert body["cause"]
    assert body["cure"]
    for language in ("text_id", "text_en"):
        assert len(str(body[language]).strip()) > 10
        assert "Traceback" not in str(body[language])
    return body


def read_again(walk: Walk, claim_id: str) -> None:
    """The operator follows the cure: once more, until the service has noticed what was put back."""
    for _ in range(TRIES - 1):
        time.sleep(PAUSE_S)
        try:
            assert walk.step(claim_id, "card")["state"] == "IDENTIFIED"
        except RemoteError as error:
            if not error.body["retryable"]:
                raise
        else:
            return
    assert walk.step(claim_id, "card")["state"] == "IDENTIFIED"


def to_the_end(stage: Stage, walk: Walk, counter: VirtualCounter, claim_id: str) -> None:
    """The rest of the claim, and its arrival."""
    before = len(stage.claims_at_head_office())
    counter.touch(2)
    walk.finger(claim_id)
    walk.papers(claim_id)
    assert walk.confirm(claim_id)["state"] == "QUEUED"
    wait_until(lambda: len(stage.claims_at_head_office()) == before + 1, 60, "the claim should arrive")


@pytest.mark.pcsc
def test_card_pulled_out_midway_leaves_the_claim_resumable(stage: Stage, counter: VirtualCounter) -> None:
    """The card leaves at its 12th command: "lay it back", and the same claim goes on to head office."""
    counter.insert_card(1, Faults(tear_at=12))
    with Walk(stage) as walk:
        claim_id = walk.start()
        assert refusal(walk, claim_id, "card")["code"] == "card_removed"
        assert walk.state(claim_id) == "CONSENTED"
        counter.insert_card(1)
        read_again(walk, claim_id)
        to_the_end(stage, walk, counter, claim_id)


@pytest.mark.pcsc
def test_sam_pulled_out_is_named_and_the_claim_goes_on_when_it_is_back(stage: Stage, counter: VirtualCounter) -> None:
    """Without a SAM no chip can be read; the sentence names the SAM, not the card."""
    counter.insert_card(1)
    counter.remove_sam()
    with Walk(stage) as walk:
        claim_id = walk.start()
        assert refusal(walk, claim_id, "card")["code"] == "sam_missing"
        counter.insert_sam()
        read_again(walk, claim_id)
        to_the_end(stage, walk, counter, claim_id)


@pytest.mark.pcsc
def test_pcscd_stopped_is_named_and_the_claim_goes_on_after_its_restart(stage: Stage, counter: VirtualCounter) -> None:
    """The card service dies and comes back; nobody restarts the agent."""
    if os.environ.get(private_pcscd.MARK) != "1":
        pytest.skip("no private pcscd to stop: run the tests with `make test`")
    counter.insert_card(1)
    private_pcscd.stop_another_pcscd()
    wait_until(lambda: not private_pcscd.PID_FILE.exists(), 10, "pcscd should end")
    with Walk(stage) as walk:
        claim_id = walk.start()
        assert refusal(walk, claim_id, "card")["code"] == "service_down"
        # The next tests use it too; it ends with the namespace.
        RESTARTED.append(private_pcscd.start_pcscd())
        counter.insert_sam()
        counter.insert_card(1)
        read_again(walk, claim_id)
        to_the_end(stage, walk, counter, claim_id)


@contextmanager
def captive_portal(stage: Stage) -> Iterator[None]:
    """In head office's place, even with its certificate: something that answers 200 and a page to everything."""

    class Portal(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            page = b"<html>Selamat datang, silakan masuk ke jaringan hotel</html>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    home = stage.head_office_home
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "server.crt", home / "keys" / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", stage.port), Portal)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.pcsc
def test_captive_portal_is_named_and_nothing_counts_as_sent(stage: Stage, counter: VirtualCounter) -> None:
    """200 and a web page: the queue keeps the packet, says why, and delivers once head office is really there."""
    counter.insert_card(1)
    counter.touch(2)
    stage.stop_head_office()
    with captive_portal(stage), Walk(stage) as walk:
        claim_id = walk.start()
        walk.step(claim_id, "card")
        walk.finger(claim_id)
        walk.papers(claim_id)
        assert walk.confirm(claim_id)["state"] == "QUEUED"
        told = walk.client.post("/v1/sync")
        assert told["problem"]["code"] == "head_office_captive_portal"
        assert told["problem"]["cure"]
        assert stage.waiting() == 1
    stage.start_head_office()
    wait_until(lambda: stage.waiting() == 0, 60, "the packet should be delivered")
    assert stage.agent_json("outbox")["rows"][0]["state"] == "ACKED"
