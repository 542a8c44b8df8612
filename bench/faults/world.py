"""Two devices, two clusters of head office, sticks and copies of disks: what the events of ``events.py`` happen to.

Everything is real and on disk, in this process. The judge looks after every event.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from bench.faults import two_clusters
from bench.faults.crooked_line import START, JumpingClock, Line
from bench.faults.history import Fault, Held, Place, Violation, violations
from bench.faults.marks import Ears
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, Office
from bench.faults.stores import history_of, ledger_of, missing_of, queue_of
from bench.faults.two_clusters import TwoClusters
from head_office import custody
from head_office.authenticity import read as read_batch
from head_office.errors import RefusedError
from sync.edge.head_office_client import Reply
from sync.envelope import Lane
from sync.receipt import TWO_HISTORIES, read_receipt

DEVICES = 2
MOST_GIVEN_UP = 6
"""How often in the end people look whether something is missing: each look may bring the next to light."""
NO_ROW = 1 << 60
"""Behind every row of a queue."""


class Founded:
    """Head office with its devices, made once and copied for each example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.identities = two_clusters.found(folder, DEVICES, START)


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of head office's ledger, and what may not have come since, because nothing brings it back by itself."""

    copy: Path
    receipts: int
    """The last number in it."""
    certificates: int
    hand_overs: int


class World:
    """Its state, and what several events have in common."""

    build: ClassVar[Build] = AS_IT_IS
    founded: ClassVar[Founded]
    looks: ClassVar[int] = 0
    faults: ClassVar[int] = 0
    """Events that break something: not those that are an ordinary day."""
    seen: ClassVar[list[Violation]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mpos-order-"))
        shutil.copytree(self.founded.folder, self.folder, dirs_exist_ok=True)
        self.now = START
        self.offices = TwoClusters(self.folder, self.build, self._clock)
        self.ears = Ears()
        self.lines = [Line(self._way(at)) for at in range(DEVICES)]
        self.devices = [
            Device(
                self.folder / f"agent-{number}.db", identity, self.lines[number],
                build=self.build, marks=self.ears, clock=JumpingClock(),
            )
            for number, identity in enumerate(self.founded.identities)
        ]  # fmt: skip
        self.former: list[list[Identity]] = [[] for _ in range(DEVICES)]
        """Who each machine was before it was enrolled again, with the keys it had last."""
        self.images: dict[int, tuple[Path, Identity]] = {}
        self.backup: Backup | None = None
        self.undone: set[bytes] = set()
        """What went with a ledger that was put back."""
        self.on_sticks: list[bytes] = []
        self.receipts_on_sticks: list[tuple[int, bytes]] = []
        self.number = 0

    def over(self) -> None:
        """The faults are over: all that is on its way arrives, all that waits is sent; the judge looks once more."""
        try:
            for file in self.offices.files:
                self.offices.take_over(file)
            for at, device in enumerate(self.devices):
                for lane in Lane if self._undone_of(at) else ():
                    # Life goes on: what is missing before a packet is shown by that packet.
                    self.number += 1
                    device.put(self.number, lane=lane)
                self._drain(at)
            self.look(drained=True)
            self._look_for_forks()
        finally:
            for device in self.devices:
                device.close()
            self.offices.close()
            shutil.rmtree(self.folder)

    def office(self, at: int) -> Office:
        """The one a device goes to."""
        return self.offices.at(self.devices[at].identity.url)

    def names(self, at: int) -> set[str]:
        """Whom a machine has signed as."""
        return {self.devices[at].identity.device_id, *(one.device_id for one in self.former[at])}

    def put_image_back(self, at: int) -> None:
        """A machine's disk is as it was when the image was taken; its keys are in another place."""
        if self._undone_of(at):
            # Nobody can tell what a device still has when it is set back as well.
            return
        self.broken()
        device = self.devices[at]
        device.close()
        for file in self.folder.glob(f"{device.path.name}-*"):
            file.unlink()
        image, identity = self.images[at]
        shutil.copy(image, device.path)
        if identity.device_id == device.identity.device_id:
            # It goes to where head office was then.
            device.identity = replace(device.identity, url=identity.url)
        device.open()
        # What had not left that disk is gone with it; nobody promised that a disk put back keeps what came later.
        held, _ = queue_of(device)
        mine = {one.digest for one in self.ears.told.captured if one.place.device in self.names(at)}
        kept = {row.digest for row in held} | {row.digest for row in self._stored()}
        self.ears.told.promised -= mine - kept
        self._both_put_back()
        self.look()

    def back_up(self) -> None:
        """Copy the ledger; not between the two people who give up places: what the first was answered is in it."""
        if not self.offices.is_giving_up():
            receipts = max((row.number for row in ledger_of(self.offices.first.ledger)), default=0)
            self.backup = self._backup(self.offices.back_up(), receipts)

    def _backup(self, copy: Path, receipts: int) -> Backup:
        return Backup(copy, receipts, self.offices.certificates(), len(self.offices.files))

    def put_backup_back(self) -> None:
        """Head office forgets what came since.

        Not what came in chains that have ended, or was set aside as a fork, and not where keys were made or devices
        moved since: that nothing brings back.
        """
        if self.backup is None or self._backup(self.backup.copy, self.backup.receipts) != self.backup:
            return
        growing = {counts.epoch for each in self.devices for counts in each.outbox.counts()}
        since = [row for row in ledger_of(self.offices.first.ledger) if row.number > self.backup.receipts]
        to_come = [place for at in range(DEVICES) for place in self._undone_of(at).values()]
        if any(place.epoch not in growing for place in (*to_come, *(row.place for row in since))):
            return
        if any(not row.in_chain and not row.spoilt for row in since):
            return
        self.broken()
        before = {row.digest for row in self._stored()}
        self.offices.put_back(self.backup.copy)
        self.undone |= before - {row.digest for row in self._stored()}
        self._both_put_back()
        self.look()

    def _both_put_back(self) -> None:
        """A packet whose device was put back as well is on neither disk: nobody can bring it again, or name it."""
        known = {row.digest for row in self._stored()}
        for each in self.devices:
            held, settled = queue_of(each)
            known |= {row.digest for row in held} | {row.digest for row in settled}
        self.ears.told.promised -= self.undone - known
        self.ears.told.acknowledged -= self.undone - known
        self.undone &= known

    def _undone_of(self, at: int) -> dict[bytes, Place]:
        """What of a machine's packets a backup has undone to this day."""
        held, settled = queue_of(self.devices[at])
        missing = self.undone - {row.digest for row in self._stored()}
        places = {row.digest: row.place for row in held} | {row.digest: row.place for row in settled}
        return {digest: place for digest, place in places.items() if digest in missing}

    def is_behind(self, at: int) -> bool:
        """Whether something of a machine's is still to come again, or to be noticed."""
        undone = self._undone_of(at)
        _, settled = queue_of(self.devices[at])
        gone = {row.digest for row in settled if not row.kept}
        noticed = {place for office in self.offices for place in missing_of(office.ledger)}
        return any(digest not in gone or place not in noticed for digest, place in undone.items())

    def fill_stick(self, at: int, *, but: Lane | None = None) -> bytes | None:
        """Everything that waits, or everything but one lane; None when that is nothing."""
        exported = self.devices[at].stick.next_file({} if but is None else {but: NO_ROW})
        if exported is None:
            return None
        self.on_sticks.append(exported.body)
        return exported.body

    def stick_arrives(self, body: bytes | None, cluster: str = "", *, damaged: bool = False) -> None:
        """A stick is read in, at the cluster that serves its device where none is named."""
        if body is None:
            return
        serving = None if damaged else self.offices.serving(read_batch(body).claimed.device_id)
        office = self.offices.open[cluster] if cluster else serving or self.offices.first
        try:
            receipt = office.ingest.receive_carried(body)
        except RefusedError as error:
            if office is serving:
                self.found([Violation(Fault.REFUSED, f"a stick was refused: {error}")])
            return
        said = read_receipt(receipt).device_id
        self.receipts_on_sticks.append((next(at for at in range(DEVICES) if said in self.names(at)), receipt))
        self.look()

    def look(self, *, drained: bool = False) -> None:
        """Ask the judge."""
        type(self).looks += 1
        history = history_of(self.ears.told, self.devices, self.offices.open, drained=drained, undone=self.undone)
        self.found(violations(history))

    def broken(self) -> None:
        """Count something that was broken."""
        type(self).faults += 1

    def found(self, found: Sequence[Violation]) -> None:
        """Keep what was found, and end the example; a wrong build's only by what is wrong with it."""
        if self.build.wrong:
            type(self).seen = [*self.seen, *(one for one in found if one not in self.seen)]
            found = [one for one in found if one.fault in self.build.shows]
        else:
            # An example that is drawn again while it is made smaller finds the same once more.
            type(self).seen = list(found) or self.seen
        assert not found, "; ".join(map(str, found))

    def _clock(self) -> datetime:
        return self.now

    def _way(self, at: int) -> Callable[[str, bytes], Reply]:
        # Through this world: head office may have been opened anew, and the device may have other keys by then.
        return lambda path, body: self.office(at).line(self.devices[at].identity).post(path, body)

    def _drain(self, at: int) -> None:
        """Everything that waits, as whoever it was sealed; until nothing is missing that people can give up."""
        device = self.devices[at]
        present = device.identity
        for identity in (*self.former[at], present):
            if identity is not device.identity:
                device.become(identity)
            for _ in range(MOST_GIVEN_UP):
                device.drain()
                device.round()  # says what it has done of what it was asked
                if not self.offices.give_up() and not device.waiting():
                    break

    def _stored(self) -> list[Held]:
        return [row for name, office in self.offices.open.items() for row in ledger_of(office.ledger, name)]

    def _look_for_forks(self) -> None:
        """Two packets under one place and both at head office: then there is an alarm, and the lane is frozen."""
        forked, alarmed, frozen = set(), set(), set()
        for office in self.offices:
            # Under a replaced key it is the key's alarm, and stops nobody; spoilt bytes are no history.
            for row in office.ledger.read("SELECT device_id, lane, reason FROM packets WHERE in_chain = 0"):
                if row["reason"] in TWO_HISTORIES:
                    forked.add((row["device_id"], row["lane"]))
            for row in custody.alarms(office.ledger):
                if row["kind"] in (custody.Alarm.FORK, custody.Alarm.CHAIN_BROKEN):
                    alarmed.add((row["device_id"], row["lane"]))
            for row in office.ledger.read("SELECT device_id, lane FROM lanes WHERE frozen_reason IS NOT NULL"):
                frozen.add((row["device_id"], row["lane"]))
        unseen = [Violation(Fault.UNNOTICED, f"{one}: a fork without an alarm") for one in sorted(forked - alarmed)]
        unseen += [Violation(Fault.UNNOTICED, f"{one}: a fork, and it goes on") for one in sorted(forked - frozen)]
        self.found(unseen)
