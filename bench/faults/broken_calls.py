"""``kill -9``, a full disk and a failing one at every system call that writes, for one cycle from queue to receipt.

A cycle: open the file, queue a packet, make a round over TLS, purge. For each call that writes and each time it is
made, the process dies there, or the call fails; then the program starts again, the queue drains, and the judge looks.
The same for head office while it takes the batch.
"""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.faults import traced
from bench.faults.history import Fault, History, Violation, violations
from bench.faults.marks import Marks, Told
from bench.faults.parts import Progress, Result, quietly
from bench.faults.power_cut import acknowledged
from bench.faults.rig import AS_IT_IS, Build, Device, Identity, found_office
from bench.faults.service import Service, as_identity, enrol_over_tls, tls_line
from bench.faults.stores import ledger_of, queue_of
from bench.faults.traced import Ended, run_traced
from bench.faults.wrong_builds import HASTY
from head_office.ledger.sqlite import SqliteLedger
from sync.edge.head_office_client import Timeouts
from sync.edge.identity import Identity as EnrolledIdentity
from sync.errors import StorageError

KILLS = (
    "write", "pwrite64", "writev", "fdatasync", "fsync", "ftruncate", "fallocate", "rename", "renameat", "unlink",
    "unlinkat", "sendto", "sendmsg",
)  # fmt: skip
FAILS = ("write", "pwrite64", "fdatasync", "fsync", "ftruncate", "fallocate")
ERRORS = ("error=EIO:when={n}", "error=ENOSPC:when={n}", "error=ENOSPC:when={n}+")
SIGKILL = "signal=SIGKILL:when={n}"
IMPATIENT = Timeouts(connect_s=5, read_s=5, whole_s=10)
"""Loopback: what does not answer in five seconds is dead."""
MOST_CALLS = 200
"""Of one kind in one cycle; a cycle makes some sixty."""


@dataclass(frozen=True, slots=True)
class Break:
    """One thing to break."""

    side: str
    call: str
    n: int
    how: str

    @property
    def inject(self) -> str:
        return f"--inject={self.call}:{self.how.format(n=self.n)}"

    def __str__(self) -> str:
        return f"{self.side}, {self.call} {self.how.format(n=self.n)}"


def killed(**more: object) -> Result:
    """``kill -9`` at every call, both sides."""
    return _run("kill -9 at every write", [("device", KILLS, (SIGKILL,)), ("head office", KILLS, (SIGKILL,))], **more)  # type: ignore[arg-type]


def failing(**more: object) -> Result:
    """The disk fails or is full at every call, both sides."""
    return _run("disk errors at every write", [("device", FAILS, ERRORS), ("head office", FAILS, ERRORS)], **more)  # type: ignore[arg-type]


def _run(
    name: str,
    matrix: Sequence[tuple[str, Sequence[str], Sequence[str]]],
    *,
    every: int = 1,
    builds: Sequence[Build] = (HASTY,),
    progress: Progress = quietly,
) -> Result:
    """All of a matrix, or each ``every``-th of it; wrong builds only until they are caught."""
    result = Result(name)
    if reason := traced.missing():
        result.skipped.append(f"{name}: {reason}")
        return result
    for at, build in enumerate((AS_IT_IS, *builds)):
        with _Bench(build) as bench:
            breaks = [
                Break(side, call, n, how)
                for side, calls, ways in matrix
                for call, times in bench.count(side, calls).items()
                for how in ways
                for n in range(1, min(times, MOST_CALLS) + 1)
            ][:: every if not build.wrong else 1]
            found: list[Violation] = []
            for number, each in enumerate(breaks):
                problems = bench.try_one(each)
                found += [Violation(one.fault, f"{each}: {one.detail}") for one in problems]
                if build.wrong and build.is_caught_by(found):
                    break
                progress((at + number / len(breaks)) / (1 + len(builds)))
        if build.wrong:
            result.judge(build.name, found, caught=build.is_caught_by(found))
        else:
            result.faults_tried = result.states_checked = len(breaks)
            result.found += found
    return result


class _Bench:
    """One head office and one device over TLS; what they hold grows with every break."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._number = 0
        self._exit = ExitStack()

    def __enter__(self) -> "_Bench":
        self._folder = Path(self._exit.enter_context(tempfile.TemporaryDirectory(prefix="mpos-kill-")))
        self._service = Service(found_office(self._folder / "office"), self._build)
        self._service.start()
        self._exit.callback(self._service.stop)
        self._enrolled: EnrolledIdentity = enrol_over_tls(self._service, self._folder / "identity")
        self._identity: Identity = as_identity(self._enrolled)
        self._marks = self._folder / "marks"
        self._marks.touch()
        self._cycle(self._build)  # the file and the first packet
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def count(self, side: str, calls: Sequence[str]) -> Counter[str]:
        """How often one cycle makes each of these calls."""
        trace = self._folder / "trace"
        arguments = ["-f", "-o", str(trace), "-e", f"trace={','.join(calls)}"]
        if side == "device":
            self._on_device(arguments)
        else:
            self._on_office(arguments)
        per_thread: Counter[tuple[str, str]] = Counter()
        for line in trace.read_text(encoding="ascii").splitlines():
            if call := re.match(r"(\d+) +(\w+)\(", line):
                per_thread[call[2], call[1]] += 1
        # strace counts for each thread by itself.
        most: Counter[str] = Counter()
        for (call_name, _thread), times in per_thread.items():
            most[call_name] = max(most[call_name], times)
        return most

    def try_one(self, what: Break) -> list[Violation]:
        """Break it, start again, drain, judge."""
        arguments = ["-f", "-o", "/dev/null", "-e", f"trace={what.call}", what.inject]
        if what.side == "device":
            ended = self._on_device(arguments)
            if ended.signal == 0 and ended.status:
                return [Violation(Fault.REFUSED, (self._folder / "errors").read_text(encoding="utf-8")[-500:])]
            if ended.signal not in (0, 9):
                return [Violation(Fault.REFUSED, f"hung or died by signal {ended.signal}")]
        else:
            self._on_office(arguments)
        return self._judge()

    def _on_device(self, arguments: Sequence[str]) -> Ended:
        self._number += 1
        number = self._number

        def steps() -> None:
            # What the disk did has a name, and the agent's next start is what this is about.
            with suppress(StorageError):
                self._cycle(self._build, number)

        return run_traced(steps, arguments, self._folder / "errors")

    def _on_office(self, arguments: Sequence[str]) -> None:
        self._number += 1
        tracer = traced.attach(self._service.process, arguments)
        try:
            self._cycle(AS_IT_IS if self._build.ledger is not AS_IT_IS.ledger else self._build, self._number)
        finally:
            # A service whose disk failed ends by itself, or goes on and says so; either way it begins anew.
            if not self._service.is_dead():
                self._service.stop(9)
            tracer.wait(traced.ATTACH_WITHIN_S)
            self._service.start()

    def _cycle(self, build: Build, number: int = 0) -> None:
        handle = os.open(self._marks, os.O_WRONLY | os.O_APPEND)
        try:
            with tls_line(self._enrolled, self._service.url, IMPATIENT) as line:
                device = Device(self._folder / "agent.db", self._identity, line, build=build, marks=Marks(handle))
                try:
                    device.put(number)
                    device.round()
                    device.purge_all()
                finally:
                    device.close()
        finally:
            os.close(handle)

    def _judge(self) -> list[Violation]:
        handle = os.open(self._marks, os.O_WRONLY | os.O_APPEND)
        try:
            with tls_line(self._enrolled, self._service.url, IMPATIENT) as line:
                device = Device(self._folder / "agent.db", self._identity, line, marks=Marks(handle))
                try:
                    if device.database.set_aside is not None:
                        return [Violation(Fault.REFUSED, f"set aside: {device.database.set_aside_because}")]
                    device.put(self._number)  # what was not queued is confirmed again by the operator
                    device.drain()
                    device.outbox.check_chain()
                    return self._compare(device)
                finally:
                    device.close()
        except Exception as error:  # noqa: BLE001 - whatever keeps it from going on is the finding
            return [Violation(Fault.REFUSED, f"the device does not go on: {type(error).__name__} {error}")]
        finally:
            os.close(handle)

    def _compare(self, device: Device) -> list[Violation]:
        told = Told.of(self._marks.read_text(encoding="ascii").splitlines())
        waiting, settled = queue_of(device)
        ledger = SqliteLedger(self._service.home.ledger)
        try:
            ledger.check()
            stored = ledger_of(ledger)
        finally:
            ledger.close()
        return violations(
            History(
                captured=told.captured,
                promised=frozenset(told.promised),
                acknowledged=frozenset(told.acknowledged | acknowledged(device)),
                waiting=waiting,
                stored=stored,
                settled=settled,
            )
        )
