"""Devices and head office in any order of events: hypothesis draws the events, the judge looks after each of them.

Two devices with real queues, head office in two clusters with real ledgers, all on disk in this process (world.py).
Replies get lost, come twice, come late, and bits are turned over on the way, there and back; programs restart; clocks
jump by ten years; a device is put on the deny list and taken off; keys are renewed; a machine is enrolled again under
another name with packets still waiting; sticks are carried, twice and late and in any order; head office orders packets
again, or a new epoch; a device is handed from one cluster to the other and back; a disk image is put back (events.py).

A restored device makes a second history under one key: head office must notice (lane frozen, alarm), and must lose
neither of the two. Head office itself is put back from a backup: what it acknowledged since comes again, or is named as
missing where its device has none of it any more.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from bench.faults.events import AnyOrder
from bench.faults.history import Fault, Violation
from bench.faults.parts import Progress, Result, quietly
from bench.faults.rig import AS_IT_IS, Build
from bench.faults.world import Founded
from bench.faults.wrong_builds import CREDULOUS, DOUBLING, FORGETFUL, HASTY, UNWATCHFUL
from bench.faults.wrong_turns import WRONG_TURNS

MOST_FOR_A_WRONG_ONE = 150
"""Examples until a wrong build is caught; all of them are by half of that."""


def any_order(
    *,
    examples: int = 400,
    steps: int = 40,
    builds: Sequence[Build] = (CREDULOUS, FORGETFUL, DOUBLING, UNWATCHFUL, HASTY, *WRONG_TURNS),
    derandomize: bool = False,
    progress: Progress = quietly,
) -> Result:
    """Run ``examples`` orders of ``steps`` events each; wrong builds until they are caught."""
    result = Result("any order of events")
    with tempfile.TemporaryDirectory(prefix="mpos-founded-") as folder:
        founded = Founded(Path(folder))
        for at, build in enumerate((AS_IT_IS, *builds)):
            machine: type[AnyOrder] = type("Machine", (AnyOrder,), {"build": build, "founded": founded, "seen": []})
            if build.wrong:
                said = _run(machine, MOST_FOR_A_WRONG_ONE, min(steps, 25), derandomize=True)
                found = list(machine.seen)
                if said and not build.is_caught_by(found):
                    found.append(Violation(Fault.REFUSED, said))
                result.judge(build.name, found, caught=build.is_caught_by(found))
            else:
                said = _run(machine, examples, steps, derandomize=derandomize)
                result.faults_tried, result.states_checked = machine.faults, machine.looks
                # What is found at the end of an example that has used up its draws is not raised: it is in ``seen``.
                result.found += machine.seen or ([Violation(Fault.REFUSED, said)] if said else [])
                result.said = said
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
                derandomize=derandomize,
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
