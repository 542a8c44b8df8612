"""Head office asks, the device does it once and says so: whatever is lost, repeated, unknown or broken on the way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sync import cbor
from sync import commands as wire
from sync.checkpoint import CommandRefused, read_batch
from sync.commands import CommandName, Deny, NewEpoch, Policy
from sync.edge.commands import CommandRefusedError, Commands
from sync.edge.frozen_lanes import FrozenLanes
from sync.edge.head_office_client import Reply
from sync.edge.receipts import Receipts
from sync.edge.uploader import RoundOutcome, Trust, Uploader
from sync.envelope import Lane
from sync.errors import Cause, StorageFullError
from sync.receipt import Command, LaneHead
from tests.sync.edge.conftest import DEVICE_ID, START, Desk, DeviceKeys

IDS = [bytes([at]) * 16 for at in range(1, 50)]
POLICY = Policy(attempts_per_finger=3)


@dataclass
class Office:
    """The model of head office with a queue of commands: it repeats each until a checkpoint says done or refused."""

    desk: Desk
    waiting: list[Command] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    refused: list[CommandRefused] = field(default_factory=list)
    checkpoints: list[Any] = field(default_factory=list)
    lose_replies: int = 0

    def post(self, path: str, body: bytes) -> Reply:
        said = read_batch(body).claimed
        self.checkpoints.append(said)
        self.heard += said.commands_done
        self.refused += said.commands_refused
        settled = {*said.commands_done, *(one.id for one in said.commands_refused)}
        self.waiting = [command for command in self.waiting if command.id not in settled]
        model = self.desk.office
        model.change_receipt |= {"commands": tuple(self.waiting)}
        model.lose_replies = self.lose_replies
        self.lose_replies = 0
        return model.post(path, body)


class Device:
    """A device that obeys, with what it did in a table of its own database."""

    def __init__(self, folder: Path, keys: DeviceKeys) -> None:
        self.desk = Desk(folder / "agent.db", keys)
        self.office = Office(self.desk)
        self.handlers: dict[CommandName, Callable[[Any], None]] = {CommandName.POLICY: self.note}
        self.start()

    def start(self) -> None:
        desk = self.desk
        with desk.database.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS obeyed (what TEXT) STRICT")
        self.commands = Commands(desk.database, desk.clock, self.handlers)
        self.frozen = FrozenLanes(desk.database, desk.clock)
        self.receipts = Receipts(desk.outbox, frozen=self.frozen, commands=self.commands)
        self.uploader = Uploader(
            desk.outbox,
            self.office,
            desk.keys.device,
            Trust(DEVICE_ID, {desk.keys.office.kid: desk.keys.office.public_key}),
            desk.clock,
            breaker=desk.breaker,
            head_office_time=desk.time,
            free_disk_bytes=lambda: 10**9,
            versions={"agent": "0.1.0"},
            draw=lambda: 0.5,
            receipts=self.receipts,
        )

    def restart(self) -> None:
        self.desk.restart()
        self.start()

    def note(self, body: Any) -> None:
        with self.desk.database.transaction() as tx:
            tx.execute("INSERT INTO obeyed VALUES (?)", (repr(body),))

    def obeyed(self) -> int:
        return int(self.desk.database.read("SELECT count(*) AS n FROM obeyed")[0]["n"])

    def ask(self, *commands: Command) -> None:
        self.office.waiting += commands

    def round(self) -> Any:
        return self.uploader.round(now_please=True)


@pytest.fixture
def device(tmp_path: Path, device_keys: DeviceKeys) -> Any:
    made = Device(tmp_path, device_keys)
    yield made
    made.desk.database.close()


def test_a_command_is_done_once_and_named_until_head_office_has_heard(device: Device) -> None:
    """It comes with a receipt, is answered in the next checkpoint, and then nobody speaks of it again."""
    device.ask(wire.make(IDS[0], POLICY))
    for _ in range(4):
        device.round()
    assert (device.obeyed(), device.office.heard, device.office.waiting) == (1, [IDS[0]], [])
    assert device.commands.report() == ((), ())


def test_a_lost_reply_makes_nothing_done_twice(device: Device) -> None:
    """The answer to it was lost: the command comes again, is not carried out again, and is answered again."""
    device.ask(wire.make(IDS[0], POLICY))
    device.round()
    device.office.lose_replies = 1
    assert device.round().outcome is RoundOutcome.FAILED
    device.ask(wire.make(IDS[0], POLICY))
    device.round()
    device.round()
    assert (device.obeyed(), device.office.waiting) == (1, [])
    assert device.office.heard == [IDS[0], IDS[0]]


def test_an_old_receipt_that_comes_late_does_nothing_again(device: Device) -> None:
    """Carried on a stick for a week, or twice: the id is remembered, and told once more."""
    command = wire.make(IDS[0], POLICY)
    device.commands.take([command])
    device.commands.take([])
    assert device.commands.report() == ((), ())
    device.restart()
    assert device.commands.take([command]).done == ()
    assert (device.obeyed(), device.commands.report()[0]) == (1, (IDS[0],))


@pytest.mark.parametrize(
    ("command", "reason", "detail"),
    [
        (Command(id=IDS[0], name="make_coffee", body=b"\xff"), "unknown_command", ""),
        (Command(id=IDS[0], name="policy", body=b"\xff"), "unreadable", "not_cbor"),
        (Command(id=IDS[0], name="policy", body=cbor.encode({"card_taps": 0})), "unreadable", "bad_value at card_taps"),
        (wire.make(IDS[0], Deny(reason="hilang")), "not_here", ""),
    ],
    ids=["unknown", "unreadable", "impossible", "nobody"],
)  # fmt: skip
def test_what_can_not_be_done_is_refused_by_name_and_never_loops(
    device: Device, command: Command, reason: str, detail: str
) -> None:
    """Head office hears why; the packets and commands beside it go their way."""
    device.desk.put(1)
    device.ask(command, wire.make(IDS[1], POLICY))
    first = device.round()
    assert (len(first.acked), device.obeyed()) == (1, 1)
    for _ in range(3):
        device.round()
    assert [(one.id, one.name, one.reason, one.detail) for one in device.office.refused] == [
        (IDS[0], command.name, reason, detail)
    ]
    assert (device.office.waiting, device.office.heard) == ([], [IDS[1]])


def test_a_handler_that_refuses_leaves_nothing_behind(device: Device) -> None:
    """What it had written is rolled back, and its own word goes to head office."""

    def refuse(body: Any) -> None:
        device.note(body)
        raise CommandRefusedError("invalid_policy", "x" * 500 + "\n")

    device.handlers[CommandName.POLICY] = refuse
    device.restart()
    device.ask(wire.make(IDS[0], POLICY))
    device.round()
    device.round()
    assert device.obeyed() == 0
    assert [(one.reason, one.detail) for one in device.office.refused] == [("invalid_policy", "x" * 120)]


def test_a_command_the_program_dies_of_is_given_up_after_three_times(device: Device) -> None:
    """Neither its packets nor the next start are held up by one order for ever."""

    def dies(body: Any) -> None:
        device.note(body)
        raise ZeroDivisionError

    device.handlers[CommandName.POLICY] = dies
    device.desk.put(1)
    device.ask(wire.make(IDS[0], POLICY))
    for _ in range(3):
        device.restart()
        with pytest.raises(ZeroDivisionError):
            device.round()
    device.restart()
    device.round()
    device.round()
    assert [(one.reason, one.detail) for one in device.office.refused] == [("failed", "begun 3 times")]
    assert (device.obeyed(), device.desk.outbox.counts()[0].ready) == (0, 0)


def test_a_full_disk_puts_a_command_off_and_loses_no_receipt(device: Device) -> None:
    """The packets were acknowledged before; the command comes with the next receipt."""
    device.desk.put(1)
    device.ask(wire.make(IDS[0], POLICY))
    full = [True]

    def on_a_full_disk(body: Any) -> None:
        if full.pop():
            raise StorageFullError("agent.db", "write")
        device.note(body)

    device.handlers[CommandName.POLICY] = on_a_full_disk
    device.restart()
    with pytest.raises(StorageFullError):
        device.round()
    assert device.desk.outbox.counts()[0].ready == 0
    full.append(False)
    device.round()
    assert device.obeyed() == 1


def test_many_commands_are_answered_over_several_rounds(device: Device) -> None:
    """A checkpoint has room for 32 answers; the rest follow."""
    device.commands.take([wire.make(number, POLICY) for number in IDS[:40]])
    assert len(device.commands.report()[0]) == 32
    device.ask(*(wire.make(number, POLICY) for number in IDS[32:40]))
    device.round()
    device.round()
    assert device.office.heard == [*IDS[:32], *IDS[32:40]]


def test_a_frozen_lane_is_told_to_a_person_until_it_is_not(device: Device) -> None:
    """With every round, over a restart, and no longer when head office or a new epoch ends it."""
    row = device.desk.put(1)
    head = LaneHead(lane=Lane.CORE, epoch=row.epoch, next_seq=2, head_hash=row.digest, frozen="fork")
    device.desk.office.change_receipt["lanes"] = (head,)
    result = device.round()
    assert (result.outcome, result.cause, result.detail) == (RoundOutcome.DELIVERED, Cause.LANE_FROZEN, "core: fork")
    device.restart()
    assert [(one.lane, one.reason, one.since) for one in device.receipts.frozen()] == [("core", "fork", START)]
    assert device.frozen.now([(Lane.CORE, bytes(16))]) == ()
    del device.desk.office.change_receipt["lanes"]
    assert device.round().cause is None
    assert device.receipts.frozen() == ()


def test_a_command_of_each_name_can_have_its_handler(device: Device) -> None:
    """What others register is found; one name has one handler."""
    seen: list[Any] = []
    device.commands.register(CommandName.NEW_EPOCH, seen.append)
    order = NewEpoch(lane=Lane.CORE, epoch=bytes(16))
    assert device.commands.take([wire.make(IDS[0], order)]).done == (CommandName.NEW_EPOCH,)
    assert seen == [order]
    with pytest.raises(ValueError, match="new_epoch"):
        device.commands.register(CommandName.NEW_EPOCH, seen.append)
