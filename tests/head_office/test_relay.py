"""What other systems are told: only what was committed, all of it, under ids that let them count once."""

import hashlib
import hmac
import http.server
import json
import resource
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from head_office.cli import app
from head_office.errors import HomeError
from head_office.ledger.sqlite import SqliteLedger
from head_office.relay import EventFile, NotDeliveredError, Relay, Webhook
from tests.contract.test_head_office_restored import Backup
from tests.head_office.conftest import Office

SECRET = b"a secret of sixteen bytes and more"


class Listener:
    """A webhook's other end: TLS on loopback with head office's own server certificate."""

    def __init__(self, office: Office) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = listener.answers.pop(0) if listener.answers else 204
                if status < 300:
                    listener.heard.append((dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(office.home.server_certificate, office.home.server_key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"https://127.0.0.1:{self.server.server_port}/hooks/mpos?x=1"

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def listener(office: Office) -> Iterator[Listener]:
    made = Listener(office)
    yield made
    made.stop()


def webhook(office: Office, url: str) -> Webhook:
    return Webhook(url, SECRET, office.clock, ca_file=office.home.ca_certificate)


def relay(office: Office, *receivers: Any) -> Relay:
    return Relay(office.ledger, list(receivers), office.clock, chance=lambda: 1.0)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_opened_claim_is_told_once_committed_and_without_personal_data(office: Office, tmp_path: Path) -> None:
    """Two claims and one packet set aside: three events in order, ids and codes only."""
    file = tmp_path / "events.jsonl"
    carrier = relay(office, EventFile(file))
    device = office.device()
    office.receive(device, device.seal(number=1), device.seal(b"\xff"), device.seal(number=3))
    assert carrier.round().relayed == 0
    office.claims()
    assert carrier.round().relayed == 3
    assert [one["type"] for one in lines(file)] == ["claim.opened", "packet.quarantined", "claim.opened"]
    assert [one.get("agenda_no", one.get("reason")) for one in lines(file)] == [1_000_001, "not_cbor", 1_000_002]
    for private in ("PESERTA", "99ZZ", "9900000000", "CONTOH"):
        assert private not in file.read_text()
    assert carrier.round().relayed == 0
    assert len(lines(file)) == 3


def test_a_number_given_again_after_a_restore_is_another_event(office: Office, tmp_path: Path) -> None:
    """The receiver counts an id once: no new claim is dropped there, and a claim with new numbers is told anew."""
    if not isinstance(office.ledger, SqliteLedger):
        return  # one way of putting a backup back is enough: the ids are made before the engine hears of them
    file = tmp_path / "events.jsonl"
    first, second = office.device(), office.device("SN-0002")
    backup = Backup(office, tmp_path)
    packet = first.seal(number=1)
    office.receive(first, packet)
    office.claims()
    relay(office, EventFile(file)).round()
    backup.restore()
    office.receive(second, second.seal(number=2))
    office.receive(first, packet)
    office.claims()
    relay(office, EventFile(file)).round()
    told, other, again = lines(file)
    assert (told["receipt_no"], told["agenda_no"]) == (other["receipt_no"], other["agenda_no"])
    assert (again["receipt_no"], again["agenda_no"]) == ("R-000000002", 1_000_002)
    assert told["digest"] == again["digest"] != other["digest"]
    assert len({one["id"] for one in (told, other, again)}) == 3


def test_the_same_rubbish_in_two_places_is_told_twice(office: Office, tmp_path: Path) -> None:
    """Two places of a chain were spoilt."""
    file = tmp_path / "events.jsonl"
    device = office.device()
    for number in (1, 2):
        device.seal(number=number)
        office.receive(device, b"rubbish", device.seal(number=10 + number))
    relay(office, EventFile(file)).round()
    assert [one["type"] for one in lines(file)] == ["packet.quarantined"] * 2


def test_what_a_fork_sets_aside_is_told(office: Office, tmp_path: Path) -> None:
    """Held at ingest: the event stands in the same transaction."""
    file = tmp_path / "events.jsonl"
    device = office.device()
    office.receive(device, device.seal(number=1))
    lane = next(iter(device.chains))
    device.chains[lane].head = bytes(31) + b"\x01"
    office.receive(device, device.seal(number=2))
    relay(office, EventFile(file)).round()
    assert [(one["type"], one["reason"]) for one in lines(file)] == [("packet.quarantined", "chain_broken")]


def test_a_webhook_can_check_who_speaks_and_that_nothing_was_changed(office: Office, listener: Listener) -> None:
    """The signature covers time and body; the id stands in the header and in the body."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    office.claims()
    hook = webhook(office, listener.url)
    assert relay(office, hook).round().relayed == 1
    hook.close()
    ((headers, body),) = listener.heard
    signed = headers["X-Mpos-Timestamp"].encode() + b"." + body
    assert headers["X-Mpos-Signature"] == "sha256=" + hmac.new(SECRET, signed, hashlib.sha256).hexdigest()
    assert json.loads(body)["id"] == headers["X-Mpos-Event-Id"]


def test_a_receiver_that_is_down_gets_everything_later_and_in_order(office: Office, listener: Listener) -> None:
    """5xx stops the round and waits longer each time; nothing is skipped."""
    device = office.device()
    office.receive(device, device.seal(number=1), device.seal(number=2))
    office.claims()
    hook = webhook(office, listener.url)
    carrier = relay(office, hook)
    listener.answers = [503, 503, 503]
    pauses = [carrier.round().pause_s for _ in range(3)]
    assert pauses == [5.0, 10.0, 20.0]
    assert carrier.round().relayed == 2
    hook.close()
    assert [one["agenda_no"] for one in listener.told] == [1_000_001, 1_000_002]


def test_an_event_a_receiver_will_not_have_does_not_hold_up_the_others(office: Office, listener: Listener) -> None:
    """422 for one: the next goes through, and the one is tried again later."""
    device = office.device()
    office.receive(device, device.seal(number=1), device.seal(number=2))
    office.claims()
    hook = webhook(office, listener.url)
    carrier = relay(office, hook)
    listener.answers = [422]
    assert carrier.round().relayed == 1
    assert [one["agenda_no"] for one in listener.told] == [1_000_002]
    assert carrier.round().relayed == 0
    office.clock.advance(minutes=1)
    assert carrier.round().relayed == 1
    hook.close()
    assert [one["agenda_no"] for one in listener.told] == [1_000_002, 1_000_001]


def test_a_relay_killed_before_it_wrote_down_says_the_same_again(office: Office, tmp_path: Path) -> None:
    """At least once: the second time under the same id, so that a receiver counts one."""

    class Killed(BaseException):
        pass

    class DyingFile(EventFile):
        def deliver(self, event_id: str, body: bytes) -> None:
            super().deliver(event_id, body)
            raise Killed

    file = tmp_path / "events.jsonl"
    device = office.device()
    office.receive(device, device.seal(number=1))
    office.claims()
    with pytest.raises(Killed):
        relay(office, DyingFile(file)).round()
    assert relay(office, EventFile(file)).round().relayed == 1
    assert len(lines(file)) == 2
    assert len({one["id"] for one in lines(file)}) == 1


def test_two_receivers_each_hear_an_event_once_though_one_is_down(
    office: Office, listener: Listener, tmp_path: Path
) -> None:
    """The file has it and is not told again while the webhook is waited for."""
    file = tmp_path / "events.jsonl"
    device = office.device()
    office.receive(device, device.seal(number=1))
    office.claims()
    hook = webhook(office, listener.url)
    carrier = relay(office, EventFile(file), hook)
    listener.answers = [500]
    assert carrier.round().relayed == 0
    assert carrier.round().relayed == 1
    hook.close()
    assert (len(lines(file)), len(listener.told)) == (1, 1)


def test_a_line_cut_off_by_a_power_cut_spoils_no_other(office: Office, tmp_path: Path) -> None:
    """The next event begins on a line of its own."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"id": "half')
    EventFile(file).deliver("x", b'{"id":"whole"}')
    assert file.read_bytes() == b'{"id": "half\n{"id":"whole"}\n'


def test_a_full_disk_takes_a_whole_line_or_none(tmp_path: Path) -> None:
    """The system writes as much as fits and says so by a number only: half a line was "told" and told no more."""
    file = tmp_path / "events.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    told, refused = [], []
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        for number in range(20):
            try:
                EventFile(file).deliver(f"e{number}", json.dumps({"id": number, "more": "x" * 80}).encode())
                told.append(number)
            except NotDeliveredError:
                refused.append(number)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told
    assert refused
    assert [line["id"] for line in lines(file)] == told
    EventFile(file).deliver("e", json.dumps({"id": refused[0]}).encode())
    assert [line["id"] for line in lines(file)] == [*told, refused[0]]


def test_claims_are_told_over_tls_only_and_to_whom_the_authority_knows(office: Office, listener: Listener) -> None:
    """No http, no short secret, no certificate of a stranger."""
    with pytest.raises(HomeError):
        Webhook("http://127.0.0.1/", SECRET, office.clock)
    with pytest.raises(HomeError):
        Webhook(listener.url, b"short", office.clock)
    with pytest.raises(NotDeliveredError):
        Webhook(listener.url, SECRET, office.clock).deliver("x", b"{}")


def test_what_was_told_long_ago_is_cleared_away(office: Office, tmp_path: Path) -> None:
    """Only what every receiver has, and only after a month."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    office.claims()
    carrier = relay(office, EventFile(tmp_path / "events.jsonl"))
    carrier.round()
    office.clock.advance(days=31)
    office.receive(device, device.seal(number=2))
    office.claims()
    assert carrier.round().relayed == 1
    carrier.round()
    assert len(office.ledger.read("SELECT * FROM events")) == 1


def events_kept(office: Office) -> int:
    return int(office.ledger.read("SELECT count(*) AS n FROM events")[0]["n"])


def claims_are_opened(office: Office, *numbers: int) -> None:
    device = office.device(f"SN-{numbers[0]}")
    office.receive(device, *(device.seal(number=number) for number in numbers))
    office.claims()


def test_without_a_relay_events_do_not_grow_without_end(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening clears away what is older than a month, in steps; a relay that begins later tells what is left."""
    monkeypatch.setattr("head_office.events.PURGED_AT_ONCE", 2)
    claims_are_opened(office, 1, 2, 3)
    office.clock.advance(days=20)
    claims_are_opened(office, 4)
    assert events_kept(office) == 4
    office.clock.advance(days=11)
    claims_are_opened(office, 5)
    assert events_kept(office) == 2
    file = tmp_path / "events.jsonl"
    assert relay(office, EventFile(file)).round().relayed == 2
    assert [one["agenda_no"] for one in lines(file)] == [1_000_004, 1_000_005]


def test_no_more_said_beside_a_running_relay_costs_no_event(office: Office, listener: Listener) -> None:
    """It says again that it is there, so that what it has not told stays until it is told."""
    hook = webhook(office, listener.url)
    carrier = relay(office, hook)
    carrier.round()
    assert CliRunner().invoke(app, ["relay", "--no-more", "--home", str(office.home.folder)]).exit_code == 0
    carrier.round()
    listener.answers = [503] * 100
    claims_are_opened(office, 1)
    for _ in range(31):
        office.clock.advance(days=1)
        carrier.round()
    claims_are_opened(office, 2)
    assert events_kept(office) == 2
    hook.close()


def test_what_waits_for_a_relay_that_is_down_stays_however_long(office: Office, tmp_path: Path) -> None:
    """Stopped for a year, it tells everything; only a word of people ends the waiting, and it is on record."""
    file = tmp_path / "events.jsonl"
    relay(office, EventFile(file)).round()
    claims_are_opened(office, 1)
    office.clock.advance(days=365)
    claims_are_opened(office, 2)
    assert events_kept(office) == 2
    assert relay(office, EventFile(file)).round().relayed == 2
    told = CliRunner().invoke(app, ["relay", "--no-more", "--home", str(office.home.folder)])
    assert (told.exit_code, "no relay any more" in told.output) == (0, True)
    assert office.ledger.read("SELECT act FROM acts ORDER BY act_no DESC LIMIT 1")[0]["act"] == "relay_forgotten"
    office.clock.advance(days=31)
    claims_are_opened(office, 3)
    assert events_kept(office) == 1
