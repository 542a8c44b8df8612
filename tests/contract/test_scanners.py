"""What every scanner promises, whatever the picture travels over. A new driver joins by adding its rig to RIGS."""

import abc
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import DeviceBusyError, DeviceError, DeviceNotFoundError, DeviceRemovedError
from drivers.scanner import nb1010, upektc_img, uru4000, vendor_library
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerSource
from drivers.scanner.calibration import Calibration, Calibrations
from drivers.scanner.nb1010_forged import ForgedNb1010
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.upektc_img_forged import PRESS_SENSOR, STRIP_SENSOR, ForgedUpektc
from drivers.scanner.uru4000_forged import ForgedUru4000
from drivers.scanner.usb_replay import ReplayedUsb
from drivers.scanner.uvc import UvcSource
from drivers.scanner.virtual import VirtualScannerSource
from drivers.scanner.virtual_server import VirtualScannerServer
from drivers.scanner.zfm import ZfmSource
from drivers.scanner.zfm_simulator import ZfmSimulator
from tests.contract.sbi_rig import PlayedService
from tests.drivers.scanner.played_camera import PlayedCamera
from tests.drivers.scanner.played_library import PlayedLibrary, compiled

LONG_S = 60.0
"""A wait that a test never sits out: something ends it, or the test's own time limit does."""
SHORT_S = 0.2


class Rig(abc.ABC):
    """One implementation and the hands that place fingers on it and pull its cable.

    ``abilities`` names what the hands can do; a test that needs more leaves this rig out.
    """

    abilities: ClassVar[frozenset[str]]

    @abc.abstractmethod
    def source(self) -> ScannerSource:
        """The scanner as discovery would list it."""

    @abc.abstractmethod
    def place(self, pixels: NDArray[np.uint8]) -> None:
        """Lay a finger on the glass until lifted."""

    @abc.abstractmethod
    def lift(self) -> None:
        """Take the finger off."""

    @abc.abstractmethod
    def touch_briefly(self) -> None:
        """Ability ``brief``: lift the finger before the picture is complete."""

    @abc.abstractmethod
    def unplug(self) -> None:
        """Ability ``unplug``."""

    @abc.abstractmethod
    def plug(self) -> None:
        """Ability ``unplug``."""

    @abc.abstractmethod
    def close(self) -> None:
        """Take the rig itself apart."""


class VirtualRig(Rig):
    """A virtual scanner served by this process."""

    abilities = frozenset({"exact", "brief", "blank", "unplug", "busy"})

    def __init__(self, folder: Path) -> None:
        self.server = VirtualScannerServer(folder / "scanner.sock", dpi=500)

    def source(self) -> ScannerSource:
        return VirtualScannerSource(self.server.path)

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self.server.place(pixels)

    def lift(self) -> None:
        self.server.lift()

    def touch_briefly(self) -> None:
        self.server.touch_briefly()

    def unplug(self) -> None:
        self.server.unplug()

    def plug(self) -> None:
        self.server.plug()

    def close(self) -> None:
        self.server.close()


class StreamingRig(VirtualRig):
    """The same, with a glass that can be watched."""

    abilities = VirtualRig.abilities | {"stream"}

    def __init__(self, folder: Path) -> None:
        self.server = VirtualScannerServer(folder / "scanner.sock", dpi=500, streams=True)


class ZfmRig(Rig):
    """A serial module on a pseudo-terminal."""

    abilities = frozenset({"blank", "unplug", "busy"})

    def __init__(self, folder: Path) -> None:
        self.module = ZfmSimulator(folder / "port")

    def source(self) -> ScannerSource:
        return ZfmSource(str(self.module.link), calibrations=lambda _driver, _serial: Calibration(500.0, 500.0))

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self.module.place(pixels)

    def lift(self) -> None:
        self.module.lift()

    def touch_briefly(self) -> None:
        raise AssertionError("the module cannot tell a brief touch from none")

    def unplug(self) -> None:
        self.module.unplug()

    def plug(self) -> None:
        self.module.plug()

    def close(self) -> None:
        self.module.close()


class UvcRig(Rig):
    """A camera of numbered frames that come as fast as they are asked for."""

    abilities = frozenset({"brief", "unplug", "busy", "stream"})

    def __init__(self, folder: Path) -> None:
        self.camera = PlayedCamera(folder / "video0")

    def source(self) -> ScannerSource:
        return UvcSource(
            str(self.camera.node), lambda _driver, _serial: Calibration(500.0, 500.0), camera=self.camera.open
        )

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self.camera.place(pixels)

    def lift(self) -> None:
        self.camera.lift()

    def touch_briefly(self) -> None:
        self.camera.touch_briefly(Finger.from_seed(1).impression(1))

    def unplug(self) -> None:
        self.camera.unplug()

    def plug(self) -> None:
        self.camera.plug()

    def close(self) -> None:
        self.camera.unplug()


class VendorRig(Rig):
    """A maker's library, compiled from C, that shows live frames."""

    abilities = frozenset({"exact", "brief", "blank", "unplug", "busy", "stream"})

    def __init__(self, folder: Path) -> None:
        self.played = PlayedLibrary(compiled(folder))
        self.played.stream()
        (self._listed,) = vendor_library.find(self.played.library)

    def source(self) -> ScannerSource:
        return self._listed

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self.played.place(pixels)

    def lift(self) -> None:
        self.played.lift()

    def touch_briefly(self) -> None:
        self.played.touch_briefly()

    def unplug(self) -> None:
        self.played.unplug()

    def plug(self) -> None:
        self.played.plug()

    def close(self) -> None:
        self.played.close()


class UsbRig(Rig):
    """A forged USB scanner on a replayed port."""

    abilities = frozenset({"brief", "blank", "unplug", "busy"})
    player: ForgedUru4000 | ForgedNb1010 | ForgedUpektc
    find: Callable[[ReplayedUsb, Calibrations], list[ScannerSource]]

    def __init__(self, folder: Path) -> None:
        del folder
        self.bus = ReplayedUsb(self.player)
        self._listed = self._now()[0]

    def source(self) -> ScannerSource:
        return next(iter(self._now()), self._listed)

    def _now(self) -> list[ScannerSource]:
        return type(self).find(self.bus, lambda _driver, _serial: Calibration(500.0, 500.0))

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self.player.place(pixels)

    def lift(self) -> None:
        self.player.lift()

    def touch_briefly(self) -> None:
        self.player.touch_briefly()

    def unplug(self) -> None:
        self.bus.unplug()

    def plug(self) -> None:
        self.bus.plug()

    def close(self) -> None:
        """Nothing of it outlives the test."""


class Uru4000Rig(UsbRig):
    """A U.are.U 4500."""

    find = staticmethod(uru4000.find)

    def __init__(self, folder: Path) -> None:
        self.player = ForgedUru4000()
        super().__init__(folder)


class Nb1010Rig(UsbRig):
    """An NB-1010-U."""

    find = staticmethod(nb1010.find)

    def __init__(self, folder: Path) -> None:
        self.player = ForgedNb1010()
        super().__init__(folder)


class UpektcPressRig(UsbRig):
    """A TouchChip that is pressed."""

    find = staticmethod(upektc_img.find)

    def __init__(self, folder: Path) -> None:
        self.player = ForgedUpektc(PRESS_SENSOR)
        super().__init__(folder)


class UpektcSwipeRig(UsbRig):
    """A TouchChip that is swiped."""

    find = staticmethod(upektc_img.find)

    def __init__(self, folder: Path) -> None:
        self.player = ForgedUpektc(STRIP_SENSOR)
        super().__init__(folder)


class SbiRig(Rig):
    """A scanner behind a device service. The service itself says nothing of who else uses it, or of brief touches."""

    abilities = frozenset({"exact", "blank", "unplug"})

    def __init__(self, folder: Path) -> None:
        self.played = PlayedService(folder)

    def source(self) -> ScannerSource:
        return self.played.source()

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self.played.place(pixels)

    def lift(self) -> None:
        self.played.service.device.glass.lift()

    def touch_briefly(self) -> None:
        raise AssertionError("the interface has no word for it")

    def unplug(self) -> None:
        self.played.service.unplug()

    def plug(self) -> None:
        self.played.service.plug()

    def close(self) -> None:
        self.played.service.close()


RIGS: tuple[Callable[[Path], Rig], ...] = (
    VirtualRig,
    StreamingRig,
    ZfmRig,
    UvcRig,
    VendorRig,
    Uru4000Rig,
    Nb1010Rig,
    SbiRig,
    UpektcPressRig,
    UpektcSwipeRig,
)


def rigs(*needed: str) -> pytest.MarkDecorator:
    """Run the test on every rig whose hands can do what it needs."""
    fitting = [rig for rig in RIGS if getattr(rig, "abilities", frozenset()).issuperset(needed)]
    return pytest.mark.parametrize("rig", fitting, indirect=True, ids=lambda rig: rig.__name__)


@pytest.fixture
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    built: Rig = request.param(tmp_path)
    yield built
    built.close()


@pytest.fixture(scope="module")
def finger_pixels() -> NDArray[np.uint8]:
    return Finger.from_seed(1).impression(1)


@contextlib.contextmanager
def shortly(act: Callable[[], None]) -> Iterator[None]:
    """Let something happen while the body waits for it."""
    timer = threading.Timer(0.15, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def held_resources() -> tuple[list[str], int]:
    """The names of the threads and the number of descriptors this process holds."""
    gc.collect()
    descriptors = list(Path("/proc/self/fd").iterdir())
    return sorted(thread.name for thread in threading.enumerate()), len(descriptors)


@rigs()
def test_a_finger_that_lies_on_the_glass_is_pictured(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """The member has placed the finger before being asked: the picture comes, with its resolution."""
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.ndim == 2
    assert image.dpi is not None
    assert 100 <= image.dpi <= 2000


@rigs("exact")
def test_the_picture_is_the_one_on_the_glass(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Not a pixel is lost, turned or inverted on the way."""
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    same = np.array_equal(image.pixels, finger_pixels)
    assert same, "the picture differs from what lay on the glass"


@rigs()
def test_the_scanner_waits_until_the_finger_comes(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """The member takes a moment; the capture is still waiting."""
    with rig.source().open() as scanner, shortly(lambda: rig.place(finger_pixels)):
        assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs()
def test_nobody_comes(rig: Rig) -> None:
    """No finger in time is something to tell the member, not a failure; and the scanner goes on working."""
    with rig.source().open() as scanner:
        assert scanner.capture(SHORT_S) is PlaceAgain.NO_FINGER
        assert scanner.capture(SHORT_S) is PlaceAgain.NO_FINGER


@rigs()
def test_a_finger_after_a_vain_wait_is_pictured(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """The second prompt works although the first one ran out."""
    with rig.source().open() as scanner:
        assert scanner.capture(SHORT_S) is PlaceAgain.NO_FINGER
        rig.place(finger_pixels)
        assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs()
def test_the_operator_stops_the_wait(rig: Rig) -> None:
    """Cancelling on the page ends the wait long before its time is over."""
    stop = threading.Event()
    with rig.source().open() as scanner, shortly(stop.set):
        assert scanner.capture(LONG_S, stop) is PlaceAgain.NO_FINGER


@rigs()
def test_a_stop_before_the_capture_takes_no_picture(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """A claim already cancelled gets no picture even though a finger lies there."""
    stop = threading.Event()
    stop.set()
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        assert scanner.capture(LONG_S, stop) is PlaceAgain.NO_FINGER


@rigs()
def test_a_lifted_finger_is_not_pictured_again(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """The next member's capture never gets the previous member's finger."""
    with rig.source().open() as scanner:
        rig.place(finger_pixels)
        assert isinstance(scanner.capture(LONG_S), FingerImage)
        rig.lift()
        assert scanner.capture(SHORT_S) is PlaceAgain.NO_FINGER


@rigs()
def test_one_touch_gives_one_picture(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """A finger left on the glass is not pictured again and again; lifted and placed anew it is."""
    with rig.source().open() as scanner:
        rig.place(finger_pixels)
        assert isinstance(scanner.capture(LONG_S), FingerImage)
        for _ in range(3):
            assert scanner.capture(SHORT_S) is PlaceAgain.LIFT_FIRST
        rig.lift()
        assert scanner.capture(SHORT_S) is PlaceAgain.NO_FINGER
        rig.place(finger_pixels)
        assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs()
def test_a_capture_waits_for_lifting_and_placing(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """The member reads the prompt, lifts and places again: one capture sees both."""

    def lift_and_place() -> None:
        rig.lift()
        threading.Event().wait(0.1)
        rig.place(finger_pixels)

    with rig.source().open() as scanner:
        rig.place(finger_pixels)
        assert isinstance(scanner.capture(LONG_S), FingerImage)
        with shortly(lift_and_place):
            assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs()
def test_the_operator_stops_the_wait_for_lifting(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Cancelling is cancelling, whatever lies on the glass."""
    stop = threading.Event()
    with rig.source().open() as scanner:
        rig.place(finger_pixels)
        assert isinstance(scanner.capture(LONG_S), FingerImage)
        with shortly(stop.set):
            assert scanner.capture(LONG_S, stop) is PlaceAgain.NO_FINGER


@rigs()
def test_a_scanner_opened_anew_takes_the_finger_that_lies_there(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """What an earlier user of the scanner saw is nothing this one could know."""
    rig.place(finger_pixels)
    for _ in range(2):
        with rig.source().open() as scanner:
            assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs()
def test_two_captures_share_no_memory(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Wiping one picture leaves the other one whole, and a wiped one holds nothing."""
    with rig.source().open() as scanner:
        rig.place(finger_pixels)
        first = scanner.capture(LONG_S)
        rig.lift()
        assert scanner.capture(SHORT_S) is PlaceAgain.NO_FINGER
        rig.place(finger_pixels)
        second = scanner.capture(LONG_S)
    assert isinstance(first, FingerImage)
    assert isinstance(second, FingerImage)
    first.wipe()
    assert not first.pixels.any()
    assert second.pixels.any()


@rigs("brief")
def test_a_finger_lifted_too_early(rig: Rig) -> None:
    """The member is asked to hold the finger longer."""
    with rig.source().open() as scanner, shortly(rig.touch_briefly):
        assert scanner.capture(LONG_S) is PlaceAgain.TOO_SHORT


@rigs("blank")
def test_a_picture_without_ridges_is_asked_for_again(rig: Rig) -> None:
    """A frame of plain grey is not handed on as a finger; it is a touch all the same."""
    rig.place(np.full((374, 388), 240, dtype=np.uint8))
    with rig.source().open() as scanner:
        assert scanner.capture(LONG_S) is PlaceAgain.EMPTY
        assert scanner.capture(SHORT_S) is PlaceAgain.LIFT_FIRST


@rigs()
def test_frames_of_a_scanner_show_the_finger(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Whoever watches sees what lies on the glass, be it in one picture or in many."""
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        assert isinstance(next(iter(scanner.frames(LONG_S))), FingerImage)


@rigs("stream")
def test_a_streaming_scanner_shows_the_glass_with_and_without_a_finger(
    rig: Rig, finger_pixels: NDArray[np.uint8]
) -> None:
    """The member can be guided: frames come before, during and after the touch, each a picture of its own."""
    stop = threading.Event()
    with rig.source().open() as scanner:
        assert scanner.streams
        shown: list[bool] = []
        for frame in scanner.frames(LONG_S, stop):
            spread = int(np.ptp(frame.pixels))
            frame.wipe()
            shown.append(spread > 100)
            if shown == [False]:
                rig.place(finger_pixels)
            elif shown[-3:] == [True] * 3:
                rig.lift()
            elif True in shown and not shown[-1]:
                stop.set()
    assert shown[0] is False
    assert shown[-1] is False
    assert shown.count(True) >= 3


@rigs("stream", "unplug")
def test_unplugged_while_being_watched(rig: Rig) -> None:
    """Watching ends with the cause, not with a picture that stands still."""
    with rig.source().open() as scanner:
        frames = iter(scanner.frames(LONG_S))
        next(frames)
        rig.unplug()
        with pytest.raises(DeviceRemovedError):
            list(frames)


@rigs("unplug")
def test_unplugged_while_waiting(rig: Rig) -> None:
    """Pulling the cable in front of a waiting member is named as what it is, before the time is over."""
    with rig.source().open() as scanner, shortly(rig.unplug), pytest.raises(DeviceRemovedError):
        scanner.capture(LONG_S)


@rigs("unplug")
def test_unplugged_between_captures(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """The next capture says that the scanner is gone; it does not wait for a finger that cannot come."""
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        assert isinstance(scanner.capture(LONG_S), FingerImage)
        rig.unplug()
        with pytest.raises(DeviceRemovedError):
            scanner.capture(LONG_S)


@rigs("unplug")
def test_opening_what_is_not_plugged_in(rig: Rig) -> None:
    """The operator is told to plug the scanner in."""
    source = rig.source()
    rig.unplug()
    with pytest.raises(DeviceNotFoundError):
        source.open()


@rigs("unplug")
def test_plugged_in_again_it_works_again(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """No restart is needed after the cable was pulled, four times in a row."""
    for _ in range(4):
        rig.place(finger_pixels)
        with rig.source().open() as scanner:
            assert isinstance(scanner.capture(LONG_S), FingerImage)
            rig.unplug()
            with pytest.raises(DeviceRemovedError):
                scanner.capture(LONG_S)
        rig.plug()


@rigs("busy")
def test_a_scanner_in_use_is_not_shared(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """A second program is told that the scanner is busy, and the first one is not disturbed."""
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        with pytest.raises(DeviceBusyError):
            rig.source().open()
        assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs("busy")
def test_a_closed_scanner_is_free_for_others(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Closing gives the device back at once."""
    rig.place(finger_pixels)
    for _ in range(3):
        with rig.source().open() as scanner:
            assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs()
def test_closing_twice_does_no_harm(rig: Rig) -> None:
    """Clean-up code may close what is closed; using it afterwards is refused by name."""
    scanner = rig.source().open()
    scanner.close()
    scanner.close()
    with pytest.raises(DeviceError):
        scanner.capture(SHORT_S)


@rigs()
def test_listing_disturbs_nobody(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Asking what is plugged in neither opens a scanner nor interrupts the one in use."""
    rig.place(finger_pixels)
    with rig.source().open() as scanner:
        info = rig.source().info
        assert info.driver
        assert info.path == scanner.info.path
        assert isinstance(scanner.capture(LONG_S), FingerImage)


@rigs("unplug", "busy")
def test_nothing_is_left_after_many_rounds(rig: Rig, finger_pixels: NDArray[np.uint8]) -> None:
    """Captures, vain waits, pulled cables and refused openings leave no thread and no descriptor behind."""

    def a_round() -> None:
        rig.place(finger_pixels)
        with rig.source().open() as scanner:
            assert isinstance(scanner.capture(LONG_S), FingerImage)
            with pytest.raises(DeviceBusyError):
                rig.source().open()
            rig.lift()
            assert scanner.capture(0.01) is PlaceAgain.NO_FINGER
            rig.unplug()
            with pytest.raises(DeviceRemovedError):
                scanner.capture(LONG_S)
        with pytest.raises(DeviceNotFoundError):
            rig.source().open()
        rig.plug()

    a_round()
    before = held_resources()
    for _ in range(15):
        a_round()
    assert held_resources() == before
