"""Every way a line can break between device and head office, over real TLS; nothing is lost, nothing is doubled.

Under each trouble the device queues packets and makes rounds; whatever it is told must be true. Then the line is
good again, the queue drains, and the judge looks. A round may fail, and must say why by one of its causes; what it
may not do is believe an answer that is none.
"""

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.faults import own_namespace
from bench.faults.crooked_line import JumpingClock
from bench.faults.history import Fault, History, Violation, violations
from bench.faults.link_proxy import GOOD, LinkProxy, Trouble
from bench.faults.marks import Ears, Told
from bench.faults.parts import Progress, Result, quietly
from bench.faults.power_cut import acknowledged
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, found_office
from bench.faults.service import Service, as_identity, enrol_over_tls, tls_line
from bench.faults.stores import ledger_of, queue_of
from bench.faults.wrong_builds import CREDULOUS, DOUBLING, FORGETFUL, HASTY
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import utc_now
from sync.edge.head_office_client import Timeouts
from sync.edge.identity import Identity as EnrolledIdentity
from sync.edge.uploader import RoundOutcome, RoundResult
from sync.enrolment import CONTENT_TYPE
from sync.errors import Cause

SHORT = Timeouts(connect_s=1.5, read_s=1.5, whole_s=3.0)
"""Loopback: what stalls for a second and a half stalls for ever."""
SATELLITE = Timeouts()
YEAR = timedelta(days=365)
AMOUNTS = (1, 300, 1500, 2500, 4000, 9000, 20000)
"""Bytes after which a line breaks: inside the handshake, the head, the first and later packets; of the reply too."""
PACKETS = 3
LOSS = 0.05


def _page(status: str, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode("ascii") + body


HTML = _page("200 OK", "text/html", b"<html>Selamat datang, silakan masuk</html>")
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n"


def breaking_troubles() -> list[Trouble]:
    """Lines that break after some bytes, in each direction and manner."""
    found = [
        Trouble("nobody gets through", up=0, then="reset"),
        Trouble("no reply gets through", down=1400, then="reset"),
    ]
    for amount in AMOUNTS:
        for then in ("reset", "close", "half_close", "stall"):
            found.append(Trouble(f"{then} after {amount} bytes up", up=amount, then=then))
            found.append(Trouble(f"{then} after {amount} bytes down", down=amount, then=then))
    return found


def false_answers(home: Home, elsewhere: ssl.SSLContext) -> list[Trouble]:
    """Somebody answers in head office's place: outside TLS, with a certificate of his own, and with head office's.

    The last ones are what a proxy inside head office could do; only the receipt's signature tells.
    """

    def inside() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home.server_certificate, home.server_key)
        return context

    cbor = [b"", b"\xa0", b"\xf6", b"\x84" * 40, os.urandom(400)]
    return [
        Trouble("captive portal, page", page=HTML),
        Trouble("captive portal, redirect", page=REDIRECT),
        Trouble("captive portal with TLS", page=HTML, tls=lambda: elsewhere),
        Trouble("a page in head office's TLS", page=HTML, tls=inside),
        *(
            Trouble(f"a 200 that is no receipt ({number})", page=_page("200 OK", CONTENT_TYPE, body), tls=inside)
            for number, body in enumerate(cbor)
        ),
        Trouble("busy", page=b"HTTP/1.1 503 Busy\r\nRetry-After: 9999999\r\nContent-Length: 0\r\n\r\n", tls=inside),
        Trouble("failed", page=_page("500 Oops", "text/plain", b"?"), tls=inside),
    ]


def link(
    *,
    every: int = 1,
    slow: bool = True,
    builds: Sequence[Build] = (CREDULOUS, HASTY, DOUBLING, FORGETFUL),
    progress: Progress = quietly,
) -> Result:
    """Every trouble, or each ``every``-th; the slow lossy line only where namespaces and iptables are there."""
    result = Result("link")
    for at, build in enumerate((AS_IT_IS, *builds)):
        with _Bench(build) as bench:
            troubles = [*breaking_troubles(), *false_answers(bench.service.home, _stranger())]
            # False answers and lost replies are what a wrong build falls over; stalls only take time.
            wanted = [one for one in reversed(troubles) if one.then != "stall"]
            troubles = wanted if build.wrong else troubles[::every]
            found: list[Violation] = []
            for number, trouble in enumerate(troubles):
                found += [Violation(one.fault, f"{trouble.name}: {one.detail}") for one in bench.try_one(trouble)]
                if build.wrong and build.is_caught_by(found):
                    break
                progress((at + 0.8 * number / len(troubles)) / (1 + len(builds)))
            if not build.wrong:
                clocks = bench.try_clocks()
                found += [Violation(one.fault, f"clocks: {one.detail}") for one in clocks]
                result.faults_tried = result.states_checked = len(troubles) + len((-10, 10)) * 2
        if build.wrong:
            result.judge(build.name, found, caught=build.is_caught_by(found))
        else:
            result.found += found
    if slow:
        _slow_line(result)
    return result


class _Bench:
    """Head office in its process, a proxy before it, a device behind that."""

    def __init__(self, build: Build) -> None:
        self._build, self.ears, self._number = build, Ears(), 0

    def __enter__(self) -> "_Bench":
        self._folder = tempfile.TemporaryDirectory(prefix="mpos-link-")
        folder = Path(self._folder.name)
        self.service = Service(found_office(folder / "office"), self._build)
        self.service.start()
        self.enrolled: EnrolledIdentity = enrol_over_tls(self.service, folder / "identity")
        self.identity: Identity = as_identity(self.enrolled)
        self._database = folder / "agent.db"
        self._proxy = LinkProxy(self.service.port)
        self._proxy.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._proxy.__exit__()
        self.service.stop()
        self._folder.cleanup()

    @contextmanager
    def _device(self, timeouts: Timeouts, clock: Any = None) -> Iterator[Device]:
        with tls_line(self.enrolled, self._proxy.url, timeouts) as line:
            device = Device(
                self._database, self.identity, line,
                build=self._build, marks=self.ears, clock=clock,
            )  # fmt: skip
            try:
                yield device
            finally:
                device.close()

    def try_one(self, trouble: Trouble, *, timeouts: Timeouts = SHORT, size: int = 1500) -> list[Violation]:
        """Packets and rounds under it, then a good line, a drained queue, and the judge."""
        results = self._suffer(trouble, timeouts, size)
        said: list[Violation] = []
        if trouble.page is not None and any(one.outcome is not RoundOutcome.FAILED for one in results):
            said.append(Violation(Fault.UNPROVED, "a false answer was taken for a receipt"))
        said += [
            Violation(Fault.REFUSED, "a round failed without a cause")
            for one in results
            if one.outcome is RoundOutcome.FAILED and one.cause is None
        ]
        return said + self.drain_and_judge(timeouts)

    def _suffer(self, trouble: Trouble, timeouts: Timeouts, size: int) -> list[RoundResult]:
        with self._device(timeouts) as device:
            self._proxy.trouble = trouble
            for _ in range(PACKETS):
                self._number += 1
                device.put(self._number, size=size)
            results = [device.round() for _ in range(2)]
            self._proxy.trouble = GOOD
        return results

    def drain_and_judge(self, timeouts: Timeouts = SHORT) -> list[Violation]:
        """With a new connection, as after any failure."""
        with self._device(timeouts) as device:
            device.drain()
            device.purge_all()
            waiting, settled = queue_of(device)
            told: Told = self.ears.told
            ledger = SqliteLedger(self.service.home.ledger)
            try:
                stored = ledger_of(ledger)
            finally:
                ledger.close()
            return violations(
                History(
                    captured=told.captured,
                    promised=frozenset(told.promised),
                    acknowledged=frozenset(told.acknowledged | acknowledged(device)),
                    waiting=waiting,
                    stored=stored,
                    settled=settled,
                )
            )

    def try_clocks(self) -> list[Violation]:
        """Ten years off on either side: at the device, and where the certificates are judged."""
        found: list[Violation] = []
        for years in (-10, 10):
            clock = JumpingClock()
            clock.wall = clock.wall.replace(year=clock.wall.year + years)
            with self._device(SHORT, clock) as device:
                self._number += 1
                device.put(self._number)
                if device.round().outcome is not RoundOutcome.DELIVERED:
                    found.append(Violation(Fault.NOT_DRAINED, f"{years} years off, the device delivers nothing"))
            found += self.drain_and_judge()
            with self._certificate_of(utc_now() + years * YEAR):
                results = self._suffer(Trouble("a certificate of another time"), SHORT, 1500)
            if any(one.cause is not Cause.CLOCK_WRONG for one in results):
                found.append(Violation(Fault.REFUSED, "a clock that is off was not named as the cause"))
            found += self.drain_and_judge()
        return found

    @contextmanager
    def _certificate_of(self, moment: datetime) -> Iterator[None]:
        """Head office with a TLS certificate that is not valid now: what a device whose clock is off sees."""
        home = self.service.home
        kept = home.server_certificate.read_bytes()
        key = serialization.load_pem_private_key(home.server_key.read_bytes(), None)
        certificate = Authority.load(home).certify_server(["localhost", "127.0.0.1"], key.public_key(), moment)  # type: ignore[arg-type]
        self.service.stop()
        home.server_certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.service.start()
        try:
            yield
        finally:
            self.service.stop()
            home.server_certificate.write_bytes(kept)
            self.service.start()


def _stranger() -> ssl.SSLContext:
    """TLS with a certificate nobody signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "portal.example")])
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context


# --- the slow line that loses packets, in a network of its own ---


def _slow_line(result: Result) -> None:
    """64 kbit/s, 600 ms, 5 % loss: in a network of its own, where packets may be dropped."""
    reason = own_namespace.missing(own_namespace.NETWORK)
    if not reason and shutil.which("iptables", path=os.defpath + ":/usr/sbin:/sbin") is None:
        reason = "iptables is not installed"
    if reason:
        result.skipped.append(f"64 kbit/s with 600 ms and 5 % loss: {reason}")
        return
    try:
        found = own_namespace.run_apart(own_namespace.NETWORK, _in_a_lossy_network)
    except RuntimeError as error:
        found = [Violation(Fault.REFUSED, str(error))]
    result.note(found, "64 kbit/s, 600 ms, 5 % loss")
    result.faults_tried += 1
    result.states_checked += 1


_LOSE = ["iptables", "-A", "INPUT", "-i", "lo", "-m", "statistic", "--mode", "random", "--probability", str(LOSS),
         "-j", "DROP"]  # fmt: skip


def _in_a_lossy_network() -> list[Violation]:
    for command in (["ip", "link", "set", "lo", "mtu", "1500"], _LOSE):
        subprocess.run(command, check=True, timeout=30)
    with _Bench(AS_IT_IS) as bench:
        slow = Trouble("slow", bits_per_s=64_000, one_way_s=0.3, jitter_s=0.1)
        return bench.try_one(slow, timeouts=SATELLITE, size=20_000)
