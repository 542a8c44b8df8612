"""A sync round over real TLS: whatever comes back but a receipt, the cause is named and every packet is kept."""

import gc
import os
import select
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3.util.connection

from sync import enrolment
from sync.checkpoint import read_batch
from sync.edge.head_office_client import HeadOfficeClient, Timeouts
from sync.edge.outbox_row import RowState
from sync.edge.uploader import RoundOutcome, RoundResult
from sync.enrolment import ErrorReply
from sync.envelope import Lane
from sync.errors import Cause
from sync.receipt import Command, LaneHead
from tests.sync.edge import tls_server
from tests.sync.edge.conftest import START, Desk, DeviceKeys
from tests.sync.edge.tls_server import Authority, TlsServer, http

CBOR = "application/cbor"
QUICK = Timeouts(connect_s=5, read_s=1, whole_s=3)
"""Short, so that a stalled server does not stall the tests; the loopback answers in milliseconds."""


class Line:
    """A device, a server on loopback, and the certificates between them."""

    def __init__(self, folder: Path, keys: DeviceKeys) -> None:
        self.authority = Authority(folder)
        self.desk = Desk(folder / "agent.db", keys)
        # Replies are timed by the real clock only where a test is about time.
        self.clocks = {"monotonic_ns": self.desk.clock.monotonic_ns}
        self.server = TlsServer(self.authority.identity("127.0.0.1"), self.as_head_office, self.authority.file)
        self.client = self.connect(self.server.url)

    def connect(
        self, url: str, authority: Authority | None = None, client: Authority | None = None
    ) -> HeadOfficeClient:
        ca = authority or self.authority
        made = HeadOfficeClient(url, ca.file, *(client or self.authority).identity("dev-000001"), QUICK, **self.clocks)
        self.desk.client = made
        self.desk.restart()
        return made

    def as_head_office(self, path: str, body: bytes, connection: ssl.SSLSocket) -> None:
        connection.sendall(http("200 OK", CBOR, self.desk.office.receive(body)))

    def answer_with(self, response: bytes) -> None:
        self.server.answer = lambda _path, _body, connection: connection.sendall(response)

    def failed_round(self) -> RoundResult:
        """One round that must fail and leave everything as it was, but for the schedule."""
        waiting = sum(counts.ready for counts in self.desk.outbox.counts())
        result = self.desk.uploader.round(now_please=True)
        assert result.outcome is RoundOutcome.FAILED
        assert sum(counts.ready for counts in self.desk.outbox.counts()) == waiting
        assert result.next_at > self.desk.clock.utc()
        return result

    def works_again(self) -> None:
        """When the trouble is over, everything is delivered."""
        self.server.answer = self.as_head_office
        while any(counts.ready for counts in self.desk.outbox.counts()):
            assert self.desk.uploader.round(now_please=True).outcome is RoundOutcome.DELIVERED
            self.desk.clock.pass_time(3600)


@pytest.fixture
def line(tmp_path: Path, device_keys: DeviceKeys) -> Iterator[Line]:
    made = Line(tmp_path, device_keys)
    with made.server, made.client:
        yield made
    made.desk.database.close()


def test_packets_are_delivered_and_acknowledged_by_receipt(line: Line) -> None:
    """Claims and documents leave in one round, and head office has the very bytes."""
    rows = [line.desk.put(1), line.desk.put(2, Lane.DOCUMENTS)]
    result = line.desk.uploader.round()
    assert (result.outcome, result.sent, result.cause) == (RoundOutcome.DELIVERED, 2, None)
    assert [row.digest for row in result.acked] == [row.digest for row in rows]
    assert all(row.state is RowState.ACKED for row in result.acked)
    assert result.receipt is not None


def test_the_checkpoint_says_where_the_device_stands(line: Line) -> None:
    """Head office sees depth and age of each lane, chain heads, free disk and versions."""
    line.desk.put(1)
    line.desk.clock.pass_time(90)
    line.desk.uploader.round()
    ((_, body),) = line.server.requests
    checkpoint = read_batch(body).verified(line.desk.keys.device.public_key)
    core, documents = checkpoint.lanes
    assert (core.depth, core.oldest_age_s, core.next_seq) == (1, 90, 2)
    assert (documents.depth, documents.oldest_age_s, documents.next_seq) == (0, 0, 1)
    assert (checkpoint.free_disk_bytes, checkpoint.versions) == (10**9, {"agent": "0.1.0"})


def test_a_captive_portal_that_answers_200_delivers_nothing(line: Line) -> None:
    """A hotspot's login page is not head office, and the operator is told what it is."""
    line.desk.put(1)
    line.answer_with(http("200 OK", "text/html", b"<html>Welcome to the hotel</html>"))
    assert line.failed_round().cause is Cause.CAPTIVE_PORTAL
    line.works_again()


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (http("302 Found", "text/html", b"", headers="Location: https://login.example/\r\n"), Cause.CAPTIVE_PORTAL),
        (http("511 Network Authentication Required", "text/html", b""), Cause.CAPTIVE_PORTAL),
        (http("403 Forbidden", "text/html", b"blocked by proxy"), Cause.CAPTIVE_PORTAL),
        (http("204 No Content", CBOR, b""), Cause.CAPTIVE_PORTAL),
        (http("502 Bad Gateway", "text/html", b"nginx"), Cause.SERVER_ERROR),
        (http("500 Oops", CBOR, enrolment.encode(ErrorReply(error="ledger"))), Cause.SERVER_ERROR),
        (http("400 Bad Request", CBOR, b"not an error reply"), Cause.BROKEN_REPLY),
        (http("200 OK", CBOR, b""), Cause.BAD_RECEIPT),
        (http("200 OK", CBOR, os.urandom(500)), Cause.BAD_RECEIPT),
        (http("200 OK", CBOR, b"x" * 10, announce=500), Cause.BROKEN_REPLY),
        (http("200 OK", CBOR, b"x" * (1 << 20) + b"x"), Cause.BROKEN_REPLY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Cause.BROKEN_REPLY),
        (b"SSH-2.0-OpenSSH\r\n", Cause.UNREACHABLE),
        (b"", Cause.UNREACHABLE),
    ],
)
def test_every_wrong_answer_has_its_cause_and_keeps_the_packets(line: Line, response: bytes, cause: Cause) -> None:
    """Redirects, proxies, broken servers, half answers, rubbish: nothing is lost and the word is right."""
    line.desk.put(1)
    line.answer_with(response)
    result = line.failed_round()
    assert result.cause is cause
    row = line.desk.outbox.rows()[0]
    assert (row.state, row.attempts, row.last_error) == (RowState.READY, 1, result.refused_as or cause.value)
    line.works_again()


def test_a_refusal_is_passed_on_with_head_offices_own_word(line: Line) -> None:
    """A blocked device learns that it is blocked, and does not knock every few seconds."""
    line.desk.put(1)
    reply = ErrorReply(error="device_blocked", hint="Ask head office.")
    line.answer_with(http("403 Forbidden", CBOR, enrolment.encode(reply)))
    result = line.failed_round()
    assert (result.cause, result.refused_as, result.hint) == (Cause.REFUSED, "device_blocked", "Ask head office.")
    assert result.next_at - line.desk.clock.utc() == timedelta(seconds=450)  # half of the longest: the draw is 0.5


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_busy_head_office_is_given_the_time_it_asks_for(line: Line, status: str) -> None:
    """Retry-After is kept, in seconds or as a date, with some jitter on top."""
    line.desk.put(1)
    line.answer_with(http(status, "text/plain", b"", headers="Retry-After: 120\r\n"))
    result = line.failed_round()
    assert (result.cause, result.next_at - line.desk.clock.utc()) == (Cause.BUSY, timedelta(seconds=126))
    assert line.desk.uploader.round().outcome is RoundOutcome.WAITING
    line.desk.clock.pass_time(127)
    line.server.answer = line.as_head_office
    assert line.desk.uploader.round().outcome is RoundOutcome.DELIVERED


def test_a_server_that_does_not_answer_ends_in_a_time_out(line: Line) -> None:
    """Silence is a cause of its own."""
    line.desk.put(1)

    def be_silent(_path: str, _body: bytes, _connection: ssl.SSLSocket) -> None:
        line.server.release.wait(10)

    line.server.answer = be_silent
    assert line.failed_round().cause is Cause.TIMEOUT


def test_a_server_that_drips_does_not_hold_the_device_for_ever(line: Line) -> None:
    """Each byte comes in time, the whole does not."""
    line.desk.put(1)

    def drip(_path: str, _body: bytes, connection: ssl.SSLSocket) -> None:
        connection.sendall(http("200 OK", CBOR, b"", announce=10_000))
        while not line.server.release.wait(0.2):
            connection.sendall(b"x")

    line.server.answer = drip
    line.clocks.clear()
    line.connect(line.server.url)
    assert line.failed_round().cause is Cause.TIMEOUT


def test_a_lost_reply_is_repaired_by_the_next_round(line: Line) -> None:
    """Head office stored and the answer was lost: sent again, found there, acknowledged, stored once."""
    line.desk.put(1)

    def store_and_hang_up(_path: str, body: bytes, connection: ssl.SSLSocket) -> None:
        line.desk.office.receive(body)
        connection.unwrap()

    line.server.answer = store_and_hang_up
    assert line.failed_round().cause is Cause.UNREACHABLE
    assert len(line.desk.office.everything()) == 1
    line.works_again()
    assert len(line.desk.office.everything()) == 1


def test_a_reply_of_an_earlier_round_is_not_a_receipt_for_this_one(line: Line) -> None:
    """Somebody on the way repeats what he recorded: the nonce is not this round's."""
    line.desk.put(1)
    old = line.desk.office.receive(request_of(line))
    line.answer_with(http("200 OK", CBOR, old))
    result = line.failed_round()
    assert result.cause is Cause.BAD_RECEIPT
    assert "wrong_nonce" in result.detail


def request_of(line: Line) -> bytes:
    """The body of one round that went nowhere."""
    line.answer_with(b"")
    line.desk.uploader.round(now_please=True)
    return line.server.requests[-1][1]


def test_a_receipt_signed_by_somebody_else_is_not_believed(line: Line) -> None:
    """Head office's certificate alone is not enough: only the pinned receipt key counts."""
    line.desk.put(1)
    line.desk.office.signer = line.desk.keys.device
    result = line.failed_round()
    assert result.cause is Cause.BAD_RECEIPT
    assert "wrong_key" in result.detail


def test_nobody_listening_is_told_from_no_network(line: Line) -> None:
    """The machine is there, the program is not."""
    line.desk.put(1)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with line.connect(f"https://127.0.0.1:{port}"):
        assert line.failed_round().cause is Cause.CONNECTION_REFUSED


def test_a_line_reset_before_tls_leaves_no_socket_behind(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on the way resets every connection: told as a broken line, and each is closed at once."""
    line.desk.put(1)
    listener = socket.create_server(("127.0.0.1", 0))
    connect = urllib3.util.connection.create_connection

    def connected_and_reset(*arguments: Any, **more: Any) -> socket.socket:
        made = connect(*arguments, **more)
        theirs, _ = listener.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        poll = select.poll()
        poll.register(made, 0)  # what is always told: the line was hung up
        assert poll.poll(20_000)
        return made

    monkeypatch.setattr("urllib3.util.connection.create_connection", connected_and_reset)
    with closing(listener), line.connect(f"https://127.0.0.1:{listener.getsockname()[1]}"):
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            result = line.failed_round()
            gc.collect()
    assert (result.cause, result.detail) == (Cause.UNREACHABLE, "the link broke")
    assert [str(one.message) for one in left_open] == []


def test_a_name_that_does_not_resolve_is_called_that(line: Line) -> None:
    """No network at all, or a wrong address."""
    line.desk.put(1)
    with line.connect("https://head-office.invalid:8443"):
        assert line.failed_round().cause is Cause.NAME_NOT_FOUND


def test_a_certificate_of_another_authority_is_refused_before_anything_is_sent(line: Line, tmp_path: Path) -> None:
    """Whoever answers in head office's place gets no packet and no checkpoint."""
    line.desk.put(1)
    other = Authority(tmp_path, "Somebody else")
    with line.connect(line.server.url, authority=other):
        assert line.failed_round().cause is Cause.WRONG_CERTIFICATE
    assert line.server.requests == []


def test_a_certificate_for_another_name_is_refused(line: Line) -> None:
    """Our authority, another machine's certificate."""
    line.desk.put(1)
    with TlsServer(line.authority.identity("another.example"), line.as_head_office) as server:
        with line.connect(server.url):
            assert line.failed_round().cause is Cause.WRONG_CERTIFICATE


@pytest.mark.parametrize("away", [timedelta(days=40), timedelta(days=-9000)], ids=["not yet", "long ago"])
def test_a_certificate_out_of_its_dates_points_at_the_clock(line: Line, away: timedelta) -> None:
    """A laptop with a dead battery is told to set its clock, not that head office is an impostor."""
    line.desk.put(1)
    certificate = line.authority.identity("127.0.0.1", valid_from=datetime.now(UTC) + away)
    with TlsServer(certificate, line.as_head_office) as server, line.connect(server.url):
        assert line.failed_round().cause is Cause.CLOCK_WRONG


def test_our_certificate_being_refused_is_told_from_theirs(line: Line, tmp_path: Path) -> None:
    """The technician renews this device's certificate instead of looking at the server's."""
    line.desk.put(1)
    with line.connect(line.server.url, client=Authority(tmp_path, "Not known there")):
        assert line.failed_round().cause is Cause.OUR_CERTIFICATE_REFUSED


def test_plain_http_in_place_of_tls_is_a_captive_portal(line: Line) -> None:
    """Some hotspots answer every port with their page."""
    line.desk.put(1)
    listener = socket.create_server(("127.0.0.1", 0))

    def portal() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(http("200 OK", "text/html", b"<html>"))

    thread = threading.Thread(target=portal)
    thread.start()
    with closing(listener), line.connect(f"https://127.0.0.1:{listener.getsockname()[1]}"):
        assert line.failed_round().cause is Cause.CAPTIVE_PORTAL
        thread.join()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_nobody_sends_the_device_somewhere_else(line: Line, status: str) -> None:
    """Head office never redirects: neither a token nor a packet goes where a reply says."""
    line.desk.put(1)
    elsewhere = socket.create_server(("127.0.0.1", 0))
    elsewhere.setblocking(False)
    for scheme in ("http", "https"):
        to = f"Location: {scheme}://127.0.0.1:{elsewhere.getsockname()[1]}/v1/sync\r\n"
        line.answer_with(http(status, CBOR, b"", headers=to))
        assert line.failed_round().cause is Cause.CAPTIVE_PORTAL
    with closing(elsewhere), pytest.raises(BlockingIOError):
        elsewhere.accept()


def test_proxies_and_authorities_of_the_environment_are_not_followed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody redirects claims, or exchanges the pinned authority, by a variable."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nonexistent.pem")
    line.desk.put(1)
    assert line.desk.uploader.round().outcome is RoundOutcome.DELIVERED


def test_a_quarantined_packet_leaves_the_queue_and_does_not_block_the_next(line: Line) -> None:
    """Head office holds it and a person looks; the ones behind go on."""
    bad = line.desk.put(1)
    line.desk.office.quarantine.add(bad.digest)
    line.desk.put(2)
    result = line.desk.uploader.round()
    assert (len(result.acked), result.quarantined) == (2, 1)


def test_what_head_office_puts_off_is_sent_again_later(line: Line) -> None:
    """Nothing is wrong with the packet; its time is written on its row."""
    line.desk.put(1)
    line.desk.office.retry_later = True
    result = line.desk.uploader.round()
    assert (result.outcome, result.left, result.acked) == (RoundOutcome.DELIVERED, 1, ())
    row = line.desk.outbox.rows()[0]
    assert (row.attempts, row.last_error, row.next_at) == (1, "busy", result.next_at)
    line.desk.office.retry_later = False
    line.works_again()


def test_a_cloned_device_is_told_to_a_person(line: Line) -> None:
    """Head office's chain is longer than ours: the round is flagged, what it proved counts nevertheless."""
    row = line.desk.put(1)
    ahead = LaneHead(lane=Lane.CORE, epoch=row.epoch, next_seq=9, head_hash=bytes([1]) * 32)
    line.desk.office.change_receipt = {"lanes": (ahead,)}
    result = line.desk.uploader.round()
    assert (result.outcome, result.cause, len(result.acked)) == (RoundOutcome.DELIVERED, Cause.FORK, 1)


def test_commands_come_with_the_receipt(line: Line) -> None:
    """What head office asks is signed with everything else."""
    line.desk.office.change_receipt = {"commands": (Command(id=bytes(16), name="refresh_tables"),)}
    assert line.desk.uploader.round(now_please=True).commands == (Command(id=bytes(16), name="refresh_tables"),)


def test_a_poll_leaves_in_one_piece(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body in one TLS record: a second one would cost a satellite link a segment and its acknowledgement."""
    pieces: list[bytes] = []

    def read_request(connection: ssl.SSLSocket) -> tuple[str, bytes]:
        pieces.append(connection.recv(65536))
        return "/v1/sync", pieces[0].partition(b"\r\n\r\n")[2]

    monkeypatch.setattr(tls_server, "_read_request", read_request)
    assert line.desk.uploader.round(now_please=True).outcome is RoundOutcome.DELIVERED
    assert pieces[0].startswith(b"POST /v1/sync HTTP/1.1\r\n")


def test_with_nothing_to_send_it_asks_only_when_head_office_wants(line: Line) -> None:
    """An idle device polls at the pace of the last receipt, not in a loop."""
    assert line.desk.uploader.round().outcome is RoundOutcome.DELIVERED
    assert line.desk.uploader.round().outcome is RoundOutcome.IDLE
    line.desk.clock.pass_time(61)
    assert line.desk.uploader.round().outcome is RoundOutcome.DELIVERED
    assert len(line.server.requests) == 2


def test_the_pause_grows_survives_a_restart_and_ends_with_success(line: Line) -> None:
    """Failure after failure the wait doubles; it lies in the file, and one good round clears it."""
    line.desk.put(1)
    line.answer_with(b"")
    waits = []
    for _ in range(4):
        waits.append((line.failed_round().next_at - line.desk.clock.utc()).total_seconds())
        line.desk.restart()
    assert waits == [2.5, 5.0, 10.0, 20.0]
    assert line.desk.uploader.round().outcome is RoundOutcome.WAITING
    line.works_again()
    assert line.desk.breaker.state().failures == 0


def test_a_round_somebody_asks_for_sends_what_failed_a_moment_ago(line: Line) -> None:
    """`outbox --send` right after the network is back delivers; by itself the packet would still wait."""
    row = line.desk.put(1)
    line.answer_with(http("500 Oops", "text/html", b""))
    line.failed_round()
    line.server.answer = line.as_head_office
    assert line.desk.uploader.round().outcome is RoundOutcome.WAITING
    assert [each.seq for each in line.desk.uploader.round(now_please=True).acked] == [row.seq]


def test_after_a_failure_a_single_packet_tries_the_way(line: Line) -> None:
    """Half open: the whole backlog is not thrown at a line that may still be down."""
    for number in range(5):
        line.desk.put(number)
    line.answer_with(b"")
    line.failed_round()
    line.server.answer = line.as_head_office
    line.desk.clock.pass_time(60)
    assert line.desk.uploader.round().sent == 1
    second = line.desk.uploader.round()
    assert second.sent == 4


def test_a_backlog_goes_on_at_once_while_there_is_more(line: Line) -> None:
    """The result says that the next round is worth making now."""
    for number in range(3):
        line.desk.put(number, size=100_000)
    first = line.desk.uploader.round()
    assert (first.sent, first.next_at) == (1, line.desk.clock.utc())


def test_the_device_learns_how_far_its_clock_is_off(line: Line) -> None:
    """Half the round trip bounds the error; packets carry it from then on."""
    line.desk.office.now = START + timedelta(hours=2)
    line.desk.uploader.round(now_please=True)
    created = line.desk.time.created()
    assert created.clock_offset_ms is not None
    assert created.clock_error_ms is not None
    assert abs(created.clock_offset_ms - 7_200_000) <= created.clock_error_ms


def test_two_threads_asking_for_a_round_take_turns(line: Line) -> None:
    """The worker and an impatient person do not send the same packet in two requests at once."""
    for number in range(4):
        line.desk.put(number)
    results: list[RoundResult] = []
    threads = [
        threading.Thread(target=lambda: results.append(line.desk.uploader.round(now_please=True))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.sent for result in results) == [0, 0, 4]
