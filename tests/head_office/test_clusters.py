"""Two clusters, each with its ledger: a device has one home, is told so in signed words, and moves with its chain."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from head_office import hand_over
from head_office.clusters import Cluster, Clusters, load_clusters
from head_office.device_registry import DeviceMovedError, DeviceRegistry
from head_office.elsewhere import OTHER_CLUSTER
from head_office.errors import (
    CertificateRefusedError,
    CertificateSupersededError,
    DeviceBlockedError,
    HomeError,
    OtherClusterError,
    RefusedError,
)
from head_office.giving_up import MissingPlaces, MissingState
from head_office.hand_over import HandOverError
from head_office.ingest import Ingest
from head_office.keys.authority import Authority
from head_office.keys.home import Home
from head_office.keys.receipt_key import load_receipt_signer
from head_office.keys.recipients import load_private_keys, load_recipients
from head_office.ledger.base import Ledger
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import to_ms
from head_office.opening import Opener
from head_office.renewal import Renewals
from sync import commands as wire
from sync.receipt import Receipt, Verdict
from sync.renewal import decode_reply
from tests.head_office.conftest import TestClock
from tests.head_office.device import Device
from tests.head_office.test_documents import claim, listed, parts_of
from tests.head_office.test_renewal import asked

WEST, EAST = Cluster("barat", "https://barat.example.test"), Cluster("timur", "https://timur.example.test:8443")
NAMES = [f"D-UJI{number:09d}" for number in range(2000)]


@dataclass
class Site:
    """One cluster: its own ledger, the same keys as the other."""

    home: Home
    ledger: Ledger
    clusters: Clusters
    clock: TestClock

    def __post_init__(self) -> None:
        self.registry = DeviceRegistry(self.ledger, Authority.load(self.home), clock=self.clock, clusters=self.clusters)
        self.ingest = Ingest(
            self.ledger,
            self.registry,
            load_receipt_signer(self.home),
            self.clock,
            poll_s=60,
            on_stored=lambda: None,
            clusters=self.clusters,
        )

    def device(self) -> Device:
        device = Device("SN-0001")
        device.enrol_directly(self.registry, load_recipients(self.home), load_receipt_signer(self.home))
        return device

    def receive(self, device: Device, *packets: bytes, waiting: int | None = None) -> Receipt:
        lanes = device.checkpoint().lanes
        depth = len(packets) if waiting is None else waiting
        changed = tuple(
            type(lane)(**{**{name: getattr(lane, name) for name in lane.__slots__}, "depth": depth if not at else 0})
            for at, lane in enumerate(lanes)
        )
        body = device.batch(*packets, checkpoint=device.checkpoint(lanes=changed))
        return device.verified(self.ingest.receive(device.tls_certificate, body))

    def stored(self) -> list[bytes]:
        return [bytes(row["envelope"]) for row in self.ledger.read("SELECT envelope FROM packets ORDER BY receipt_no")]

    def hand_over(self, device: Device) -> list[str]:
        given = hand_over.hand_over(
            self.ledger, self.clusters, [device.device_id], to=self.other.name, now_ms=to_ms(self.clock()), by="test"
        )
        return list(given)

    @property
    def other(self) -> Cluster:
        return EAST if self.clusters.own == WEST else WEST

    def take_over(self, lines: list[str]) -> int:
        return hand_over.take_over(self.ledger, self.clusters, lambda: lines, now_ms=to_ms(self.clock()), by="test")


@pytest.fixture
def sites(home: Home, tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """West and east."""
    clock = TestClock()
    west, east = SqliteLedger(tmp_path / "west.db"), SqliteLedger(tmp_path / "east.db")
    yield (
        Site(home, west, Clusters(WEST, (WEST, EAST)), clock),
        Site(home, east, Clusters(EAST, (WEST, EAST)), clock),
    )
    west.close()
    east.close()


def moves(receipt: Receipt) -> list[str]:
    """Where the receipt's commands send the device."""
    read = [wire.read(command) for command in receipt.commands]
    return [body.url for body in read if isinstance(body, wire.Move)]


def said(receipt: Receipt) -> list[tuple[Verdict, str | None]]:
    return [(verdict.verdict, verdict.reason) for verdict in receipt.verdicts]


# Which cluster


def test_devices_are_spread_evenly_and_the_same_everywhere() -> None:
    """Each cluster's own file names another one as its own, and all of them agree on every device."""
    seen = Counter(Clusters(WEST, (WEST, EAST)).home_of(name).name for name in NAMES)
    assert all(abs(count - 1000) < 100 for count in seen.values())
    assert all(
        Clusters(WEST, (WEST, EAST)).home_of(name) == Clusters(EAST, (EAST, WEST)).home_of(name) for name in NAMES
    )


def test_a_third_cluster_takes_a_third_and_nobody_else_moves() -> None:
    """Whoever moves, moves to the new one."""
    third = Cluster("tengah", "https://tengah.example.test")
    before, after = Clusters(WEST, (WEST, EAST)), Clusters(WEST, (WEST, EAST, third))
    moved = [name for name in NAMES if before.home_of(name) != after.home_of(name)]
    assert {after.home_of(name) for name in moved} == {third}
    assert abs(len(moved) - len(NAMES) / 3) < 100


def test_the_hash_never_changes() -> None:
    """A device's home is a promise over years: these stay where they are."""
    homes = [Clusters(WEST, (WEST, EAST)).home_of(name).name for name in NAMES[:12]]
    assert homes == HOMES


HOMES = ["timur", "barat", "barat", "barat", "timur", "barat", "barat", "timur", "timur", "barat", "timur", "timur"]


@pytest.mark.parametrize(
    "text",
    [
        "own = 1",
        'own = "barat"',
        'own = "utara"\n[[cluster]]\nname = "barat"\nurl = "https://b.example.test"',
        'own = "barat"\n[[cluster]]\nname = "barat"\nurl = "http://b.example.test"',
        'own = "barat"\nmore = 1\n[[cluster]]\nname = "barat"\nurl = "https://b.example.test"',
        'own = "barat"\n' + 2 * '[[cluster]]\nname = "barat"\nurl = "https://b.example.test"\n',
        "own =",
    ],
)
def test_a_wrong_list_of_clusters_stops_the_start(home: Home, text: str) -> None:
    """Half a list would send devices to the wrong ledger."""
    home.clusters.write_text(text)
    with pytest.raises(HomeError):
        load_clusters(home)


def test_the_list_is_read_and_none_means_one_cluster(home: Home) -> None:
    """As docs/scale.md shows it."""
    assert load_clusters(home) is None
    home.clusters.write_text(
        'own = "timur"\n' + "".join(f'[[cluster]]\nname = "{one.name}"\nurl = "{one.url}"\n' for one in (WEST, EAST))
    )
    assert load_clusters(home) == Clusters(EAST, (WEST, EAST))


def test_a_new_device_is_at_home_where_it_enrols(sites: tuple[Site, Site]) -> None:
    """The name it is given leads here, so that the address it enrolled at stays right."""
    for site in sites:
        for _ in range(5):
            assert site.clusters.home_of(site.device().device_id) == site.clusters.own


# A device at the wrong door


def test_a_device_of_the_other_cluster_is_refused_by_name(sites: tuple[Site, Site]) -> None:
    """It was never here: nothing is stored, and the refusal says where it belongs."""
    west, east = sites
    device = west.device()
    with pytest.raises(OtherClusterError) as caught:
        east.ingest.receive(device.tls_certificate, device.batch(device.seal()))
    assert (caught.value.code, caught.value.status) == ("other_cluster", 421)
    assert WEST.url in caught.value.hint
    assert east.stored() == []


def test_a_stranger_learns_nothing_of_clusters(sites: tuple[Site, Site]) -> None:
    """A certificate of nobody's is refused as ever, whatever name stands in it."""
    west, east = sites
    stranger = Device("SN-X")
    stranger.tls_certificate = foreign_certificate(west.device().device_id)
    with pytest.raises(CertificateRefusedError):
        east.ingest.receive(stranger.tls_certificate, b"")


def foreign_certificate(device_id: str) -> bytes:
    """Signed by its own key, with a device's name in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, device_id)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=90))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# A device that moves


def test_a_device_moves_and_its_chain_goes_on(sites: tuple[Site, Site]) -> None:
    """Two claims here, a signed command, the third there: one chain, each claim once."""
    west, east = sites
    device = west.device()
    west.receive(device, device.seal(), device.seal())
    east.take_over(west.hand_over(device))
    third = device.seal()
    told = west.receive(device, third)
    assert said(told) == [(Verdict.RETRY_LATER, OTHER_CLUSTER)]
    assert moves(told) == [EAST.url]
    assert said(east.receive(device, third)) == [(Verdict.ACCEPTED, None)]
    assert (len(west.stored()), east.stored()) == (2, [third])


def test_a_packet_in_doubt_is_answered_before_the_device_goes(sites: tuple[Site, Site]) -> None:
    """The reply to the first was lost: only the old cluster can say that it has it, so the device stays until then."""
    west, east = sites
    device = west.device()
    first, second = device.seal(), device.seal()
    west.receive(device, first)
    east.take_over(west.hand_over(device))
    asleep = west.receive(device, waiting=2)
    assert moves(asleep) == []
    told = west.receive(device, first, second, waiting=2)
    assert said(told) == [(Verdict.DUPLICATE, None), (Verdict.RETRY_LATER, OTHER_CLUSTER)]
    assert moves(told) == [EAST.url]
    assert said(east.receive(device, second)) == [(Verdict.ACCEPTED, None)]


def test_a_packet_stuck_in_an_ended_chain_does_not_keep_the_device(sites: tuple[Site, Site]) -> None:
    """Spoilt on the device and never stored here: once it has been shown, nothing here can be answered any more."""
    west, east = sites
    device = west.device()
    west.receive(device, device.seal())
    spoilt = bytearray(device.seal())
    spoilt[-5] ^= 1
    device.new_epoch()
    west.receive(device, device.seal())
    east.take_over(west.hand_over(device))
    assert moves(west.receive(device, waiting=1)) == []
    told = west.receive(device, bytes(spoilt), waiting=1)
    assert said(told) == [(Verdict.RETRY_LATER, OTHER_CLUSTER)]
    assert moves(told) == [EAST.url]


def test_what_comes_late_to_the_new_cluster_is_a_duplicate_there(sites: tuple[Site, Site]) -> None:
    """A stick from before the move: known by its digest, stored once, and no fork."""
    west, east = sites
    device = west.device()
    first = device.seal()
    number = west.receive(device, first).verdicts[0].receipt_no
    east.take_over(west.hand_over(device))
    late = device.verified(east.ingest.receive_carried(device.batch(first)))
    assert said(late) == [(Verdict.DUPLICATE, None)]
    assert late.verdicts[0].receipt_no == number
    assert east.stored() == []
    assert said(east.receive(device, device.seal())) == [(Verdict.ACCEPTED, None)]


def test_between_hand_over_and_take_over_nothing_is_stored_and_nothing_lost(sites: tuple[Site, Site]) -> None:
    """The file is still on its way: the old cluster stores no more, the new one does not know the device yet."""
    west, east = sites
    device = west.device()
    lines = west.hand_over(device)
    packet = device.seal()
    assert said(west.receive(device, packet)) == [(Verdict.RETRY_LATER, OTHER_CLUSTER)]
    with pytest.raises(RefusedError):
        east.ingest.receive(device.tls_certificate, device.batch(packet))
    assert east.take_over(lines) == 1
    assert said(east.receive(device, packet)) == [(Verdict.ACCEPTED, None)]


def test_a_hand_over_may_be_repeated_at_both_ends(sites: tuple[Site, Site]) -> None:
    """The file was lost, or taken over twice: the same device, once."""
    west, east = sites
    device = west.device()
    west.receive(device, device.seal())
    west.hand_over(device)
    lines = west.hand_over(device)
    assert (east.take_over(lines), east.take_over(lines)) == (1, 0)


def test_each_receipt_brings_an_order_to_move_of_its_own(sites: tuple[Site, Site]) -> None:
    """A device carries out an id once: with one id for all it would not go a second time, after it came back here or
    after an older order, late on a stick, has brought it back. The same request gets the same answer.
    """
    west, east = sites
    device = west.device()
    east.take_over(west.hand_over(device))
    orders = [west.receive(device).commands for _ in range(2)]
    assert [[wire.read(order) for order in each] for each in orders] == [[wire.Move(url=EAST.url)]] * 2
    assert orders[0][0].id != orders[1][0].id
    body = device.batch()
    answers = [device.verified(west.ingest.receive_carried(body)).commands for _ in range(2)]
    assert answers[0] == answers[1] != ()


def test_a_cut_off_file_takes_over_nothing(sites: tuple[Site, Site]) -> None:
    """Half of the devices would be nowhere, and nobody would know which half."""
    west, east = sites
    lines = west.hand_over(west.device())
    for wrong in (lines[:-1], lines[1:], [], [*lines[:-1], '{"end": 2}'], [*lines, ""], ["nonsense"]):
        with pytest.raises(HandOverError):
            east.take_over(wrong)
    with pytest.raises(HandOverError):
        west.take_over(lines)


def test_only_who_belongs_elsewhere_is_handed_over_and_a_lost_file_is_written_again(sites: tuple[Site, Site]) -> None:
    """With the list changed under them; blocked ones stay, and who went before is named when asked for."""
    west, _ = sites
    here, blocked = west.device().device_id, west.device().device_id
    west.registry.block(blocked, "lost", by="test")
    moved = Clusters(EAST, (EAST,))
    assert hand_over.strangers(west.ledger, west.clusters) == []
    elsewhere = Clusters(Cluster("x", "https://x.example.test"), (EAST,))
    assert hand_over.strangers(west.ledger, elsewhere) == [here]
    assert hand_over.strangers(west.ledger, moved) == []
    list(hand_over.hand_over(west.ledger, west.clusters, [here], to=EAST.name, now_ms=1, by="test"))
    assert hand_over.strangers(west.ledger, elsewhere) == []
    assert hand_over.strangers(west.ledger, elsewhere, again=True) == [here]


STAYS_BEHIND = {"state", "state_reason", "last_seen_at", "last_checkpoint", "clock_offset_ms"}
"""What the old cluster says of a device, and the new one says anew."""


def test_every_column_of_a_device_was_thought_of(sites: tuple[Site, Site]) -> None:
    """A column that is added to the registry goes along, or is named here as one that does not."""
    columns = {
        table: {row["name"] for row in sites[0].ledger.read(f"PRAGMA table_info({table})")}
        for table in ("devices", *hand_over.TABLES)
    }
    assert columns.pop("devices") - STAYS_BEHIND == set(hand_over.DEVICE_COLUMNS)
    # Numbers of a cluster's own, and what was said to them: over there the device is asked anew.
    columns["missing_places"] -= {"missing_no", "resend_id", "answered_boot", "answered_ns"}
    assert columns == {table: set(names) for table, names in hand_over.TABLES.items()}


def test_a_moved_device_is_looked_after_there_alone(sites: tuple[Site, Site]) -> None:
    """Released here it would have two ledgers."""
    west, _ = sites
    device = west.device()
    west.hand_over(device)
    with pytest.raises(DeviceMovedError):
        west.registry.release(device.device_id, by="test")


def test_a_device_comes_back_with_its_chain_as_it_stands_there(sites: tuple[Site, Site]) -> None:
    """There and back again: the chain goes on where the other cluster left it, and old packets are known."""
    west, east = sites
    device = west.device()
    first = device.seal()
    west.receive(device, first)
    east.take_over(west.hand_over(device))
    second = device.seal()
    east.receive(device, second)
    back = hand_over.hand_over(east.ledger, east.clusters, [device.device_id], to=WEST.name, now_ms=1, by="test")
    assert west.take_over(list(back)) == 1
    third = device.seal()
    assert said(west.receive(device, first, second, third)) == [
        (Verdict.DUPLICATE, None),
        (Verdict.DUPLICATE, None),
        (Verdict.ACCEPTED, None),
    ]


def test_an_old_hand_over_file_is_refused(sites: tuple[Site, Site]) -> None:
    """There, back and there again; the first file lies about, and its chain is a year old."""
    west, east = sites
    device = west.device()
    west.receive(device, device.seal())
    first = west.hand_over(device)
    assert east.take_over(first) == 1
    east.receive(device, device.seal())
    assert west.take_over(east.hand_over(device)) == 1
    west.receive(device, device.seal())
    third = west.hand_over(device)
    with pytest.raises(HandOverError, match="newest"):
        east.take_over(first)
    assert (east.take_over(third), east.take_over(third)) == (1, 0)
    assert said(east.receive(device, device.seal())) == [(Verdict.ACCEPTED, None)]


def test_keys_replaced_at_the_other_cluster_stay_replaced_when_the_device_comes_back(
    sites: tuple[Site, Site],
) -> None:
    """The old keys were in force when the device left; a copy of them opens nothing here afterwards."""
    west, east = sites
    device = west.device()
    west.receive(device, device.seal())
    east.take_over(west.hand_over(device))
    tls, signing = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    renewals = Renewals(east.ledger, east.registry, clock=east.clock)
    reply = decode_reply(renewals.renew(device.tls_certificate, asked(device, tls=tls, signing=signing)))
    new = Device(device.serial, tls, signing)
    new.device_id, new.tls_certificate = reply.device_id, reply.tls_certificate
    new.recipients, new.receipt_keys, new.chains = device.recipients, device.receipt_keys, device.chains
    assert said(east.receive(new, new.seal())) == [(Verdict.ACCEPTED, None)]
    west.take_over(east.hand_over(new))
    with pytest.raises(CertificateSupersededError):
        west.receive(device)
    assert said(west.receive(new, new.seal())) == [(Verdict.ACCEPTED, None)]


def test_a_device_stolen_on_its_way_is_blocked_as_it_arrives(sites: tuple[Site, Site]) -> None:
    """Between hand-over and take-over neither cluster can block it; the one that takes it over can at once."""
    west, east = sites
    device = west.device()
    lines = west.hand_over(device)
    taken = hand_over.take_over(
        east.ledger, east.clusters, lambda: lines, block=[device.device_id], now_ms=1, by="test"
    )
    assert taken == 1
    with pytest.raises(DeviceBlockedError):
        east.receive(device, device.seal())


def test_a_device_whose_documents_are_under_way_stays(sites: tuple[Site, Site]) -> None:
    """Half of a scan here and half there is no scan: the device goes when the last part has come, or when told to."""
    west, _ = sites
    device = west.device()
    west.receive(device, claim(device, listed()), *parts_of(device)[:2])
    opener = Opener(west.ledger, load_private_keys(west.home), clock=west.clock)
    while opener.open_waiting():
        pass
    assert hand_over.with_documents_under_way(west.ledger, [device.device_id]) == [device.device_id]
    with pytest.raises(HandOverError, match="under way"):
        west.hand_over(device)
    told = hand_over.hand_over(
        west.ledger, west.clusters, [device.device_id], to=EAST.name, documents_too=True, now_ms=1, by="test"
    )
    assert len(list(told)) == 3


def test_places_that_were_missing_are_asked_for_in_the_new_cluster(sites: tuple[Site, Site]) -> None:
    """Restored in the old one, and handed over before the device heard the question: it hears it here."""
    west, east = sites
    device = west.device()
    west.receive(device, device.seal(number=1))
    before = west.ledger.read("SELECT next_seq, head_hash FROM lanes WHERE lane = 'core'")[0]
    west.receive(device, device.seal(number=2))
    with west.ledger.transaction() as tx:
        tx.execute("DELETE FROM packets WHERE seq > 1")
        tx.execute("UPDATE lanes SET next_seq = ?, head_hash = ? WHERE lane = 'core'", tuple(before))
    assert [order.name for order in west.receive(device).commands] == ["resend"]
    east.take_over(west.hand_over(device))
    assert [order.name for order in east.receive(device).commands] == ["resend"]
    (known,) = MissingPlaces(east.ledger, east.clock).listed()
    assert (known.first, known.last, known.state) == (2, 2, MissingState.ASKED_AGAIN)
