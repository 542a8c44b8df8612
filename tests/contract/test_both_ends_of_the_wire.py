"""The device's end against the real head office, over real TLS on loopback: what one promises the other keeps."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from head_office.checks import Placement
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.moment import utc_now
from head_office.round import FREEZING
from sync.edge.breaker import Breaker
from sync.edge.clock import HeadOfficeTime, SystemClock
from sync.edge.database import Database
from sync.edge.enrolment import enrol
from sync.edge.head_office_client import HeadOfficeClient, Reply
from sync.edge.identity import Identity
from sync.edge.outbox import Outbox
from sync.edge.outbox_row import OutboxRow, RowState
from sync.edge.sealing import Sealer
from sync.edge.uploader import RoundOutcome, RoundResult, Uploader
from sync.envelope import Lane
from sync.errors import Cause, HeadOfficeError
from sync.packet import new_packet_id
from sync.receipt import TWO_HISTORIES, Verdict
from tests.head_office.conftest import Service
from tests.head_office.dying_office import MOMENTS
from tests.sync.edge.test_outbox import rot
from tests.sync.edge.tls_server import Authority
from tests.sync.people import matched_claim


@dataclass
class RealDevice:
    """Identity, queue and uploader as the agent puts them together."""

    folder: Path
    url: str
    identity: Identity

    def start(self) -> None:
        """Open the queue and connect."""
        clock = SystemClock()
        self.database = Database(self.folder / "agent.db")
        self.outbox = Outbox(self.database, clock)
        office_time = HeadOfficeTime(self.database, clock)
        self.breaker = Breaker(self.database, lambda: 0.0)
        self.client = HeadOfficeClient(
            self.url, self.identity.ca_certificate, self.identity.tls_certificate, self.identity.tls_key
        )
        self.sealer = Sealer(self.identity.device_id, self.identity.signer, self.identity.facts.recipients, office_time)
        self.uploader = Uploader(
            self.outbox,
            self.client,
            self.identity.signer,
            self.identity.trust,
            clock,
            breaker=self.breaker,
            head_office_time=office_time,
            free_disk_bytes=lambda: 10**9,
            versions={"agent": "0.1.0"},
            draw=lambda: 0.0,
        )

    def stop(self) -> None:
        self.client.close()
        self.database.close()

    def claim(self, number: int, lane: Lane = Lane.CORE) -> OutboxRow:
        """Queue a claim of a made-up person."""
        claim = replace(
            matched_claim(new_packet_id(1_790_000_000_000 + number, os.urandom(10))),
            device_id=self.identity.device_id,
            kpj=f"99ZZ{number:07d}",
        )
        return self.outbox.put(claim.packet_id, lane, self.sealer.sealed(claim.encode()))

    def round(self) -> RoundResult:
        return self.uploader.round(now_please=True)


def set_up_in(folder: Path) -> Home:
    """A head office that was never used."""
    made = Home(folder / "head-office")
    set_up(made, ["localhost", "127.0.0.1"], utc_now())
    return made


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One head office for the tests that leave it running; each brings its own device."""
    made = Service(set_up_in(tmp_path_factory.mktemp("both-ends")))
    made.start()
    yield made
    assert made.stop() == 0


def enrolled(service: Service, folder: Path) -> RealDevice:
    """A device enrolled with a token of that service, started."""
    identity = enrol(
        url=service.url,
        token=service.token(),
        ca_file=service.home.ca_certificate,
        device_serial="SN-0001",
        folder=folder / "identity",
        now=utc_now(),
    )
    device = RealDevice(folder, service.url, identity)
    device.start()
    return device


@pytest.fixture
def device(service: Service, tmp_path: Path) -> Iterator[RealDevice]:
    made = enrolled(service, tmp_path / "device")
    yield made
    made.stop()


def listed(service: Service, device: RealDevice, count: int) -> list[dict[str, Any]]:
    """The desk's list of that device's claims, once the opening worker has put ``count`` there."""
    deadline = time.monotonic() + 60  # on a busy machine; usually there at once
    while len(found := shown(service, device, "claims", "list")) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) == count
    return found


def shown(service: Service, device: RealDevice, *command: str) -> list[dict[str, Any]]:
    """What an admin command lists for that device."""
    rows: list[dict[str, Any]] = json.loads(service.run(*command, "--json"))
    return [row for row in rows if row["device_id"] == device.identity.device_id]


def test_a_claim_arrives_as_it_was_queued_and_is_acknowledged(service: Service, device: RealDevice) -> None:
    """Receipt number, digest and place are the same at both ends."""
    row = device.claim(1)
    result = device.round()
    assert (result.outcome, result.cause) == (RoundOutcome.DELIVERED, None)
    (acked,) = result.acked
    assert (acked.state, acked.verdict) == (RowState.ACKED, Verdict.ACCEPTED)
    (claim,) = listed(service, device, 1)
    assert (claim["digest"], claim["seq"], claim["receipt_no"]) == (row.digest.hex(), 1, acked.receipt_no)
    assert (claim["packet_id"], claim["kpj"]) == (row.packet_id.hex, "99ZZ0000001")


def test_a_backlog_of_both_lanes_drains_in_order_and_once(service: Service, device: RealDevice) -> None:
    """Forty claims made while there was no network."""
    rows = [device.claim(number) for number in range(1, 41)]
    rounds = 0
    while any(counts.ready for counts in device.outbox.counts()):
        assert device.round().cause is None
        rounds += 1
        assert rounds < 45
    assert sorted(claim["seq"] for claim in listed(service, device, 40)) == [row.seq for row in rows]


def test_claims_made_while_head_office_is_down_arrive_when_it_is_back(tmp_path: Path) -> None:
    """The cause is the right one, nothing is lost, and the same device goes on by itself."""
    service = Service(set_up_in(tmp_path))
    service.start()
    device = enrolled(service, tmp_path / "device")
    assert service.stop() == 0
    row = device.claim(1)
    assert (device.round().cause, device.outbox.rows()[0].state) == (Cause.CONNECTION_REFUSED, RowState.READY)
    service.start(int(service.url.rpartition(":")[2]))
    result = device.round()
    assert [each.digest for each in result.acked] == [row.digest]
    assert device.breaker.state().failures == 0
    device.stop()
    assert service.stop() == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_head_office_killed_in_the_middle_gets_the_claim_once(tmp_path: Path, moment: str) -> None:
    """Before its commit, between commit and receipt, or before the reply left: acknowledged later, stored once."""
    home = set_up_in(tmp_path)
    dying = Service(home, module="tests.head_office.dying_office", before=(moment,))
    dying.start()
    device = enrolled(dying, tmp_path / "device")
    device.claim(1)
    assert device.round().outcome is RoundOutcome.FAILED
    assert dying.stop() == -signal.SIGKILL
    service = Service(home)
    service.start(int(dying.url.rpartition(":")[2]))
    (acked,) = device.round().acked
    assert acked.verdict is (Verdict.ACCEPTED if moment == MOMENTS[0] else Verdict.DUPLICATE)
    listed(service, device, 1)
    device.stop()
    assert service.stop() == 0


def test_a_device_killed_and_restarted_goes_on_where_it_was(service: Service, device: RealDevice) -> None:
    """The chain continues in the same epoch; head office sees no gap."""
    device.claim(1)
    device.round()
    device.stop()
    device.identity = Identity.load(device.identity.folder)
    device.start()
    device.claim(2)
    assert [row.seq for row in device.round().acked] == [2]
    assert shown(service, device, "packets", "alarms") == []


def test_a_blocked_device_is_told_so_and_delivers_after_it_is_released(service: Service, device: RealDevice) -> None:
    """Nothing is taken and nothing is lost meanwhile."""
    device.claim(1)
    service.run("devices", "block", device.identity.device_id, "--reason", "reported stolen")
    result = device.round()
    assert (result.cause, result.refused_as) == (Cause.REFUSED, "device_blocked")
    assert result.hint
    service.run("devices", "unblock", device.identity.device_id)
    assert len(device.round().acked) == 1


def test_a_packet_that_rotted_on_the_disk_does_not_block_the_ones_behind_it(
    service: Service, device: RealDevice
) -> None:
    """Head office keeps the spoilt bytes with a reason, the rest arrives, and no receipt passes them off as good."""
    device.claim(1)
    spoilt = device.claim(2)
    device.claim(3)
    rot(device.database, spoilt.id)
    result = device.round()
    assert [(row.seq, row.verdict) for row in result.acked] == [
        (1, Verdict.ACCEPTED),
        (2, Verdict.QUARANTINED),
        (3, Verdict.ACCEPTED),
    ]
    listed(service, device, 2)
    (kept,) = shown(service, device, "packets", "quarantined")
    assert kept["seq"] == 2
    assert kept["digest"] != spoilt.digest.hex()


def test_a_device_restored_from_a_copy_raises_the_alarm_on_both_sides(service: Service, device: RealDevice) -> None:
    """The copy's next claim takes a number head office has already: both are kept, a person looks."""
    device.claim(1)
    device.round()
    device.stop()
    shutil.copy(device.folder / "agent.db", device.folder / "copy")
    device.start()
    device.claim(2)
    device.round()
    device.stop()
    (device.folder / "copy").replace(device.folder / "agent.db")
    device.start()
    device.claim(3)
    result = device.round()
    assert result.cause is Cause.FORK
    assert [(row.seq, row.verdict) for row in result.acked] == [(2, Verdict.QUARANTINED)]
    assert "fork" in {alarm["kind"] for alarm in shown(service, device, "packets", "alarms")}
    listed(service, device, 2)


def test_a_cloned_machine_is_told_on_both_machines(service: Service, device: RealDevice) -> None:
    """The machine that was there first is told with its next claim, and again until somebody has looked."""
    device.claim(1)
    device.round()
    device.stop()
    file, first, clone = (device.folder / name for name in ("agent.db", "first", "clone"))
    shutil.copy(file, clone)
    device.start()
    device.claim(2)
    assert device.round().cause is None
    device.stop()
    shutil.copy(file, first)
    clone.replace(file)
    device.start()
    device.claim(3)
    assert device.round().cause is Cause.FORK
    device.stop()
    first.replace(file)
    device.start()
    device.claim(4)
    result = device.round()
    assert [(row.seq, row.verdict, row.reason) for row in result.acked] == [(3, Verdict.QUARANTINED, "lane_frozen")]
    assert result.cause is Cause.FORK
    device.stop()
    device.start()
    assert device.round().cause is Cause.FORK


def test_the_reasons_of_a_frozen_lane_are_known_at_both_ends() -> None:
    """What head office freezes a lane for is what the device takes for two histories."""
    assert {*FREEZING, Placement.LANE_FROZEN} == TWO_HISTORIES


def test_a_queue_set_aside_is_followed_by_one_head_office_accepts(service: Service, device: RealDevice) -> None:
    """The new epoch starts at one, without an alarm about the old one's numbers."""
    device.claim(1)
    device.round()
    device.stop()
    (device.folder / "agent.db").write_bytes(b"rubbish" * 999)
    device.start()
    device.claim(2)
    assert [(row.seq, row.verdict) for row in device.round().acked] == [(1, Verdict.ACCEPTED)]
    listed(service, device, 2)


def test_a_token_spent_on_a_lost_reply_still_enrols_the_same_device(service: Service, tmp_path: Path) -> None:
    """The technician repeats the command: the kept keys make it the same request."""
    token = service.token()

    class LosesTheReply(HeadOfficeClient):
        def post(self, path: str, body: bytes) -> Reply:
            super().post(path, body)
            raise HeadOfficeError(Cause.UNREACHABLE)

    def try_once(connect: type[HeadOfficeClient]) -> Identity:
        return enrol(
            url=service.url,
            token=token,
            ca_file=service.home.ca_certificate,
            device_serial="SN-0777",
            folder=tmp_path / "identity",
            now=utc_now(),
            connect=connect,
        )

    with pytest.raises(HeadOfficeError):
        try_once(LosesTheReply)
    made = try_once(HeadOfficeClient)
    devices = json.loads(service.run("devices", "list", "--json"))
    assert [each["device_id"] for each in devices if each["serial"] == "SN-0777"] == [made.device_id]
    shutil.rmtree(made.folder)
    with pytest.raises(HeadOfficeError) as caught:
        try_once(HeadOfficeClient)
    assert caught.value.refused_as == "token_refused"


def test_a_device_with_anothers_tls_certificate_gets_nothing(
    service: Service, device: RealDevice, tmp_path: Path
) -> None:
    """A certificate of another authority ends before any packet counts; the queue keeps everything."""
    device.claim(1)
    other = Authority(tmp_path, "Other CA").identity("dev-000001")
    with HeadOfficeClient(device.url, device.identity.ca_certificate, *other) as stranger:
        with pytest.raises(HeadOfficeError) as caught:
            stranger.post("/v1/sync", b"")
    assert caught.value.cause in (Cause.OUR_CERTIFICATE_REFUSED, Cause.UNREACHABLE)
    with HeadOfficeClient(device.url, device.identity.ca_certificate) as nobody:
        with pytest.raises(HeadOfficeError) as caught:
            nobody.post("/v1/sync", b"")
    assert caught.value.refused_as == "client_certificate_required"
    assert len(device.round().acked) == 1
    assert service.process.poll() is None
