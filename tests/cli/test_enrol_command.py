"""Enrolling: what was typed is checked before the one-time token leaves the machine."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from mpos_agent.outcomes import Exit
from tests.api.test_state_of_the_machine import certificate
from tests.cli.daemon import ask, objects, write_settings

TOKEN = "7K2QF-7K2QF-7K2QF-7K2QF"


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    """What a technician brings besides the token."""
    file = tmp_path / "ca.crt"
    file.write_text(certificate(tmp_path))
    return file


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "https://127.0.0.1:{port}/v1"])
def test_an_address_that_is_not_plain_https_gets_no_token(tmp_path: Path, ca_file: Path, address: str) -> None:
    """In clear text anybody on the way could enrol a device of their own; nobody is even connected to."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        url = address.format(port=listener.getsockname()[1])
        refused = ask(
            write_settings(tmp_path), "enrol", "--url", url, "--token", TOKEN, "--ca-file", str(ca_file), "--json"
        )
        assert refused.returncode == Exit.USAGE
        assert objects(refused.stdout)[0]["error"]["code"] == "head_office_address"
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_token_from_a_file_is_seen_by_nobody_else(tmp_path: Path, ca_file: Path) -> None:
    """A file open to others is refused; one of our own is taken, and head office is away in this test."""
    config, token_file = write_settings(tmp_path), tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o644)
    command = ("enrol", "--url", "https://127.0.0.1:9", "--ca-file", str(ca_file), "--json")
    given = ("--enrol-token-file", str(token_file))
    refused = ask(config, *command, *given)
    assert (refused.returncode, "chmod 600" in refused.stdout) == (Exit.SETTINGS, True)
    token_file.chmod(0o600)
    taken = ask(config, *command, *given)
    assert objects(taken.stdout)[0]["error"]["code"] == "head_office_connection_refused"
    assert ask(config, *command, *given, "--token", TOKEN).returncode == Exit.USAGE


@pytest.mark.parametrize(
    ("content", "token", "code"),
    [
        (b"no certificate", TOKEN, "authority_file"),
        (b"\x30\x82\xff", TOKEN, "authority_file"),
        (None, "7K2QF", "enrolment_token"),
    ],
)
def test_a_wrong_file_or_token_is_told_as_that(
    tmp_path: Path, ca_file: Path, content: bytes | None, token: str, code: str
) -> None:
    """Not as a foreign head office or a malformed reply."""
    if content is not None:
        ca_file.write_bytes(content)
    arguments = ("enrol", "--url", "https://127.0.0.1:9", "--token", token, "--ca-file", str(ca_file), "--json")
    refused = ask(write_settings(tmp_path), *arguments)
    assert (refused.returncode, objects(refused.stdout)[0]["error"]["code"]) == (Exit.USAGE, code)
