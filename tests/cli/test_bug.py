"""A bug of ours: one sentence for the operator, the rest for the technician."""

import logging
import sys
from pathlib import Path

import pytest

from mpos_agent.cli import main
from mpos_agent.outcomes import Exit


def broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError("identity 9901014107850001")


@pytest.mark.parametrize("screen", [True, False])
def test_a_traceback_is_for_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], screen: bool
) -> None:
    """On a screen only where it was written to; in a service or pipe it goes to standard error; masked in both."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(main, "app", broken)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: screen)
    assert main._run(["status"]) is Exit.BUG
    said, file = capsys.readouterr().err, tmp_path / main.BUGS_FILE
    assert ("Traceback" in said) is not screen
    logged = file.read_text() if screen else said
    assert "ZeroDivisionError" in logged
    assert "9901014107850001" not in logged
    assert (str(file) in said) is screen
