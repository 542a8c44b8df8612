"""What every card reader promises, whichever way the bytes travel: in process, over a socket, through pcscd."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.card.base import CardConnection, CardReader
from drivers.card.ektp.read import read_card
from drivers.card.errors import CardRemovedError, NoCardError, SamMissingError
from drivers.card.pair import SwitchedSlot, connected_pair
from drivers.card.pcsc import PcscReader
from drivers.card.socket_reader import SocketReader
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A, PROFILES, TYPE_B, ChipProfile
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.inprocess import InProcessReader
from drivers.card.virtual.person import synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.sam_slots import VirtualSamSlots
from drivers.card.virtual.served import VPCD_CARD_PORT, VPCD_SAM_PORT, SocketSlot, VpcdSlot
from drivers.errors import DeviceBusyError, DeviceTimeoutError
from tests.drivers.card.records import chip_template

PERSON = synthetic_person(1, chip_template(1, 2), chip_template(2, 7))
GET_UID = bytes.fromhex("FFCA000000")
SELECT_EKTP = bytes.fromhex("00A40000027F0A")
GENEROUS_S = 10.0
"""Far above what any of the three needs; a slow machine only waits, it does not fail."""


class EchoCard:
    """Answers every command with its own bytes as far as they fit, and 9000; can hold its answer back."""

    atr = NXP_A.atr

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.hold.set()

    def power_on(self) -> None:
        """Nothing to forget."""

    power_off = reset = power_on

    def transmit(self, apdu: bytes) -> bytes:
        """The body back."""
        self.hold.wait(GENEROUS_S)
        return apdu[5:] + b"\x90\x00"


@dataclass
class Slot:
    """A reader and the hand that lays cards on it."""

    reader: CardReader
    impatient: Callable[[float], CardReader]
    """The same reader, giving up on one answer after so many seconds."""
    insert: Callable[[Emulator], None]
    remove: Callable[[], None]


@dataclass
class Bench:
    """Two slots: for the card and for the SAM."""

    card: Slot
    sam: Slot


def _until_present(reader: CardReader) -> None:
    assert reader.wait_for_card(GENEROUS_S)


def _until_absent(reader: CardReader) -> None:
    end = time.monotonic() + GENEROUS_S
    while reader.wait_for_card(0.0):
        assert time.monotonic() < end
        time.sleep(0.05)


def _in_process_slot(name: str) -> Slot:
    reader = InProcessReader(name=name)
    return Slot(reader, lambda _seconds: reader, reader.insert, reader.remove)


@contextlib.contextmanager
def _socket_slot(path: Path) -> Iterator[Slot]:
    slot = SocketSlot(None, path)
    try:
        yield Slot(SocketReader(path), lambda s: SocketReader(path, answer_timeout_s=s), slot.insert, slot.remove)
    finally:
        slot.close()


@contextlib.contextmanager
def _pcscd_slot(name: str, port: int) -> Iterator[Slot]:
    reader = PcscReader(name)
    slot: VpcdSlot | None = None

    def insert(emulator: Emulator) -> None:
        nonlocal slot
        remove()
        slot = VpcdSlot(emulator, port=port)
        slot.insert()
        _until_present(reader)

    def remove() -> None:
        nonlocal slot
        if slot is not None:
            slot.remove()
            slot = None
            _until_absent(reader)

    try:
        _until_absent(reader)
        yield Slot(reader, lambda s: PcscReader(name, call_timeout_s=s), insert, remove)
    finally:
        remove()


@contextlib.contextmanager
def _bench(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Bench]:
    match kind:
        case "in process":
            yield Bench(_in_process_slot("card slot"), _in_process_slot("SAM slot"))
        case "socket":
            with _socket_slot(folder / "card") as card, _socket_slot(folder / "sam") as sam:
                yield Bench(card, sam)
        case _:
            request.getfixturevalue("pcscd")
            with (
                _pcscd_slot("Virtual PCD 00 00", VPCD_CARD_PORT) as card,
                _pcscd_slot("Virtual PCD 00 01", VPCD_SAM_PORT) as sam,
            ):
                yield Bench(card, sam)


PCSCD = pytest.param("pcscd", marks=pytest.mark.pcsc)


@pytest.fixture(params=["in process", "socket", PCSCD])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Every implementation of a reader, by name."""
    with _bench(request.param, request, tmp_path) as ready:
        yield ready


@pytest.fixture(params=["socket", PCSCD])
def bench_with_a_link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Those with something between program and card that can get stuck; a function call has nothing."""
    with _bench(request.param, request, tmp_path) as ready:
        yield ready


def _ask(connection: CardConnection, apdu: bytes = GET_UID) -> bytes:
    return connection.transmit(apdu)


def test_empty_reader_says_no_card(bench: Bench) -> None:
    """Nothing on the reader is its own cause, told at once, not a time-out."""
    assert not bench.card.reader.wait_for_card(0.0)
    with pytest.raises(NoCardError):
        bench.card.reader.connect()


def test_card_laid_on_while_waiting_ends_the_wait(bench: Bench) -> None:
    """The prompt "lay the card on the reader" goes away by itself."""
    late = threading.Timer(0.3, bench.card.insert, [EchoCard()])
    late.start()
    try:
        assert bench.card.reader.wait_for_card(GENEROUS_S)
    finally:
        late.join()


def test_connected_card_gives_its_atr_and_answers(bench: Bench) -> None:
    """The answer comes back with its status word, and the reader's name is known."""
    bench.card.insert(VirtualEktp(PERSON))
    with bench.card.reader.connect() as card:
        assert card.atr == NXP_A.atr
        assert card.reader == bench.card.reader.name
        assert _ask(card) == NXP_A.serial + b"\x90\x00"
        assert _ask(card, SELECT_EKTP) == b"\x90\x00"


def test_longest_command_and_answer_pass_whole(bench: Bench) -> None:
    """255 bytes there and back: what the photo and the SAM need."""
    body = bytes(range(255))
    bench.card.insert(EchoCard())
    with bench.card.reader.connect() as card:
        assert card.transmit(bytes.fromhex("00FA0300FF") + body) == body + b"\x90\x00"


def test_second_program_is_told_the_reader_is_busy(bench: Bench) -> None:
    """Nobody reads along: the connection is exclusive, and free again after it is closed."""
    bench.card.insert(EchoCard())
    with bench.card.reader.connect(), pytest.raises(DeviceBusyError):
        bench.card.reader.connect()
    with bench.card.reader.connect() as card:
        assert _ask(card)


def test_closing_twice_is_harmless(bench: Bench) -> None:
    """Every way out may close, also after another one did."""
    bench.card.insert(EchoCard())
    card = bench.card.reader.connect()
    card.close()
    card.close()


def test_card_forgets_its_session_between_connections(bench: Bench) -> None:
    """What one claim selected and authenticated is gone before the next one begins."""
    bench.card.insert(VirtualEktp(PERSON))
    read_photo_file = bytes.fromhex("00B0000008")
    with bench.card.reader.connect() as card:
        _ask(card, SELECT_EKTP)
        _ask(card, bytes.fromhex("00A40000026FF2"))
        assert _ask(card, read_photo_file).endswith(b"\x90\x00")
    with bench.card.reader.connect() as card:
        assert _ask(card, read_photo_file) == b"\x69\x85"


def test_card_taken_between_commands_is_noticed_and_can_come_back(bench: Bench) -> None:
    """The next command says "card removed"; laid down again it works without restarting anything."""
    bench.card.insert(EchoCard())
    with bench.card.reader.connect() as card:
        _ask(card)
        bench.card.remove()
        with pytest.raises(CardRemovedError):
            _ask(card)
    with pytest.raises(NoCardError):
        bench.card.reader.connect()
    bench.card.insert(EchoCard())
    with bench.card.reader.connect() as card:
        assert _ask(card)


def test_card_torn_off_in_the_middle_of_a_command_is_noticed_and_can_come_back(bench: Bench) -> None:
    """No half answer is taken for an answer, and the slot sees the next card at once."""
    bench.card.insert(VirtualEktp(PERSON, faults=Faults(tear_at=2)))
    with bench.card.reader.connect() as card:
        _ask(card)
        with pytest.raises(CardRemovedError):
            _ask(card)
        with pytest.raises(CardRemovedError):
            _ask(card)
    bench.card.insert(VirtualEktp(PERSON))
    with bench.card.reader.connect() as card:
        assert _ask(card)


def test_answer_of_one_byte_counts_as_card_removed(bench: Bench) -> None:
    """Some readers hand on such stumps with a code that says success."""
    bench.card.insert(VirtualEktp(PERSON, faults=Faults(short_answer_at=1)))
    with bench.card.reader.connect() as card, pytest.raises(CardRemovedError):
        _ask(card)


def test_card_that_never_answers_does_not_hang_the_counter(bench_with_a_link: Bench) -> None:
    """A stuck reader ends in a named time-out; should it come back to life, it is let go by itself."""
    slot, stuck = bench_with_a_link.card, EchoCard()
    stuck.hold.clear()
    slot.insert(stuck)
    card = slot.impatient(0.2).connect()
    try:
        with pytest.raises(DeviceTimeoutError):
            _ask(card)
        card.close()
        with pytest.raises(DeviceBusyError):
            slot.reader.connect()
    finally:
        stuck.hold.set()
    end = time.monotonic() + GENEROUS_S
    while True:
        try:
            slot.reader.connect().close()
            break
        except DeviceBusyError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_whole_card_is_read(bench: Bench, chip: ChipProfile) -> None:
    """Holder, photo, signature image and both templates arrive as they were written on every kind of chip."""
    bench.card.insert(VirtualEktp(PERSON, chip))
    bench.sam.insert(VirtualSam())
    with connected_pair(bench.card.reader, bench.sam.reader) as (card, sam):
        record = read_card(card, sam, invented.sam_secrets())
    assert record.biodata.name == "PESERTA UJI SATU"
    assert record.photo == PERSON.photo
    assert bytes(record.signature_image.view()) == PERSON.signature_image
    written = [PERSON.right_template, PERSON.left_template]
    as_written = [bytes(template.view()) for template in record.templates] == written
    assert as_written
    assert record.chip_authenticated
    assert record.data_signature.raw == invented.SIGNATURE_VALID
    assert record.card_type is chip.card_type
    assert record.warnings == ()
    record.wipe()


def test_card_torn_off_midway_is_read_whole_when_laid_down_again(bench: Bench) -> None:
    """The member's hand slipped; the same card, the same reader, the same SAM simply work again."""
    emulator = VirtualEktp(PERSON, TYPE_B, Faults(tear_at=30))
    bench.card.insert(emulator)
    bench.sam.insert(VirtualSam())
    with connected_pair(bench.card.reader, bench.sam.reader) as (card, sam), pytest.raises(CardRemovedError):
        read_card(card, sam, invented.sam_secrets())
    bench.card.insert(emulator)
    with connected_pair(bench.card.reader, bench.sam.reader) as (card, sam):
        assert len(read_card(card, sam, invented.sam_secrets()).templates) == 2


def test_sam_pulled_out_midway_is_called_by_its_name(bench: Bench) -> None:
    """The operator looks at the SAM slot, not at the member's card."""
    bench.card.insert(VirtualEktp(PERSON))
    bench.sam.insert(VirtualSam(faults=Faults(tear_at=12)))
    with connected_pair(bench.card.reader, bench.sam.reader) as (card, sam), pytest.raises(SamMissingError):
        read_card(card, sam, invented.sam_secrets())
    _until_absent(bench.sam.reader)
    with pytest.raises(SamMissingError), connected_pair(bench.card.reader, bench.sam.reader):
        pass


def test_sam_in_the_second_slot_of_one_entry_is_found_by_switching(bench: Bench) -> None:
    """Readers of the other build show one entry for both slots; the switch comes before everything else."""
    bench.card.insert(VirtualEktp(PERSON))
    bench.sam.insert(VirtualSamSlots({2: VirtualSam()}))
    with connected_pair(bench.card.reader, SwitchedSlot(bench.sam.reader, 2)) as (card, sam):
        assert read_card(card, sam, invented.sam_secrets()).chip_authenticated
    with pytest.raises(SamMissingError), connected_pair(bench.card.reader, SwitchedSlot(bench.sam.reader, 1)):
        pass
