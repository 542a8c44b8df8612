"""A device with nothing to send costs reads only; whatever it says that is new is written at once."""

from typing import Any

import pytest

from head_office.commands import CommandQueue
from head_office.errors import DeviceBlockedError
from sync.commands import Policy
from sync.receipt import Receipt
from tests.head_office.conftest import Office
from tests.head_office.device import Device


class Writes:
    """Counts what the ledger is asked to make durable from now on."""

    def __init__(self, office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for name in ("together", "together_after", "transaction"):
            monkeypatch.setattr(office.ledger, name, self._counted(getattr(office.ledger, name)))
        self._inside = False

    def _counted(self, inner: Any) -> Any:
        def call(*arguments: Any) -> Any:
            # One of them may be made of another.
            outermost, self._inside = not self._inside, True
            self.count += outermost
            try:
                return inner(*arguments)
            finally:
                self._inside = self._inside and not outermost

        return call


def poll(office: Office, device: Device, **said: Any) -> Receipt:
    body = device.batch(checkpoint=device.checkpoint(**said))
    return device.verified(office.ingest.receive(device.tls_certificate, body))


def last_seen(office: Office, device: Device) -> int:
    rows = office.ledger.read("SELECT last_seen_at FROM devices WHERE device_id = ?", (device.device_id,))
    return int(rows[0]["last_seen_at"])


def test_a_thousand_polls_cost_no_flush(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they say of themselves is written once a minute, for all devices together."""
    first, second = office.device(), office.device("SN-0002")
    for device in (first, second):
        office.receive(device, device.seal())
    writes = Writes(office, monkeypatch)
    for _ in range(50):
        office.clock.advance(seconds=1)
        assert poll(office, first).lanes == poll(office, first).lanes != ()
        poll(office, second)
    assert writes.count == 0
    office.clock.advance(seconds=60)
    poll(office, first)
    assert writes.count == 1
    assert last_seen(office, first) > last_seen(office, second) > 0


def test_a_command_goes_out_with_an_idle_receipt(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking costs nothing; the device's answer is written when it comes."""
    device = office.device()
    office.receive(device, device.seal())
    (number,) = CommandQueue(office.ledger, clock=office.clock).send([device.device_id], Policy(card_taps=2), by="t")
    writes = Writes(office, monkeypatch)
    assert [command.id for command in poll(office, device).commands] == [number]
    assert writes.count == 0
    assert poll(office, device, commands_done=(number,)).commands == ()
    assert writes.count == 1


def test_a_blocked_device_hears_so_at_its_next_poll(office: Office) -> None:
    """Reads only, but the deny list is read each time."""
    device = office.device()
    office.receive(device, device.seal())
    poll(office, device)
    office.registry.block(device.device_id, "hilang", by="test")
    with pytest.raises(DeviceBlockedError):
        poll(office, device)


def test_an_idle_receipt_says_that_a_lane_is_frozen(office: Office) -> None:
    """A device that sends nothing more still tells its people."""
    device = office.device()
    chain = device.chains
    office.receive(device, device.seal(number=1))
    before = {lane: (one.next_seq, one.head) for lane, one in chain.items()}
    office.receive(device, device.seal(number=2))
    for lane, (seq, head) in before.items():
        chain[lane].next_seq, chain[lane].head = seq, head
    office.receive(device, device.seal(number=3))
    assert {head.lane.value: head.frozen for head in poll(office, device).lanes} == {"core": "fork", "documents": None}
