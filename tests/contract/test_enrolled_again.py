"""A machine that is enrolled a second time, against the real head office: nothing is orphaned, nothing wedged."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpos_agent.errors import AlreadyEnrolledError, PacketsWaitingError
from sync.edge.outbox_row import RowState
from sync.errors import HeadOfficeError
from sync.receipt import Verdict
from tests.contract.laptop import Laptop
from tests.contract.test_both_ends_of_the_wire import service
from tests.head_office.conftest import Service

__all__ = ["service"]


@pytest.fixture
def laptop(service: Service, tmp_path: Path) -> Iterator[Laptop]:
    (tmp_path / "device").mkdir()
    made = Laptop(tmp_path / "device").start().enrol(service)
    yield made
    made.stop()


def again(laptop: Laptop, service: Service, *, leave_waiting: bool = False, token: str | None = None) -> None:
    """What ``mpos-agent enrol --again`` does."""
    authority = service.home.ca_certificate.read_text()
    laptop.link.enrol(service.url, token or service.token(), authority, again=True, leave_waiting=leave_waiting)


def states(laptop: Laptop) -> list[tuple[RowState, Verdict | None]]:
    return [(row.state, row.verdict) for row in reversed(laptop.outbox.rows())]


def test_a_machine_that_was_enrolled_anew_goes_on_delivering(service: Service, laptop: Laptop) -> None:
    """Its claims go into chains of the new name, and head office takes them."""
    laptop.claim(1)
    laptop.round()
    before = laptop.device_id
    again(laptop, service)
    assert laptop.device_id != before
    laptop.claim(2)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    assert [lane.chains for lane in laptop.outbox.counts()] == [2, 2]
    # A restart is no enrolment.
    laptop.restart()
    laptop.claim(3)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    assert [lane.chains for lane in laptop.outbox.counts()] == [2, 2]


def test_a_second_enrolment_is_refused_while_something_waits(service: Service, laptop: Laptop) -> None:
    """Only the identity there is can deliver it; nothing was asked of head office, and nothing has changed."""
    laptop.claim(1)
    before = laptop.device_id
    with pytest.raises(PacketsWaitingError, match="1 in the queue"):
        again(laptop, service)
    with pytest.raises(AlreadyEnrolledError):
        laptop.link.enrol(service.url, "a" * 20, None)
    assert laptop.device_id == before
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    again(laptop, service)


def test_a_second_enrolment_that_fails_leaves_the_first(service: Service, laptop: Laptop) -> None:
    """A mistyped token costs nothing but the try."""
    before = laptop.device_id
    with pytest.raises(HeadOfficeError):
        again(laptop, service, token="not-a-token-of-theirs")
    assert laptop.device_id == before
    laptop.claim(1)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]


def test_what_was_left_waiting_stays_and_goes_under_its_own_name(service: Service, laptop: Laptop) -> None:
    """It is never sent as the new device, which would be told it is not its; with the former identity it arrives."""
    laptop.claim(1)
    left = laptop.claim(2)
    laptop.round()
    left = laptop.claim(3)
    former = laptop.device_id
    again(laptop, service, leave_waiting=True)
    laptop.claim(4)
    assert [row.seq for row in laptop.round().acked] == [1]
    assert states(laptop)[-2:] == [(RowState.READY, None), (RowState.ACKED, Verdict.ACCEPTED)]
    core, _documents = laptop.outbox.counts()
    assert (core.ready, core.former) == (1, 1)
    assert laptop.link.uploader().checkpoint(core.oldest_ready_at or left.queued_at).lanes[0].depth == 0
    # The folders change places, as identity.md says.
    laptop.stop()
    present, kept = laptop.folder / "identity", laptop.folder / f"identity.former-{former}"
    present.rename(laptop.folder / "identity.new")
    kept.rename(present)
    laptop.start()
    assert [row.packet_id for row in laptop.round().acked] == [left.packet_id]
    laptop.stop()
    present.rename(kept)
    (laptop.folder / "identity.new").rename(present)
    laptop.start()
    laptop.claim(5)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    assert {state for state, _ in states(laptop)} == {RowState.ACKED}


def test_an_identity_that_was_removed_by_hand_orphans_nothing_silently(service: Service, laptop: Laptop) -> None:
    """The queue knows whose it is without the folder: refused until somebody says so, and then not made DEAD."""
    laptop.claim(1)
    laptop.stop()
    shutil.rmtree(laptop.folder / "identity")
    laptop.start()
    with pytest.raises(PacketsWaitingError):
        laptop.enrol(service)
    again(laptop, service, leave_waiting=True)
    laptop.claim(2)
    laptop.round()
    assert states(laptop) == [(RowState.READY, None), (RowState.ACKED, Verdict.ACCEPTED)]


def test_another_identity_put_in_place_by_hand_begins_new_chains(service: Service, laptop: Laptop) -> None:
    """Also where no command of ours was used, and where a queue was written before it knew whose it is."""
    laptop.claim(1)
    with laptop.database.transaction() as tx:
        tx.execute("UPDATE outbox_chains SET device_id = NULL")
    laptop.stop()
    other = Laptop(laptop.folder.parent / "other")
    other.folder.mkdir()
    other.start().enrol(service).stop()
    shutil.rmtree(laptop.folder / "identity")
    (other.folder / "identity").rename(laptop.folder / "identity")
    laptop.start()
    laptop.claim(2)
    assert [row.verdict for row in laptop.round().acked] == [Verdict.ACCEPTED]
    assert states(laptop)[0] == (RowState.READY, None)
