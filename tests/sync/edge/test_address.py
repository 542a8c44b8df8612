"""The address of head office: over TLS or not at all, and never with more in it than host and port."""

from pathlib import Path

import pytest

from sync.edge.address import head_office_url
from sync.edge.head_office_client import HeadOfficeClient
from sync.errors import AddressError


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("https://pusat.example", "https://pusat.example"),
        ("https://pusat.example:8443/", "https://pusat.example:8443"),
        ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("HTTPS://Pusat.Example", "https://Pusat.Example"),
    ],
)
def test_host_and_port_over_tls_are_an_address(typed: str, taken: str) -> None:
    """A slash at the end is forgiven."""
    assert head_office_url(typed) == taken


@pytest.mark.parametrize(
    "typed",
    [
        "http://pusat.example",
        "HTTP://pusat.example:8443",
        "pusat.example",
        "ftp://pusat.example",
        "https:pusat.example",
        "https:///v1",
        "https://",
        "https://pusat.example/v1/enrol",
        "https://pusat.example//",
        "https://pusat.example?x=1",
        "https://pusat.example?",
        "https://pusat.example/#",
        "https://uji:rahasia99@pusat.example",
        "https://@pusat.example",
        "https://pusat.example:0",
        "https://pusat.example:99999",
        "https://pusat.example:port",
        "https://[::1",
        "https://pusat.example\n",
        " https://pusat.example",
        "",
    ],
)
def test_anything_else_is_refused_before_a_connection_is_made(typed: str, tmp_path: Path) -> None:
    """The client cannot even be made with it, and what was typed is not repeated: it may hold a password."""
    with pytest.raises(AddressError) as caught:
        HeadOfficeClient(typed, tmp_path / "ca.crt")
    assert "rahasia99" not in str(caught.value)


def test_nothing_can_leave_in_clear_text(tmp_path: Path) -> None:
    """The HTTP library is left no way to speak without TLS."""
    with HeadOfficeClient("https://pusat.example", tmp_path / "ca.crt") as client:
        assert set(client._session.adapters) == {"https://"}
