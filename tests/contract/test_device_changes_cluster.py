"""Two clusters as two running programs, and a device that is handed from one to the other with claims in its queue."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import utc_now
from sync.commands import Move
from sync.edge.commands import CommandRefusedError
from sync.edge.outbox_row import RowState
from sync.edge.uploader import RoundOutcome
from tests.api.serving import free_port
from tests.contract.laptop import Laptop
from tests.head_office.conftest import Service


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """West and east: the same keys, a ledger and an address each."""
    tmp_path = tmp_path_factory.mktemp("two")
    ports = {"barat": free_port(), "timur": free_port()}
    first = Home(tmp_path / "barat" / "head-office")
    first.folder.parent.mkdir()
    set_up(first, ["localhost", "127.0.0.1"], utc_now())
    second = Home(tmp_path / "timur" / "head-office")
    shutil.copytree(first.folder, second.folder)
    listed = "".join(
        f'[[cluster]]\nname = "{name}"\nurl = "https://127.0.0.1:{port}"\n' for name, port in ports.items()
    )
    services = []
    for home, name in ((first, "barat"), (second, "timur")):
        home.clusters.write_text(f'own = "{name}"\n{listed}')
        services.append(Service(home))
        services[-1].start(ports[name])
    yield services[0], services[1]
    for service in services:
        service.stop(signal.SIGTERM)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    (tmp_path / "laptop").mkdir()
    made = Laptop(tmp_path / "laptop").start()
    yield made
    made.stop()


def stored(service: Service) -> list[bytes]:
    """Digests in that cluster's ledger."""
    ledger = SqliteLedger(service.home.ledger)
    rows = ledger.read("SELECT digest FROM packets ORDER BY receipt_no")
    ledger.close()
    return [bytes(row["digest"]) for row in rows]


def test_a_device_is_handed_over_with_claims_in_its_queue(
    two: tuple[Service, Service], laptop: Laptop, tmp_path: Path
) -> None:
    """One claim before, one while it moves, one after a restart: each stored once, and it finds the way alone."""
    west, east = two
    laptop.enrol(west)
    before = laptop.claim(1)
    assert laptop.round().outcome is RoundOutcome.DELIVERED
    during = laptop.claim(2)
    file = tmp_path / "hand-over"
    # Its claim lists a scan that nobody has made yet.
    listed = ("--device", laptop.device_id, "--with-documents-under-way")
    west.run("clusters", "hand-over", str(file), *listed, "--to", "timur")
    assert "1 devices" in east.run("clusters", "take-over", str(file))
    told = laptop.round()
    assert (told.outcome, told.left, laptop.identity.facts.url) == (RoundOutcome.DELIVERED, 1, east.url)
    assert len(laptop.round().acked) == 1
    laptop.restart()
    after = laptop.claim(3)
    assert len(laptop.round().acked) == 1
    assert [row.state for row in laptop.outbox.rows()] == [RowState.ACKED] * 3
    assert (stored(west), stored(east)) == ([before.digest], [during.digest, after.digest])


def test_an_address_that_cannot_be_one_is_refused(two: tuple[Service, Service], laptop: Laptop) -> None:
    """The device stays where it is, and says why."""
    laptop.enrol(two[0])
    assert laptop.identity.facts.url == two[0].url
    with pytest.raises(CommandRefusedError):
        laptop.keeper.move(Move(url="https://user:secret@elsewhere.example.test"))
    assert laptop.identity.facts.url == two[0].url
