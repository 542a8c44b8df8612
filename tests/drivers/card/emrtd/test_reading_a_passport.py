"""A passport from application to photo: the standard's worked example, our virtual one, and what can go wrong."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from drivers.card.apdu import Command
from drivers.card.emrtd.bac import open_by_bac
from drivers.card.emrtd.errors import MrzMismatchError, NotAPassportError, PassportAccessError
from drivers.card.emrtd.files import COM, DG1, DG2
from drivers.card.emrtd.lds import FaceCoding
from drivers.card.emrtd.mrz import MrzKey
from drivers.card.emrtd.read import Authenticity, PassportStep, read_passport
from drivers.card.errors import CardRemovedError, ChipAuthenticationError, ChipDataError, StatusWordError
from drivers.card.pcsc import PcscReader
from drivers.card.secure_messaging import seal_cryptogram
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.inprocess import InProcessReader
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.served import VpcdSlot
from drivers.errors import DeviceError
from tests.drivers.card.reading import PERSON
from tests.drivers.card.scripted import RecordingConnection, ScriptedConnection

HOLDER = synthetic_holder(1)


def _draws(*given: str) -> "Iterator[bytes]":
    return iter([bytes.fromhex(one) for one in given])


def _read(passport: Emulator, key: MrzKey = HOLDER.key, steps: list[PassportStep] | None = None) -> object:
    with InProcessReader(passport).connect() as card:
        return read_passport(card, key, (steps if steps is not None else []).append)


def test_every_byte_of_the_worked_example() -> None:
    """ICAO Doc 9303 part 11, appendix D: what goes to the chip is what stands there, its answers are understood."""
    chip = ScriptedConnection(
        [
            "4608F919887022129000",
            "46B9342A41396CD7386BF5803104D7CEDC122B9132139BAF2EEDC94EE178534F2F2D235D074D74499000",
            "990290008E08FA855A5D4C50A8ED9000",
            "8709019FF0EC34F9922651990290008E08AD55CC17140B2DED9000",
        ]
    )
    draws = _draws("781723860C06C226", "0B795240CB7049B01C19B33E32804F0B")
    passport = open_by_bac(chip, MrzKey("L898902C", "690806", "940623"), lambda size: next(draws)[:size])
    assert passport.select(COM)
    assert passport.read(COM, 0, 4).hex().upper() == "60145F01"
    assert chip.sent == [
        "0084000008",
        "008200002872C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F25F1448EEA8AD90A728",
        "0CA4020C158709016375432908C044F68E08BF8B92D635FF24F800",
        "0CB000000D9701048E08ED6705417E96BA5500",
    ]


def test_holder_and_photo_of_a_virtual_passport() -> None:
    """What was written comes out, nothing is called verified, and the record can be wiped."""
    steps: list[PassportStep] = []
    with InProcessReader(VirtualPassport(HOLDER)).connect() as card:
        record = read_passport(card, HOLDER.key, steps.append)
    assert record.holder == HOLDER.fields
    assert record.holder.name == "PEKERJA ASING B CONTOH"
    assert record.face is not None
    as_written = bytes(record.face.content.view()) == HOLDER.face
    assert as_written
    assert (record.face.coding, record.face.width, record.face.height) == (FaceCoding.JPEG, 114, 152)
    assert record.authenticity is Authenticity.NOT_CHECKED
    assert record.warnings == ()
    assert steps == list(PassportStep)
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    record.wipe()
    assert not any(bytes(record.face.content.view()))


@pytest.mark.parametrize("size", [1, 200, 223, 224, 5_000, 30_000])
def test_photo_of_any_size_arrives_whole(size: int) -> None:
    """Reads end at, before and behind the edges of their pieces."""
    face = bytes(np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8))
    holder = synthetic_holder(2, face=face)
    with InProcessReader(VirtualPassport(holder)).connect() as card:
        record = read_passport(card, holder.key)
    assert record.face is not None
    as_written = bytes(record.face.content.view()) == face
    assert as_written


def test_photo_beyond_the_reach_of_plain_reads_is_said_to_be_so() -> None:
    """Not half a face, and not another error somewhere later."""
    holder = synthetic_holder(2, face=bytes(33_000))
    with pytest.raises(ChipDataError, match="reading DG2: claims"):
        _read(VirtualPassport(holder), holder.key)


def test_wrong_zone_is_told_as_that_after_one_try() -> None:
    """The operator looks at the three fields again; the chip was asked once."""
    tape: list[tuple[str, bytes, bytes]] = []
    with InProcessReader(VirtualPassport(HOLDER)).connect() as card, pytest.raises(MrzMismatchError) as caught:
        read_passport(RecordingConnection("C", card, tape), synthetic_holder(3).key)
    assert caught.value.retryable
    assert [apdu[1] for _, apdu, _ in tape].count(0x82) == 1


@pytest.mark.parametrize("wrong", ["our number", "its own number", "MAC"])
def test_chip_that_does_not_know_the_key_itself_is_not_believed(wrong: str) -> None:
    """It must answer what was asked just now, under the same key: a recorded answer does not do."""
    keys, challenge, ours = HOLDER.key.keys(), bytes(range(8)), bytes(8)
    theirs = challenge + ours + bytes(16)
    if wrong == "our number":
        theirs = challenge + b"\x01" * 8 + bytes(16)
    elif wrong == "its own number":
        theirs = b"\x01" * 8 + ours + bytes(16)
    sealed = seal_cryptogram(keys, theirs)
    if wrong == "MAC":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    chip = ScriptedConnection([challenge.hex() + "9000", sealed.hex() + "9000"])
    with pytest.raises(ChipAuthenticationError):
        open_by_bac(chip, HOLDER.key, bytes)


def test_chip_that_says_another_holder_than_its_page_is_noted() -> None:
    """The printed zone opened it, and DG1 names somebody else: evidence, for people to look at."""
    passport, printed = VirtualPassport(HOLDER), synthetic_holder(2).key
    passport._keys = printed.keys()
    with InProcessReader(passport).connect() as card:
        record = read_passport(card, printed)
    assert record.holder == HOLDER.fields
    assert record.warnings == ("dg1_differs_from_printed",)
    record.wipe()


@pytest.mark.parametrize("asks", ["for a challenge", "at once"])
def test_chip_without_basic_access_control_is_told_apart_from_a_wrong_zone(asks: str) -> None:
    """Typing again would not help, and it is a passport: PACE is asked for where it is opened, or where selected."""
    with pytest.raises(PassportAccessError) as caught:
        _read(VirtualPassport(HOLDER, bac=False, selects=asks != "at once"))
    assert not caught.value.retryable


def test_other_cards_are_no_passports_and_passports_are_no_ektp() -> None:
    """An e-KTP laid down instead, and a passport asked for its e-KTP application."""
    with pytest.raises(NotAPassportError):
        _read(VirtualEktp(PERSON))
    with InProcessReader(VirtualPassport(HOLDER)).connect() as card:
        assert card.transmit(bytes.fromhex("00A40000027F0A")) == b"\x6a\x82"


def test_photo_that_is_not_there_leaves_the_holder_readable() -> None:
    """The second person compares with the printed page instead."""
    with InProcessReader(VirtualPassport(HOLDER, without=(DG2.file_id, COM.file_id))).connect() as card:
        record = read_passport(card, HOLDER.key)
    assert record.face is None
    assert record.warnings == ("com_missing", "photo_missing")
    record.wipe()


def test_passport_without_its_holder_is_an_error() -> None:
    """DG1 is mandatory."""
    with pytest.raises(ChipDataError, match="reading DG1: there is none"):
        _read(VirtualPassport(HOLDER, without=(DG1.file_id,)))


def test_jpeg2000_is_named_and_kept_as_it_is() -> None:
    """Most states code the face so."""
    _, encoded = cv2.imencode(".jp2", np.full((152, 114, 3), 120, np.uint8))
    holder = dataclasses.replace(synthetic_holder(4, face=encoded.tobytes()), coding=FaceCoding.JPEG2000)
    with InProcessReader(VirtualPassport(holder)).connect() as card:
        record = read_passport(card, holder.key)
    assert record.face is not None
    assert record.face.coding is FaceCoding.JPEG2000


@pytest.mark.parametrize(
    ("faults", "error"),
    [
        (Faults(wrong_mac_at=3), ChipAuthenticationError),
        (Faults(flip_bit_at=6), ChipAuthenticationError),
        (Faults(replay_at=7), ChipAuthenticationError),
        (Faults(inner_status_at=4), StatusWordError),
        (Faults(truncated_file=DG2.file_id), ChipDataError),
        (Faults(unknown_chip=True), NotAPassportError),
        (Faults(tear_at=9), CardRemovedError),
        (Faults(short_answer_at=5), CardRemovedError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_what_goes_wrong_on_the_way_has_its_name(faults: Faults, error: type[DeviceError]) -> None:
    """Altered, replayed, refused, torn: and the next try works."""
    passport = VirtualPassport(HOLDER, faults)
    reader = InProcessReader(passport)
    with pytest.raises(error), reader.connect() as card:
        read_passport(card, HOLDER.key)
    if error is CardRemovedError:
        reader.insert(VirtualPassport(HOLDER))
        with reader.connect() as card:
            read_passport(card, HOLDER.key).wipe()


@pytest.mark.parametrize("at", range(1, 20))
def test_passport_pulled_out_at_any_command(at: int) -> None:
    """Card removed, whichever command it was."""
    with contextlib.suppress(CardRemovedError):
        _read(VirtualPassport(HOLDER, Faults(tear_at=at)))
        pytest.fail("read to the end although it was pulled out")


def test_no_secured_command_shows_what_it_asks_for() -> None:
    """After authentication nothing travels in clear."""
    tape: list[tuple[str, bytes, bytes]] = []
    with InProcessReader(VirtualPassport(HOLDER)).connect() as card:
        read_passport(RecordingConnection("C", card, tape), HOLDER.key).wipe()
    after = [apdu for _, apdu, _ in tape[3:]]
    assert {apdu[0] for apdu in after} == {0x0C}
    assert not any(HOLDER.zone[:20].encode() in answer for _, _, answer in tape)
    _one_challenge([apdu for _, apdu, _ in tape])


def _one_challenge(sent: Sequence[bytes]) -> None:
    assert sum(Command.decode(apdu).ins == 0x84 for apdu in sent) == 1


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_virtual_passport_is_read_through_the_real_pcscd() -> None:
    """The whole way of a counter: reader, service, virtual slot, chip."""
    slot, reader = VpcdSlot(VirtualPassport(HOLDER)), PcscReader("Virtual PCD 00 00")
    slot.insert()
    try:
        assert reader.wait_for_card(10.0)
        with reader.connect() as card:
            assert card.atr == VirtualPassport.atr
            record = read_passport(card, HOLDER.key)
        assert record.holder == HOLDER.fields
        assert record.face is not None
        record.wipe()
    finally:
        slot.remove()
