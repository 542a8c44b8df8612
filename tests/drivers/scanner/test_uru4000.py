"""U.are.U readers: coming up, asking for a finger, pictures that do not come, and the models of the family."""

import numpy as np
import pytest

from drivers.errors import DeviceProtocolError, DeviceTimeoutError
from drivers.scanner import uru4000
from drivers.scanner.base import FingerImage, PlaceAgain, Prompt, ScannerState
from drivers.scanner.calibration import Calibration
from drivers.scanner.errors import NotCalibratedError, NotConfiguredError
from drivers.scanner.uru4000 import Mode, Register, Status
from drivers.scanner.uru4000_forged import ForgedUru4000, on_canvas
from drivers.scanner.uru4000_picture import HEIGHT, WIDTH, Block
from drivers.scanner.usb_clock import SimulatedClock
from drivers.scanner.usb_replay import Fault, FaultKind, ReplayedUsb
from drivers.scanner.usb_traffic import UsbRequest
from tests.drivers.scanner.usb_faults import finger

WAIT_S = 20.0


def plugged(reader: ForgedUru4000) -> ReplayedUsb:
    """The reader on a port, in simulated time."""
    return ReplayedUsb(reader, clock=SimulatedClock())


def test_one_capture_says_to_the_device_what_the_recorded_host_said() -> None:
    """Wait for the finger, take the picture, wait until it is lifted, off: in this order and nothing else."""
    reader = ForgedUru4000()
    reader.place(finger())
    with uru4000.find(plugged(reader))[0].open(raw=True) as scanner:
        assert isinstance(scanner.capture(WAIT_S), FingerImage)
    assert reader.mode_writes == [Mode.AWAIT_FINGER_ON, Mode.CAPTURE, Mode.AWAIT_FINGER_OFF, Mode.OFF]


def test_the_member_is_guided_while_it_happens() -> None:
    """Place, hold, lift: each once, when it is its turn, and not again while nothing changed."""
    reader = ForgedUru4000()
    prompts: list[Prompt] = []
    with uru4000.find(plugged(reader))[0].open(raw=True) as scanner:
        scanner.prompt = prompts.append
        assert scanner.capture(1.0) is PlaceAgain.NO_FINGER
        reader.place(finger())
        assert isinstance(scanner.capture(WAIT_S), FingerImage)
        assert scanner.capture(1.0) is PlaceAgain.LIFT_FIRST
        reader.lift()
        assert scanner.capture(1.0) is PlaceAgain.NO_FINGER
    assert prompts == [Prompt.PLACE, Prompt.PLACE, Prompt.HOLD, Prompt.LIFT, Prompt.LIFT, Prompt.PLACE]


@pytest.mark.parametrize("empty", [1, 2])
def test_a_picture_that_the_device_foretells_to_be_empty_is_taken_again(empty: int) -> None:
    """The member is not asked again for what the reader failed at."""
    reader = ForgedUru4000()
    reader.place(finger())
    reader.foretell_empty = empty
    with uru4000.find(plugged(reader))[0].open(raw=True) as scanner:
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    assert reader.mode_writes.count(Mode.CAPTURE) == empty + 1


def test_pictures_that_stay_empty_ask_the_member_again() -> None:
    """After three tries it is the finger's turn, not the reader's."""
    reader = ForgedUru4000()
    reader.place(finger())
    reader.foretell_empty = 9
    with uru4000.find(plugged(reader))[0].open(raw=True) as scanner:
        assert scanner.capture(WAIT_S) is PlaceAgain.EMPTY
        reader.foretell_empty = 0
        assert scanner.capture(1.0) is PlaceAgain.LIFT_FIRST


@pytest.mark.parametrize("kind", [FaultKind.ZERO, FaultKind.SHORT, FaultKind.OVERFLOW])
def test_a_spoiled_picture_is_taken_again_by_itself(kind: FaultKind) -> None:
    """Known readers give nothing at the first read; nobody at the counter notices."""
    reader = ForgedUru4000()
    reader.place(finger())
    bus = plugged(reader)
    bus.faults = [Fault(kind, uru4000.PICTURES, 0), Fault(kind, uru4000.PICTURES, 1)]
    with uru4000.find(bus)[0].open(raw=True) as scanner:
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    assert reader.mode_writes.count(Mode.CAPTURE) == 3


def test_a_reader_that_gives_only_spoiled_pictures_is_named() -> None:
    """Three times in a row is a broken reader or cable, and the operator reads how much came."""
    reader = ForgedUru4000()
    reader.place(finger())
    bus = plugged(reader)
    bus.faults = [Fault(FaultKind.SHORT, uru4000.PICTURES, number) for number in range(3)]
    with uru4000.find(bus)[0].open(raw=True) as scanner:
        with pytest.raises(DeviceProtocolError, match="of 111040 bytes came"):
            scanner.capture(WAIT_S)


def test_a_reader_in_low_power_with_something_wrong_is_started_anew() -> None:
    """Both bits set: the status is written back first, then the usual way."""

    class Sleepy(ForgedUru4000):
        """Wakes after being written to."""

        written: list[int]

        def power_up(self) -> None:
            super().power_up()
            self.written = []
            self._registers[Register.STATUS] = int(Status.LOW_POWER | Status.WRONG | 0x02)

        def _powered(self, value: int) -> None:
            self.written.append(value)
            if self._registers[Register.STATUS] & Status.WRONG:
                self._registers[Register.STATUS] = int(Status.REBOOTED)
            else:
                super()._powered(value)

    reader = Sleepy()
    with uru4000.find(plugged(reader))[0].open(raw=True):
        assert reader.written == [0x06, 0x81, 0x01]


def test_a_reader_that_never_reports_power_is_named_after_three_tries() -> None:
    """The counter does not wait for a dead reader for longer than a second or two."""

    class Dead(ForgedUru4000):
        """Takes everything, reports nothing."""

        def _tell(self, event: uru4000.Event) -> None:
            del event

    bus = plugged(Dead())
    with pytest.raises(DeviceTimeoutError, match="power-on"):
        uru4000.find(bus)[0].open(raw=True)
    assert bus.clock.now() == pytest.approx(3 * uru4000.POWER_ON_S)
    assert not bus.ports[0].claimed


def test_a_reader_that_stays_in_low_power_is_named() -> None:
    """A hundred looks, then the operator reads the status."""

    class Stuck(ForgedUru4000):
        """Stays asleep."""

        def _powered(self, value: int) -> None:
            self._registers[Register.STATUS] = int(Status.LOW_POWER)

    with pytest.raises(DeviceTimeoutError, match="0x80"):
        uru4000.find(plugged(Stuck()))[0].open(raw=True)


def test_the_model_with_a_challenge_is_answered() -> None:
    """Power comes only to who knows the answer; it is the configured function's."""
    reader = ForgedUru4000(vendor=0x045E, product=0x00CA)
    reader.challenge = bytes(range(16))
    bus = plugged(reader)
    with uru4000.find(bus, respond=lambda challenge: challenge[::-1])[0].open(raw=True) as scanner:
        assert reader.response == bytes(range(16))[::-1]
        reader.place(finger())
        assert isinstance(scanner.capture(WAIT_S), FingerImage)


def test_the_model_with_a_challenge_is_refused_by_name_without_an_answer() -> None:
    """It is listed as not configured, and opening it says what is missing instead of timing out."""
    bus = plugged(ForgedUru4000(vendor=0x045E, product=0x00CA))
    source = uru4000.find(bus)[0]
    assert source.info.state is ScannerState.NOT_CONFIGURED
    with pytest.raises(NotConfiguredError, match="key"):
        source.open(raw=True)
    assert not bus.ports[0].answers


@pytest.mark.parametrize(("vendor", "product"), uru4000.MODELS)
def test_every_model_shows_the_finger_upright(vendor: int, product: int) -> None:
    """Only one of them sends its pictures upside down."""
    reader = ForgedUru4000(vendor=vendor, product=product, blocks=(Block(0, 145), Block(0, 145)))
    reader.place(finger())
    reader.challenge = bytes(16) if (vendor, product) == (0x045E, 0x00CA) else None
    with uru4000.find(plugged(reader), respond=lambda challenge: challenge)[0].open(raw=True) as scanner:
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    same = np.array_equal(image.pixels, on_canvas(finger()))
    assert same, "the picture is turned or inverted"


def test_without_a_calibration_no_picture_is_given_out_as_500_dpi() -> None:
    """Nobody knows the pixels of this reader: it is refused before it is claimed, and said how to measure it."""
    bus = plugged(ForgedUru4000())
    source = uru4000.find(bus)[0]
    assert source.info.dpi is None
    assert source.info.calibration is None
    with pytest.raises(NotCalibratedError, match="mpos-agent devices calibrate"):
        source.open()
    assert not bus.ports[0].answers


def test_pixels_that_are_not_square_are_made_square() -> None:
    """A calibrated reader's picture has one resolution on both axes, and is as large as the glass really is."""
    reader = ForgedUru4000()
    reader.place(finger())
    measured = Calibration(dpi_x=600.0, dpi_y=480.0)
    source = uru4000.find(plugged(reader), calibrations=lambda _driver, _serial: measured)[0]
    assert source.info.dpi == 600.0
    with source.open() as scanner:
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    assert image.dpi == 600.0
    assert image.pixels.shape == (round(HEIGHT * 600 / 480), WIDTH)


def test_the_calibration_asked_for_is_that_of_the_unit() -> None:
    """By driver and serial number."""
    asked: list[tuple[str, str | None]] = []

    def calibrations(driver: str, serial: str | None) -> None:
        asked.append((driver, serial))

    uru4000.find(plugged(ForgedUru4000()), calibrations)
    assert asked == [("uru4000", "FORGED-0001")]


def test_the_key_is_asked_for_with_another_host_value_each_time() -> None:
    """Who listens on the cable once does not know the next key."""
    sent: list[bytes] = []

    class Listening(ForgedUru4000):
        """Notes what the host writes for the key."""

        def submit(self, request: UsbRequest) -> None:
            if request.setup and int.from_bytes(request.setup[2:4], "little") == Register.KEY_REQUEST:
                sent.append(request.sent)
            super().submit(request)

    reader = Listening()
    with uru4000.find(plugged(reader))[0].open(raw=True) as scanner:
        for _ in range(2):
            reader.place(finger())
            assert isinstance(scanner.capture(WAIT_S), FingerImage)
            reader.lift()
    assert sent[0] != sent[1]
    assert {one[0] for one in sent} == {reader.key_number}
