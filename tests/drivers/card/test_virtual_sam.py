"""The virtual SAM keeps the rules of a real one."""

import pytest

from drivers.card.ektp.files import MINUTIAE_1
from drivers.card.ektp.sam import open_command
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.sam import VirtualSam
from tests.drivers.card.reading import PERSON

OPEN = open_command(invented.sam_secrets()).encode()
SELECT_MINUTIAE = bytes.fromhex(f"00A4000002{MINUTIAE_1.file_id:04X}")


def _sam(faults: Faults | None = None) -> VirtualSam:
    sam = VirtualSam(faults=faults or Faults())
    sam.power_on()
    return sam


def _ask(sam: VirtualSam, command: str) -> str:
    return sam.transmit(bytes.fromhex(command)).hex().upper()


class Pair:
    """Card and SAM after mutual authentication, spoken to by hand."""

    def __init__(self) -> None:
        self.card, self.sam = VirtualEktp(PERSON), _sam()
        self.card.power_on()
        self.sam.transmit(OPEN)
        self.card.transmit(bytes.fromhex("00A40000027F0A"))
        challenge = self.card.transmit(bytes.fromhex("0084000008"))[:-2]
        body = invented.card_control(NXP_A.working_uid, 51) + NXP_A.working_uid + challenge
        ours = self.sam.transmit(b"\x00\xf1\x00\x01" + bytes([len(body)]) + body)
        assert (len(ours), ours[-3:]) == (43, b"\x28\x90\x00")
        theirs = self.card.transmit(bytes.fromhex("0082000028") + ours[:-2])
        assert self.sam.transmit(b"\x00\xf2\x00\x00\x28" + theirs[:-2]) == b"\x90\x00"

    def secured(self, plain: bytes) -> bytes:
        """Wrap, send, unwrap: everything the SAM says of the answer."""
        wrapped = self.sam.transmit(b"\x00\xf3\x00\x00" + bytes([len(plain)]) + plain)
        assert len(wrapped) == (29 if plain[1] == 0xA4 else 21)
        answer = self.card.transmit(wrapped[:-2])[:-2]
        return self.sam.transmit(b"\x00\xf4\x00\x00" + bytes([len(answer)]) + answer)

    def read(self, offset: int, size: int) -> bytes:
        """A secured READ of the selected file."""
        return self.secured(b"\x00\xb0" + offset.to_bytes(2, "big") + bytes([size]))


@pytest.mark.parametrize(
    "command", ["00FF000000", "00F7000000", "00FA000000", "00F1000000", "00F8000000", "00FD000000"]
)
def test_everything_is_6982_before_it_is_opened(command: str) -> None:
    """Reset included."""
    assert _ask(_sam(), command) == "6982"


def test_wrong_password_is_counted_and_leaves_it_closed() -> None:
    """What the counter of a real SAM would do is not public; here it can be seen."""
    sam = _sam(Faults(wrong_pcid=True))
    assert sam.transmit(OPEN) == b"\x69\x82"
    assert _ask(sam, "00FF000000") == "6982"
    assert sam.wrong_passwords == 1


def test_wrapping_without_a_chip_is_6f00() -> None:
    """Opened, but nobody authenticated."""
    sam = _sam()
    assert sam.transmit(OPEN) == b"\x90\x00"
    assert _ask(sam, "00F3000005" + "00B0000008") == "6F00"
    assert _ask(sam, "00F4000002" + "9000") == "6F00"


def test_reset_forgets_the_chip_and_stays_open() -> None:
    """As in every read: open, reset, authenticate."""
    pair = Pair()
    assert _ask(pair.sam, "00FF000000") == "9000"
    assert _ask(pair.sam, "00F3000005" + "00B0000008") == "6F00"
    assert _ask(pair.sam, "00F7000000") == invented.SAM_UID.hex().upper() + "9000"


def test_power_cycle_closes_it() -> None:
    """PCID and CONFIG are needed again."""
    sam = _sam()
    sam.transmit(OPEN)
    sam.power_off()
    sam.power_on()
    assert _ask(sam, "00FF000000") == "6982"


def test_empty_verification_is_a_wrong_length() -> None:
    """6700, as real SAMs say."""
    sam = _sam()
    sam.transmit(OPEN)
    assert _ask(sam, "00F2000000") == "6700"


def test_unwrapped_answer_carries_both_status_words() -> None:
    """Success ends in 9000 9000: the card's and the SAM's own."""
    assert Pair().secured(SELECT_MINUTIAE) == bytes.fromhex("9000 9000")


def test_last_block_of_a_ciphered_file_comes_back_trimmed() -> None:
    """288 bytes: 8, 208, then 80 asked for and 74 given."""
    pair = Pair()
    assert _ask(pair.sam, "00FA050000") == "9000"
    pair.secured(SELECT_MINUTIAE)
    pieces = [pair.read(offset, size)[:-4] for offset, size in ((0, 8), (8, 208), (216, 80))]
    assert [len(piece) for piece in pieces] == [8, 208, 74]
    assert (b"".join(pieces)[2:] == PERSON.right_template) is True


def test_ciphered_file_stays_ciphered_without_the_deciphering_function() -> None:
    """FA 05 is what releases it."""
    pair = Pair()
    pair.secured(SELECT_MINUTIAE)
    pieces = b"".join(pair.read(offset, size)[:-4] for offset, size in ((0, 8), (8, 208), (216, 80)))
    assert len(pieces) == 296
    assert b"FMR" not in pieces


def test_ciphered_file_read_out_of_order_is_refused() -> None:
    """The SAM deciphers what passes, from the start, or not at all."""
    pair = Pair()
    _ask(pair.sam, "00FA050000")
    pair.secured(SELECT_MINUTIAE)
    assert pair.read(8, 208) == b"\x69\x85"


def test_altered_answer_ends_the_channel() -> None:
    """Nothing can be tried twice against it."""
    pair = Pair()
    wrapped = pair.sam.transmit(b"\x00\xf3\x00\x00\x07" + SELECT_MINUTIAE)
    answer = bytearray(pair.card.transmit(wrapped[:-2])[:-2])
    answer[2] ^= 1
    decode = b"\x00\xf4\x00\x00" + bytes([len(answer)]) + bytes(answer)
    assert pair.sam.transmit(decode) == b"\x69\x88"
    assert pair.sam.transmit(decode) == b"\x6f\x00"


def test_repeated_command_is_refused_by_the_card() -> None:
    """The counter has moved on there as well, and the channel is gone."""
    pair = Pair()
    wrapped = pair.sam.transmit(b"\x00\xf3\x00\x00\x07" + SELECT_MINUTIAE)[:-2]
    assert pair.card.transmit(wrapped).endswith(b"\x90\x00")
    assert pair.card.transmit(wrapped) == b"\x69\x88"
    assert pair.card.transmit(wrapped) == b"\x69\x82"


@pytest.mark.parametrize(("p2", "length", "sw"), [(0, 51, "6A80"), (1, 29, "6A80"), (0, 0, "6700")])
def test_card_control_must_fit_the_function(p2: int, length: int, sw: str) -> None:
    """51 bytes go with "sec mutual auth" and nothing else does."""
    sam = _sam()
    sam.transmit(OPEN)
    body = bytes(length + 16)
    assert _ask(sam, f"00F100{p2:02X}{len(body):02X}{body.hex()}") == sw


def test_signature_of_a_part_is_not_proven() -> None:
    """As in all traffic, which skipped files: 00 01."""
    pair = Pair()
    _ask(pair.sam, "00FA000000")
    assert _ask(pair.sam, "00FA040000") == "0001"
