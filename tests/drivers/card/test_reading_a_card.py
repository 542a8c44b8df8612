"""A whole e-KTP: what comes out, and the messages in exactly the order of the field."""

import dataclasses

import cv2
import numpy as np
import pytest

from drivers.card.ektp.read import ReadStep
from drivers.card.ektp.record import CardType
from drivers.card.virtual import invented
from drivers.card.virtual.chip import A079141, NXP_A, P308_A, PROFILES, TYPE_B, ChipProfile
from drivers.card.virtual.faults import Faults, MissingFinger
from drivers.card.virtual.sam import VirtualSam
from tests.drivers.card.reading import PERSON, SAM, Altered, person, read
from tests.drivers.card.records import chip_template

THUMBNAIL = b"\xff\xd8" + bytes(30) + b"\xff\xd9"
"""A small picture in front of the picture, with an end marker of its own."""

SECURED_SELECT = ["S 00F30000 12", "C 0CA40000 27", "S 00F40000 19"]


def _secured_read(offset: int, answer: int) -> list[str]:
    """One secured READ: plain to the SAM, protected to the card, its answer back to the SAM."""
    return ["S 00F30000 10", f"C 0CB0{offset:04X} 19", f"S 00F40000 {5 + answer}"]


def _transaction(biodata_rest: int, photo: list[int]) -> list[str]:
    """The whole transaction as it is known from the field, lengths of complete commands."""
    return [
        "S 00F00000 37",
        "S 00F70000 5",
        "C FFCA0000 5",
        "C 00A40000 7",
        "C 00A40000 7",
        *(f"C 00B0{offset:04X} 5" for offset in [0, *range(8, 8 + 248 * (len(photo) - 1), 248)]),
        "C 00DD0000 5",
        "C 00A40000 7",
        "C 00B00000 5",
        "S 00FF0000 5",
        "C 00840000 5",
        "S 00F10001 72",
        "C 00820000 46",
        "S 00F20000 45",
        *SECURED_SELECT,
        *_secured_read(0, 105),
        "S 00FA0000 5",
        "S 00FA0600 85",
        *SECURED_SELECT,
        *_secured_read(0, 33),
        *_secured_read(8, 234),
        *_secured_read(216, biodata_rest),
        *(f"S 00FA0300 {5 + size}" for size in photo),
        "S 00FA0500 5",
        *SECURED_SELECT,
        *_secured_read(0, 33),
        *_secured_read(8, 234),
        *_secured_read(216, 234),
        *_secured_read(424, 234),
        *_secured_read(632, 234),
        *_secured_read(840, 113),
        *SECURED_SELECT,
        *_secured_read(0, 33),
        *_secured_read(8, 234),
        *_secured_read(216, 105),
        *SECURED_SELECT,
        *_secured_read(0, 33),
        *_secured_read(8, 234),
        "S 00FA0200 5",
        *_secured_read(216, 202),
        "S 00FA0400 5",
        "S 00FF0000 5",
    ]


def test_holder_photo_and_templates_come_as_they_were_written() -> None:
    """The point of it all; content is compared as a yes or no, so that a failure prints none of it."""
    record = read().whole
    assert record.biodata.nik == PERSON.fields[0]
    assert record.biodata.name == "PESERTA UJI SATU"
    assert (record.photo == PERSON.photo) is True
    right, left = (bytes(template.view()) for template in record.templates)
    assert (right == PERSON.right_template, left == PERSON.left_template) == (True, True)
    assert (bytes(record.signature_image.view()) == PERSON.signature_image) is True
    assert (record.reader, record.sam_reader, record.sam_uid) == ("card", "SAM", invented.SAM_UID)
    assert record.warnings == ()


def test_messages_come_in_the_order_and_length_of_the_field() -> None:
    """Templates of 288 and 390 bytes and biodata of 251: the worked examples, message by message."""
    address = PERSON.fields[1] + "X" * (251 - len(PERSON.biodata_line()))
    owner = person(fields=(PERSON.fields[0], address, *PERSON.fields[2:]))
    assert len(owner.biodata_line()) == 251
    photo_file = 2 + len(owner.photo)
    chunks = [8, *[248] * ((photo_file - 8) // 248), (photo_file - 8) % 248]
    # 37 bytes of biodata are 40 under padding, and 57 with the objects around them.
    assert read(owner).commands == _transaction(57, chunks)


def test_progress_names_every_step_once_and_only_grows() -> None:
    """The bar on the operator's screen runs from left to right."""
    steps = read().steps
    assert steps == list(ReadStep)
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] < 1.0


@pytest.mark.parametrize(("chip", "function"), [(NXP_A, 1), (P308_A, 0), (A079141, 0), (TYPE_B, 1)])
def test_card_control_length_selects_the_function_of_the_sam(chip: ChipProfile, function: int) -> None:
    """51 bytes need "sec mutual auth"; 24 and 29 the plain one."""
    reading = read(chip=chip)
    assert reading.whole.chip_authenticated
    assert f"S 00F100{function:02X} {5 + chip.control_length + 16}" in reading.commands


def test_card_control_of_unknown_length_is_tried_once_and_reported() -> None:
    """A card of tomorrow gets one try with the plain function, and the record says so."""
    reading = read(chip=dataclasses.replace(NXP_A, control_length=33))
    assert reading.whole.warnings == ("card_control_length",)
    assert [command for command in reading.commands if command.startswith("S 00F1")] == ["S 00F10000 54"]


def test_card_control_longer_than_the_first_read_is_read_on() -> None:
    """Nothing of it is lost only because the usual read is 53 bytes."""
    assert read(chip=dataclasses.replace(NXP_A, control_length=70)).whole.warnings == ("card_control_length",)


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_data_signature_is_reported_raw_and_apart_from_the_genuine_chip(chip: ChipProfile) -> None:
    """Two results, never one: the chip is genuine, and what the SAM said of the data."""
    record = read(chip=chip).whole
    assert record.chip_authenticated
    assert record.data_signature.code == "0010"


def test_data_signature_over_other_data_does_not_make_the_chip_a_fake() -> None:
    """The claim goes on with what the SAM said on record."""
    record = read(card_faults=Faults(broken_data_signature=True)).whole
    assert record.chip_authenticated
    assert record.data_signature.raw == b"\x00\x01"


@pytest.mark.parametrize("result", [b"\x00\x01", b"\x61\x10", b"\x6c\x05", b"\x69\x82"])
def test_any_signature_result_is_kept_as_it_is(result: bytes) -> None:
    """The two bytes are no status word, whatever they look like: no retry, no GET RESPONSE."""
    reading = read(sam_faults=Faults(signature_result=result))
    assert reading.whole.data_signature.raw == result
    assert reading.commands[-2:] == ["S 00FA0400 5", "S 00FF0000 5"]


def test_type_b_chip_authenticates_with_its_own_number() -> None:
    """The 8 bytes come from the chip, the reader only knows its PUPI."""
    reading = read(chip=TYPE_B)
    assert reading.whole.card_type is CardType.B
    body = next(apdu for who, apdu, _ in reading.tape if who == SAM and apdu[1] == 0xF1)
    assert body[5 + 51 : 5 + 51 + 8] == TYPE_B.serial


def test_type_a_chip_authenticates_with_80_before_its_uid() -> None:
    """The form every reader program uses."""
    reading = read(chip=NXP_A)
    assert reading.whole.card_type is CardType.A
    body = next(apdu for who, apdu, _ in reading.tape if who == SAM and apdu[1] == 0xF1)
    assert body[5 + 51 : 5 + 51 + 8] == b"\x80" + NXP_A.serial


@pytest.mark.parametrize("how", list(MissingFinger))
def test_missing_left_finger_leaves_the_right_one(how: MissingFinger) -> None:
    """An amputated finger, coded either way: the claim goes on with the other hand."""
    reading = read(card_faults=Faults(missing_left_finger=how))
    record = reading.whole
    assert record.warnings == ("finger_2_missing",)
    assert [bytes(template.view()) == PERSON.right_template for template in record.templates] == [True]
    assert record.data_signature.code == "0010"
    if how is MissingFinger.LENGTH_ZERO:
        # Nothing follows the first block, and the SAM is still told that the last has passed.
        assert reading.commands[-3:] == ["S 00FA0200 5", "S 00FA0400 5", "S 00FF0000 5"]


def test_no_finger_at_all_still_gives_the_holder() -> None:
    """Identity and photo are there for the coded fallback."""
    record = read(person(right_template=None, left_template=None)).whole
    assert record.templates == ()
    assert record.warnings == ("finger_1_missing", "finger_2_missing")


@pytest.mark.parametrize("minutiae", [40, 41, 42, 43, 44, 60])
def test_templates_of_every_length_come_whole(minutiae: int) -> None:
    """The last block is asked for rounded up and comes back trimmed, wherever the end falls in it."""
    template = chip_template(5, 2, minutiae)
    record = read(person(right_template=template)).whole
    assert (bytes(record.templates[0].view()) == template) is True


def test_name_with_comma_apostrophe_and_accent_is_read_from_the_chip() -> None:
    """Latin-1 bytes and a degree behind a comma."""
    name = "PESERTA D'UJI, S.H. \xc9"
    record = read(person(fields=(*PERSON.fields[:13], name, *PERSON.fields[14:]))).whole
    assert record.biodata.name == name


def test_biodata_with_an_additional_field_is_read_and_reported() -> None:
    """A newer card is no error."""
    record = read(card_faults=Faults(biodata_fields=22)).whole
    assert record.warnings == ("biodata_22_fields",)
    assert record.biodata.extra == ("TAMBAHAN",)


@pytest.mark.parametrize(
    ("photo", "expected", "warning"),
    [
        (b"", b"", "photo_missing"),
        (bytes(150), b"", "photo_missing"),
        (bytes(2) + PERSON.photo + bytes(40), PERSON.photo, None),
        (THUMBNAIL + PERSON.photo, THUMBNAIL + PERSON.photo, None),
        (PERSON.photo[:-2] + bytes(5), PERSON.photo[:-2] + bytes(5), "photo_without_eoi"),
    ],
    ids=["none", "too short", "padded", "with thumbnail", "no end"],
)
def test_photo_is_found_by_its_markers(photo: bytes, expected: bytes, warning: str | None) -> None:
    """Cards pad differently: only SOI and EOI say where the picture is."""
    record = read(person(photo=photo)).whole
    assert (record.photo == expected) is True
    assert record.warnings == (() if warning is None else (warning,))


def test_photo_without_start_marker_is_no_photo() -> None:
    """Better no picture than one nobody can open; the rest of the card counts."""
    record = read(card_faults=Faults(photo_without_soi=True)).whole
    assert record.photo == b""
    assert record.warnings == ("photo_without_soi",)


def test_longest_photo_the_file_can_hold_is_read() -> None:
    """4096 bytes, as the most generous reader allots."""
    photo = b"\xff\xd8" + bytes(4092) + b"\xff\xd9"
    assert (read(person(photo=photo)).whole.photo == photo) is True


def test_sam_that_does_not_tell_its_number_is_reported() -> None:
    """The packet then says so instead of naming a wrong one."""

    nameless = Altered(VirtualSam(), lambda apdu, truth: b"\x6d\x00" if apdu[1] == 0xF7 else truth())
    record = read(sam=nameless).whole
    assert record.sam_uid == b""
    assert record.warnings == ("sam_uid_unknown",)


def test_sam_that_does_not_hash_the_photo_is_reported() -> None:
    """No traffic shows that function: its absence costs the data signature, not the claim."""

    blind = Altered(VirtualSam(), lambda apdu, truth: b"\x6a\x86" if apdu[1:3] == b"\xfa\x03" else truth())
    reading = read(sam=blind)
    assert reading.whole.warnings == ("photo_not_hashed",)
    assert reading.whole.data_signature.raw == invented.SIGNATURE_NOT_PROVEN
    assert sum(command.startswith("S 00FA03") for command in reading.commands) == 1


def test_slow_card_is_waited_for() -> None:
    """2.5 s for every answer makes a read of minutes, not an error."""
    assert read(card_faults=Faults(seconds_per_apdu=2.5)).whole.chip_authenticated


def test_wiping_the_record_leaves_nothing_of_templates_and_signature() -> None:
    """What the claim does on every way out."""
    record = read().whole
    record.wipe()
    for buffer in (*record.templates, record.signature_image):
        assert not any(buffer.view())


def test_record_in_a_traceback_shows_neither_photo_nor_holder() -> None:
    """Its repr names readers and results only."""
    shown = repr(read().whole)
    assert PERSON.fields[0] not in shown
    assert "JFIF" not in shown
    assert "FMR" not in shown


def test_synthetic_person_fits_the_chip() -> None:
    """Sizes as on real cards, picture openable, strokes where strokes belong."""
    assert 226 <= len(PERSON.biodata_line()) <= 277
    assert len(PERSON.photo) <= 1700
    picture = cv2.imdecode(np.frombuffer(PERSON.photo, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (152, 114, 3)
    strokes = np.unpackbits(np.frombuffer(PERSON.signature_image, np.uint8)).reshape(44, 168)
    assert 100 < int((strokes == 0).sum()) < 3000
