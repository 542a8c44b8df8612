"""The USB door: who may open what, a device list that went stale, closing while something is pending, recordings."""

import stat
import threading
from pathlib import Path

import numpy as np
import pytest
import usb.core

from drivers.errors import DeviceBusyError, DeviceNotFoundError, DevicePermissionError, DeviceRemovedError
from drivers.scanner import nb1010, upektc_img, uru4000
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerState
from drivers.scanner.uru4000_forged import ForgedUru4000
from drivers.scanner.usb_clock import SimulatedClock
from drivers.scanner.usb_link import open_link
from drivers.scanner.usb_listing import plugged_in
from drivers.scanner.usb_players import Recorded, ReplayError
from drivers.scanner.usb_recorder import UsbRecorder
from drivers.scanner.usb_replay import ReplayedUsb
from drivers.scanner.usb_traffic import Kind, Session, TrafficFileError, Transfer, UsbRequest, read_session, write_pcap
from drivers.scanner.usb_transport import Interface, SystemUsb
from tests.drivers.scanner.leaks import nothing_left
from tests.drivers.scanner.usb_faults import CAPTURE_S, FAMILIES, Family, Visit, finger


def test_without_permission_the_operator_reads_which_rule_is_missing() -> None:
    """Not 'access denied' but the file to install."""
    bus = ReplayedUsb(ForgedUru4000())
    bus.ports[0].permitted = False
    source = uru4000.find(bus)[0]
    assert source.info.state is ScannerState.NO_PERMISSION
    with pytest.raises(DevicePermissionError, match=r"systemd/70-mpos-scanners\.rules"):
        source.open(raw=True)


def test_the_rule_that_is_named_is_there_and_knows_every_model() -> None:
    """Whoever installs it can open every reader that the drivers look for."""
    rules = (Path(__file__).parents[3] / "systemd" / "70-mpos-scanners.rules").read_text(encoding="ascii")
    for vendor, product in (*uru4000.MODELS, nb1010.USB_ID, *upektc_img.MODELS):
        lines = [line for line in rules.splitlines() if f'{{idVendor}}=="{vendor:04x}"' in line]
        assert any(f"{product:04x}" in line.partition("idProduct")[2] for line in lines), f"{vendor:04x}:{product:04x}"


def test_a_scanner_that_another_program_holds_is_busy() -> None:
    """Listed as such, and refused as such."""
    bus = ReplayedUsb(ForgedUru4000())
    with uru4000.find(bus)[0].open(raw=True):
        source = uru4000.find(bus)[0]
        assert source.info.state is ScannerState.BUSY
        with pytest.raises(DeviceBusyError):
            source.open(raw=True)


def test_replugged_between_list_and_opening_it_is_found_where_it_is_now() -> None:
    """The same port, another address: nobody has to look for it again."""
    reader = ForgedUru4000()
    bus = ReplayedUsb(reader)
    source = uru4000.find(bus)[0]
    bus.unplug()
    bus.plug()
    with source.open(raw=True) as scanner:
        reader.place(finger())
        assert isinstance(scanner.capture(CAPTURE_S), FingerImage)


def test_a_list_that_went_stale_is_not_believed() -> None:
    """A device that only the library still lists is not there; and one that it does not list yet is found."""
    bus = ReplayedUsb(ForgedUru4000())
    stale = bus.new_backend()
    bus.unplug()
    assert len(stale.enumerate_devices()) == 1
    listed = uru4000.find(bus)
    assert listed == []
    bus.plug()
    bus.new_backend = lambda: stale  # type: ignore[method-assign]
    with pytest.raises(DeviceNotFoundError):
        uru4000.find(bus)[0].open(raw=True)


def test_another_device_at_the_port_is_not_taken_for_the_scanner() -> None:
    """The camera that was plugged into the scanner's port is left alone."""
    bus = ReplayedUsb(ForgedUru4000())
    source = uru4000.find(bus)[0]
    bus.ports[0].player.descriptors = ForgedUru4000(product=0x0007).descriptors
    with pytest.raises(DeviceNotFoundError):
        source.open(raw=True)


def test_a_device_without_the_scanners_interface_is_refused() -> None:
    """A keyboard with a reader has several interfaces; the one of the vendor's class is claimed or none."""
    player = ForgedUru4000()
    player.descriptors = player.descriptors.replace(bytes.fromhex("ffffff"), bytes.fromhex("030101"))
    bus = ReplayedUsb(player)
    with pytest.raises(DeviceNotFoundError):
        open_link(bus, bus.devices()[0], Interface.VENDOR)
    open_link(bus, bus.devices()[0], Interface.FIRST).close()


def test_closing_ends_what_is_pending_at_once() -> None:
    """An event reader that would wait for hours is gone when close returns."""
    # The simulated time stands still while close waits: no time-out helps the reader out.
    bus = ReplayedUsb(ForgedUru4000(), clock=SimulatedClock())
    uru4000.find(bus)[0].open(raw=True).close()
    with nothing_left():
        scanner = uru4000.find(bus)[0].open(raw=True)
        assert any("events" in thread.name for thread in threading.enumerate())
        scanner.close()
        assert not any("events" in thread.name for thread in threading.enumerate())


def test_unplugged_it_answers_everything_with_the_same() -> None:
    """Whoever did not hear it the first time hears it again, without another wait."""
    bus = ReplayedUsb(ForgedUru4000(), clock=SimulatedClock())
    link = open_link(bus, bus.devices()[0], Interface.VENDOR)
    bus.unplug()
    for _ in range(3):
        with pytest.raises(DeviceRemovedError):
            link.control_read(4, 7, 1, "read")
    link.close()
    assert bus.clock.now() == 0


def test_a_reader_that_falls_silent_because_it_is_gone_is_called_gone() -> None:
    """Where the system does not tell, the list does: no time-out is shown for a pulled cable."""
    bus = ReplayedUsb(ForgedUru4000(), clock=SimulatedClock())
    link = open_link(bus, bus.devices()[0], Interface.VENDOR)
    bus.devices = list  # type: ignore[method-assign]
    with pytest.raises(DeviceRemovedError, match="unplugged"):
        link.bulk_read(0x82, 64, 1.0, "read")
    link.close()


def test_a_machine_without_libusb_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a traceback of somebody else's library."""
    monkeypatch.setattr("usb.backend.libusb1.get_backend", lambda: None)
    with pytest.raises(DeviceNotFoundError, match="apt-get install libusb"):
        SystemUsb().new_backend()


def test_the_replayed_port_is_one_to_pyusb() -> None:
    """pyusb's own classes find and describe the forged device: it is no private invention."""
    backend = ReplayedUsb(ForgedUru4000()).new_backend()
    device = usb.core.find(idVendor=0x05BA, idProduct=0x000A, backend=backend)
    assert device is not None
    configuration = device.get_active_configuration()
    interface = configuration[(0, 0)]
    assert [endpoint.bEndpointAddress for endpoint in interface] == [0x81, 0x82]
    assert bytes(device.ctrl_transfer(0xC0, 4, 0xF0, 0, 16))[:2] == b"\x1a\x0a"


# --- what sysfs shows -------------------------------------------------------------------------------------------


def sysfs_device(folder: Path, name: str, **attributes: str) -> Path:
    """A device's folder as the kernel shows it."""
    device = folder / name
    device.mkdir(parents=True)
    said = {"idVendor": "05ba", "idProduct": "000a", "busnum": "1", "devnum": "50", "bcdDevice": "0103"} | attributes
    for attribute, value in said.items():
        (device / attribute).write_text(value + "\n", encoding="utf-8")
    return device


def test_the_list_is_read_from_files_and_opens_nothing(tmp_path: Path) -> None:
    """Ids, port, address, names, and whether this user may open it."""
    sysfs_device(tmp_path, "1-10", product="U.are.U® 4500", manufacturer="DigitalPersona", serial="{FB0B}")
    sysfs_device(tmp_path, "1-1.3", idVendor="147e", idProduct="2016", devnum="3")
    (tmp_path / "1-10:1.0").mkdir()
    sysfs_device(tmp_path, "2-1", idVendor="not a number")
    node = tmp_path / "dev" / "001" / "050"
    node.parent.mkdir(parents=True)
    node.touch()
    found = plugged_in(tmp_path, tmp_path / "dev")
    assert [(one.path, one.usb_id, one.address) for one in found] == [
        ("1-1.3", "147e:2016", 3),
        ("1-10", "05ba:000a", 50),
    ]
    assert found[1].product_name == "U.are.U® 4500"
    assert found[1].serial == "{FB0B}"
    assert (found[0].permitted, found[1].permitted) == (False, True)
    assert found[0].serial is None


def test_an_interface_that_a_program_claimed_shows_in_the_list(tmp_path: Path) -> None:
    """The kernel calls its driver usbfs."""
    device = sysfs_device(tmp_path, "1-10")
    interface = device / "1-10:1.0"
    interface.mkdir()
    assert not plugged_in(tmp_path, tmp_path)[0].claimed
    (interface / "driver").symlink_to("/sys/bus/usb/drivers/usbfs")
    assert plugged_in(tmp_path, tmp_path)[0].claimed


def test_a_machine_without_usb_has_no_scanners(tmp_path: Path) -> None:
    """A container without sysfs is not a failure."""
    assert plugged_in(tmp_path / "nothing", tmp_path) == []


# --- recordings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_recorded_session_replays_and_holds_no_finger(family: Family, tmp_path: Path) -> None:
    """What a technician records becomes a regression test: the driver says the same again, to a masked picture."""
    recorded = _recorded(family, tmp_path)
    bus = ReplayedUsb(Recorded(recorded), clock=SimulatedClock())
    find = (lambda bus: uru4000.find(bus, host_value=lambda: 99)) if family is FAMILIES["uru4000"] else family.find
    with find(bus)[0].open(raw=True) as scanner:
        came = scanner.capture(CAPTURE_S)
    if isinstance(came, FingerImage):
        shown = Visit.of(family).run()[0]
        assert isinstance(shown, FingerImage)
        # Where the finger's pixels would have been the recorder put a slope, which meets a few of them by chance.
        alike = np.mean(shown.pixels == came.pixels)
        assert alike < 0.03
    else:
        assert came is PlaceAgain.EMPTY


def _recorded(family: Family, folder: Path) -> Session:
    """Record one capture of a forged device to a file and read that file."""
    glass = family.forge()
    bus = ReplayedUsb(glass, clock=SimulatedClock())
    recorder = UsbRecorder(bus.devices()[0], bus.clock)
    bus.record = recorder
    glass.place(finger())
    find = (lambda bus: uru4000.find(bus, host_value=lambda: 99)) if family is FAMILIES["uru4000"] else family.find
    with find(bus)[0].open(raw=True) as scanner:
        assert isinstance(scanner.capture(CAPTURE_S), FingerImage)
    file = folder / "recording" / "capture.pcap"
    file.parent.mkdir()
    for old in (file, file.with_name("device")):
        # Of another recording, when everybody could read it, and somebody has it open.
        old.write_bytes(b"old" * 1_000_000)
        old.chmod(0o644)
    with file.open("rb") as opened_before:
        recorder.save(file.parent)
        assert opened_before.read(3) == b"old"
    assert {stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()} == {0o600}
    return read_session(file, file.with_name("device"))


def test_nothing_is_recorded_unless_asked_for() -> None:
    """The system's ports have no recorder of their own."""
    assert SystemUsb().recorder(ReplayedUsb(ForgedUru4000()).devices()[0]) is None


def test_a_driver_that_departs_from_a_recording_is_caught() -> None:
    """A replay is strict: another byte, another order, and the test says both."""
    said = Transfer(UsbRequest(Kind.CONTROL, 0, 1, bytes.fromhex("4004070000000100"), b"\x81"), 0, done=1)
    descriptors = ForgedUru4000().descriptors
    bus = ReplayedUsb(Recorded(Session(descriptors, (said,))), clock=SimulatedClock())
    link = open_link(bus, bus.devices()[0], Interface.VENDOR)
    with pytest.raises(ReplayError, match="80 where the recording has 4004070000000100 81"):
        link.control_write(4, 7, b"\x80", "write")
    link.close()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ends within"),
        (b"\0\0\0\0", "neither"),
        (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"), "link type 1"),
        (bytes.fromhex("0a0d0d0a00000000"), "without length"),
        (bytes.fromhex("d4c3b2a1020004000000000000000000ffff0000dc000000") + bytes(20), "ends within"),
    ],
    ids=["empty", "nonsense", "another link type", "endless block", "cut record"],
)
def test_a_file_that_is_no_recording_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    """Support can tell the sender what is wrong with the file."""
    (tmp_path / "capture.pcap").write_bytes(content)
    (tmp_path / "device").write_text(f"H: descriptors={ForgedUru4000().descriptors.hex()}\n", encoding="ascii")
    with pytest.raises(TrafficFileError, match=why):
        read_session(tmp_path / "capture.pcap", tmp_path / "device")


def test_a_written_recording_is_read_back_whole(tmp_path: Path) -> None:
    """Every field of every transfer, also of one that failed and of one that never ended."""
    transfers = [
        Transfer(UsbRequest(Kind.INTERRUPT, 0x81, 64), 0, done=5, status=-2, started_s=1.5, ended_s=2.5),
        Transfer(UsbRequest(Kind.CONTROL, 0, 2, bytes.fromhex("4004330000000200"), b"\1\2"), 1, done=2),
        Transfer(UsbRequest(Kind.CONTROL, 0x80, 4, bytes.fromhex("c004340000000400")), 3, done=4, received=b"abcd"),
        Transfer(UsbRequest(Kind.BULK, 0x82, 512), 6),
        Transfer(UsbRequest(Kind.BULK, 0x02, 3, sent=b"xyz"), 7, done=8, status=-32),
    ]
    file = tmp_path / "capture.pcap"
    write_pcap(file, transfers, device=9, bus=1)
    (tmp_path / "device").write_text(f"H: descriptors={ForgedUru4000().descriptors.hex()}\n", encoding="ascii")
    back = read_session(file, tmp_path / "device").transfers
    for before, after in zip(transfers, back, strict=True):
        assert (after.request.setup, after.request.sent, after.received) == (
            before.request.setup,
            before.request.sent,
            before.received,
        )
        assert (after.status, after.done is None) == (before.status, before.done is None)
        assert after.request.kind is before.request.kind
        assert after.request.asked == before.request.asked
