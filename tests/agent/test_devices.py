"""One card station, one finger station: whole devices behind them, virtual but spoken to over real sockets."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.card.base import CardReader
from drivers.card.ektp.read import ReadStep
from drivers.card.emrtd.read import PassportStep
from drivers.card.errors import CardRemovedError, NoCardError, SamMissingError
from drivers.card.socket_reader import SocketReader
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.person import synthetic_person
from drivers.card.virtual.sam import VirtualSam
from drivers.card.virtual.served import VPCD_SAM_PORT, SocketSlot, VpcdSlot
from drivers.errors import DeviceError, DeviceNotFoundError, DeviceRemovedError, ServiceDownError
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerSource, ScannerState
from drivers.scanner.discovery import Wanted, find_scanners
from drivers.scanner.errors import NotCalibratedError
from drivers.scanner.virtual_server import VirtualScannerServer
from matcher import assess_quality
from mpos_agent.capture.auto_capture import AutoCapture
from mpos_agent.capture.memory import PictureMemory
from mpos_agent.devices import CardStation, FingerStation
from mpos_agent.errors import ClaimBusyError, StoppingError
from tests.capture.glass import INFO, Clock, ScriptedScanner


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[tuple[SocketSlot, SocketSlot]]:
    """A virtual e-KTP beside its reader, and a SAM in its slot."""
    card = SocketSlot(VirtualEktp(synthetic_person(1, None, None)), tmp_path / "card.sock")
    sam = SocketSlot(VirtualSam(), tmp_path / "sam.sock")
    sam.insert()
    yield card, sam
    card.close()
    sam.close()


def station(tmp_path: Path, wait_s: float = 1.0) -> CardStation:
    """The card station over those slots."""

    def pair() -> tuple[CardReader, CardReader]:
        return SocketReader(tmp_path / "card.sock"), SocketReader(tmp_path / "sam.sock")

    secrets = invented.sam_secrets()
    return CardStation(
        pair=pair, alone=lambda: pair()[0], secrets=lambda: secrets, wait_s=wait_s, closing=threading.Event()
    )


def test_a_card_laid_down_is_read_once(tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]) -> None:
    """The station waits for the card, reads it completely and tells every step on the way."""
    slots[0].insert()
    steps: list[ReadStep] = []
    record = station(tmp_path).read(steps.append, threading.Event())
    assert record.biodata.name == "PESERTA UJI SATU"
    assert steps[0] is ReadStep.OPEN_SAM
    assert steps == sorted(steps, key=lambda step: step.fraction)
    record.wipe()


class SettlingReader(SocketReader):
    """A reader at which the hand that tore the card away lays it back ``back`` times."""

    def __init__(self, path: Path, slot: SocketSlot, back: int) -> None:
        super().__init__(path)
        self._slot, self._back = slot, back

    def wait_for_card(self, timeout_s: float) -> bool:
        if not self._slot.inserted and self._back:
            self._back -= 1
            self._slot.insert()
        return super().wait_for_card(timeout_s)


def restless(tmp_path: Path, slot: SocketSlot, back: int) -> CardStation:
    """The station over a reader at which the card is laid down ``back`` times in all."""
    card, sam, secrets = (
        SettlingReader(tmp_path / "card.sock", slot, back),
        SocketReader(tmp_path / "sam.sock"),
        invented.sam_secrets(),
    )
    return CardStation(
        pair=lambda: (card, sam),
        alone=lambda: card,
        secrets=lambda: secrets,
        wait_s=1.0,
        closing=threading.Event(),
    )


def torn_at(command: int) -> VirtualEktp:
    """A card that leaves the field once, over its n-th command."""
    return VirtualEktp(synthetic_person(1, None, None), faults=Faults(tear_at=command))


def test_a_card_that_does_not_lie_still_yet_is_read_all_the_same(
    tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]
) -> None:
    """It left the field while the hand still held it, before it gave anything: nobody lays it down a second time."""
    slots[0].insert(torn_at(1))
    slots[0].remove()
    steps: list[ReadStep] = []
    record = restless(tmp_path, slots[0], 2).read(steps.append, threading.Event())
    assert record.biodata.name == "PESERTA UJI SATU"
    assert steps[:4] == [ReadStep.OPEN_SAM, ReadStep.SELECT, ReadStep.OPEN_SAM, ReadStep.SELECT]
    record.wipe()


def test_a_card_that_had_left_before_it_was_connected_to_is_read_all_the_same(
    tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]
) -> None:
    """It was seen in the field, and gone again in that moment."""

    class Glimpsed(SettlingReader):
        glimpsed = False

        def wait_for_card(self, timeout_s: float) -> bool:
            if not self.glimpsed:
                self.glimpsed = True
                return True
            return super().wait_for_card(timeout_s)

    card, sam = Glimpsed(tmp_path / "card.sock", slots[0], 1), SocketReader(tmp_path / "sam.sock")
    secrets = invented.sam_secrets()
    stations = CardStation(
        pair=lambda: (card, sam), alone=lambda: card, secrets=lambda: secrets, wait_s=1.0, closing=threading.Event()
    )
    record = stations.read(lambda _step: None, threading.Event())
    assert record.biodata.name == "PESERTA UJI SATU"
    record.wipe()


def test_a_passport_that_does_not_lie_still_yet_is_read_all_the_same(
    tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]
) -> None:
    """As a card is; with a wrong key it would not be: a chip answers more slowly after each."""
    holder = synthetic_holder(1)
    slots[0].insert(VirtualPassport(holder, Faults(tear_at=1)))
    slots[0].remove()
    steps: list[PassportStep] = []
    record = restless(tmp_path, slots[0], 2).read_passport(holder.key, steps.append, threading.Event())
    assert record.holder == holder.fields
    assert steps[:3] == [PassportStep.SELECT, PassportStep.SELECT, PassportStep.AUTHENTICATE]
    record.wipe()
    slots[0].insert(VirtualPassport(holder, Faults(tear_at=3)))
    slots[0].remove()
    with pytest.raises(CardRemovedError):
        restless(tmp_path, slots[0], 2).read_passport(holder.key, lambda _step: None, threading.Event())


def test_a_card_taken_away_at_once_is_told_as_that(tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]) -> None:
    """It is not waited for longer than a card needs to settle."""
    slots[0].insert(torn_at(1))
    slots[0].remove()
    with pytest.raises(CardRemovedError):
        restless(tmp_path, slots[0], 1).read(lambda _step: None, threading.Event())


def test_a_card_lifted_over_its_contents_is_not_read_again_by_itself(
    tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]
) -> None:
    """Somebody took it away: whether it may be read again is the operator's to say."""
    slots[0].insert(torn_at(12))
    slots[0].remove()
    steps: list[ReadStep] = []
    with pytest.raises(CardRemovedError):
        restless(tmp_path, slots[0], 2).read(steps.append, threading.Event())
    assert steps.count(ReadStep.OPEN_SAM) == 1


@pytest.mark.pcsc
@pytest.mark.usefixtures("pcscd")
def test_a_card_exchanged_faster_than_pcscd_looks_is_read() -> None:
    """pcscd takes the second card for the first one, and its first command fails: the second one is read."""
    from drivers.card.pcsc import PcscReader

    card, sam = PcscReader("Virtual PCD 00 00"), PcscReader("Virtual PCD 00 01")
    secrets = invented.sam_secrets()
    stations = CardStation(
        pair=lambda: (card, sam), alone=lambda: card, secrets=lambda: secrets, wait_s=10, closing=threading.Event()
    )
    in_slot = VpcdSlot(VirtualSam(), port=VPCD_SAM_PORT)
    first, second = (VpcdSlot(VirtualEktp(synthetic_person(number, None, None))) for number in (1, 2))
    in_slot.insert()
    first.insert()
    try:
        assert sam.wait_for_card(10.0)
        assert card.wait_for_card(10.0)
        first.remove()
        second.insert()
        record = stations.read(lambda _step: None, threading.Event())
        assert record.biodata.name == "PESERTA UJI DUA"
        record.wipe()
    finally:
        for slot in (first, second, in_slot):
            slot.remove()


def test_nobody_lays_a_card_down(tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]) -> None:
    """After the wait the cause is told: there is no card, which is no fault of the reader."""
    with pytest.raises(NoCardError):
        station(tmp_path, wait_s=0.5).read(lambda _step: None, threading.Event())


def test_an_empty_sam_slot_is_not_taken_for_a_missing_card(
    tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]
) -> None:
    """The operator is not told to lay a card down when it is the SAM that is missing."""
    slots[0].insert()
    slots[1].remove()
    with pytest.raises(SamMissingError):
        station(tmp_path).read(lambda _step: None, threading.Event())


def test_stopping_the_agent_ends_the_wait_for_a_card(tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]) -> None:
    """An agent told to stop does not sit out a minute of waiting."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppingError):
        station(tmp_path, wait_s=600).read(lambda _step: None, stop)


def test_two_claims_do_not_share_a_reader(tmp_path: Path, slots: tuple[SocketSlot, SocketSlot]) -> None:
    """The second one is told at once that the reader is in use, and how to go on."""
    stations = station(tmp_path, wait_s=600)
    stop = threading.Event()
    ended: list[BaseException] = []

    def first_claim() -> None:
        try:
            stations.read(lambda _step: None, stop)
        except StoppingError as error:
            ended.append(error)

    first = threading.Thread(target=first_claim)
    first.start()
    try:
        while not stations.in_use:
            first.join(0.01)
        with pytest.raises(ClaimBusyError):
            stations.read(lambda _step: None, threading.Event())
    finally:
        stop.set()
        first.join()
    assert len(ended) == 1


def test_a_missing_reader_is_reported_not_raised(tmp_path: Path) -> None:
    """Asking for the state of the devices works with none of them there."""

    def pair() -> tuple[CardReader, CardReader]:
        raise ServiceDownError("PC/SC", "listing readers")

    stations = CardStation(
        pair=pair, alone=lambda: pair()[0], secrets=invented.sam_secrets, wait_s=1, closing=threading.Event()
    )
    state = stations.state()
    assert (state.card_reader, state.sam_reader) == (None, None)
    assert isinstance(state.problem, ServiceDownError)


@pytest.fixture
def glass(tmp_path: Path) -> Iterator[VirtualScannerServer]:
    """A virtual scanner, plugged in, nothing on the glass."""
    with VirtualScannerServer(tmp_path / "scanner.sock") as server:
        yield server


def fingers(tmp_path: Path) -> FingerStation:
    """The finger station over that scanner."""
    auto = AutoCapture(lambda image: assess_quality(image.pixels, 500), PictureMemory(never), time.monotonic)
    return FingerStation(
        lambda: find_scanners(Wanted(virtual_socket=tmp_path / "scanner.sock")), auto, threading.Event()
    )


def never(_seconds: float, _act: Callable[[], None]) -> Callable[[], None]:
    """No timer: no test takes as long as what is remembered of a finger."""
    return lambda: None


def ridges(touch: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Stripes, dark on light: enough to be a picture. Each touch lies differently."""
    rows, columns = np.mgrid[0:388, 0:374]
    return np.where(np.sin((rows + touch * columns / 10) / 1.4) > 0, 230, 40).astype(np.uint8)


def test_the_scanner_is_used_again_without_being_opened_again(tmp_path: Path, glass: VirtualScannerServer) -> None:
    """Four attempts of one member do not cost four starts of the scanner."""
    glass.place(ridges())
    stations = fingers(tmp_path)
    first = stations.capture(2, threading.Event())
    glass.place(ridges(1))
    second = stations.capture(2, threading.Event())
    assert isinstance(first, FingerImage)
    assert isinstance(second, FingerImage)
    first.wipe()
    second.wipe()
    stations.close()


def test_a_finger_left_on_the_glass_is_one_attempt(tmp_path: Path, glass: VirtualScannerServer) -> None:
    """A stranger's finger that stays does not use up the tries of the member."""
    glass.place(ridges())
    stations = fingers(tmp_path)
    assert isinstance(stations.capture(2, threading.Event()), FingerImage)
    for _ in range(7):
        assert stations.capture(0.05, threading.Event()) is PlaceAgain.LIFT_FIRST
    stations.close()


def test_an_unplugged_scanner_is_found_again_once_it_is_back(tmp_path: Path, glass: VirtualScannerServer) -> None:
    """Unplugging costs one attempt with a named cause, nothing more."""
    glass.place(ridges())
    stations = fingers(tmp_path)
    assert isinstance(stations.capture(2, threading.Event()), FingerImage)
    glass.unplug()
    with pytest.raises(DeviceError) as caught:
        stations.capture(2, threading.Event())
    assert isinstance(caught.value, DeviceRemovedError | DeviceNotFoundError)
    with pytest.raises(DeviceNotFoundError):
        stations.capture(2, threading.Event())
    glass.plug()
    glass.place(ridges(1))
    assert isinstance(stations.capture(2, threading.Event()), FingerImage)
    stations.close()


def test_stopping_ends_the_wait_for_a_finger(tmp_path: Path, glass: VirtualScannerServer) -> None:
    """Nobody placed a finger is a value, also when the agent stops."""
    stop = threading.Event()
    stop.set()
    stations = fingers(tmp_path)
    assert stations.capture(600, stop) is PlaceAgain.NO_FINGER
    stations.close()
    stations.close()


def test_scanners_are_listed_without_being_opened(tmp_path: Path, glass: VirtualScannerServer) -> None:
    """The list is there while another program uses the scanner."""
    assert [info.driver for info in fingers(tmp_path).found()] == ["virtual"]
    glass.unplug()
    assert fingers(tmp_path).found() == ()


class AskingScanner(ScriptedScanner):
    """A scanner that wants to know which finger is coming."""

    def __init__(self) -> None:
        super().__init__([], Clock(), streams=False)
        self.expected: list[int] = []

    def expect(self, position: int) -> None:
        self.expected.append(position)


class AskingSource(ScannerSource):
    """Where it is plugged in; ``state`` and ``calibration`` as the test wants them."""

    def __init__(self, **facts: Any) -> None:
        self.info = dataclasses.replace(INFO, **facts)
        self.scanner = AskingScanner()

    def open(self, *, raw: bool = False) -> AskingScanner:
        if not raw and self.info.calibration is None:
            raise NotCalibratedError(self.info.driver, self.info.serial)
        return self.scanner


def station_of(*sources: ScannerSource) -> FingerStation:
    """The finger station of a counter with these scanners."""
    auto = AutoCapture(lambda image: assess_quality(image.pixels, 500), PictureMemory(never), Clock())
    return FingerStation(lambda: sources, auto, threading.Event())


def test_the_scanner_is_told_which_finger_is_coming() -> None:
    """Where the card names the finger, a scanner that writes it on its picture knows; where not, it is not guessed."""
    source = AskingSource()
    fingers = station_of(source)
    fingers.capture(1, threading.Event(), finger=7)
    fingers.capture(1, threading.Event(), finger=0)
    assert source.scanner.expected == [7]


def test_of_several_scanners_the_one_that_can_be_used_is_used() -> None:
    """One is in another program's hands, one was never measured: the third is what a claim gets."""
    busy = AskingSource(path="1", state=ScannerState.BUSY)
    unmeasured = AskingSource(path="2", calibration=None)
    good = AskingSource(path="3")
    fingers = station_of(busy, unmeasured, good)
    assert [info.path for info in fingers.found()] == ["3", "2", "1"]
    fingers.capture(1, threading.Event(), finger=2)
    assert good.scanner.expected == [2]


def test_the_scanner_this_agent_holds_open_is_not_busy() -> None:
    """Between two attempts it stays open, and the operating system calls it taken: by us. Another one really is."""
    ours, other = AskingSource(path="1"), AskingSource(path="2", state=ScannerState.BUSY)
    ours.scanner.info = ours.info
    fingers = station_of(ours, other)
    fingers.capture(1, threading.Event(), finger=2)
    ours.info = dataclasses.replace(ours.info, state=ScannerState.BUSY)
    assert [(info.path, info.state) for info in fingers.found()] == [
        ("1", ScannerState.READY),
        ("2", ScannerState.BUSY),
    ]
    fingers.close()
    ours.info = dataclasses.replace(ours.info, state=ScannerState.BUSY)
    assert {info.state for info in fingers.found()} == {ScannerState.BUSY}, "closed, it is somebody else's"


def test_a_scanner_nobody_measured_gives_no_claim_a_picture() -> None:
    """The technician's test sees it raw; a claim is told what is missing."""
    fingers = station_of(AskingSource(calibration=None))
    with pytest.raises(NotCalibratedError):
        fingers.capture(1, threading.Event())
    _, picture = fingers.picture_as_it_is("scripted", 1, threading.Event(), raw=True)
    assert picture is PlaceAgain.NO_FINGER
