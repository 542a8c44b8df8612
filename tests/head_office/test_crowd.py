"""Only so many batches are worked on at once, and none of them takes its place away with it."""

import threading

import pytest

from head_office.crowd import Crowd
from head_office.errors import LedgerBusyError, RefusedError
from head_office.ledger.sqlite import SqliteLedger
from tests.head_office.conftest import Office
from tests.head_office.device import Device


def test_whoever_finds_no_place_in_time_is_told_to_come_again() -> None:
    """The device keeps its packets; head office does not hang."""
    crowd = Crowd(1, wait_s=0.01)
    with crowd.place(), pytest.raises(LedgerBusyError), crowd.place():
        raise AssertionError("a second place of one")
    with crowd.place():
        pass


def test_one_device_has_one_batch_under_way(office: Office) -> None:
    """A second is told to come again at once; other devices notice nothing, nor does the device when it is done."""
    device, other = office.device(), office.device("SN-0002")
    with office.ingest._crowd.alone(device.device_id):
        for _ in range(5):
            with pytest.raises(LedgerBusyError, match="under way"):
                office.receive(device, device.seal())
        assert office.verdicts(other, other.seal())
    assert office.receive(device).lanes


def test_a_stolen_connection_key_alone_keeps_the_device_from_nothing(office: Office) -> None:
    """Only a batch the device has signed counts as being under way."""
    device, thief = office.device(), Device("SN-0009")
    thief.device_id = device.device_id
    forged = thief.batch()
    with pytest.raises(RefusedError):
        office.ingest.receive(device.tls_certificate, forged)

    def refused(*_: object) -> None:
        raise AssertionError("a forged batch took the device's turn")

    turn, office.ingest._crowd.alone = office.ingest._crowd.alone, refused  # type: ignore[method-assign, assignment]
    with pytest.raises(RefusedError):
        office.ingest.receive(device.tls_certificate, forged)
    office.ingest._crowd.alone = turn  # type: ignore[method-assign]
    assert office.verdicts(device, device.seal())


def test_whoever_waits_for_the_disk_makes_room_and_does_so_once() -> None:
    """While one batch is being flushed the next is worked on, and never more than there are places."""
    crowd = Crowd(1, wait_s=0.01)
    with crowd.place() as leave:
        leave()
        leave()
        with crowd.place(), pytest.raises(LedgerBusyError), crowd.place():
            raise AssertionError("leaving twice made two places of one")


def test_any_thread_may_leave_for_another() -> None:
    """One thread does the work of all that wait for the writer."""
    crowd = Crowd(1, wait_s=5)
    with crowd.place() as leave:
        thread = threading.Thread(target=leave)
        thread.start()
        with crowd.place():
            thread.join()


def test_requests_that_are_refused_give_their_places_back(office: Office) -> None:
    """Rubbish in any number does not stop the next device's batch."""
    device = office.device()
    for _ in range(50):
        with pytest.raises(RefusedError):
            office.ingest.receive(device.tls_certificate, b"rubbish")
    assert office.ingest.receive(device.tls_certificate, device.batch(device.seal()))


def test_batches_that_wait_for_the_writer_of_a_file_keep_nobody_out(office: Office) -> None:
    """More of them than there are places share one flush, and a device that only asks is answered meanwhile."""
    if not isinstance(office.ledger, SqliteLedger):
        return  # a server has no one writer to wait for
    asking, *bringing = [office.device(f"SN-{number:04}") for number in range(12)]
    for device in (asking, *bringing):
        office.receive(device)
    bodies = [(device, device.batch(device.seal())) for device in bringing]
    threads = [
        threading.Thread(target=office.ingest.receive, args=(device.tls_certificate, body)) for device, body in bodies
    ]
    with office.ledger.transaction():
        for thread in threads:
            thread.start()
        while len(office.ledger._turns) < len(threads):
            threading.Event().wait(0.001)
        assert office.receive(asking).lanes
    for thread in threads:
        thread.join()
    assert len(office.stored()) == len(threads)
