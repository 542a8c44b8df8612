"""A full disk at every write: a small file system with so many bytes left, page by page from none upwards.

The device has packets waiting and packets delivered. On its full disk it must still deliver, and give bytes back, out
of its reserve; what it cannot do is take a new claim, and it must say so. Head office on a full disk answers "busy"
and signs for nothing. With room again everything drains.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.faults import own_namespace
from bench.faults.history import Fault, Violation, violations
from bench.faults.marks import Ears, Told
from bench.faults.parts import Progress, Result, quietly
from bench.faults.power_cut import acknowledged
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, Nobody, Office, found_office
from bench.faults.stores import history_of
from bench.faults.wrong_builds import HASTY, NO_RESERVE
from head_office.errors import LedgerError
from sync.envelope import Lane
from sync.errors import StorageError

PAGE = 4096
TMPFS_BYTES = 24 * 1024 * 1024
SIZE = 20_000
DELIVERED, WAITING = 20, 10
DEVICE_PAGES, OFFICE_PAGES = 120, 70
"""Pages left, at most: a put takes some 15 of them, a batch of ten some 60."""


def disk_full(*, every: int = 1, builds: Sequence[Build] = (NO_RESERVE, HASTY), progress: Progress = quietly) -> Result:
    """Each number of pages left, or each ``every``-th."""
    result = Result("disk full")
    if reason := own_namespace.missing(own_namespace.MOUNTS):
        result.skipped.append(f"disk full: {reason}")
        return result
    for at, build in enumerate((AS_IT_IS, *builds)):
        found, tried = own_namespace.run_apart(own_namespace.MOUNTS, lambda build=build: _all(build, every))  # type: ignore[misc]
        if build.wrong:
            result.judge(build.name, found, caught=build.is_caught_by(found))
        else:
            result.faults_tried = result.states_checked = tried
            result.found += found
        progress((at + 1) / (1 + len(builds)))
    return result


def _all(build: Build, every: int) -> tuple[list[Violation], int]:
    with tempfile.TemporaryDirectory(prefix="mpos-full-") as folder:
        bench = _Bench(Path(folder), build)
        try:
            found, tried = bench.try_all(every)
        finally:
            bench.close()
    return found, tried


class _Bench:
    """Both programs on a small file system each."""

    def __init__(self, folder: Path, build: Build) -> None:
        self._build = build
        self._model, self._small = folder / "model", {"device": folder / "d", "head office": folder / "o"}
        self._model.mkdir()
        found_office(self._model / "office")
        office = Office(self._model / "office")
        self._identity: Identity = office.enrol()
        self._ears = Ears()
        device = Device(self._model / "agent.db", self._identity, office.line(self._identity), marks=self._ears)
        for number in range(DELIVERED):
            device.put(number, lane=Lane.DOCUMENTS if number % 2 else Lane.CORE, size=SIZE)
        device.drain()
        device.client = Nobody()
        for number in range(DELIVERED, DELIVERED + WAITING):
            device.put(number, size=SIZE)
        device.close()
        office.close()
        for small in self._small.values():
            small.mkdir()
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(small)], check=True, timeout=30
            )

    def close(self) -> None:
        for small in self._small.values():
            subprocess.run(["umount", "--lazy", str(small)], check=True, timeout=30)

    def try_all(self, every: int) -> tuple[list[Violation], int]:
        """Each number of pages left, for each side; a wrong build only until it is caught."""
        found: list[Violation] = []
        moments = [("device", pages) for pages in range(0, DEVICE_PAGES, every)]
        moments += [("head office", pages) for pages in range(0, OFFICE_PAGES, every)]
        for who, pages in moments:
            problems = self.fill_and_go_on(who, pages)
            found += [Violation(one.fault, f"{who}, {pages} pages left: {one.detail}") for one in problems]
            if self._build.wrong and self._build.is_caught_by(found):
                break
        return found, len(moments)

    def fill_and_go_on(self, who: str, pages: int) -> list[Violation]:
        """From the model anew: fill the disk of one of them, make the steps, make room, drain, judge."""
        office_folder, database = self._small["head office"] / "office", self._small["device"] / "agent.db"
        for small in self._small.values():
            for thing in small.iterdir():
                shutil.rmtree(thing) if thing.is_dir() else thing.unlink()
        shutil.copytree(self._model / "office", office_folder)
        shutil.copy(self._model / "agent.db", database)
        ears = Ears(
            Told(list(self._ears.told.captured), set(self._ears.told.promised), set(self._ears.told.acknowledged))
        )
        office = Office(office_folder, self._build)
        device = Device(database, self._identity, office.line(self._identity), build=self._build, marks=ears)
        filler = self._small[who] / "filler"
        said: list[Violation] = []
        try:
            _fill(filler, pages * PAGE)
            said += self._steps(device, who)
        except Exception as error:  # noqa: BLE001 - a full disk has named errors; any other is the finding
            said.append(Violation(Fault.REFUSED, f"{type(error).__name__}: {error}"))
        finally:
            with suppress(StorageError):
                device.close()
            with suppress(LedgerError):
                office.close()
            filler.unlink(missing_ok=True)
        return said + self._judge(office_folder, database, ears)

    def _steps(self, device: Device, who: str) -> list[Violation]:
        taken = False
        with suppress(StorageError):
            device.put(1000, size=SIZE)
            taken = True
        if who == "device":
            # On its own full disk it must get through, however little is left.
            device.drain()
            device.purge_all()
            device.database.give_back_space(100)
            return [Violation(Fault.NOT_DRAINED, "on a full disk")] if device.waiting() else []
        for _ in range(3):
            device.round()
        return [] if taken else [Violation(Fault.REFUSED, "the device's own disk was not full")]

    def _judge(self, office_folder: Path, database: Path, ears: Ears) -> list[Violation]:
        try:
            office = Office(office_folder)
            device = Device(database, self._identity, office.line(self._identity), marks=ears)
            try:
                device.outbox.check_chain()
                device.put(1001, size=SIZE)
                device.drain()
                ears.told.acknowledged |= acknowledged(device)
                return violations(history_of(ears.told, [device], {"": office}))
            finally:
                device.close()
                office.close()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from going on is the finding
            return [Violation(Fault.REFUSED, f"does not go on with room again: {type(error).__name__} {error}")]


def _fill(filler: Path, leave: int) -> None:
    """Take every byte of the file system but so many."""
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        facts = os.fstatvfs(handle)
        if (room := facts.f_bavail * facts.f_frsize - leave) > 0:
            os.posix_fallocate(handle, 0, room)
    finally:
        os.close(handle)
