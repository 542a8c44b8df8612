"""The real program over real TLS: enrolment, sync, refusals, sudden death, orderly end."""

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from head_office import custody
from head_office.errors import HomeError
from head_office.keys.authority import Authority, KeyRequest, Purpose
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home, replace_public
from head_office.keys.server_certificate import Served, renew
from head_office.moment import utc_now
from head_office.server import tls_context
from sync import enrolment
from sync.checkpoint import MAX_BATCH_BYTES
from sync.receipt import Verdict
from tests.head_office.conftest import Service
from tests.head_office.device import Device, Link, key_request
from tests.head_office.dying_office import MOMENTS


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Link]]:
    """One running service for the tests that leave it as they find it."""
    home = Home(tmp_path_factory.mktemp("running") / "head-office")
    set_up(home, ["localhost", "127.0.0.1"], utc_now())
    service = Service(home)
    yield service, service.start()
    assert service.stop() == 0


@pytest.fixture
def enrolled(running: tuple[Service, Link], tmp_path: Path) -> tuple[Device, Link]:
    """A new device on that service, and its line to it."""
    service, link = running
    return service.enrol(link, tmp_path)


@pytest.fixture
def running_service(running: tuple[Service, Link]) -> Service:
    return running[0]


def code(reply: requests.Response) -> str:
    return enrolment.decode_error(reply.content).error


def test_a_claim_goes_from_a_device_to_the_list(service: Service, tmp_path: Path) -> None:
    """Enrol, send, get a receipt, and the claim stands in the list with its agenda number."""
    device, link = service.enrol(service.start(), tmp_path)
    receipt = link.sync(device, device.seal())
    assert [v.verdict for v in receipt.verdicts] == [Verdict.ACCEPTED]
    service.claims(1)
    (claim,) = json.loads(service.run("claims", "list", "--json"))
    assert claim["agenda_no"] == 1_000_001
    assert claim["receipt_no"] == receipt.verdicts[0].receipt_no
    assert claim["nik"] == "99**********0001"
    (listed,) = json.loads(service.run("devices", "list", "--json"))
    assert (listed["state"], listed["packets"], listed["branch_code"]) == ("ACTIVE", 1, "KC01")
    assert service.stop() == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_the_middle_the_claim_arrives_once(home: Home, tmp_path: Path, moment: str) -> None:
    """Killed -9 before the commit, between commit and receipt, or before the reply left: it is there once."""
    # Enrolling signs no receipt and stores no batch: the service lives until the first batch.
    dying = Service(home, module="tests.head_office.dying_office", before=(moment,))
    device, link = dying.enrol(dying.start(), tmp_path)
    packet = device.seal()
    with pytest.raises(requests.ConnectionError):
        link.post("/v1/sync", device.batch(packet))
    assert dying.stop() == -signal.SIGKILL

    service = Service(home)
    link.url = service.start().url
    (verdict,) = link.sync(device, packet).verdicts
    assert verdict.verdict is (Verdict.ACCEPTED if moment == MOMENTS[0] else Verdict.DUPLICATE)
    (claim,) = service.claims(1)
    assert custody.receipt_name(claim["receipt_no"]) == verdict.receipt_no
    assert service.stop() == 0


def test_a_connection_without_a_certificate_cannot_sync(enrolled: tuple[Device, Link]) -> None:
    """Enrolment is open to strangers with a token; sync is not open to strangers."""
    device, link = enrolled
    reply = Link(link.url, link.ca_file).post("/v1/sync", device.batch(device.seal()))
    assert (reply.status_code, code(reply)) == (401, "client_certificate_required")


def test_a_certificate_of_another_authority_ends_the_handshake(enrolled: tuple[Device, Link], tmp_path: Path) -> None:
    """Somebody with an own CA does not get as far as a request."""
    device, link = enrolled
    elsewhere = Authority.create("elsewhere", utc_now())
    forged = elsewhere.certify_device(
        device.device_id, Purpose.TLS, KeyRequest.parse(key_request(device.tls_key)), utc_now()
    )
    device.tls_certificate = forged.public_bytes(serialization.Encoding.DER)
    stranger = Link(link.url, link.ca_file, device.save_certificate(tmp_path))
    with pytest.raises((requests.exceptions.SSLError, requests.ConnectionError)):
        stranger.post("/v1/sync", device.batch())


def test_one_device_cannot_speak_over_anothers_line(
    enrolled: tuple[Device, Link], running_service: Service, tmp_path: Path
) -> None:
    """A checkpoint must be signed by the device whose TLS certificate holds the connection."""
    device, link = enrolled
    other = Device("SN-0002")
    link.enrol(other, running_service.token())
    reply = link.post("/v1/sync", other.batch(other.seal()))
    assert (reply.status_code, code(reply)) == (403, "not_your_checkpoint")
    assert link.sync(device).verdicts == ()


def test_a_blocked_device_is_refused_while_the_service_runs(
    enrolled: tuple[Device, Link], running_service: Service
) -> None:
    """The deny list needs no restart, and the hint says what happens to the packets."""
    device, link = enrolled
    packet = device.seal()
    running_service.run("devices", "block", device.device_id, "--reason", "stolen")
    reply = link.post("/v1/sync", device.batch(packet))
    assert (reply.status_code, code(reply)) == (403, "device_blocked")
    running_service.run("devices", "unblock", device.device_id)
    assert link.sync(device, packet).verdicts[0].verdict is Verdict.ACCEPTED


def test_a_used_token_is_refused(enrolled: tuple[Device, Link], running_service: Service) -> None:
    """The answer does not tell an unknown token from a used one."""
    _, link = enrolled
    token = running_service.token()
    link.enrol(Device(), token)
    for bad in (token, "A" * 20):
        reply = link.post("/v1/enrol", Device().enrol_request(bad))
        assert (reply.status_code, code(reply)) == (403, "token_refused")


def test_oversized_bodies_are_cut_off(enrolled: tuple[Device, Link]) -> None:
    """Announced or not, a body over the limit is refused without being kept."""
    _, link = enrolled
    reply = link.post("/v1/sync", bytes(MAX_BATCH_BYTES + 1))
    assert (reply.status_code, code(reply)) == (413, "too_large")
    reply = requests.post(link.url + "/v1/enrol", data=iter([bytes(40_000)] * 2), verify=str(link.ca_file), timeout=10)
    assert (reply.status_code, code(reply)) == (413, "too_large")


@pytest.mark.parametrize("body", [b"", b"\xff" * 100, b"\x83\x01\x40\x80"])
def test_garbage_is_answered_and_the_service_lives(enrolled: tuple[Device, Link], body: bytes) -> None:
    """A broken client is told so; the next device is served."""
    device, link = enrolled
    for path in ("/v1/sync", "/v1/enrol"):
        reply = link.post(path, body)
        assert (reply.status_code, code(reply)) == (400, "bad_request")
    assert link.sync(device, device.seal()).verdicts[0].verdict is Verdict.ACCEPTED


def test_there_is_nothing_to_ask_without_signing_in(enrolled: tuple[Device, Link]) -> None:
    """No route answers a question about a person, a card or a claim; the desk wants a password."""
    _, link = enrolled
    assert requests.get(link.url + "/desk", verify=str(link.ca_file), timeout=10).status_code == 401
    for path in ("/", "/docs", "/openapi.json", "/v1/claims", "/v1/sync", "/v1/claims/99ZZ0000001"):
        assert requests.get(link.url + path, verify=str(link.ca_file), timeout=10).status_code in (404, 405)


def test_claims_are_kept_when_the_opening_keys_are_away(home: Home, service: Service, tmp_path: Path) -> None:
    """The process that faces the network needs no decryption key: custody works, the desk follows later."""
    away = tmp_path / "away"
    home.recipient_keys.rename(away)
    device, link = service.enrol(service.start(), tmp_path)
    assert link.sync(device, device.seal()).verdicts[0].verdict is Verdict.ACCEPTED
    assert service.claims(0) == []
    away.rename(home.recipient_keys)
    assert len(service.claims(1)) == 1


def test_silent_and_plain_connections_disturb_nobody(enrolled: tuple[Device, Link]) -> None:
    """Somebody who connects and says nothing, or speaks without TLS, does not keep devices waiting."""
    device, link = enrolled
    host, port = link.url.removeprefix("https://").split(":")
    silent = [socket.create_connection((host, int(port)), 5) for _ in range(20)]
    silent[0].sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert link.sync(device, device.seal()).verdicts[0].verdict is Verdict.ACCEPTED
    for connection in silent:
        connection.close()


def test_old_tls_is_refused(enrolled: tuple[Device, Link]) -> None:
    """TLS 1.1 is not spoken."""
    _, link = enrolled
    host, port = link.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=str(link.ca_file))
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((host, int(port)), 5) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="localhost")


def test_a_certificate_that_ends_soon_is_told_and_renewed_without_a_restart(home: Home, tmp_path: Path) -> None:
    """The log, the list of devices and that of keys say so; devices go on with the new one."""
    renew(home, [], utc_now() - timedelta(days=380))
    service = Service(home)
    device, link = service.enrol(service.start(), tmp_path)
    before = served_certificate(link)
    names = ("--name", "localhost", "--name", "127.0.0.1", "--name", "ho.example.test")
    said = service.run("keys", "renew-server", *names)
    assert "ho.example.test" in said
    deadline = time.monotonic() + 30
    while (now := served_certificate(link)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = now.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["localhost", "ho.example.test"]
    assert now.not_valid_after_utc > utc_now() + timedelta(days=390)
    assert link.sync(device, device.seal()).verdicts[0].verdict is Verdict.ACCEPTED
    assert service.stop() == 0
    log = (home.folder.parent / "serve.log").read_text()
    assert "and no device connects after that" in log
    assert "the TLS certificate was renewed" in log


def test_a_new_certificate_that_does_not_fit_leaves_the_old_one_in_service(home: Home) -> None:
    """Somebody copies a wrong file over it: the handshakes go on with what there was."""
    context = tls_context(home)
    served = Served(home, context)
    replace_public(home.server_certificate, b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    assert not served.refresh()
    with pytest.raises(HomeError):
        renew(home, [], utc_now())
    renew(home, ["localhost"], utc_now())
    assert served.refresh()
    assert not served.refresh()


def served_certificate(link: Link) -> x509.Certificate:
    host, port = link.url.removeprefix("https://").split(":")
    return x509.load_pem_x509_certificate(ssl.get_server_certificate((host, int(port)), timeout=10).encode())


def test_systemd_hears_when_it_is_ready_and_when_it_stops(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY comes only when requests are served; SIGTERM ends in order with status 0."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        service = Service(home)
        service.start()
        assert b"READY=1" in listener.recv(1000)
        assert service.stop() == 0
        assert listener.recv(1000) == b"STOPPING=1"


def test_no_process_is_left_behind_when_the_service_is_killed(service: Service, home: Home) -> None:
    """The opening worker ends by itself when its parent dies."""
    service.start()
    service.stop(signal.SIGKILL)
    mark = str(home.folder.parent)
    deadline = time.monotonic() + 30
    while left := [p for p in Path("/proc").glob("[0-9]*") if mark in _open_files(p)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _open_files(process: Path) -> str:
    if process.name == str(os.getpid()):
        return ""
    try:
        return " ".join(str(link.readlink()) for link in (process / "fd").iterdir())
    except OSError:
        return ""
