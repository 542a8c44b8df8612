"""NB-1010-U: question and answer, packets of two lines, and what is wrong with them."""

from collections.abc import Callable

import numpy as np
import pytest

from drivers.errors import DeviceProtocolError
from drivers.scanner import nb1010
from drivers.scanner.base import FingerImage
from drivers.scanner.calibration import Calibration
from drivers.scanner.errors import NotCalibratedError
from drivers.scanner.nb1010 import HEIGHT, PACKET_BYTES, WIDTH, fault_of
from drivers.scanner.nb1010_forged import ForgedNb1010
from drivers.scanner.usb_clock import SimulatedClock
from drivers.scanner.usb_players import Answer
from drivers.scanner.usb_replay import ReplayedUsb
from drivers.scanner.usb_traffic import UsbRequest
from tests.drivers.scanner.usb_faults import finger

WAIT_S = 20.0
GOOD = bytes.fromhex("802100001c02000000000000010000000300000000010000" + "01").ljust(PACKET_BYTES, b"\x55")


def test_the_picture_is_taken_as_it_is_sent() -> None:
    """Neither turned nor inverted: dark ridges come as dark ridges."""
    device = ForgedNb1010()
    device.place(finger())
    with nb1010.find(ReplayedUsb(device, clock=SimulatedClock()))[0].open(raw=True) as scanner:
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    same = np.array_equal(image.pixels, finger()[:HEIGHT, :WIDTH])
    assert same, "the picture differs from what lay on the glass"


def test_its_resolution_is_not_made_up() -> None:
    """It is refused uncalibrated, and has the measured resolution calibrated."""
    bus = ReplayedUsb(ForgedNb1010(), clock=SimulatedClock())
    with pytest.raises(NotCalibratedError):
        nb1010.find(bus)[0].open()
    bus.ports[0].player.place(finger())  # type: ignore[attr-defined]
    with nb1010.find(bus, lambda _driver, _serial: Calibration(385.0, 385.0))[0].open() as scanner:
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    assert image.dpi == 385.0


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda packet: packet[:-1], "of 540 bytes"),
        (lambda packet: b"\x81" + packet[1:], "packet"),
        (lambda packet: packet[:1] + b"\x20" + packet[2:], "0x20"),
        (lambda packet: packet[:4] + b"\x10" + packet[5:], "528"),
        (lambda packet: packet[:16] + b"\x05" + packet[17:], "line 5"),
        (lambda packet: packet[:21] + b"\x02" + packet[22:], "512 pixels"),
    ],
    ids=["short", "no command", "another answer", "another length", "another line", "another width"],
)
def test_a_packet_that_is_not_the_next_two_lines_is_refused(spoil: Callable[[bytes], bytes], why: str) -> None:
    """No picture is put together from lines that do not follow one another."""
    assert fault_of(GOOD, 3) == ""
    assert why in fault_of(spoil(GOOD), 3)


def test_lines_in_the_wrong_order_are_named() -> None:
    """The operator reads at which line the picture broke."""

    class Swapped(ForgedNb1010):
        """Two packets change places."""

        def _lines(self) -> list[bytes]:
            lines = super()._lines()
            lines[10], lines[11] = lines[11], lines[10]
            return lines

    device = Swapped()
    device.place(finger())
    with nb1010.find(ReplayedUsb(device, clock=SimulatedClock()))[0].open(raw=True) as scanner:
        with pytest.raises(DeviceProtocolError, match="line 21"):
            scanner.capture(WAIT_S)


@pytest.mark.parametrize("level", [0x31, 0xF7, 0xFF])
@pytest.mark.parametrize("none", [0x00, 0x30])
def test_a_finger_is_what_lies_above_the_level(level: int, none: int) -> None:
    """At 0x30 it is none, above it is one."""

    class Level(ForgedNb1010):
        """Answers the questions with these levels, one after the other."""

        asked = 0

        def answer(self, request: UsbRequest) -> Answer | None:
            given = super().answer(request)
            if given is not None and given.data[1:2] == b"\x37":
                self.asked += 1
                changed = bytearray(given.data)
                changed[12] = none if self.asked <= 3 else level
                return Answer(bytes(changed))
            return given

    device = Level()
    device.place(finger())
    bus = ReplayedUsb(device, clock=SimulatedClock())
    with nb1010.find(bus)[0].open(raw=True) as scanner:
        assert isinstance(scanner.capture(WAIT_S), FingerImage)
    assert device.asked == 4
    assert bus.clock.now() == pytest.approx(3 * nb1010.POLL_EVERY_S)
