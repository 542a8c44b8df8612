"""When the torture may end well: everything tried, nothing found, each wrong build caught by what is wrong with it."""

import pytest

from bench import torture
from bench.faults.history import Fault, Violation
from bench.faults.parts import Result
from bench.faults.wrong_builds import DOUBLING, HASTY, OFFICE_LATE
from bench.torture import PARTS, Part


def run(monkeypatch: pytest.MonkeyPatch, result: Result, *words: str) -> int:
    """The whole program with one part, which gives ``result``."""
    monkeypatch.setattr(torture, "PARTS", {"kill": Part("a part", lambda _, __: result, lambda _, __: result)})
    assert "kill" in PARTS
    return torture.main(["--only", "kill", *words])


def test_a_part_that_was_left_out_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine on which nothing can be tried proves nothing, unless somebody says that this is known."""
    skipped = Result("a part", skipped=["a part: strace is not installed"])
    assert run(monkeypatch, skipped) == 1
    assert "SKIPPED a part: strace is not installed" in capsys.readouterr().out
    assert run(monkeypatch, skipped, "--allow-skipped") == 0


def test_a_part_that_tried_nothing_or_not_all_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero faults tried, or some of it skipped, both end the run with 1."""
    assert run(monkeypatch, Result("a part")) == 1
    assert run(monkeypatch, Result("a part", faults_tried=3, skipped=["the slow line"])) == 1
    assert run(monkeypatch, Result("a part", faults_tried=3)) == 0


def test_a_wrong_build_that_falls_over_otherwise_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Losing claims is what it must be found by; not starting is no proof that the tool sees lost claims."""
    refused, lost = Violation(Fault.REFUSED, "does not start"), Violation(Fault.LOST, "nowhere")
    assert not OFFICE_LATE.is_caught_by([refused])
    assert OFFICE_LATE.is_caught_by([refused, lost])
    assert not HASTY.is_caught_by([Violation(Fault.NOT_DRAINED, "waits")])
    assert not DOUBLING.is_caught_by([lost])
    result = Result("a part", faults_tried=1)
    result.judge("late", [refused], caught=OFFICE_LATE.is_caught_by([refused]))
    assert run(monkeypatch, result) == 1
    assert "NOT CAUGHT by a part: late (showed refused)" in capsys.readouterr().out
