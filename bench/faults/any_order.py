"""Devices and head office in any order of events: hypothesis draws the events, the judge looks after each of them.

Two devices with real queues, head office with its real ledger, all on disk in this process. Replies get lost, come
twice or come late; programs restart; clocks jump by ten years; a device is put on the deny list and taken off; keys
are renewed; sticks are carried, twice and late and in any order; head office orders packets again, or a new epoch; a
disk image is put back. A restored device makes a second history under one key: head office must notice (lane frozen,
alarm), and must lose neither of the two.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from bench.faults.history import Fault, Violation, violations
from bench.faults.marks import Ears
from bench.faults.parts import Progress, Result, quietly
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, Office, found_office
from bench.faults.stores import history_of, queue_of
from bench.faults.wrong_builds import CREDULOUS, DOUBLING, FORGETFUL, HASTY, UNWATCHFUL
from head_office import commands, custody
from head_office.moment import to_ms
from sync.commands import NewEpoch, Resend
from sync.edge.head_office_client import Reply
from sync.edge.uploader import RoundOutcome
from sync.envelope import Lane
from sync.errors import Cause, HeadOfficeError, StickUnanswerableError
from sync.receipt import TWO_HISTORIES, read_receipt

START = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)
LINES = ("good", "request lost", "reply lost", "request twice", "an earlier reply", "a hotspot's page")
DEVICES = 2


@dataclass
class JumpingClock:
    """A device's clocks: they go on a second with each look, and jump when told to."""

    wall: datetime = START
    monotonic: int = 1_000_000_000
    boot_id: bytes = bytes(range(16))

    def utc(self) -> datetime:
        self.wall += timedelta(seconds=1)
        return self.wall

    def monotonic_ns(self) -> int:
        self.monotonic += 1_000_000_000
        return self.monotonic


@dataclass
class Line:
    """A device's line to head office, with one trouble at a time."""

    way: Callable[[str, bytes], Reply]
    trouble: str = "good"
    earlier: Reply | None = None

    def post(self, path: str, body: bytes) -> Reply:
        match self.trouble:
            case "request lost":
                raise HeadOfficeError(Cause.UNREACHABLE)
            case "reply lost":
                self.way(path, body)
                raise HeadOfficeError(Cause.TIMEOUT)
            case "request twice":
                self.way(path, body)
            case "an earlier reply" if self.earlier is not None:
                self.way(path, body)
                return self.earlier
            case "a hotspot's page":
                return Reply(b"<html>Please sign in</html>", 0, 1)
        self.earlier = self.way(path, body)
        return self.earlier


class Founded:
    """Head office with its devices, made once and copied for each example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found_office(folder / "office")
        office = Office(folder / "office", clock=lambda: START)
        self.identities: list[Identity] = [office.enrol(f"SN-{number}") for number in range(DEVICES)]
        office.close()


class AnyOrder(RuleBasedStateMachine):
    """The events; which comes next is hypothesis's choice."""

    build: ClassVar[Build] = AS_IT_IS
    founded: ClassVar[Founded]
    looks: ClassVar[int] = 0
    faults: ClassVar[int] = 0
    """Events that break something: not those that are an ordinary day."""
    seen: ClassVar[list[Violation]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mpos-order-"))
        shutil.copytree(self.founded.folder / "office", self.folder / "office")
        self.now = START
        self.office = Office(self.folder / "office", self.build, clock=lambda: self.now)
        self.ears = Ears()
        self.lines = [Line(self._way(at)) for at in range(DEVICES)]
        self.devices = [
            Device(
                self.folder / f"agent-{number}.db", identity, self.lines[number],
                build=self.build, marks=self.ears, clock=JumpingClock(),
            )
            for number, identity in enumerate(self.founded.identities)
        ]  # fmt: skip
        self.images: dict[int, Path] = {}
        self.on_sticks: list[bytes] = []
        self.receipts_on_sticks: list[tuple[int, bytes]] = []
        self.number = 0

    def _way(self, at: int) -> Callable[[str, bytes], Reply]:
        # Through the machine: head office may have been opened anew, and the device may have other keys by then.
        return lambda path, body: self.office.line(self.devices[at].identity).post(path, body)

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        for _ in range(count):
            self.claim(0, Lane.CORE, 300)

    @rule(at=st.integers(0, DEVICES - 1), lane=st.sampled_from(Lane), size=st.sampled_from((100, 3000)))
    def claim(self, at: int, lane: Lane, size: int) -> None:
        self.number += 1
        self.devices[at].put(self.number, lane=lane, size=size)
        self._look()

    @rule(at=st.integers(0, DEVICES - 1), trouble=st.sampled_from(LINES))
    def round(self, at: int, trouble: str) -> None:
        if trouble != LINES[0]:
            self._broken()
        self.lines[at].trouble = trouble
        self.devices[at].round()
        self.lines[at].trouble = "good"
        self._look()

    @rule(at=st.integers(0, DEVICES - 1))
    def device_restarts(self, at: int) -> None:
        self._broken()
        self.devices[at].close()
        self.devices[at].open()
        self._look()

    @rule(at=st.integers(0, DEVICES - 1), kept=st.booleans())
    def keys_are_renewed(self, at: int, kept: bool) -> None:
        """What waits was signed with the old key; a device that dies before it keeps the new ones goes on with it."""
        self._broken()
        renewed = self.office.renew(self.devices[at].identity)
        self.devices[at].close()
        if kept:
            self.devices[at].identity = renewed
        self.devices[at].open()
        self._look()

    @rule()
    def office_restarts(self) -> None:
        self._broken()
        self.office.close()
        self.office.open()
        self._look()

    @rule(at=st.integers(0, DEVICES - 1))
    def purge(self, at: int) -> None:
        self.devices[at].purge_all()
        self._look()

    @rule(at=st.integers(0, DEVICES - 1), years=st.sampled_from((-10, -1, 1, 10)))
    def clock_jumps(self, at: int, years: int) -> None:
        self._broken()
        clock = self.devices[at].clock
        assert isinstance(clock, JumpingClock)
        if 2000 < clock.wall.year + years < 2090:
            clock.wall = clock.wall.replace(year=clock.wall.year + years, day=20)

    @rule(at=st.integers(0, DEVICES - 1))
    def denied_for_a_while(self, at: int) -> None:
        self._broken()
        device = self.devices[at].identity.device_id
        self.office.registry.block(device, "lost", by="bench")
        result = self.devices[at].round()
        assert result.outcome is RoundOutcome.FAILED, "a denied device was served"
        self.office.registry.release(device, by="bench")
        self._look()

    @rule(at=st.integers(0, DEVICES - 1))
    def image_is_taken(self, at: int) -> None:
        device = self.devices[at]
        device.close()
        self.images[at] = self.folder / f"image-{at}"
        shutil.copy(device.path, self.images[at])
        device.open()

    @precondition(lambda self: bool(self.images))
    @rule(data=st.data())
    def image_is_put_back(self, data: st.DataObject) -> None:
        self._put_back(data.draw(st.sampled_from(sorted(self.images))))

    def _put_back(self, at: int) -> None:
        self._broken()
        device = self.devices[at]
        device.close()
        for file in self.folder.glob(f"{device.path.name}-*"):
            file.unlink()
        shutil.copy(self.images[at], device.path)
        device.open()
        # What had not left that disk is gone with it; nobody promised that a disk put back keeps what came later.
        held, _ = queue_of(device)
        mine = {one.digest for one in self.ears.told.captured if one.place.device == device.identity.device_id}
        kept = {row.digest for row in held} | {row.digest for row in self._stored()}
        self.ears.told.promised -= mine - kept
        self._look()

    @rule(at=st.integers(0, DEVICES - 1), lane=st.sampled_from(Lane), trouble=st.sampled_from(LINES))
    def two_histories(self, at: int, lane: Lane, trouble: str) -> None:
        """What events drawn one by one seldom bring about: image, claim, delivery, image put back, another claim."""
        self.image_is_taken(at)
        self.claim(at, lane, 200)
        self.round(at, trouble)
        self._put_back(at)
        self.claim(at, lane, 200)
        self.round(at, "good")

    @rule(at=st.integers(0, DEVICES - 1), lane=st.sampled_from(Lane), resend=st.booleans())
    def office_gives_an_order(self, at: int, lane: Lane, resend: bool) -> None:
        """Send everything of a chain again, or begin a new one; carried by the receipts to come."""
        counts = next(one for one in self.devices[at].outbox.counts() if one.lane is lane)
        order = (
            Resend(lane=lane, epoch=counts.epoch, first_seq=1, last_seq=max(1, counts.next_seq - 1))
            if resend
            else NewEpoch(lane=lane, epoch=counts.epoch)
        )
        with self.office.ledger.transaction() as tx:
            commands.queue(tx, self.devices[at].identity.device_id, order, now_ms=to_ms(self.now), by="bench")

    @rule(at=st.integers(0, DEVICES - 1))
    def stick_is_filled(self, at: int) -> None:
        exported = self.devices[at].stick.next_file()
        if exported is not None:
            self.on_sticks.append(exported.body)

    @precondition(lambda self: bool(self.on_sticks))
    @rule(data=st.data())
    def stick_comes_to_office(self, data: st.DataObject) -> None:
        """Any stick, as often as people carry it."""
        self._broken()
        receipt = self.office.ingest.receive_carried(data.draw(st.sampled_from(self.on_sticks)))
        device = read_receipt(receipt).device_id
        at = [one.identity.device_id for one in self.devices].index(device)
        self.receipts_on_sticks.append((at, receipt))
        self._look()

    @precondition(lambda self: bool(self.receipts_on_sticks))
    @rule(data=st.data())
    def stick_comes_back(self, data: st.DataObject) -> None:
        at, receipt = data.draw(st.sampled_from(self.receipts_on_sticks))
        # A disk put back does not know the exports made after its image.
        with suppress(StickUnanswerableError):
            self.devices[at].bring(receipt)
        self._look()

    def teardown(self) -> None:
        try:
            for device in self.devices:
                device.drain()
            self._look(drained=True)
            self._look_for_forks()
        finally:
            for device in self.devices:
                device.close()
            self.office.close()
            shutil.rmtree(self.folder)

    def _stored(self) -> list[Any]:
        return list(history_of(self.ears.told, [], self.office).stored)

    def _look(self, *, drained: bool = False) -> None:
        type(self).looks += 1
        self._found(violations(history_of(self.ears.told, self.devices, self.office, drained=drained)))

    def _broken(self) -> None:
        type(self).faults += 1

    def _found(self, found: Sequence[Violation]) -> None:
        # An example that is drawn again while it is made smaller finds the same once more.
        type(self).seen = list(found) or type(self).seen
        assert not found, "; ".join(map(str, found))

    def _look_for_forks(self) -> None:
        """Two packets under one place and both at head office: then there is an alarm, and the lane is frozen."""
        # Under a replaced key it is the key's alarm, and stops nobody; spoilt bytes are no history.
        forked = {
            (row["device_id"], row["lane"])
            for row in self.office.ledger.read("SELECT device_id, lane, reason FROM packets WHERE in_chain = 0")
            if row["reason"] in TWO_HISTORIES
        }
        alarmed = {
            (row["device_id"], row["lane"])
            for row in custody.alarms(self.office.ledger)
            if row["kind"] in (custody.Alarm.FORK, custody.Alarm.CHAIN_BROKEN)
        }
        unseen = [Violation(Fault.UNNOTICED, f"{one}: a fork without an alarm") for one in sorted(forked - alarmed)]
        frozen = {
            (row["device_id"], row["lane"])
            for row in self.office.ledger.read("SELECT device_id, lane FROM lanes WHERE frozen_reason IS NOT NULL")
        }
        unseen += [Violation(Fault.UNNOTICED, f"{one}: a fork, and it goes on") for one in sorted(forked - frozen)]
        self._found(unseen)


def any_order(
    *,
    examples: int = 400,
    steps: int = 40,
    builds: Sequence[Build] = (CREDULOUS, FORGETFUL, DOUBLING, UNWATCHFUL, HASTY),
    derandomize: bool = False,
    progress: Progress = quietly,
) -> Result:
    """Run ``examples`` orders of ``steps`` events each; wrong builds until they are caught."""
    result = Result("any order of events")
    with tempfile.TemporaryDirectory(prefix="mpos-founded-") as folder:
        founded = Founded(Path(folder))
        for at, build in enumerate((AS_IT_IS, *builds)):
            machine: type[AnyOrder] = type("Machine", (AnyOrder,), {"build": build, "founded": founded, "seen": []})
            said = _run(machine, examples, steps, derandomize=derandomize)
            if build.wrong:
                found = machine.seen or ([Violation(Fault.REFUSED, said)] if said else [])
                result.judge(build.name, found, caught=build.is_caught_by(found))
            else:
                result.faults_tried, result.states_checked = machine.faults, machine.looks
                result.found += [Violation(Fault.REFUSED, said)] if said else []
            progress((at + 1) / (1 + len(builds)))
    return result


def _run(machine: type[AnyOrder], examples: int, steps: int, *, derandomize: bool) -> str:
    wrong = bool(machine.build.wrong)
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                derandomize=derandomize or wrong,
                # A wrong build needs no smallest example.
                phases=(Phase.generate,) if wrong else (Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                verbosity=hypothesis.Verbosity.quiet,
                report_multiple_bugs=False,
                print_blob=False,
            ),
        )
    except Exception as error:  # noqa: BLE001 - whatever ends an example is the finding
        notes = " / ".join(getattr(error, "__notes__", []))
        return f"{type(error).__name__}: {error} {notes}"[:4000]
    return ""
