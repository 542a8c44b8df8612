"""Head office asks a device: in every receipt, until the device's own signed word ends it."""

import json
import os
from typing import Any

import pytest

from head_office import commands
from head_office.commands import CommandQueue, CommandState
from head_office.device_registry import NoSuchDeviceError
from sync import commands as wire
from sync.checkpoint import CommandRefused
from sync.commands import Deny, Policy, Table, TableName, Tables
from sync.receipt import MAX_COMMANDS, MAX_COMMANDS_BYTES, Receipt
from tests.head_office.conftest import Office, Service
from tests.head_office.device import Device

POLICY = Policy(attempts_per_finger=3)


def queue(office: Office) -> CommandQueue:
    return CommandQueue(office.ledger, clock=office.clock)


def asked(office: Office, device: Device, **said: Any) -> list[bytes]:
    """The ids in the receipt for an idle poll that says this."""
    return [command.id for command in poll(office, device, **said).commands]


def poll(office: Office, device: Device, **said: Any) -> Receipt:
    body = device.batch(checkpoint=device.checkpoint(**said))
    return device.verified(office.ingest.receive(device.tls_certificate, body))


def states(office: Office) -> list[tuple[str, str | None]]:
    return [(row["state"], row["reason"]) for row in reversed(queue(office).listed())]


def test_a_command_is_repeated_until_the_device_says_done(office: Office) -> None:
    """In the receipt of a poll and of a batch alike; after the device's word it is gone."""
    device = office.device()
    (number,) = queue(office).send([device.device_id], POLICY, by="test")
    receipt = office.receive(device, device.seal())
    assert [(command.id, wire.read(command)) for command in receipt.commands] == [(number, POLICY)]
    assert asked(office, device) == asked(office, device) == [number]
    assert asked(office, device, commands_done=(number,)) == []
    assert asked(office, device) == []
    assert states(office) == [("DONE", None)]


def test_a_refusal_is_kept_with_its_reason(office: Office) -> None:
    """People at head office see why, and the device is not asked again."""
    device = office.device()
    (number,) = queue(office).send([device.device_id], POLICY, by="test")
    said = CommandRefused(id=number, name="policy", reason="invalid_policy", detail="FMR_1%")
    assert asked(office, device, commands_refused=(said,)) == []
    row = queue(office).listed(device.device_id)[0]
    assert (row["state"], row["reason"], row["detail"]) == (CommandState.REFUSED, "invalid_policy", "FMR_1%")


def test_the_first_word_counts(office: Office) -> None:
    """An old checkpoint that comes late on a stick does not make a refusal out of what was done."""
    device = office.device()
    (number,) = queue(office).send([device.device_id], POLICY, by="test")
    asked(office, device, commands_done=(number,))
    asked(office, device, commands_refused=(CommandRefused(id=number, name="policy", reason="failed"),))
    assert states(office) == [("DONE", None)]


def test_a_device_answers_for_itself_alone(office: Office) -> None:
    """Another device's word, even with the right id, ends nothing."""
    device, other = office.device(), office.device("SN-0002")
    (number,) = queue(office).send([device.device_id], POLICY, by="test")
    assert asked(office, other, commands_done=(number,)) == []
    assert asked(office, device) == [number]


def test_a_batch_from_a_stick_is_asked_and_answers_too(office: Office) -> None:
    """A place without a network hears its commands with the receipts that are carried back."""
    device = office.device()
    (number,) = queue(office).send([device.device_id], POLICY, by="test")
    first = device.verified(office.ingest.receive_carried(device.batch(device.seal())))
    assert [command.id for command in first.commands] == [number]
    body = device.batch(checkpoint=device.checkpoint(commands_done=(number,)))
    assert device.verified(office.ingest.receive_carried(body)).commands == ()


def test_more_than_a_receipt_has_room_for_follows_in_order(office: Office) -> None:
    """Oldest first by number and by bytes, so that the last policy is the last one done."""
    device = office.device()
    sender = queue(office)
    small = [sender.send([device.device_id], POLICY, by="test")[0] for _ in range(MAX_COMMANDS + 3)]
    assert asked(office, device) == small[:MAX_COMMANDS]
    assert asked(office, device, commands_done=tuple(small[:MAX_COMMANDS])) == small[MAX_COMMANDS:]
    asked(office, device, commands_done=tuple(small[MAX_COMMANDS:]))
    tables = Tables(tables=(Table.of(TableName.BANKS, os.urandom(25_000)),))
    large = [sender.send([device.device_id], tables, by="test")[0] for _ in range(4)]
    assert asked(office, device) == large[: MAX_COMMANDS_BYTES // 25_000]


def test_all_devices_or_none_are_asked(office: Office) -> None:
    """A misspelt id asks nobody."""
    device = office.device()
    with pytest.raises(NoSuchDeviceError):
        queue(office).send([device.device_id, "dev-nobody"], POLICY, by="test")
    assert asked(office, device) == []


def test_what_was_not_answered_can_be_taken_back(office: Office) -> None:
    """It is no longer repeated; what was answered stays as it was."""
    device = office.device()
    (number,) = queue(office).send([device.device_id], Deny(reason="hilang"), by="test")
    assert queue(office).withdraw(number, by="test")
    assert not queue(office).withdraw(number, by="test")
    assert (asked(office, device), states(office)) == ([], [("REFUSED", "withdrawn")])


def test_the_queue_survives_a_restart(office: Office) -> None:
    """What people asked for lies on the disk, not in the service."""
    device = office.device()
    (number,) = queue(office).send([device.device_id], POLICY, by="test")
    office.lose_to_disk()
    assert [command.id for command in commands.chosen(office.ledger.read(*commands.question(device.device_id)))] == [
        number
    ]


def test_an_administrator_asks_beside_the_running_service(service: Service, tmp_path: Any) -> None:
    """Typed as for a person, heard by the device in its next receipt, and shown in the list with its answer."""
    link = service.start()
    device, line = service.enrol(link, tmp_path)
    settings = ("--set", "attempts_per_finger=3", "--set", "send_chip_photo=false")
    service.run("commands", "send", "policy", device.device_id, *settings)
    service.run("commands", "send", "deny", device.device_id, "--reason", "hilang")
    heard = line.sync(device).commands
    assert [wire.read(command) for command in heard] == [
        Policy(attempts_per_finger=3, send_chip_photo=False),
        Deny(reason="hilang"),
    ]
    reply = line.post("/v1/sync", device.batch(checkpoint=device.checkpoint(commands_done=(heard[0].id,))))
    assert [command.id for command in device.verified(reply.content).commands] == [heard[1].id]
    listed = json.loads(service.run("commands", "list", "--json"))
    assert [(row["name"], row["state"]) for row in listed] == [("deny", "QUEUED"), ("policy", "DONE")]
