"""Power cut at every write to the disk, below the file system: ext4's own doing is part of what is cut.

Like power_cut.py, one level down: every block written and every flush of a recording disk (block_recorder.py). Each
state is mounted, ext4 replays its journal, and both programs start on what it gives them.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from bench.faults import own_namespace
from bench.faults.block_recorder import DISK, mounted_image, read_log, recording
from bench.faults.cycle import early_checkpoints, some_claims
from bench.faults.file_recorder import CUTS, Disk, Mark, Step
from bench.faults.history import Fault, Violation
from bench.faults.marks import Marks, Told
from bench.faults.parts import Progress, Result, quietly
from bench.faults.power_cut import start_and_judge
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, Office, found_office
from bench.faults.wrong_builds import DEVICE_NORMAL, HASTY, OFFICE_LATE, OFFICE_NORMAL

IMAGE_BYTES = 32 * 1024 * 1024
PACKETS = 12
BUILDS = (DEVICE_NORMAL, OFFICE_NORMAL, OFFICE_LATE, HASTY)


def missing() -> str:
    """Why no disk can be recorded here; empty when one can."""
    if reason := own_namespace.missing(own_namespace.MOUNTS):
        return reason
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        return "no /dev/fuse or no loop devices"
    for program in ("mkfs.ext4", "e2fsck", "fusermount3"):
        if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
            return f"{program} is not installed"
    return ""


def power_cut_disk(
    *, most_states: int = 600, builds: Sequence[Build] = BUILDS, seed: int = 1, progress: Progress = quietly
) -> Result:
    """``most_states`` states spread over every write of one run; wrong builds until they are caught."""
    result = Result("power cut, disk blocks")
    if reason := missing():
        result.skipped.append(f"power cut, disk blocks: {reason}")
        return result
    for at, build in enumerate((AS_IT_IS, *builds)):
        found, steps, states = own_namespace.run_apart(
            own_namespace.MOUNTS, lambda build=build: _record_and_replay(build, most_states, Random(seed))  # type: ignore[misc]
        )  # fmt: skip
        if build.wrong:
            result.judge(build.name, found, caught=build.is_caught_by(found))
        else:
            result.faults_tried, result.states_checked = steps, states
            result.note(found, "after a power cut")
        progress((at + 1) / (1 + len(builds)))
    return result


def _record_and_replay(build: Build, most_states: int, random: Random) -> tuple[list[Violation], int, int]:
    with tempfile.TemporaryDirectory(prefix="mpos-block-") as name:
        folder = Path(name)
        image, at = folder / "image", folder / "at"
        at.mkdir()
        identity, steps = _record(folder, image, at, build)
        found, states = _replay(
            image.read_bytes(), steps, folder / "state", at, identity,
            most_states=most_states, random=random, until=build,
        )  # fmt: skip
        return found, sum(not isinstance(step, Mark) for step in steps), states


def _record(folder: Path, image: Path, at: Path, build: Build) -> tuple[Identity, list[Step]]:
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True, timeout=60)
    with mounted_image(image, at):
        found_office(at / "office")
        office = Office(at / "office")
        identity = office.enrol()
        office.close()
    with recording(image.read_bytes(), folder) as (mounted, marks):
        with marks.open("ab", buffering=0) as file:
            try:
                _live_through(mounted, identity, build, Marks(file.fileno()))
            except Exception:
                # A build so wrong that it falls over by itself is as good as recorded up to there.
                if not build.wrong:
                    raise
    return identity, list(read_log(folder / "log"))


def _live_through(mounted: Path, identity: Identity, build: Build, marks: Marks) -> None:
    office = Office(mounted / "office", build)
    device = Device(mounted / "agent.db", identity, office.line(identity), build=build, marks=marks)
    try:
        with early_checkpoints():
            some_claims(device, 1, PACKETS)
        device.put(PACKETS + 1)
    finally:
        device.close()
        office.close()


def _replay(
    base: bytes,
    steps: Sequence[Step],
    state: Path,
    at: Path,
    identity: Identity,
    *,
    most_states: int,
    random: Random,
    until: Build,
) -> tuple[list[Violation], int]:
    disk = Disk({DISK: bytearray(base)})
    lines: list[str] = []
    found: list[Violation] = []
    states = 0
    chance = min(1.0, most_states / (len(steps) * len(CUTS)))
    for number, step in enumerate(steps):
        if isinstance(step, Mark):
            lines.append(step.line)
        else:
            disk.take(step)
        for how in CUTS:
            if (not disk.pending and how != CUTS[0]) or random.random() > chance:
                continue
            states += 1
            state.write_bytes(disk.after_cut(how, random)[DISK])
            problems = _look(state, at, identity, Told.of(lines))
            found += [Violation(one.fault, f"write {number}, {how}: {one.detail}") for one in problems]
            if until.wrong and until.is_caught_by(found):
                return found, states
    return found, states


def _look(state: Path, at: Path, identity: Identity, told: Told) -> list[Violation]:
    try:
        with mounted_image(state, at):
            if not told.captured and not (at / "agent.db").exists():
                return []  # before the first packet there need not even be a file
            return start_and_judge(at, identity, told)
    except subprocess.CalledProcessError as error:
        return [Violation(Fault.REFUSED, f"the file system does not mount: {error.stderr!r}")]
