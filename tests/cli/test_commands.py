"""What a technician types, with and without a running daemon, and the exit code that comes back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpos_agent.outcomes import Exit
from tests.api.test_state_of_the_machine import certificate
from tests.cli.daemon import PATIENCE_S, Daemon, ask, objects, write_settings


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running daemon without devices; gives its settings file."""
    file = write_settings(tmp_path_factory.mktemp("c"))
    with Daemon(file):
        yield file


def pin_file(folder: Path, pin: str = "482913") -> Path:
    """A PIN as a script hands it over."""
    file = folder / "pin"
    file.touch(mode=0o600)
    file.write_text(pin)
    return file


@pytest.mark.parametrize("command", ["status", "devices", "outbox"])
def test_what_people_read_is_also_there_for_programs(config: Path, command: str) -> None:
    """The same command prints a table, or one JSON object on one line."""
    shown = ask(config, command)
    assert shown.returncode == Exit.DONE
    assert not shown.stdout.startswith("{")
    told = ask(config, command, "--json")
    assert told.returncode == Exit.DONE
    assert len(objects(told.stdout)) == 1


def test_indonesian_comes_first_and_english_where_asked(config: Path) -> None:
    """The language of the settings leads; --lang turns it round for one command."""
    indonesian = ask(config, "status").stdout
    assert indonesian.index("Menunggu dikirim") < indonesian.index("Waiting")
    english = ask(config, "status", lang="en").stdout
    assert english.index("Waiting") < english.index("Menunggu dikirim")


def test_people_are_added_with_a_pin_from_a_file(config: Path, tmp_path: Path) -> None:
    """A script hands the PIN over in a file of its own; it is never an argument others can see."""
    added = ask(config, "people", "add", "op1", "--role", "operator", "--pin-file", str(pin_file(tmp_path)), "--json")
    assert objects(added.stdout) == [{"person_id": "op1", "name": "", "roles": ["OPERATOR"]}]
    assert "op1" in ask(config, "people", "list").stdout
    assert ask(config, "people", "remove", "op1").returncode == Exit.DONE
    assert "op1" not in ask(config, "people", "list").stdout
    assert ask(config, "people", "remove", "op1").returncode == Exit.USAGE


@pytest.mark.parametrize(
    ("pin", "role", "said"),
    [
        ("1234", "operator", "PIN"),
        ("111111", "operator", "too easy"),
        ("482913", "manager", "operator, supervisor or technician"),
    ],
)
def test_a_person_that_cannot_be_added_is_told_why(
    config: Path, tmp_path: Path, pin: str, role: str, said: str
) -> None:
    """Short and easy PINs and unknown roles each get their own words."""
    refused = ask(config, "people", "add", "op9", "--role", role, "--pin-file", str(pin_file(tmp_path, pin)))
    assert refused.returncode == Exit.USAGE
    assert said in refused.stderr


def test_a_pin_file_open_to_others_is_refused(config: Path, tmp_path: Path) -> None:
    """A PIN that everybody on the machine could read is no PIN."""
    file = pin_file(tmp_path)
    file.chmod(0o644)
    refused = ask(config, "people", "add", "op1", "--role", "operator", "--pin-file", str(file))
    assert refused.returncode == Exit.SETTINGS
    assert "chmod 600" in refused.stderr


def test_a_caller_added_while_the_daemon_runs_is_let_in(config: Path, tmp_path: Path) -> None:
    """A technician's credential works at once, covers what it is for, and is dead once removed."""
    token = tmp_path / "token"
    made = ask(config, "caller", "add", "tek-laptop", "--scope", "technician", "--save", str(token), "--json")
    assert objects(made.stdout) == [{"caller": "tek-laptop", "scope": "technician", "file": str(token)}]
    assert token.stat().st_mode & 0o777 == 0o600
    assert ask(config, "status", "--token-file", str(token)).returncode == Exit.DONE
    listing = ask(config, "people", "list", "--token-file", str(token), "--json")
    assert listing.returncode == Exit.NOT_ALLOWED
    assert objects(listing.stdout)[0]["error"]["code"] == "caller_forbidden"
    assert "tek-laptop" in ask(config, "caller", "list").stdout
    assert ask(config, "caller", "remove", "tek-laptop").returncode == Exit.DONE
    assert ask(config, "status", "--token-file", str(token)).returncode == Exit.NOT_ALLOWED


def test_a_token_that_is_printed_is_printed_once(config: Path) -> None:
    """Without --save the token is on standard output, alone on its line, for copying."""
    made = ask(config, "caller", "add", "bank")
    token = made.stdout.splitlines()[-1]
    assert len(token) == 43
    assert token not in (config.parent / "state" / "callers.json").read_text()
    assert ask(config, "caller", "add", "bank").returncode == Exit.USAGE


def test_enrolling_at_a_head_office_that_is_away_says_so(config: Path, tmp_path: Path) -> None:
    """One sentence with the cause; nothing is half done."""
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(certificate(tmp_path))
    arguments = ("enrol", "--url", "https://127.0.0.1:9", "--token", "x" * 32, "--ca-file", str(ca_file))
    through_daemon = ask(config, *arguments, "--json")
    assert through_daemon.returncode == Exit.HEAD_OFFICE
    assert objects(through_daemon.stdout)[0]["error"]["code"] == "head_office_connection_refused"
    alone = ask(write_settings(tmp_path), *arguments, "--json")
    assert alone.returncode == Exit.HEAD_OFFICE
    assert objects(alone.stdout)[0]["error"]["code"] == "head_office_connection_refused"


def test_without_a_daemon_people_and_callers_are_added_all_the_same(tmp_path: Path) -> None:
    """A machine is prepared before its agent ever ran."""
    config = write_settings(tmp_path)
    added = ask(config, "people", "add", "op1", "--role", "operator", "--pin-file", str(pin_file(tmp_path)))
    assert (added.returncode, added.stderr) == (Exit.DONE, "")
    assert ask(config, "caller", "add", "bank").returncode == Exit.DONE
    with Daemon(config):
        assert "op1" in ask(config, "people", "list").stdout


@pytest.mark.parametrize("command", [["status"], ["devices"], ["outbox"], ["people", "list"], ["claim"]])
def test_without_a_daemon_each_command_says_how_to_start_it(tmp_path: Path, command: list[str]) -> None:
    """The cause is told, not its consequence (a credential that is missing because nobody made one)."""
    refused = ask(write_settings(tmp_path), *command, stdin="op1\n482913\n")
    assert refused.returncode == Exit.NO_DAEMON
    assert "systemctl start mpos-agent" in refused.stderr


def test_a_broken_settings_file_stops_every_command_with_file_key_and_cure(tmp_path: Path) -> None:
    """The nearest known key is offered; the daemon does not start on half a file."""
    config = tmp_path / "agent.toml"
    config.write_text("[upload]\npoll_sec = 5\n")
    for command in ("run", "status"):
        refused = ask(config, command)
        assert refused.returncode == Exit.SETTINGS
        assert "upload.poll_sec" in refused.stderr
        assert "did you mean poll_s?" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_misspelt_option_is_a_usage_error(tmp_path: Path) -> None:
    """The shell's own exit code for wrong usage."""
    assert ask(write_settings(tmp_path), "status", "--jsn").returncode == Exit.USAGE


def test_a_reader_of_our_output_that_leaves_is_no_error(config: Path) -> None:
    """`mpos-agent status --json | head -c 1` ends quietly."""
    shell = f"{sys.executable} -m mpos_agent status --json --config {config} | head -c 1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ran.stdout == "{"
    assert "Traceback" not in ran.stderr


def test_the_calibration_page_is_written_without_a_daemon(tmp_path: Path) -> None:
    """A technician prints it beforehand, wherever there is a printer."""
    file = tmp_path / "kisi.svg"
    written = ask(tmp_path / "no-settings.toml", "devices", "calibrate", "--print-target", str(file))
    assert written.returncode == Exit.DONE
    assert file.read_text().startswith("<svg ")
    refused = ask(tmp_path / "no-settings.toml", "devices", "calibrate", "--print-target", str(tmp_path / "no" / "x"))
    assert refused.returncode == Exit.SETTINGS
    assert "cannot be written" in refused.stderr
