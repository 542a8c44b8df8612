"""The admin's commands: what they print, and one sentence with the cure when something is missing."""

import contextlib
import io
import json
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from head_office import cli
from head_office.keys.home import Home
from tests.head_office.conftest import Office


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, stdin: str = "") -> Done:
    """A command as the console script runs it, in this process: starting Python costs more than the command."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main(lambda: cli.app(arguments, prog_name="mpos-head-office"))
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def test_setting_up_makes_private_keys_and_never_overwrites_them(tmp_path: Path) -> None:
    """A second set-up on the same folder is refused: old packets could not be opened any more."""
    home = tmp_path / "office"
    assert run("init", "--home", str(home), "--name", "localhost").returncode == 0
    keys = [path for path in (home / "keys").rglob("*") if path.is_file()]
    assert len(keys) == 5
    assert all(not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) for path in keys)
    before = {path: path.read_bytes() for path in keys}
    again = run("init", "--home", str(home), "--name", "localhost")
    assert again.returncode == cli.EX_CONFIG
    assert "set up already" in again.stderr
    assert {path: path.read_bytes() for path in keys} == before


def test_a_folder_that_was_never_set_up_says_what_to_do(tmp_path: Path) -> None:
    """No traceback: the command to run first, and the status of a configuration fault."""
    for command in (("serve",), ("devices", "list"), ("claims", "list")):
        done = run(*command, "--home", str(tmp_path / "nowhere"))
        assert done.returncode == cli.EX_CONFIG
        assert "mpos-head-office init" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_key_that_others_can_read_stops_the_service(home: Home) -> None:
    """Rights that are too wide are named together with the command that puts them right."""
    home.receipt_key.chmod(0o644)
    done = run("serve", "--home", str(home.folder), "--listen", "127.0.0.1:0")
    assert done.returncode == cli.EX_CONFIG
    assert f"chmod 600 {home.receipt_key}" in done.stderr


def test_a_wrong_address_is_a_usage_error(home: Home) -> None:
    """``--listen`` wants host and port."""
    done = run("serve", "--home", str(home.folder), "--listen", "8443")
    assert done.returncode == 2
    assert "HOST:PORT" in done.stderr


def test_a_bad_branch_code_is_a_usage_error(home: Home) -> None:
    """Codes travel in every packet; what the format does not carry is refused when it is typed."""
    done = run("devices", "token", "--home", str(home.folder), "--branch", "KC 01!", "--kanwil", "DKI")
    assert done.returncode == 2


def test_the_token_alone_is_on_standard_output(home: Home) -> None:
    """Scripts take the token from standard output; people read the rest beside it."""
    done = run("devices", "token", "--home", str(home.folder), "--branch", "KC01", "--kanwil", "DKI")
    assert len(done.stdout.strip()) == 23
    assert "KC01" in done.stderr
    made = json.loads(
        run("devices", "token", "--home", str(home.folder), "--branch", "KC01", "--kanwil", "DKI", "--json").stdout
    )
    assert set(made) == {"token", "expires_at"}


def test_blocking_an_unknown_device_says_so(home: Home) -> None:
    """A typing error on the deny list must not look like success."""
    done = run("devices", "block", "D-NOBODY", "--reason", "x", "--home", str(home.folder))
    assert done.returncode == cli.EX_FAILED
    assert "no device is called D-NOBODY" in done.stderr


def test_lists_for_people_and_for_programs(office: Office) -> None:
    """Claims, quarantine, alarms and devices are shown as a table and as JSON, NIK masked in both."""
    device = office.device()
    good = device.seal(number=1)
    spoilt = good[:-1] + bytes([good[-1] ^ 1])
    office.receive(device, spoilt, device.seal(number=2))
    office.claims()
    home = str(office.home.folder)
    (claim,) = json.loads(run("claims", "list", "--home", home, "--json").stdout)
    assert (claim["agenda_no"], claim["nik"]) == (1_000_001, "99**********0002")
    (packet,) = json.loads(run("packets", "quarantined", "--home", home, "--json").stdout)
    assert packet["reason"] == "bad_signature"
    (alarm,) = json.loads(run("packets", "alarms", "--home", home, "--json").stdout)
    assert alarm["kind"] == "unreadable"
    (listed,) = json.loads(run("devices", "list", "--home", home, "--json").stdout)
    assert (listed["device_id"], listed["packets"]) == (device.device_id, 2)
    for command in (("claims", "list"), ("packets", "quarantined"), ("packets", "alarms"), ("devices", "list")):
        done = run(*command, "--home", home)
        assert done.returncode == 0
        assert "9900000000000002" not in done.stdout


@pytest.mark.parametrize("width", [80, 200])
def test_lists_in_a_terminal_keep_numbers_whole(office: Office, width: int) -> None:
    """At 80 columns there are fewer of them; agenda, receipt, card and device numbers are never cropped."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    office.claims()
    home = str(office.home.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("TERM", "xterm")
        listed, devices = (
            re.sub("\x1b\\[[0-9;]*m", "", run(command, "list", "--home", home).stdout)
            for command in ("claims", "devices")
        )
    assert all(whole in listed for whole in ("1000001", "R-000000001", "99ZZ0000001"))
    assert device.device_id in devices
    assert "…" not in listed + devices
    assert max(len(line) for line in (listed + devices).splitlines()) <= width


def test_lists_in_a_pipe_are_lines_to_cut_and_copy(office: Office) -> None:
    """One row a line, tabs between, whatever width a terminal would have."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    home = str(office.home.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "20")
        header, row = run("devices", "list", "--home", home).stdout.splitlines()
    assert dict(zip(header.split("\t"), row.split("\t"), strict=True))["device_id"] == device.device_id


def test_what_a_batch_brought_does_not_count_as_waiting_on_the_device(office: Office) -> None:
    """The device counted before it sent: a queue that was just emptied shows 0."""
    device = office.device()
    first, second, third = (device.seal(number=number) for number in (1, 2, 3))
    state = device.checkpoint().lanes[0]
    said = replace(device.checkpoint(), lanes=(replace(state, depth=3),))
    home = str(office.home.folder)
    for packets, left in (((first, second), 1), ((first, second), 1), ((third,), 2), ((), 3)):
        office.ingest.receive(device.tls_certificate, device.batch(*packets, checkpoint=said))
        office.ingest.close()  # What an idle poll said is in memory until then.
        (listed,) = json.loads(run("devices", "list", "--home", home, "--json").stdout)
        assert listed["waiting"] == left


def test_desk_users_are_added_from_standard_input(office: Office) -> None:
    """Passwords are never arguments, which every user of the machine could read."""
    home = str(office.home.folder)
    done = run("desk-user", "add", "verifikator", "--password-stdin", "--home", home, stdin="kata sandi panjang\n")
    assert done.returncode == 0
    (row,) = office.ledger.read("SELECT * FROM desk_users")
    assert row["password_hash"].startswith("$argon2id$")
    assert run("desk-user", "add", "x", "--password-stdin", "--home", home, stdin="short\n").returncode == 2


def test_the_record_of_acts_can_be_checked(office: Office) -> None:
    """A changed act is found by command, with a status for scripts."""
    office.device()
    home = str(office.home.folder)
    assert run("audit", "check", "--home", home).returncode == 0
    with office.ledger.transaction() as tx:
        tx.execute("UPDATE acts SET facts = '{}' WHERE act_no = 1")
    done = run("audit", "check", "--home", home)
    assert done.returncode == cli.EX_FAILED
    assert "number 1" in done.stderr


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` works on the program as a whole."""
    with pytest.raises(SystemExit) as ended:
        cli.main(lambda: cli.app(["--help"]))
    assert ended.value.code == 0
    assert "devices" in capsys.readouterr().out
