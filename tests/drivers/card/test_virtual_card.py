"""The virtual e-KTP keeps the rules of a real one, so that a driver that pleases it pleases a card."""

import pytest

from drivers.card.ektp.files import BIODATA, CARD_CONTROL, MINUTIAE_1
from drivers.card.secure_messaging import Keys, seal_cryptogram
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A, PROFILES, TYPE_B, ChipProfile
from tests.drivers.card.reading import PERSON, person
from tests.drivers.card.records import chip_template


def _ask(card: VirtualEktp, *commands: str) -> str:
    """The answer to the last of several commands."""
    answer = b""
    for command in commands:
        answer = card.transmit(bytes.fromhex(command))
    return answer.hex().upper()


def _powered(chip: ChipProfile = NXP_A) -> VirtualEktp:
    card = VirtualEktp(PERSON, chip)
    card.power_on()
    return card


SELECT_DF = "00A40000027F0A"


def _select(file_id: int) -> str:
    return f"00A4000002{file_id:04X}"


def test_selecting_gives_no_file_control_information() -> None:
    """Nothing but 9000, for application and files."""
    card = _powered()
    assert _ask(card, SELECT_DF) == "9000"
    assert _ask(card, _select(0x6FF1)) == "9000"


def test_files_exist_only_inside_the_application() -> None:
    """Before the application is selected there is nothing."""
    assert _ask(_powered(), _select(0x6FF2)) == "6A82"


@pytest.mark.parametrize("file_id", [0x6FF0, 0x6FF2])
def test_card_control_and_photo_are_free(file_id: int) -> None:
    """No key, no SAM."""
    assert _ask(_powered(), SELECT_DF, _select(file_id), "00B0000002").endswith("9000")


@pytest.mark.parametrize("file_id", [0x6FF1, 0x6FF3, 0x6FF4, 0x6FF5, 0x6FF6])
def test_everything_else_is_closed_without_secure_messaging(file_id: int) -> None:
    """6982, not a byte."""
    assert _ask(_powered(), SELECT_DF, _select(file_id), "00B0000008") == "6982"


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
@pytest.mark.parametrize("le", ["35", "36"])
def test_card_control_always_comes_as_53_bytes(chip: ChipProfile, le: str) -> None:
    """Stated length, then filler, the last three 00 00 01."""
    answer = bytes.fromhex(_ask(_powered(chip), SELECT_DF, _select(CARD_CONTROL.file_id), f"00B00000{le}"))
    assert len(answer) == 55
    assert int.from_bytes(answer[:2], "big") == chip.control_length
    assert answer[-5:] == b"\x00\x00\x01\x90\x00"


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_atr_ends_in_its_check_byte(chip: ChipProfile) -> None:
    """XOR of everything after 3B is zero."""
    check = 0
    for byte in chip.atr[1:]:
        check ^= byte
    assert (chip.atr[0], check) == (0x3B, 0)


def test_type_a_and_b_differ_in_their_numbers() -> None:
    """DD is unknown to type A; the reader gives 7 bytes of one and 4 of the other."""
    assert _ask(_powered(NXP_A), "00DD000008") == "6D00"
    assert _ask(_powered(TYPE_B), "00DD000008") == TYPE_B.serial.hex().upper() + "9000"
    assert len(_ask(_powered(NXP_A), "FFCA000000")) == 18
    assert len(_ask(_powered(TYPE_B), "FFCA000000")) == 12


def test_empty_authentication_is_a_wrong_length() -> None:
    """6700, as real cards say."""
    assert _ask(_powered(), "0084000008", "00820000") == "6700"


def test_challenge_is_good_for_one_try() -> None:
    """Guessing needs a new challenge each time, and gets nothing but a refusal."""
    card = _powered()
    wrong = "0082000028" + "00" * 40 + "28"
    assert _ask(card, "0084000008", wrong) == "6300"
    assert _ask(card, wrong) == "6985"


def test_authentication_over_another_challenge_is_refused() -> None:
    """Right keys and a recorded challenge are not enough."""
    card = _powered()
    control = invented.card_control(NXP_A.working_uid, NXP_A.control_length)
    keys: Keys = invented.static_keys(control, NXP_A.working_uid)
    sealed = seal_cryptogram(keys, bytes(8) + b"recorded" + bytes(16))
    assert _ask(card, "0084000008", "0082000028" + sealed.hex() + "28") == "6300"


def test_secured_command_without_a_channel_is_refused() -> None:
    """6982, whatever it says."""
    assert _ask(_powered(), SELECT_DF, "0CB000000D9701088E08" + "00" * 8 + "00") == "6982"


def test_power_cycle_forgets_the_selection() -> None:
    """A card put back is a card never seen."""
    card = _powered()
    _ask(card, SELECT_DF)
    card.power_off()
    card.power_on()
    assert _ask(card, _select(0x6FF2)) == "6A82"


def test_minutiae_lie_on_the_chip_under_a_cipher() -> None:
    """Whoever reads past secure messaging still has no template: whole blocks, no magic, prefix hidden."""
    files = VirtualEktp(PERSON)._files
    assert len(files[MINUTIAE_1.file_id]) % 8 == 0
    assert b"FMR" not in files[MINUTIAE_1.file_id]
    assert files[BIODATA.file_id][2:] == PERSON.biodata_line()


def test_unknown_commands_and_classes_have_their_status_words() -> None:
    """6D00 and 6E00, and 6700 for what is no command."""
    card = _powered()
    assert _ask(card, "00CB000000") == "6D00"
    assert _ask(card, "80CA000000") == "6E00"
    assert _ask(card, "00A40000") == "6A82"
    assert card.transmit(b"\x00").hex() == "6700"


def test_reading_past_the_end_is_a_wrong_offset() -> None:
    """And reading nothing selected is refused."""
    card = _powered()
    assert _ask(card, SELECT_DF, "00B0000008") == "6985"
    assert _ask(card, _select(0x6FF0), "00B0003601") == "6B00"


def test_synthetic_template_has_the_oddities_of_real_ones() -> None:
    """Header as on the chip: 0 x 0, 197 pixels/cm, quality 254, all endings, quality 50 or 9."""
    template = chip_template(3, 2)
    count = template[27]
    assert template[:8] == b"FMR\x00 20\x00"
    assert int.from_bytes(template[8:12], "big") == len(template) == 30 + 6 * count
    assert template[12:28] == bytes.fromhex("0000 0000 0000 00C5 00C5 01 00 02 00 FE") + bytes([count])
    assert 40 <= count <= 60
    minutiae = [template[28 + 6 * i : 34 + 6 * i] for i in range(count)]
    assert {m[0] >> 6 for m in minutiae} == {1}
    assert {m[5] for m in minutiae} == {50, 9}
    assert (person(right_template=template).right_template == template) is True
