"""Whatever goes wrong on the cable, at whichever answer: the cause is named in time, and a replug cures it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import DeviceError, DeviceProtocolError, DeviceRemovedError, DeviceTimeoutError
from drivers.scanner.base import FingerImage, PlaceAgain
from drivers.scanner.usb_clock import SimulatedClock
from drivers.scanner.usb_players import Recorded
from drivers.scanner.usb_replay import Fault, FaultKind, ReplayedUsb
from drivers.scanner.usb_transport import UsbOverflowError
from tests.drivers.scanner import recordings
from tests.drivers.scanner.leaks import nothing_left
from tests.drivers.scanner.usb_faults import (
    CAPTURE_S,
    FAMILIES,
    OVERHEAD_S,
    VAIN_S,
    Family,
    Visit,
    faults,
    outcome,
    right_picture,
)

CAUSES: dict[FaultKind, tuple[type[DeviceError], ...]] = {
    FaultKind.UNPLUG: (DeviceRemovedError,),
    FaultKind.STALL: (DeviceProtocolError,),
    FaultKind.STALL_ONCE: (DeviceProtocolError,),
    FaultKind.OVERFLOW: (UsbOverflowError,),
    FaultKind.SHORT: (DeviceProtocolError, DeviceTimeoutError),
    FaultKind.ZERO: (DeviceProtocolError, DeviceTimeoutError),
    FaultKind.NEVER_ENDING: (DeviceProtocolError, DeviceTimeoutError),
    FaultKind.SILENCE: (DeviceTimeoutError,),
    FaultKind.DELAY: (DeviceTimeoutError, DeviceProtocolError),
}
"""What an error of each fault may be called."""


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(params=FaultKind, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> FaultKind:
    chosen: FaultKind = request.param
    return chosen


@pytest.fixture
def no_leak() -> Iterator[None]:
    Visit.of(FAMILIES["uru4000"]).run()  # libraries that are loaded at the first use are no leak
    with nothing_left():
        yield


@pytest.mark.usefixtures("no_leak")
def test_a_fault_at_any_answer_is_named_in_time_and_cured_by_a_replug(family: Family, kind: FaultKind) -> None:
    """The operator reads what happened; no wrong picture is handed on; nothing is left, and it works again."""
    for fault in faults(kind, Visit.of(family).answers()):
        came = outcome(family, fault)
        assert came.took_s <= CAPTURE_S + VAIN_S + OVERHEAD_S, f"{fault} took {came.took_s} s"
        if came.error is None:
            assert came.right, f"{fault} gave a picture of something else"
            # 'Reader unavailable' is never shown as 'no finger': only a cable pulled at the goodbye goes unnoticed.
            unnoticed = isinstance(came.first, FingerImage) and came.second is PlaceAgain.NO_FINGER
            assert kind is not FaultKind.UNPLUG or unnoticed, f"{fault} was taken for an absent finger"
        else:
            assert isinstance(came.error, CAUSES[kind]), f"{fault} was called {came.error!r}"
            assert came.error.detail


@pytest.mark.data
@pytest.mark.parametrize("name", recordings.NAMES)
@pytest.mark.usefixtures("no_leak")
def test_a_fault_at_any_answer_of_a_recording_is_named(shared_data: Path, name: str, kind: FaultKind) -> None:
    """The same on what real devices said: an error by its cause, a value, or exactly the picture."""
    recording = recordings.Recording(shared_data, name)
    session, expected = recording.session(), recording.picture()
    clean = ReplayedUsb(Recorded(session), clock=SimulatedClock())
    with recording.find(clean)[0].open(raw=True) as scanner:
        assert isinstance(scanner.capture(CAPTURE_S), FingerImage)
    for fault in faults(kind, clean.ports[0].answers):
        bus = ReplayedUsb(Recorded(session, strict=False), clock=SimulatedClock())
        bus.faults.append(fault)
        error: DeviceError | None = None
        came: FingerImage | PlaceAgain = PlaceAgain.NO_FINGER
        try:
            with recording.find(bus)[0].open(raw=True) as scanner:
                came = scanner.capture(CAPTURE_S)
        except DeviceError as caught:
            error = caught
        # What the recording does not have is met with silence: a retry may end in a time-out of its own.
        named = error is None or isinstance(error, (*CAUSES[kind], DeviceTimeoutError))
        assert named, f"{fault} was called {error!r}"
        assert bus.clock.now() <= CAPTURE_S + OVERHEAD_S, f"{fault} took {bus.clock.now()} s"
        same = isinstance(came, PlaceAgain) or np.array_equal(came.pixels, expected)
        assert same, f"{fault} gave another picture"


def test_a_device_that_is_slow_within_its_time_still_gives_its_picture(family: Family) -> None:
    """A fifth of a second more at any answer is not a failure."""
    for fault in faults(FaultKind.DELAY, Visit.of(family).answers()):
        visit = Visit.of(family)
        visit.bus.faults.append(Fault(FaultKind.DELAY, fault.endpoint, fault.number, delay_s=0.2))
        assert right_picture(visit, visit.capture()), f"{fault}"
