"""Every fault on every path of custody, with the real programs, and each tool against builds that are wrong on purpose.

Ends 0 only when no claim was lost or doubled anywhere and every wrong build was caught. docs/reliability.md says what
each part does and what none of them can see.
"""

import argparse
import logging
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.datasets import ROOT
from bench.faults.any_order import any_order
from bench.faults.broken_calls import failing, killed
from bench.faults.disk_full import disk_full
from bench.faults.fuzz import fuzz
from bench.faults.history import Fault, Violation
from bench.faults.link import link
from bench.faults.parts import Progress as Told
from bench.faults.parts import Result
from bench.faults.power_cut import power_cut
from bench.faults.power_cut_disk import power_cut_disk
from bench.report import heading, table

FAILOVER_S = 1200.0
"""The cluster's bench takes some minutes; twenty is a hang."""
CLUSTER = ("patroni", "etcd", "nginx")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: what it is, and how it is run, whole or short."""

    what: str
    whole: Callable[[int, Told], Result]
    short: Callable[[int, Told], Result]


def _failover(told: Told, *short: str) -> Result:
    """The cluster's own bench, and once more with a cluster that acknowledges on one disk."""
    result = Result("database primary killed")
    absent = [name for name in CLUSTER if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None]
    if absent:
        result.skipped.append(f"database primary killed: {', '.join(absent)} not installed")
        return result
    real = _bench("failover", *short)
    result.said = real.stdout
    result.faults_tried = result.states_checked = 1 if short else 2
    if real.returncode:
        result.found.append(Violation(Fault.LOST, (real.stdout + real.stderr)[-800:]))
    told(0.6)
    result.caught["a cluster that acknowledges on one disk"] = _bench("failover", "--quick", "--wrong").returncode == 0
    return result


def _bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        capture_output=True, text=True, check=False, timeout=FAILOVER_S, cwd=ROOT,
    )  # fmt: skip


PARTS: Mapping[str, Part] = {
    "power-cut": Part(
        "every write of both programs' files, replayed as a power cut leaves them",
        lambda seed, told: power_cut(seed=seed, progress=told),
        lambda seed, told: power_cut(most_states=200, seed=seed, progress=told),
    ),
    "power-cut-disk": Part(
        "the same below the file system: every block written to a disk with ext4 on it",
        lambda seed, told: power_cut_disk(most_states=800, seed=seed, progress=told),
        lambda seed, told: power_cut_disk(most_states=60, seed=seed, progress=told),
    ),
    "kill": Part(
        "kill -9 at every system call that writes, at the device and at head office",
        lambda _, told: killed(progress=told),
        lambda _, told: killed(every=5, progress=told),
    ),
    "disk-errors": Part(
        "input/output error and no space, injected into every system call that writes",
        lambda _, told: failing(progress=told),
        lambda _, told: failing(every=12, progress=told),
    ),
    "disk-full": Part(
        "a small file system with 0, 1, 2 ... pages left",
        lambda _, told: disk_full(progress=told),
        lambda _, told: disk_full(every=8, progress=told),
    ),
    "link": Part(
        "lines that break, stall, lie, are slow and lose packets; clocks ten years off",
        lambda _, told: link(progress=told),
        lambda _, told: link(every=8, slow=False, progress=told),
    ),
    "any-order": Part(
        "devices and head office in any order of events, restored disk images among them",
        lambda _, told: any_order(examples=150, steps=40, progress=told),
        lambda _, told: any_order(examples=30, steps=25, derandomize=True, progress=told),
    ),
    "fuzz": Part(
        "damaged bytes at every parser that meets foreign ones",
        lambda seed, told: fuzz(tries=10_000, seed=seed, progress=told),
        lambda seed, told: fuzz(tries=500, seed=seed, progress=told),
    ),
    "failover": Part(
        "the database's primary killed while two hundred devices send",
        lambda _, told: _failover(told),
        lambda _, told: _failover(told, "--quick"),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts one after the other; print the table."""
    parser = argparse.ArgumentParser(prog="bench torture", description=__doc__)
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="this part alone; may be said again")
    parser.add_argument("--quick", action="store_true", help="a few minutes in place of half an hour")
    parser.add_argument(
        "--allow-skipped", action="store_true", help="end well although something could not be tried on this machine"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn at random")
    options = parser.parse_args(arguments)
    names = options.only or list(PARTS)
    print(heading("Torture"), flush=True)
    # Head office says what it does about each fork it is shown; here that is thousands of lines.
    logging.getLogger("head_office").setLevel(logging.CRITICAL + 1)
    results: list[tuple[Result, float]] = []
    # No thread draws the bar: parts fork, and a fork must not find a lock held.
    columns = (
        TextColumn("{task.description:16s}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as bar:
        for name in names:
            part, task, began = PARTS[name], bar.add_task(name, total=1.0), time.monotonic()
            result = _run(part.short if options.quick else part.whole, options.seed, _teller(bar, task), part)
            bar.update(task, completed=1.0, refresh=True)
            results.append((result, time.monotonic() - began))
            if not bar.console.is_terminal:
                said = "well" if result.is_well else "NOT WELL"
                print(f"{name}: {result.faults_tried} faults, {result.states_checked} states: {said}", flush=True)
    _report(results)
    well = all(result.is_well for result, _ in results)
    # What was not tried proves nothing.
    whole = options.allow_skipped or all(result.is_whole for result, _ in results)
    return 0 if well and whole else 1


def _teller(bar: Progress, task: TaskID) -> Told:
    def told(done: float) -> None:
        bar.update(task, completed=done, refresh=True)

    return told


def _run(run: Callable[[int, Told], Result], seed: int, told: Told, part: Part) -> Result:
    try:
        return run(seed, told)
    except Exception as error:  # noqa: BLE001 - a tool that fails is no proof; the others go on
        traceback.print_exc()
        result = Result(part.what)
        result.found.append(Violation(Fault.REFUSED, f"the tool itself failed: {type(error).__name__} {error}"))
        return result


def _report(results: Sequence[tuple[Result, float]]) -> None:
    columns = (
        "part",
        "faults tried",
        "states checked",
        "claims lost",
        "doubled",
        "other",
        "wrong builds caught",
        "all tried",
        "seconds",
    )
    rows = [
        (
            result.name,
            str(result.faults_tried),
            str(result.states_checked),
            str(result.lost),
            str(result.doubled),
            str(len(result.found) - result.lost - result.doubled),
            f"{sum(result.caught.values())} of {len(result.caught)}" if result.caught else "-",
            "yes" if result.is_whole else "in part" if result.faults_tried else "NO",
            f"{seconds:.0f}",
        )
        for result, seconds in results
    ]
    every = [result for result, _ in results]
    rows.append(
        (
            "all",
            str(sum(one.faults_tried for one in every)),
            str(sum(one.states_checked for one in every)),
            str(sum(one.lost for one in every)),
            str(sum(one.doubled for one in every)),
            str(sum(len(one.found) - one.lost - one.doubled for one in every)),
            f"{sum(sum(one.caught.values()) for one in every)} of {sum(len(one.caught) for one in every)}",
            "yes" if all(one.is_whole for one in every) else "NO",
            f"{sum(seconds for _, seconds in results):.0f}",
        )
    )
    print(table(columns, rows))
    for result in every:
        for name, caught in result.caught.items():
            if not caught:
                print(f"NOT CAUGHT by {result.name}: {name} (showed {result.shown.get(name, 'nothing')})")
        for violation in result.found[:20]:
            print(f"FOUND by {result.name}: {violation}")
    for result in every:
        if result.said:
            print(f"\n{result.name}:\n\n{result.said}")
    skipped = [line for result in every for line in result.skipped]
    skipped += [f"{one.name}: nothing was tried" for one in every if not one.faults_tried and not one.skipped]
    print("\n".join(f"SKIPPED {line}" for line in skipped) or "Nothing was skipped.")
    if skipped:
        print("What was skipped proves nothing: the run ends 1 unless --allow-skipped is said.")


if __name__ == "__main__":
    sys.exit(main())
