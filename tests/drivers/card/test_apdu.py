"""Commands and responses on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.card.apdu import Command, Response, more_available, right_le

BYTE = st.integers(0, 255)
COMMANDS = st.builds(
    Command, BYTE, BYTE, BYTE, BYTE, st.binary(min_size=1, max_size=255), st.none() | st.integers(1, 256)
) | st.builds(Command, BYTE, BYTE, BYTE, BYTE, st.just(b""), st.integers(1, 256))


@pytest.mark.parametrize(
    ("command", "encoded"),
    [
        (Command(0xFF, 0xCA, le=256), "FFCA000000"),
        (Command(0x00, 0xA4, data=b"\x7f\x0a"), "00A40000027F0A"),
        (Command(0x00, 0xB0, 0x00, 0xD8, le=80), "00B000D850"),
        (Command(0x00, 0xFF), "00FF000000"),
        (Command(0x00, 0x82, data=bytes(40), le=40), "0082000028" + "00" * 40 + "28"),
    ],
)
def test_commands_have_the_bytes_seen_on_the_wire(command: Command, encoded: str) -> None:
    """Get UID, select, read, reset and authenticate as real readers exchange them."""
    assert command.encode().hex().upper() == encoded


@given(COMMANDS)
def test_any_command_comes_back_as_it_was(command: Command) -> None:
    """Encoding and decoding are each other's reverse."""
    assert Command.decode(command.encode()) == command


@given(st.binary(max_size=300))
def test_any_bytes_are_a_command_or_an_error(data: bytes) -> None:
    """What the SAM hands back as a command is never trusted to be one."""
    try:
        command = Command.decode(data)
    except ValueError:
        return
    assert command.header == data[:4]


@pytest.mark.parametrize("size", [0, 1])
def test_fewer_than_two_bytes_are_no_response(size: int) -> None:
    """They mean a removed card and are caught at the reader."""
    with pytest.raises(ValueError, match="no response"):
        Response.decode(bytes(size))


def test_announced_lengths() -> None:
    """61xx and 6Cxx carry a length in which 00 stands for 256."""
    assert (more_available(0x6110), more_available(0x6100), more_available(0x9000)) == (16, 256, None)
    assert (right_le(0x6C35), right_le(0x6C00), right_le(0x6982)) == (53, 256, None)


def test_bodies_are_not_shown() -> None:
    """A command or response in a traceback tells header, status and size only."""
    assert "AABB" not in repr(Command(0x00, 0xF0, data=b"\xaa\xbb")).upper().replace(" ", "")
    assert repr(Response(b"\xaa\xbb", 0x9000)) == "<response 2 bytes, 9000>"


@pytest.mark.parametrize(("data", "le"), [(bytes(256), None), (b"", 0), (b"", 257)])
def test_command_that_does_not_fit_the_short_form_is_refused(data: bytes, le: int | None) -> None:
    """Extended length is used nowhere with these cards."""
    with pytest.raises(ValueError, match="fit a short command"):
        Command(0x00, 0xB0, data=data, le=le)
