"""A command and its whole answer, however the card chops it."""

import pytest

from drivers.card.apdu import Command
from drivers.card.exchange import exchange
from drivers.errors import DeviceProtocolError
from tests.drivers.card.scripted import ScriptedConnection

READ = Command(0x00, 0xB0, le=0x36)


def test_answer_in_parts_is_fetched_and_joined() -> None:
    """61xx: GET RESPONSE until the card says 9000."""
    card = ScriptedConnection(["AA 6102", "BBCC 6101", "DD 9000"])
    answer = exchange(card, READ, "reading")
    assert (answer.data.hex(), answer.sw) == ("aabbccdd", 0x9000)
    assert card.sent == ["00B0000036", "00C0000002", "00C0000001"]


def test_wrong_le_is_corrected_once() -> None:
    """6Cxx: the same command with the length the card names."""
    card = ScriptedConnection(["6C35", "AA 9000"])
    assert exchange(card, READ, "reading").ok
    assert card.sent == ["00B0000036", "00B0000035"]


def test_wrong_le_is_not_corrected_for_ever() -> None:
    """A card that keeps saying 6Cxx gets its status word reported, not a loop."""
    card = ScriptedConnection(["6C35", "6C36"])
    assert exchange(card, READ, "reading").sw == 0x6C36


def test_card_that_announces_data_without_end_is_an_error() -> None:
    """Sixteen parts exceed any file on the chip."""
    card = ScriptedConnection(["AA 6101"] * 40)
    with pytest.raises(DeviceProtocolError):
        exchange(card, READ, "reading")
    assert len(card.sent) < 20
