"""Cards, SAMs and links that fail: one cause each, no loop, nothing left behind."""

import dataclasses
import logging
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.card.ektp import read as read_module
from drivers.card.ektp.files import BIODATA, CARD_CONTROL, DATA_SIGNATURE
from drivers.card.ektp.record import CardType
from drivers.card.ektp.secure_channel import FileRead
from drivers.card.errors import (
    CardRemovedError,
    ChipAuthenticationError,
    ChipDataError,
    SamLockedError,
    SamMissingError,
    StatusWordError,
    UnknownChipError,
)
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A, TYPE_B
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.person import VirtualPerson
from drivers.card.virtual.sam import VirtualSam
from drivers.errors import DeviceError, DeviceProtocolError
from drivers.sensitive import SensitiveBytes
from tests.drivers.card.reading import CARD, PERSON, SAM, Altered, person, read
from tests.drivers.card.records import chip_template

MESSAGES_TO_CARD = sum(who == CARD for who, _, _ in read().tape)
MESSAGES_TO_SAM = sum(who == SAM for who, _, _ in read().tape)


def test_wrong_pcid_is_tried_once_and_never_again() -> None:
    """A second wrong try may cost the SAM: the next claim does not send anything until a technician says so."""
    sam, secrets = VirtualSam(faults=Faults(wrong_pcid=True)), invented.sam_secrets()
    first = read(sam=sam, secrets=secrets)
    assert isinstance(first.error, SamLockedError)
    assert first.commands == ["S 00F00000 37"]
    second = read(sam=sam, secrets=secrets)
    assert isinstance(second.error, SamLockedError)
    assert second.commands == []
    assert sam.wrong_passwords == 1
    secrets.allow_another_try()
    read(sam=sam, secrets=secrets)
    assert sam.wrong_passwords == 2


def test_sam_refusal_is_not_retryable_for_whoever_asks() -> None:
    """No caller may put it into a retry loop by looking at the flag."""
    assert SamLockedError.retryable is False


def test_card_without_the_application_is_called_unknown_not_fake() -> None:
    """A bank card, or a generation we do not know."""
    reading = read(card_faults=Faults(unknown_chip=True))
    assert isinstance(reading.error, UnknownChipError)
    assert "6A82" in str(reading.error)


def test_two_cards_on_the_reader_are_named() -> None:
    """The cure is in the message: take one away."""
    reading = read(card_faults=Faults(two_cards=True))
    assert isinstance(reading.error, StatusWordError)
    assert "only one card" in str(reading.error)


@pytest.mark.parametrize("n", range(1, MESSAGES_TO_CARD + 1))
def test_card_torn_off_at_any_command_is_a_removed_card(n: int) -> None:
    """From the first command to the last: the same cause, the SAM reset, no record."""
    reading = read(card_faults=Faults(tear_at=n))
    assert isinstance(reading.error, CardRemovedError)
    assert reading.commands[-1] == "S 00FF0000 5"


@pytest.mark.parametrize("n", range(1, MESSAGES_TO_SAM))
def test_sam_pulled_at_any_command_is_a_missing_sam(n: int) -> None:
    """Never shown as the member's card being at fault."""
    reading = read(sam_faults=Faults(tear_at=n))
    assert isinstance(reading.error, SamMissingError)


def test_sam_that_fails_only_at_the_last_reset_does_not_spoil_the_read(caplog: pytest.LogCaptureFixture) -> None:
    """Everything was read; the log keeps the oddity."""
    with caplog.at_level(logging.WARNING):
        reading = read(sam_faults=Faults(tear_at=MESSAGES_TO_SAM))
    assert reading.whole.chip_authenticated
    assert "could not be reset" in caplog.text


@pytest.mark.parametrize("n", range(2, MESSAGES_TO_CARD + 1))
def test_answer_replayed_at_any_secured_command_is_refused(n: int) -> None:
    """Under secure messaging yesterday's answer never passes for today's; in clear the lengths give it away."""
    reading = read(card_faults=Faults(replay_at=n))
    secured = [apdu[0] == 0x0C for who, apdu, _ in reading.tape if who == CARD]
    if len(secured) >= n and secured[n - 1]:
        assert isinstance(reading.error, DeviceError)


@pytest.mark.parametrize("n", range(1, MESSAGES_TO_CARD + 1))
def test_flipped_bit_in_any_answer_never_gives_other_data(n: int) -> None:
    """Either an error, or exactly what is on the chip with the photo as the one thing that travels in clear."""
    reading = read(card_faults=Faults(flip_bit_at=n))
    if reading.record is None:
        assert isinstance(reading.error, DeviceError)
        return
    assert reading.record.biodata.nik == PERSON.fields[0]
    right, left = (bytes(template.view()) for template in reading.record.templates)
    assert (right == PERSON.right_template, left == PERSON.left_template) == (True, True)
    if reading.record.photo != PERSON.photo:
        assert reading.record.data_signature.raw != invented.SIGNATURE_VALID


def test_wrong_mac_in_one_answer_ends_the_read() -> None:
    """Somebody sits between reader and chip, or the field is bad: no data from such an answer."""
    reading = read(card_faults=Faults(wrong_mac_at=5))
    assert isinstance(reading.error, StatusWordError)
    assert reading.error.sw == invented.SW_WRONG_MAC
    assert reading.commands[-1] == "S 00FF0000 5"


def test_card_that_fails_inside_secure_messaging_tells_its_status_word() -> None:
    """The protected status word is the one that counts."""
    reading = read(card_faults=Faults(inner_status_at=6))
    assert isinstance(reading.error, StatusWordError)
    assert reading.error.sw == 0x6581


@pytest.mark.parametrize("file_id", [0x6FF1, 0x6FF2, 0x6FF3, 0x6FF4, 0x6FF5])
def test_last_chunk_cut_short_is_bad_data_of_that_file(file_id: int) -> None:
    """A torn tail is never padded up or passed on."""
    reading = read(card_faults=Faults(truncated_file=file_id))
    assert isinstance(reading.error, ChipDataError)
    assert "bytes instead of" in str(reading.error)


def test_template_that_disagrees_with_its_file_is_refused() -> None:
    """Length field and prefix must say the same, or bytes are missing."""
    reading = read(card_faults=Faults(wrong_template_length=True))
    assert isinstance(reading.error, ChipDataError)
    assert reading.error.doing == "reading minutiae 1"


def test_file_that_holds_no_fingerprint_record_is_refused() -> None:
    """Garbage after a failed deciphering looks like this."""
    reading = read(person(left_template=bytes(range(256))))
    assert isinstance(reading.error, ChipDataError)
    assert "not a finger minutiae record" in str(reading.error)


def test_template_of_another_version_is_handed_on_and_reported() -> None:
    """What it is, the matcher can tell; the driver only makes sure it is whole."""
    template = bytearray(chip_template(1, 2))
    template[4:8] = b" 30\x00"
    assert read(person(right_template=bytes(template))).whole.warnings == ("finger_1_version",)


def test_biodata_with_too_few_fields_ends_the_read() -> None:
    """Names in the wrong field are worse than none."""
    reading = read(card_faults=Faults(biodata_fields=20))
    assert isinstance(reading.error, ChipDataError)
    assert "20 fields" in str(reading.error)


def test_card_of_another_key_is_an_authentication_failure() -> None:
    """Chip and SAM do not belong together: evidence, not a verdict."""
    chip = dataclasses.replace(NXP_A, serial=bytes.fromhex("04990000000099"))
    genuine = VirtualEktp(PERSON, NXP_A)
    clone = VirtualEktp(PERSON, chip)

    def wrong_chip(apdu: bytes, truth: Callable[[], bytes]) -> bytes:
        return clone.transmit(apdu) if apdu[1] in (0x84, 0x82) else truth()

    reading = read(card=Altered(genuine, wrong_chip))
    assert isinstance(reading.error, ChipAuthenticationError)
    assert reading.error.doing == "authenticating chip and SAM"


def test_uid_of_four_bytes_without_the_chips_own_number_is_refused() -> None:
    """Not provided for: better a named error than an authentication with made-up bytes."""
    odd = Altered(VirtualEktp(PERSON), lambda apdu, truth: b"\1\2\3\4\x90\0" if apdu[0] == 0xFF else truth())
    reading = read(card=odd)
    assert isinstance(reading.error, ChipDataError)
    assert "no 8-byte number" in str(reading.error)
    assert "C 00DF0000 5" in reading.commands


def test_chip_that_only_knows_the_other_form_of_its_number_is_type_b() -> None:
    """DF, of which the last 8 bytes count."""
    number = TYPE_B.serial

    def second_form(apdu: bytes, truth: Callable[[], bytes]) -> bytes:
        if apdu[:2] == b"\x00\xdd":
            return b"\x6d\x00"
        return b"\xaa\xbb" + number + b"\x90\x00" if apdu[:2] == b"\x00\xdf" else truth()

    record = read(card=Altered(VirtualEktp(PERSON, TYPE_B), second_form)).whole
    assert record.card_type is CardType.B


def test_chip_that_accepts_the_sam_but_cannot_prove_itself_is_refused() -> None:
    """A copy of the free files on another card: it says 9000 to anything, and has not the keys."""
    forged = Altered(VirtualEktp(PERSON), lambda apdu, truth: bytes(40) + b"\x90\x00" if apdu[1] == 0x82 else truth())
    reading = read(card=forged)
    assert isinstance(reading.error, ChipAuthenticationError)
    assert reading.error.doing == "verifying the chip"


def test_sam_that_refuses_the_chip_is_an_authentication_failure() -> None:
    """F1 answered with anything but 40 bytes and 9000."""
    refusing = Altered(VirtualSam(), lambda apdu, truth: b"\x6a\x80" if apdu[1] == 0xF1 else truth())
    reading = read(sam=refusing)
    assert isinstance(reading.error, ChipAuthenticationError)
    assert reading.error.sw == 0x6A80


@pytest.mark.parametrize("answer", ["3000 9000", "60145F01 9000", "9902 9000 9000", "8E0800 9000", "9000"])
def test_secured_answer_of_another_shape_does_not_even_reach_the_sam(answer: str) -> None:
    """Data in clear under secure messaging is no data."""
    plain = Altered(VirtualEktp(PERSON), lambda apdu, truth: bytes.fromhex(answer) if apdu[0] == 0x0C else truth())
    reading = read(card=plain)
    assert isinstance(reading.error, DeviceProtocolError)
    assert not any(command.startswith("S 00F4") for command in reading.commands)


@pytest.mark.parametrize("wrapped", ["0CB000000D 970108 8E08 0000000000000000 00", "00A4000002 6FF6", "0CA4", ""])
def test_sam_that_wraps_another_command_does_not_reach_the_card(wrapped: str) -> None:
    """SELECT was asked for: neither READ, nor an open command, nor a stump may go out."""
    other = Altered(
        VirtualSam(), lambda apdu, truth: bytes.fromhex(wrapped) + b"\x90\0" if apdu[1] == 0xF3 else truth()
    )
    reading = read(sam=other)
    assert isinstance(reading.error, DeviceProtocolError)
    assert [command for command in reading.commands if command.startswith("C")][-1] == "C 00820000 46"


@pytest.mark.parametrize(
    ("owner", "file"),
    [
        (person(photo=bytes(4097)), "photo"),
        (person(signature_image=bytes(4097)), "signature image"),
        (person(right_template=bytes(2049)), "minutiae 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_file_that_claims_more_than_any_chip_holds_is_not_read_to_its_end(owner: VirtualPerson, file: str) -> None:
    """A broken length prefix would keep the member waiting for minutes."""
    reading = read(owner)
    assert isinstance(reading.error, ChipDataError)
    assert f"reading {file}: claims" in str(reading.error)


@pytest.mark.parametrize("content", [b"\x00", b"\x01\x00\x22"])
def test_file_shorter_than_its_first_block_is_bad_data(content: bytes) -> None:
    """No length, or a length and next to nothing behind it."""
    card = VirtualEktp(PERSON)
    card._files[BIODATA.file_id] = content
    assert isinstance(read(card=card).error, ChipDataError)


def test_short_data_signature_file_is_bad_data() -> None:
    """The SAM gets all 80 bytes or none."""
    card = VirtualEktp(PERSON)
    card._files[DATA_SIGNATURE.file_id] = bytes(40)
    reading = read(card=card)
    assert isinstance(reading.error, ChipDataError)
    assert "40 bytes instead of 80" in str(reading.error)


@pytest.mark.parametrize("length", ["0000", "00FF", ""])
def test_card_control_without_a_sensible_length_is_bad_data(length: str) -> None:
    """It could not be handed to the SAM in one command."""
    card = VirtualEktp(PERSON)
    card._files[CARD_CONTROL.file_id] = bytes.fromhex(length) + bytes(51 if length else 0)
    reading = read(card=card)
    assert isinstance(reading.error, ChipDataError)
    assert "reading card control" in str(reading.error)


@given(st.integers(1, MESSAGES_TO_CARD), st.binary(min_size=2, max_size=258))
@settings(deadline=None, max_examples=150)
def test_any_answer_in_any_place_ends_in_a_record_or_a_named_error(n: int, answer: bytes) -> None:
    """A reader may hand over anything at any point: never a crash, never a hang, never foreign data."""

    count = 0

    def lie_once(_apdu: bytes, truth: Callable[[], bytes]) -> bytes:
        nonlocal count
        count += 1
        true_answer = truth()
        return answer if count == n else true_answer

    reading = read(card=Altered(VirtualEktp(PERSON), lie_once))
    assert (reading.record is None) is (reading.error is not None)
    if reading.record is not None:
        assert reading.record.biodata.nik == PERSON.fields[0]


@pytest.mark.parametrize("n", [20, 30, 36, MESSAGES_TO_CARD, 0])
def test_read_leaves_nothing_of_the_chip_in_its_buffers(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed midway or done: every buffer is zeros, and only what the record owns stays."""
    buffers: list[bytearray] = []
    results: list[SensitiveBytes] = []

    class Watched(SensitiveBytes):
        """Remembers itself."""

        def __init__(self, content: bytes | bytearray | memoryview) -> None:
            super().__init__(content)
            results.append(self)
            if isinstance(content, bytearray):
                buffers.append(content)

    original = FileRead.__init__

    def remember(self: FileRead, channel: object, file: object, content: bytearray, total: int) -> None:
        buffers.append(content)
        original(self, channel, file, content, total)  # type: ignore[arg-type]

    monkeypatch.setattr(read_module, "SensitiveBytes", Watched)
    monkeypatch.setattr(FileRead, "__init__", remember)
    reading = read(card_faults=Faults(tear_at=n))
    assert not any(any(buffer) for buffer in buffers)
    assert n < 30 or buffers
    if n == 0:
        record = reading.whole
        assert len(buffers) == 4 + 3
        assert sum(any(result.view()) for result in results) == 3
        record.wipe()
    assert not any(any(result.view()) for result in results)


def test_protocol_errors_name_reader_and_step() -> None:
    """Whoever reads the log knows where it happened."""
    error = read(card_faults=Faults(wrong_mac_at=2)).error
    assert error is not None
    assert (error.device, error.doing) == ("SAM", "reading data signature")
    assert not isinstance(error, DeviceProtocolError)
