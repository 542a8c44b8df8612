"""Each application on this machine has a credential of its own, and only its hash is kept."""

import datetime
from pathlib import Path

import pytest

from mpos_agent.api.callers import CallerNameError, Callers, CallersFileError, Scope

NOW = datetime.datetime(2026, 1, 15, 8, 0, tzinfo=datetime.UTC)


def test_a_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    """Whoever reads the file cannot call; whoever has the token can."""
    file = tmp_path / "callers.json"
    token = Callers(file).add("counter-page", Scope.COUNTER, NOW)
    assert token not in file.read_text(encoding="utf-8")
    caller = Callers(file).known(token)
    assert caller is not None
    assert (caller.name, caller.scope) == ("counter-page", Scope.COUNTER)
    assert Callers(file).known(token + "x") is None


def test_the_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    """It is 0600 from the first moment on, and one that was opened up is refused, with the cure."""
    file = tmp_path / "callers.json"
    callers = Callers(file)
    token = callers.add("a", Scope.COUNTER, NOW)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    with pytest.raises(CallersFileError, match="chmod 600"):
        Callers(file).known(token)


def test_a_caller_added_by_another_process_is_known_at_once(tmp_path: Path) -> None:
    """The running daemon needs no restart."""
    file = tmp_path / "callers.json"
    daemon = Callers(file)
    assert daemon.listed() == ()
    token = Callers(file).add("late", Scope.TECHNICIAN, NOW)
    assert daemon.known(token) is not None
    Callers(file).remove("late")
    assert daemon.known(token) is None


def test_names_are_unique_and_plain(tmp_path: Path) -> None:
    """A name stands in logs: it is short, lower case, and means one caller."""
    callers = Callers(tmp_path / "callers.json")
    callers.add("bank", Scope.COUNTER, NOW)
    for name in ("bank", "Bank", "", "a b", "x" * 33):
        with pytest.raises(CallerNameError):
            callers.add(name, Scope.COUNTER, NOW)
    with pytest.raises(CallerNameError):
        callers.remove("nobody")


def test_a_passing_caller_never_reaches_the_disk(tmp_path: Path) -> None:
    """The command line's own credential dies with the daemon."""
    file = tmp_path / "callers.json"
    callers = Callers(file)
    token = callers.passing("command-line", Scope.MACHINE)
    callers.add("bank", Scope.COUNTER, NOW)
    assert callers.known(token) is not None
    assert "command-line" not in file.read_text(encoding="utf-8")
    assert Callers(file).known(token) is None


@pytest.mark.parametrize("content", ["", "[]", '{"callers": [{"name": "x"}]}', '{"callers": 5}'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    """Half a file is an error that names it, never an empty list."""
    file = tmp_path / "callers.json"
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(CallersFileError, match="not a callers file"):
        Callers(file).known("x")
