"""Head office's command line asks, a real device over real TLS does it, and head office reads the answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.checkpoint import sign_batch
from sync.commands import CommandName, Decision, DecisionStatus, Policy
from sync.edge.clock import SystemClock
from sync.edge.commands import Commands
from sync.edge.frozen_lanes import FrozenLanes
from sync.edge.outbox_row import ChainPosition
from sync.edge.receipts import Receipts
from sync.envelope import NO_HASH, Lane
from tests.contract.test_both_ends_of_the_wire import RealDevice, enrolled, set_up_in
from tests.head_office.conftest import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(set_up_in(tmp_path_factory.mktemp("commands")))
    made.start()
    yield made
    assert made.stop() == 0


class Obedient:
    """A device whose receipts are taken as the agent takes them."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.device: RealDevice = enrolled(service, folder)
        self.heard: list[Any] = []
        clock = SystemClock()
        handlers = {CommandName.POLICY: self.heard.append, CommandName.DECISION: self.heard.append}
        self.frozen = FrozenLanes(self.device.database, clock)
        commands = Commands(self.device.database, clock, handlers)
        self.device.uploader._receipts = Receipts(self.device.outbox, frozen=self.frozen, commands=commands)


def answers(service: Service, device: RealDevice) -> list[tuple[str, str, str | None]]:
    listed = json.loads(service.run("commands", "list", "--device", device.identity.device_id, "--json"))
    return [(row["name"], row["state"], row["reason"]) for row in reversed(listed)]


def test_what_head_office_asks_is_done_once_and_answered(service: Service, tmp_path: Path) -> None:
    """Done, and refused with the device's own reason: both stand in head office's list after the next round."""
    one = Obedient(service, tmp_path)
    device_id = one.device.identity.device_id
    service.run("commands", "send", "policy", device_id, "--set", "attempts_per_finger=3")
    service.run("commands", "send", "deny", device_id, "--reason", "hilang")
    for _ in range(3):
        one.device.round()
    assert one.heard == [Policy(attempts_per_finger=3)]
    assert answers(service, one.device) == [("policy", "DONE", None), ("deny", "REFUSED", "not_here")]
    one.device.stop()


def test_a_decision_finds_the_device_its_claim_came_from(service: Service, tmp_path: Path) -> None:
    """Asked for by agenda number, it comes to that machine, with the packet id the machine knows."""
    one = Obedient(service, tmp_path)
    row = one.device.claim(7)
    one.device.round()
    claim = next(claim for claim in _claims(service) if claim["packet_id"] == row.packet_id.hex)
    said = ("--status", "returned", "--reason", "Nama pada KTP dan KK berbeda", "--reason-code", "NAME_DIFFERS")
    service.run("commands", "send", "decision", "--agenda", str(claim["agenda_no"]), *said)
    one.device.round()
    (decision,) = one.heard
    assert isinstance(decision, Decision)
    assert (decision.packet_id, decision.status, decision.agenda_no, decision.reason) == (
        row.packet_id,
        DecisionStatus.RETURNED,
        claim["agenda_no"],
        "Nama pada KTP dan KK berbeda",
    )
    one.device.stop()


def test_a_clone_reads_that_its_lane_is_frozen(service: Service, tmp_path: Path) -> None:
    """Two machines of one key: head office freezes the lane, and says so in every receipt to both."""
    one = Obedient(service, tmp_path)
    chain = one.device.outbox.counts()[0]
    row = one.device.claim(1)
    clone = one.device.sealer.sealed(b"another history")
    assert row.seq == 1
    _post(one.device, clone(ChainPosition(Lane.CORE, chain.epoch, 1, NO_HASH)))
    one.device.round()
    result = one.device.round()
    assert result.cause is not None
    assert "core: fork" in result.detail
    assert [(frozen.lane, frozen.reason) for frozen in one.device.uploader.receipts.frozen()] == [("core", "fork")]
    one.device.stop()


def _post(device: RealDevice, envelope: bytes) -> None:
    """What a machine with the same keys would send."""
    checkpoint = device.uploader.checkpoint(SystemClock().utc())
    device.client.post("/v1/sync", sign_batch(checkpoint, [envelope], device.identity.signer))


def _claims(service: Service) -> list[Any]:
    service.claims(1)
    return list(json.loads(service.run("claims", "list", "--json")))
