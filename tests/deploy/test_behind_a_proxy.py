"""Workers behind nginx: who a device is comes in a header there, and nowhere else."""

import http.client
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from head_office.device_registry import DeviceRegistry
from head_office.keys.authority import Authority, KeyRequest, Purpose
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.keys.receipt_key import load_receipt_signer
from head_office.keys.recipients import load_recipients
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import utc_now
from sync import enrolment
from sync.receipt import Verdict
from tests.api.serving import free_port
from tests.head_office.conftest import Service
from tests.head_office.device import Device, Link, key_request

ROOT = Path(__file__).parents[2]
HEADER = "X-Mpos-Client-Certificate"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, as nginx speaks it."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def escaped(certificate_der: bytes) -> str:
    """As nginx writes ``$ssl_client_escaped_cert``."""
    pem = x509.load_der_x509_certificate(certificate_der).public_bytes(serialization.Encoding.PEM)
    return quote(pem.decode(), safe="")


def refusal(body: bytes) -> str:
    return enrolment.decode_error(body).error


@dataclass
class Proxied:
    """A worker on a Unix socket, and a device that enrolled while it was still reached by TLS."""

    service: Service
    path: Path
    device: Device

    def post(self, path: str, body: bytes, *headers: tuple[str, str]) -> tuple[int, bytes]:
        connection = UnixConnection(self.path)
        connection.putrequest("POST", path)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """One worker for all tests here: starting one is what takes time."""
    folder = tmp_path_factory.mktemp("p")
    home = Home(folder / "head-office")
    set_up(home, ["localhost", "127.0.0.1"], utc_now())
    device = Device()
    ledger = SqliteLedger(home.ledger)
    signer = load_receipt_signer(home)
    device.enrol_directly(DeviceRegistry(ledger, Authority.load(home)), load_recipients(home), signer)
    ledger.close()
    service = Service(home)
    service.start(listen=f"unix:{folder}/w.sock")
    yield Proxied(service, folder / "w.sock", device)
    service.stop()


def test_the_certificate_in_the_header_is_the_device(proxied: Proxied) -> None:
    """What nginx has seen counts as what TLS has seen: the batch is stored, the receipt is good."""
    device = proxied.device
    body = device.batch(device.seal())
    status, reply = proxied.post("/v1/sync", body, (HEADER, escaped(device.tls_certificate)))
    assert status == 200
    assert [verdict.verdict for verdict in device.verified(reply).verdicts] == [Verdict.ACCEPTED]


@pytest.mark.parametrize("value", ["", "nonsense", "%ZZ", "-----BEGIN%20CERTIFICATE-----", "x" * 9_000], ids=len)
def test_no_readable_certificate_is_no_certificate(proxied: Proxied, value: str) -> None:
    """A header that cannot be read lets nobody in."""
    status, reply = proxied.post("/v1/sync", proxied.device.batch(), (HEADER, value))
    assert (status, refusal(reply)) == (401, "client_certificate_required")


def test_two_such_headers_are_none(proxied: Proxied) -> None:
    """One slipped in beside nginx's: neither is believed."""
    one = (HEADER, escaped(proxied.device.tls_certificate))
    status, reply = proxied.post("/v1/sync", proxied.device.batch(), one, one)
    assert (status, refusal(reply)) == (401, "client_certificate_required")


def test_the_socket_is_not_for_everybody(proxied: Proxied) -> None:
    """Its user and its group; others have no right on it at all."""
    assert proxied.path.stat().st_mode & 0o777 == 0o660


def test_a_forged_header_on_the_tls_listener_is_not_looked_at(service: Service, tmp_path: Path) -> None:
    """A stranger with a device's certificate, which is no secret, and without its key."""
    link = service.start()
    device, _ = service.enrol(link, tmp_path)
    header = {HEADER: escaped(device.tls_certificate)}
    reply = requests.post(
        f"{link.url}/v1/sync", data=device.batch(device.seal()), verify=str(link.ca_file), headers=header, timeout=10
    )
    assert (reply.status_code, refusal(reply.content)) == (401, "client_certificate_required")


# The real nginx, with the template of deploy/


@dataclass
class Nginx:
    """nginx in front of one worker."""

    link: Link
    device_link: Link
    device: Device
    home: Home


@pytest.fixture(scope="module")
def nginx(proxied: Proxied, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """As deploy/cluster.py runs it; skipped where there is none."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port, folder = free_port(), tmp_path_factory.mktemp("n")
    home, device = proxied.service.home, proxied.device
    (folder / "nginx.conf").write_text(settings(home, folder, proxied.path, port))
    arguments = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        front = Link(f"https://127.0.0.1:{port}", home.ca_certificate)
        own = Link(front.url, front.ca_file, device.save_certificate(folder))
        yield Nginx(front, own, device, home)
    finally:
        process.terminate()
        process.wait(20)


def settings(home: Home, folder: Path, worker: Path, port: int) -> str:
    """The template, filled in as the cluster of deploy/ does it."""
    template = (ROOT / "deploy" / "nginx" / "head-office.conf").read_text()
    lines = [line for line in template.splitlines() if "worker-2.sock" not in line]
    text = "\n".join(lines)
    for before, now in {
        "listen 8443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/run/mpos-head-office/worker-1.sock": str(worker),
        "/var/lib/mpos-head-office/server.crt": str(home.server_certificate),
        "/etc/nginx/mpos-head-office.key": str(home.server_key),
    }.items():
        assert before in text
        text = text.replace(before, now)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    # One process: its children would be another user, who may not open the worker's socket.
    return (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        "http {\naccess_log off;\n" + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds) + text + "\n}\n"
    )


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_device_syncs_through_nginx(nginx: Nginx) -> None:
    """TLS ends at nginx; the packet is stored and its receipt is good."""
    reply = nginx.device_link.post("/v1/sync", nginx.device.batch(nginx.device.seal()))
    assert reply.status_code == 200
    assert [verdict.verdict for verdict in nginx.device.verified(reply.content).verdicts] == [Verdict.ACCEPTED]


def test_a_forged_header_does_not_pass_nginx(nginx: Nginx) -> None:
    """Whatever a client sends under that name is thrown away, with a certificate of its own and without."""
    forged: dict[str, Any] = {HEADER: escaped(nginx.device.tls_certificate)}
    reply = requests.post(
        f"{nginx.link.url}/v1/sync",
        data=nginx.device.batch(),
        verify=str(nginx.link.ca_file),
        headers=forged,
        timeout=10,
    )
    assert (reply.status_code, refusal(reply.content)) == (401, "client_certificate_required")


def test_an_expired_certificate_reaches_head_office_and_is_told_so(nginx: Nginx, tmp_path: Path) -> None:
    """nginx would answer with a page of its own; such a device may still renew, and must hear why it may not sync."""
    device = nginx.device
    long_ago = utc_now() - timedelta(days=400)
    request = KeyRequest.parse(key_request(device.tls_key))
    expired = Authority.load(nginx.home).certify_device(device.device_id, Purpose.TLS, request, long_ago)
    old_device = replace(device, tls_key=device.tls_key)
    old_device.device_id = "expired"
    old_device.tls_certificate = expired.public_bytes(serialization.Encoding.DER)
    old = Link(nginx.link.url, nginx.link.ca_file, old_device.save_certificate(tmp_path))
    reply = old.post("/v1/sync", device.batch())
    # It is not in the registry, having been made for this test: head office's own word, and not nginx's.
    assert (reply.status_code, refusal(reply.content)) == (403, "client_certificate_refused")


def test_the_desk_and_enrolment_need_no_certificate(nginx: Nginx) -> None:
    """A browser is asked to sign in; a wrong token is answered in the form devices read."""
    desk = requests.get(f"{nginx.link.url}/desk", verify=str(nginx.link.ca_file), timeout=10)
    assert desk.status_code == 401
    assert "Basic" in desk.headers["www-authenticate"]
    reply = nginx.link.post("/v1/enrol", Device().enrol_request("x" * 20))
    assert (reply.status_code, refusal(reply.content)) == (403, "token_refused")
