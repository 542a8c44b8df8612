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
