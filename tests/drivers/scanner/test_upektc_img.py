"""TouchChip readers: packets, press and swipe told apart by the device, and what may lie between two frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DeviceProtocolError, DeviceTimeoutError
from drivers.scanner import upektc_img
from drivers.scanner.base import FingerImage, PlaceAgain, Prompt
from drivers.scanner.upektc_img import SIZES, Sensor, Status
from drivers.scanner.upektc_img_forged import PRESS_SENSOR, STRIP_SENSOR, ForgedUpektc
from drivers.scanner.upektc_packet import FLAG_DATA, Packet, PacketError, crc16, decode, encode, without_pixels
from drivers.scanner.usb_clock import SimulatedClock
from drivers.scanner.usb_replay import ReplayedUsb
from tests.drivers.scanner.usb_faults import finger

WAIT_S = 20.0


def opened(reader: ForgedUpektc) -> upektc_img.UpektcScanner:
    """The reader, opened for raw pictures, in simulated time."""
    scanner = upektc_img.find(ReplayedUsb(reader, clock=SimulatedClock()))[0].open(raw=True)
    assert isinstance(scanner, upektc_img.UpektcScanner)
    return scanner


def test_a_packet_is_the_one_of_the_recording() -> None:
    """Flag 7 with one byte, as a recorded host sent it."""
    assert encode(Packet(7, 0, b"\x01")).hex() == "4369616f070001013d72"
    assert decode(bytes.fromhex("4369616f00c001309523")) == Packet(0, 12, b"\x30")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 2043, 4095])
def test_packets_of_every_length_come_back(size: int) -> None:
    """The length has four bits in one byte and eight in the next."""
    packet = Packet(0, 15, bytes(index & 0xFF for index in range(size)))
    assert decode(encode(packet) + b"filler") == packet


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80))
def test_bytes_that_are_no_packet_are_refused(data: bytes) -> None:
    """Whatever comes, it is a packet with a right checksum or an error."""
    for candidate in (data, b"Ciao" + data):
        try:
            packet = decode(candidate)
        except PacketError:
            continue
        assert encode(packet) == candidate[: len(encode(packet))]


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    """The checksum covers flag, length and payload."""
    good = encode(Packet(0, 3, b"payload"))
    for place in range(len(good) * 8):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(PacketError):
            decode(bad)


def test_a_recorded_frame_has_its_checksum_but_not_its_pixels() -> None:
    """A recording replays through the same checks, and shows nothing."""
    frame = encode(Packet(FLAG_DATA, 4, b"\x24" + b"ridges" * 340))
    kept = without_pixels(frame[:64])
    assert len(kept) == len(frame)
    assert decode(kept).payload == b"\x24" + bytes(6 * 340)
    status = encode(Packet(FLAG_DATA, 4, b"\x28status"))
    assert without_pixels(status) == status
    assert without_pixels(b"half a pac") == bytes(10)


@pytest.mark.parametrize(("width", "height"), sorted(SIZES))
@pytest.mark.parametrize("pressed", [True, False])
def test_the_device_says_what_it_is(width: int, height: int, pressed: bool) -> None:
    """Press or swipe and its size stand in the answer, not in the USB ids; the picture has three quarters of it."""
    reader = ForgedUpektc(Sensor(width, height, pressed))
    reader.place(finger())
    with opened(reader) as scanner:
        assert scanner.sensor == Sensor(width, height, pressed)
        image = scanner.capture(WAIT_S)
    assert isinstance(image, FingerImage)
    assert image.pixels.shape == (height * 3 // 4, width * 3 // 4)


def test_a_sensor_that_nobody_knows_is_refused_with_its_size() -> None:
    """Better than a picture of the wrong shape."""
    with pytest.raises(DeviceProtocolError, match="300x400"):
        opened(ForgedUpektc(Sensor(300, 400, pressed=True)))


@pytest.mark.parametrize("sensor", [PRESS_SENSOR, STRIP_SENSOR], ids=["press", "swipe"])
def test_empty_answers_and_signs_of_life_are_passed_over(sensor: Sensor) -> None:
    """Both are normal for this device, however many of them come between."""
    reader = ForgedUpektc(sensor)
    reader.empty_reads, reader.keep_alives = 3, 5
    reader.place(finger())
    with opened(reader) as scanner:
        image = scanner.capture(WAIT_S)
        assert isinstance(image, FingerImage)
        width, height = sensor.picture
        expected = finger()[:height, :width]
        same = np.array_equal(image.pixels[: expected.shape[0], : expected.shape[1]], expected)
        assert same, "the picture is not the one on the glass"


def test_nothing_but_empty_answers_is_a_broken_device() -> None:
    """Normal up to a point: then the operator is told."""
    reader = ForgedUpektc()
    reader.empty_reads = 1000
    with pytest.raises(DeviceProtocolError, match="empty"):
        opened(reader)


@pytest.mark.parametrize("status", [Status.TOO_SHORT, Status.MOVED_SIDEWAYS])
def test_a_bad_touch_is_the_members_to_repeat(status: Status) -> None:
    """Too short or sideways: the next capture takes a good one."""

    class Clumsy(ForgedUpektc):
        """Reports it at the first touch."""

        clumsy = True

        def _finger_came(self, sequence: int) -> None:
            if self.clumsy:
                self.clumsy = False
                self._say(status, sequence)
            else:
                super()._finger_came(sequence)

    reader = Clumsy()
    reader.place(finger())
    with opened(reader) as scanner:
        assert scanner.capture(WAIT_S) is PlaceAgain.TOO_SHORT
        assert isinstance(scanner.capture(WAIT_S), FingerImage)


def test_a_finger_that_stays_is_not_pictured_again_by_a_hasty_device() -> None:
    """Also where the first frame comes without a word before it."""

    class Hasty(ForgedUpektc):
        """Says nothing of the finger."""

        def _say(self, status: Status, sequence: int) -> None:
            if status is Status.FINGER:
                self._give(Packet(FLAG_DATA, sequence, self._frames.popleft()))
            else:
                super()._say(status, sequence)

    reader = Hasty()
    reader.place(finger())
    with opened(reader) as scanner:
        assert isinstance(scanner.capture(WAIT_S), FingerImage)
        assert scanner.capture(1.0) is PlaceAgain.LIFT_FIRST
        reader.lift()
        assert scanner.capture(1.0) is PlaceAgain.NO_FINGER


def test_a_finger_lifted_between_two_frames_is_too_short() -> None:
    """A strip that was not swiped to its end gives no half picture."""

    class Lifting(ForgedUpektc):
        """A status comes in place of the third frame."""

        def _finger_came(self, sequence: int) -> None:
            super()._finger_came(sequence)
            removed = bytes.fromhex("2811000000002001000000") + bytes((Status.REMOVED,)) + bytes(8)
            self._frames[2] = removed

    reader = Lifting(STRIP_SENSOR)
    reader.place(finger())
    with opened(reader) as scanner:
        assert scanner.capture(WAIT_S) is PlaceAgain.TOO_SHORT


def test_frames_beyond_the_picture_are_refused() -> None:
    """A device that does not stop fills no memory."""

    class Endless(ForgedUpektc):
        """Its last frame never comes."""

        def _finger_came(self, sequence: int) -> None:
            super()._finger_came(sequence)
            self._frames[-1] = b"\x24" + bytes(2042)

    reader = Endless()
    reader.place(finger())
    with opened(reader) as scanner, pytest.raises(DeviceProtocolError, match="does not end"):
        scanner.capture(WAIT_S)


def test_frames_that_stop_are_waited_for_and_then_named() -> None:
    """Two seconds for a finger that halts on the strip, no longer."""

    class Halting(ForgedUpektc):
        """Gives one frame only."""

        def _finger_came(self, sequence: int) -> None:
            super()._finger_came(sequence)
            first = self._frames[0]
            self._frames.clear()
            self._frames.append(first)

        def _told(self, packet: Packet) -> None:
            if self._frames or packet.payload != upektc_img.SEEN_FRAME:
                super()._told(packet)

    reader = Halting(STRIP_SENSOR)
    reader.place(finger())
    bus = ReplayedUsb(reader, clock=SimulatedClock())
    with upektc_img.find(bus)[0].open(raw=True) as scanner:
        with pytest.raises(DeviceTimeoutError, match="receive the picture"):
            scanner.capture(WAIT_S)
    assert bus.clock.now() < WAIT_S


def test_a_finger_that_came_after_a_vain_wait_and_left_is_nobodys() -> None:
    """What the device saw between two captures is not taken for the next member's finger."""
    reader = ForgedUpektc()
    prompts: list[Prompt] = []
    with opened(reader) as scanner:
        assert scanner.capture(1.0) is PlaceAgain.NO_FINGER
        reader.place(finger())
        reader.lift()
        scanner.prompt = prompts.append
        assert scanner.capture(1.0) is PlaceAgain.NO_FINGER
    assert prompts == [Prompt.PLACE]


def test_the_checksum_is_the_published_one() -> None:
    """CRC-16/XMODEM, whose check value for 123456789 is 0x31C3."""
    assert crc16(b"123456789") == 0x31C3
