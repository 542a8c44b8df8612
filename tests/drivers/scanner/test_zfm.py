"""Serial modules: what is wrong at any packet is named, in time, and the next attempt works."""

import dataclasses
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import (
    DeviceError,
    DeviceNotFoundError,
    DevicePermissionError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)
from drivers.scanner.base import FingerImage, PlaceAgain, Prompt, Scanner, ScannerState
from drivers.scanner.calibration import Calibration, none_measured
from drivers.scanner.discovery import Wanted, find_scanners
from drivers.scanner.errors import NotCalibratedError, NotConfiguredError, PasswordRefusedError, SecretFileError
from drivers.scanner.serial_transport import usb_ports
from drivers.scanner.zfm import ZfmScanner, ZfmSource, find
from drivers.scanner.zfm_packets import (
    Command,
    Identifier,
    PacketError,
    Status,
    decode_header,
    decode_system_parameters,
    encode,
    packed_picture,
    picture,
)
from drivers.scanner.zfm_simulator import At, Fault, ZfmSimulator, as_seen
from tests.drivers.scanner.leaks import nothing_left

LONG_S = 60.0
RIDGES = np.tile(np.where(np.arange(256) % 9 < 4, 34, 221).astype(np.uint8), (288, 1))


class FastClock:
    """Once nothing more comes, half a second passes whenever somebody looks: nobody waits for a time-out."""

    def __init__(self, module: ZfmSimulator) -> None:
        self._module, self._now = module, 0.0

    def __call__(self) -> float:
        self._now += 0.5 if self._module.silent else 0.001
        return self._now


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ZfmSimulator]:
    with ZfmSimulator(tmp_path / "port") as simulated:
        yield simulated


def open_raw(module: ZfmSimulator) -> Scanner:
    return ZfmSource(str(module.link), calibrations=none_measured).open(raw=True)


def test_a_command_is_the_bytes_of_the_manual() -> None:
    """VfyPwd with password 0 is printed in the manuals byte by byte."""
    assert (
        encode(Identifier.COMMAND, bytes([Command.VFY_PWD]) + bytes(4)).hex() == "ef01ffffffff010007130000000000" + "1b"
    )
    assert encode(Identifier.COMMAND, bytes([Command.GEN_IMG])).hex() == "ef01ffffffff010003010005"


@pytest.mark.parametrize("packet_bytes", [32, 64, 128, 256])
@pytest.mark.parametrize("shape", [(288, 256), (192, 192)])
def test_the_picture_is_whole_at_every_packet_size(tmp_path: Path, packet_bytes: int, shape: tuple[int, int]) -> None:
    """Lines are cut from all payloads together: a packet is one line at one size only."""
    shown = as_seen((np.arange(300 * 300) * 7 % 256).astype(np.uint8).reshape(300, 300), shape)
    with ZfmSimulator(tmp_path / "port", packet_bytes=packet_bytes, shape=shape) as module:
        module.place(shown)
        with open_raw(module) as scanner:
            image = scanner.capture(LONG_S)
            assert isinstance(scanner, ZfmScanner)
            assert scanner.parameters.packet_bytes == packet_bytes
    assert isinstance(image, FingerImage)
    same = np.array_equal(image.pixels, shown // 16 * 17)
    assert same, "the picture differs from what lay on the glass"


@pytest.mark.parametrize("baud", [9600, 57600, 115200])
def test_the_speed_is_found(tmp_path: Path, baud: int) -> None:
    """Somebody set the module to another speed: it is found, nothing is set anew on the module."""
    with ZfmSimulator(tmp_path / "port", baud=baud) as module, open_raw(module) as scanner:
        assert isinstance(scanner, ZfmScanner)
        assert scanner.baud == scanner.parameters.baud == baud
        assert set(module.commands) == {Command.VFY_PWD, Command.READ_SYS_PARA}


def test_nothing_is_ever_kept_on_the_module(module: ZfmSimulator) -> None:
    """A whole capture takes a picture and sends it, and asks for nothing else."""
    module.place(RIDGES)
    with open_raw(module) as scanner:
        assert isinstance(scanner.capture(LONG_S), FingerImage)
    assert module.commands == [Command.VFY_PWD, Command.READ_SYS_PARA, Command.GEN_IMG, Command.UP_IMAGE]


def test_a_module_with_a_password(tmp_path: Path) -> None:
    """No file: the setting is named; a wrong one: the refusal. Each is tried once, and the right one opens."""
    file = tmp_path / "password"
    file.touch(mode=0o600)

    def opened(wanted: Wanted) -> Scanner:
        (source,) = find_scanners(wanted)
        return source.open(raw=True)

    with ZfmSimulator(tmp_path / "port", password=b"\0\0\x12\x34") as module:
        without = Wanted(driver="zfm", zfm_port=str(module.link))
        with_file = dataclasses.replace(without, zfm_password_file=file)
        with pytest.raises(NotConfiguredError, match=r"scanner\.zfm\.password_file"):
            opened(without)
        file.write_text("00004321")
        with pytest.raises(PasswordRefusedError) as refused:
            opened(with_file)
        assert "4321" not in f"{refused.value}", "the password is told"
        assert module.commands == [Command.VFY_PWD] * 2
        file.write_text("00 00 12 34\n")
        opened(with_file).close()


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("00001234", 0o640, "open to group"),
        ("1234", 0o600, "8 hexadecimal digits"),
        ("sandi", 0o600, "not hexadecimal"),
    ],
)
def test_a_password_file_that_cannot_be_one(tmp_path: Path, content: str, mode: int, said: str) -> None:
    """The technician is told what is wrong with which file, never what is in it, and the module is not asked."""
    file = tmp_path / "password"
    file.write_text(content)
    file.chmod(mode)
    with ZfmSimulator(tmp_path / "port") as module:
        (source,) = find(str(module.link), none_measured, file)
        with pytest.raises(SecretFileError, match=said) as caught:
            source.open(raw=True)
        assert module.commands == []
    assert str(file) in str(caught.value)
    assert content not in str(caught.value)


def test_without_a_measured_resolution_there_is_no_picture(module: ZfmSimulator) -> None:
    """Nobody takes such a module for a 500 dpi scanner; for measuring it is opened all the same."""
    source = ZfmSource(str(module.link), calibrations=none_measured)
    assert source.info.dpi is None
    assert source.info.calibration is None
    with pytest.raises(NotCalibratedError):
        source.open()
    module.place(RIDGES)
    with source.open(raw=True) as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    assert image.dpi is None


def test_a_measured_resolution_makes_square_pixels_of_the_useful_part(module: ZfmSimulator) -> None:
    """The calibration says what part of the glass is used and how many pixels make an inch."""
    measured = Calibration(400.0, 500.0, crop=(8, 4, 240, 280))
    source = ZfmSource(str(module.link), calibrations=lambda _driver, _serial: measured)
    module.place(RIDGES)
    with source.open() as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    assert (image.dpi, image.pixels.shape) == (500.0, (280, 300))


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("at", At)
def test_whatever_goes_wrong_at_any_packet_is_named_in_time(tmp_path: Path, at: At, fault: Fault) -> None:
    """Each fault at each packet ends with a DeviceError before its time-out is over; plugged in anew it works."""
    with ZfmSimulator(tmp_path / "port") as module:

        def a_round() -> None:
            module.place(RIDGES)
            module.go_wrong(at, fault)
            source = ZfmSource(str(module.link), calibrations=none_measured, monotonic=FastClock(module))
            with pytest.raises(DeviceError) as caught, source.open(raw=True) as scanner:
                scanner.capture(1000.0)
            assert isinstance(caught.value, expected(at, fault)), f"{caught.value}"
            module.unplug()
            module.plug()

        a_round()
        with nothing_left():
            a_round()
        with open_raw(module) as scanner:
            assert isinstance(scanner.capture(LONG_S), FingerImage)


def expected(at: At, fault: Fault) -> type[DeviceError]:
    """The cause that is told."""
    if fault is Fault.UNPLUG:
        return DeviceRemovedError
    if fault is Fault.NEVER_ENDING:
        return DeviceProtocolError
    if at is At.VFY_PWD:
        return DeviceNotFoundError  # whatever hangs there, it is no such module
    if fault in (Fault.STALL, Fault.SHORT):
        return DeviceTimeoutError
    return DeviceProtocolError


def test_after_a_failure_the_port_is_free(module: ZfmSimulator) -> None:
    """Whoever forgets to close a scanner that failed does not keep the next attempt from opening it."""
    failed = open_raw(module)
    module.answer(Command.GEN_IMG, Status.FLASH_ERROR)
    with pytest.raises(DeviceProtocolError):
        failed.capture(LONG_S)
    open_raw(module).close()


def test_a_picture_damaged_on_the_way_is_asked_for_again(module: ZfmSimulator) -> None:
    """A cheap adapter loses a byte: the module still has the picture, the member need not come again."""
    module.place(RIDGES)
    with open_raw(module) as scanner:
        for fault in (Fault.CHECKSUM, Fault.SHORT):
            module.go_wrong(At.DATA, fault, times=1)
            image = scanner.capture(LONG_S)
            assert isinstance(image, FingerImage)
            whole = np.array_equal(image.pixels, RIDGES // 16 * 17)
            assert whole, "the picture differs from what lay on the glass"
            module.lift()
            assert scanner.capture(0.1) is PlaceAgain.NO_FINGER
            module.place(RIDGES)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (Command.VFY_PWD, Status.ADDRESS_ERROR),
        (Command.READ_SYS_PARA, Status.PASSWORD_NOT_VERIFIED),
        (Command.GEN_IMG, Status.FLASH_ERROR),
        (Command.UP_IMAGE, Status.CANNOT_RECEIVE),
        (Command.UP_IMAGE, Status.IMAGE_UPLOAD_ERROR),
    ],
)
def test_a_status_is_told_by_its_name(module: ZfmSimulator, command: Command, status: Status) -> None:
    """The technician reads the manual's word and number, not a number alone."""
    module.place(RIDGES)
    module.answer(command, status)
    with pytest.raises(DeviceProtocolError, match=rf"{command.name}.*{status.name} \({status:02X}\)"):
        with open_raw(module) as scanner:
            scanner.capture(LONG_S)


def test_a_finger_that_cannot_be_pictured_is_asked_for_again(module: ZfmSimulator) -> None:
    """Capture failed, no valid image: something for the member to do, not a broken scanner."""
    module.place(RIDGES)
    with open_raw(module) as scanner:
        module.answer(Command.UP_IMAGE, Status.NO_VALID_IMAGE)
        assert scanner.capture(LONG_S) is PlaceAgain.EMPTY
        module.answer(Command.GEN_IMG, Status.NO_FINGER)
        assert scanner.capture(0.1) is PlaceAgain.NO_FINGER
        module.answer(Command.GEN_IMG, Status.CAPTURE_FAILED)
        assert scanner.capture(0.1) is PlaceAgain.EMPTY


def test_stopping_in_the_middle_of_a_picture_leaves_the_next_one_whole(tmp_path: Path) -> None:
    """The picture takes seven seconds; the operator cancels after a moment, and nothing of it is left over."""
    stop = threading.Event()
    with ZfmSimulator(tmp_path / "port", baud=115200, paced=True, shape=(96, 256)) as module:
        module.place(RIDGES)
        with open_raw(module) as scanner:
            timer = threading.Timer(0.3, stop.set)
            timer.start()
            assert scanner.capture(LONG_S, stop) is PlaceAgain.NO_FINGER
            timer.join()
            module.lift()
            assert scanner.capture(0.1) is PlaceAgain.NO_FINGER
        assert Command.UP_IMAGE in module.commands


def test_stopping_while_the_rest_of_a_picture_goes_by_ends_the_wait(module: ZfmSimulator) -> None:
    """At 9600 baud the rest takes most of a minute, here for ever: who cancels again does not sit it out."""
    stop = threading.Event()
    module.place(RIDGES)
    module.go_wrong(At.DATA, Fault.NEVER_ENDING)
    with open_raw(module) as scanner:
        scanner.prompt = lambda prompt: stop.set() if prompt is Prompt.HOLD else None
        assert scanner.capture(LONG_S, stop) is PlaceAgain.NO_FINGER
        assert scanner.capture(LONG_S, stop) is PlaceAgain.NO_FINGER
        with pytest.raises(DeviceProtocolError, match="never stops sending"):
            scanner.capture(LONG_S)
    assert module.commands.count(Command.GEN_IMG) == 1, "asked in the middle of its picture"


def test_the_member_is_told_what_is_waited_for(module: ZfmSimulator) -> None:
    """Place, hold while the picture comes, lift before the next one: each said once."""
    told: list[Prompt] = []
    module.place(RIDGES)
    with open_raw(module) as scanner:
        scanner.prompt = told.append
        assert isinstance(scanner.capture(LONG_S), FingerImage)
        assert scanner.capture(0.1) is PlaceAgain.LIFT_FIRST
        module.lift()
        assert scanner.capture(0.1) is PlaceAgain.NO_FINGER
    assert told == [Prompt.PLACE, Prompt.HOLD, Prompt.LIFT, Prompt.LIFT, Prompt.PLACE]


def test_noise_before_an_answer_is_passed_over(tmp_path: Path) -> None:
    """A module says 55 when it has started; that is no answer to what it was asked."""
    near, far = os.openpty()
    os.set_blocking(near, True)
    answers = [
        b"\x55" + encode(Identifier.ANSWER, b"\0"),
        b"\x55\xef\x55" + encode(Identifier.ANSWER, bytes(1) + struct.pack(">HHHHIHH", 0, 9, 100, 3, 0xFFFFFFFF, 2, 6)),
    ]

    def play() -> None:
        for answer in answers:
            os.read(near, 64)
            os.write(near, answer)

    player = threading.Thread(target=play)
    player.start()
    try:
        scanner = ZfmSource(os.ttyname(far), calibrations=none_measured).open(raw=True)
        scanner.close()
    finally:
        player.join()
        os.close(near)
        os.close(far)


def test_a_port_that_this_user_may_not_open_names_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The technician is led to the udev rule; the list says so before anybody opens it."""
    with ZfmSimulator(tmp_path / "port") as module:
        monkeypatch.setattr(os, "access", lambda _path, _mode: False)
        source = ZfmSource(str(module.link), calibrations=none_measured)
        assert source.info.state is ScannerState.NO_PERMISSION
        opened = os.open

        def refused(path: str, flags: int, *rest: int) -> int:
            if str(path) == str(module.link):
                raise PermissionError(13, "Permission denied")
            return opened(path, flags, *rest)

        monkeypatch.setattr(os, "open", refused)
        with pytest.raises(DevicePermissionError, match=r"70-mpos-scanners\.rules"):
            source.open(raw=True)


def test_what_is_no_serial_port(tmp_path: Path) -> None:
    """A path typed wrongly, or to a plain file, is told as that."""
    assert find(None, none_measured) == []
    assert find(str(tmp_path / "none"), none_measured) == []
    (tmp_path / "file").write_text("no port")
    (source,) = find(str(tmp_path / "file"), none_measured)
    with pytest.raises(DeviceNotFoundError, match="no serial port"):
        source.open(raw=True)


def test_listing_ports_opens_none(module: ZfmSimulator) -> None:
    """A pseudo-terminal is no USB adapter, and asking for adapters says nothing to the module."""
    assert str(module.link.resolve()) not in [port.path for port in usb_ports()]
    (source,) = find(str(module.link), none_measured)
    assert (source.info.driver, source.info.path, source.info.state) == ("zfm", str(module.link), ScannerState.READY)
    assert module.commands == []


def test_the_module_played_by_hand(tmp_path: Path) -> None:
    """The program of the page on adding a scanner: place a picture, capture it, lift."""
    import cv2

    cv2.imwrite(str(tmp_path / "stripes.png"), RIDGES)
    played = subprocess.Popen(
        [sys.executable, "-m", "drivers.scanner.zfm_simulator", str(tmp_path / "port"), "--fast"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with played:
        assert played.stdin is not None
        assert played.stdout is not None
        assert "place FILE" in played.stdout.readline()
        played.stdin.write(f"place {tmp_path / 'stripes.png'}\nwave\n")
        played.stdin.flush()
        assert "place FILE" in played.stdout.readline()
        with ZfmSource(str(tmp_path / "port"), calibrations=none_measured).open(raw=True) as scanner:
            assert isinstance(scanner.capture(LONG_S), FingerImage)
        played.stdin.close()
    assert played.returncode == 0
    assert not (tmp_path / "port").is_symlink()


@given(st.binary(max_size=20))
def test_any_bytes_are_a_bounded_header_or_refused(data: bytes) -> None:
    """No header makes the reader wait for more than a packet may hold."""
    try:
        header = decode_header(data)
    except PacketError:
        return
    assert 0 < header.content_bytes <= 256


@given(st.binary(max_size=40))
def test_any_parameters_are_read_or_refused(data: bytes) -> None:
    """A speed and a packet size that no module has are not believed."""
    try:
        parameters = decode_system_parameters(data)
    except PacketError:
        return
    assert parameters.packet_bytes in (32, 64, 128, 256)
    assert parameters.baud <= 115200


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 8191, 36863, 36865, 65537])
def test_a_picture_of_a_size_no_module_has_is_refused(size: int) -> None:
    """Bytes left over or missing are not filled up to a picture."""
    with pytest.raises(PacketError):
        picture(bytearray(size))


def test_the_left_pixel_is_the_high_nibble() -> None:
    """A pair of pixels comes back in the order in which it lay."""
    pixels: NDArray[np.uint8] = np.zeros((288, 256), dtype=np.uint8)
    pixels[5, 10] = 255
    packed = packed_picture(pixels)
    assert packed[5 * 128 + 5] == 0xF0
    unpacked = picture(packed)
    assert unpacked[5, 10] == 255
    assert int(unpacked.sum()) == 255
