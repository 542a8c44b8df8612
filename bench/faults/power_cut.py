"""Power cut at every write: the files of device and head office as the disk may have them, opened and drained.

One run of both programs is recorded (file_recorder.py). For each step of it, and each way a disk may have treated
what was not flushed, the power fails for the device, for head office, or for both; then both start again, the queue
drains, and the judge looks.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.faults import traced
from bench.faults.cycle import early_checkpoints, some_claims
from bench.faults.file_recorder import ARGUMENTS, CUTS, Disk, Files, Mark, Step, read_files, read_trace, write_files
from bench.faults.history import Fault, Violation, violations
from bench.faults.marks import Marks, Told
from bench.faults.parts import Progress, Result, quietly
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, Office, found_office
from bench.faults.stores import history_of
from bench.faults.wrong_builds import POWER_CUT

DEVICE_FILES = ("agent.db", "agent.db-wal")
OFFICE_FILES = ("office/ledger.db", "office/ledger.db-wal")
WHO = ("device", "head office", "both")
PACKETS = 12


def power_cut(*, most_states: int | None = None, builds: Sequence[Build] = POWER_CUT, seed: int = 1,
              progress: Progress = quietly) -> Result:  # fmt: skip
    """Replay every step of one run, or ``most_states`` states spread over it, and the same for each wrong build."""
    result = Result("power cut, files")
    if reason := traced.missing():
        result.skipped.append(f"power cut, files: {reason}")
        return result
    for at, build in enumerate((AS_IT_IS, *builds)):
        with tempfile.TemporaryDirectory(prefix="mpos-cut-") as folder:
            part = lambda done, at=at: progress((at + done) / (len(builds) + 1))  # noqa: E731
            recorded = _Recorded(Path(folder), build)
            found, states = recorded.replay(most_states, Random(seed), part, until=build)
        if build.wrong:
            result.judge(build.name, found, caught=build.is_caught_by(found))
        else:
            result.faults_tried, result.states_checked = len(recorded.steps), states
            result.note(found, "after a power cut")
    return result


class _Recorded:
    """One run of both programs, step by step."""

    def __init__(self, folder: Path, build: Build) -> None:
        self._live, self._after, self._build = folder / "live", folder / "after", build
        self._live.mkdir()
        found_office(self._live / "office")
        office = Office(self._live / "office")
        self._identity: Identity = office.enrol()
        office.close()
        device = Device(self._live / "agent.db", self._identity, office.line(self._identity))
        device.close()
        self._names = (*DEVICE_FILES, *OFFICE_FILES)
        self._at_first = read_files(self._live, self._names)
        marks, trace, errors = folder / "marks", folder / "trace", folder / "errors"
        ended = traced.run_traced(lambda: self._live_through(marks), [*ARGUMENTS, "-o", str(trace)], errors)
        said = errors.read_text(encoding="utf-8") if errors.exists() else ""
        # A build so wrong that it falls over by itself is as good as recorded up to there.
        if ended.status and not build.wrong:
            raise RuntimeError(f"the run to be recorded failed: {said}")
        self.steps: list[Step] = read_trace(trace, self._live, marks)
        # Keys and certificates; the databases are put in state by state.
        self._live.rename(self._after)

    def _live_through(self, marks: Path) -> None:
        handle = os.open(marks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        office = Office(self._live / "office", self._build)
        line = office.line(self._identity)
        device = Device(self._live / "agent.db", self._identity, line, build=self._build, marks=Marks(handle))
        with early_checkpoints():
            some_claims(device, 1, PACKETS)
        device.put(PACKETS + 1)

    def replay(
        self, most_states: int | None, random: Random, progress: Progress, *, until: Build
    ) -> tuple[list[Violation], int]:
        """Open the states, all of them or a spread; gives what was found and how many were looked at."""
        disk = Disk(self._at_first)
        lines: list[str] = []
        found: list[Violation] = []
        seen: set[bytes] = set()
        ways = len(CUTS) * len(WHO)
        chance = 1.0 if most_states is None else min(1.0, most_states / (len(self.steps) * ways))
        for number, step in enumerate(self.steps):
            if isinstance(step, Mark):
                lines.append(step.line)
            else:
                disk.take(step)
            for who in WHO:
                for how in CUTS:
                    # What is not flushed is told apart only where there is any.
                    if (not disk.pending and how != CUTS[0]) or random.random() > chance:
                        continue
                    files = self._files(disk, who, how, random)
                    told = Told.of(lines)
                    digest = _digest(files, told)
                    if digest in seen:
                        continue
                    seen.add(digest)
                    problems = self._look(files, told)
                    found += [Violation(one.fault, f"step {number}, {who}, {how}: {one.detail}") for one in problems]
                    if until.wrong and until.is_caught_by(found):
                        return found, len(seen)
            progress(number / len(self.steps))
        return found, len(seen)

    def _files(self, disk: Disk, who: str, how: str, random: Random) -> Files:
        cut, whole = disk.after_cut(how, random), disk.as_written()
        lost = {"device": DEVICE_FILES, "head office": OFFICE_FILES, "both": self._names}[who]
        return {
            name: content for name in self._names if (content := (cut if name in lost else whole).get(name)) is not None
        }

    def _look(self, files: Files, told: Told) -> list[Violation]:
        write_files(self._after, files, self._names)
        return start_and_judge(self._after, self._identity, told)


def start_and_judge(folder: Path, identity: Identity, told: Told) -> list[Violation]:
    """Start both programs on what is left, drain the queue, and judge."""
    try:
        office = Office(folder / "office")
    except Exception as error:  # noqa: BLE001 - whatever keeps it from starting is the finding
        return [Violation(Fault.REFUSED, f"head office does not start: {type(error).__name__} {error}")]
    try:
        device = Device(folder / "agent.db", identity, office.line(identity))
        try:
            if device.database.set_aside is not None:
                return [Violation(Fault.REFUSED, f"set aside: {device.database.set_aside_because}")]
            device.outbox.check_chain()
            again = Told(told.captured, told.promised, set(told.acknowledged))
            device.drain()
            again.acknowledged |= acknowledged(device)
            return violations(history_of(again, [device], {"": office}))
        finally:
            device.close()
    except Exception as error:  # noqa: BLE001 - as above
        return [Violation(Fault.REFUSED, f"the device does not go on: {type(error).__name__} {error}")]
    finally:
        office.close()
        for left in folder.glob("agent.db.corrupt-*"):
            left.unlink()


def acknowledged(device: Device) -> set[bytes]:
    """What the device holds for delivered."""
    rows = device.database.read("SELECT digest FROM outbox_rows WHERE state IN ('ACKED', 'PURGED')")
    return {bytes(row["digest"]) for row in rows}


def _digest(files: Files, told: Told) -> bytes:
    state = hashlib.blake2b()
    for name, content in sorted(files.items()):
        state.update(name.encode() + len(content).to_bytes(8, "big"))
        state.update(content)
    state.update(repr((sorted(told.promised), sorted(told.acknowledged))).encode())
    return state.digest()
