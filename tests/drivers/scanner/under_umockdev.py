"""What runs as a program under umockdev: the real libusb on an emulated device. Prints one line of JSON.

    umockdev-run OPTIONS -- python -m tests.drivers.scanner.under_umockdev picture FOLDER NAME
    umockdev-run OPTIONS -- python -m tests.drivers.scanner.under_umockdev again FOLDER NAME ROUNDS
    umockdev-run OPTIONS -- python -m tests.drivers.scanner.under_umockdev record FOLDER NAME WHERE
    umockdev-run OPTIONS -- python -m tests.drivers.scanner.under_umockdev stand-in FOLDER NAME
    umockdev-wrapper python -m tests.drivers.scanner.under_umockdev hot-plug FOLDER NAME ROUNDS

``picture``: the one picture of a recording. ``again``: open, capture and close several times in one process, where
the recording allows it. ``record``: the same with our recorder, whose file ``stand-in`` then plays. ``hot-plug``: plug
in, capture, unplug, in one process with several rounds; each plug has a new device number, as a real port gives, in a
description and a recording rewritten in memory.
"""

import ctypes
import json
import os
import re
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from drivers.errors import DeviceError
from drivers.scanner.base import FingerImage
from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_recorder import UsbRecorder
from drivers.scanner.usb_transport import SystemUsb
from tests.drivers.scanner.leaks import Held, held
from tests.drivers.scanner.recordings import Recording

CAPTURE_S = 60.0


class PatientClock(Clock):
    """Ten times as patient as the real one: proved is what is said over the cable, not how busy a builder is."""

    def now(self) -> float:
        return time.monotonic() / 10

    def wait_for(self, happened: Callable[[], bool], timeout_s: float) -> bool:
        return super().wait_for(happened, timeout_s * 10)


def captured(recording: Recording, bus: SystemUsb) -> bool:
    """Open the recorded scanner, take its picture, close: is it the expected one?"""
    with recording.find(bus)[0].open(raw=True) as scanner:
        image = scanner.capture(CAPTURE_S)
    if not isinstance(image, FingerImage):
        return False
    same = bool(np.array_equal(image.pixels, recording.picture()))
    image.wipe()
    return same


class Testbed:
    """libumockdev in this process, which runs under its preloaded library."""

    def __init__(self, recording: Recording) -> None:
        self._library = ctypes.CDLL("libumockdev.so.0")
        self._library.umockdev_testbed_new.restype = ctypes.c_void_p
        self._bed = ctypes.c_void_p(self._library.umockdev_testbed_new())
        text = (recording.folder / "device").read_text(encoding="utf-8")
        self._device, _, others = text.partition("\n\n")
        self._place = "/sys" + self._device.splitlines()[0].removeprefix("P: ")
        self._capture = recording.capture.read_bytes()
        self._is_tree = recording.capture.suffix == ".ioctl"
        self._number = int(re.findall(r"^E: DEVNUM=(\d+)", self._device, re.M)[0])
        self._first = self._number
        self._files: list[int] = []
        if others.strip():
            self._call("add_from_string", others.encode())

    def plug(self) -> None:
        """Attach it under the next number."""
        self._number += 1
        self._call("add_from_string", (self._renumbered(self._device) + "\n").encode())
        held_in_memory = os.memfd_create("capture")
        self._files.append(held_in_memory)
        os.write(held_in_memory, self._tree() if self._is_tree else self._packets())
        file = f"/proc/self/fd/{held_in_memory}".encode()
        if self._is_tree:
            self._call("load_ioctl", self._node().encode(), file)
        else:
            self._call("load_pcap", self._place.encode(), file)
        self._library.umockdev_testbed_uevent(self._bed, self._place.encode(), b"add")

    def unplug(self) -> None:
        """Take it away."""
        self._library.umockdev_testbed_uevent(self._bed, self._place.encode(), b"remove")
        self._library.umockdev_testbed_remove_device(self._bed, self._place.encode())
        while self._files:
            os.close(self._files.pop())

    def _node(self) -> str:
        return f"/dev/bus/usb/001/{self._number:03d}"

    def _renumbered(self, description: str) -> str:
        first, now = self._first, self._number
        for old, new in (
            (f"/001/{first:03d}", f"/001/{now:03d}"),
            (f"DEVNUM={first:03d}", f"DEVNUM={now:03d}"),
            (f"MINOR={first - 1}\n", f"MINOR={now - 1}\n"),
            (f"dev=189:{first - 1}", f"dev=189:{now - 1}"),
            (f"devnum={first}", f"devnum={now}"),
        ):
            description = description.replace(old, new)
        return description

    def _tree(self) -> bytes:
        return self._capture.replace(f"/001/{self._first:03d}".encode(), f"/001/{self._number:03d}".encode(), 1)

    def _packets(self) -> bytes:
        content, at = bytearray(self._capture), 0
        while at < len(content):
            block, size = struct.unpack_from("<II", content, at)
            if block == 6 and content[at + 28 + 11] == self._first:
                content[at + 28 + 11] = self._number
            at += size
        return bytes(content)

    def _call(self, name: str, *arguments: bytes) -> None:
        error = ctypes.c_void_p()
        function = getattr(self._library, f"umockdev_testbed_{name}")
        if not function(self._bed, *arguments, ctypes.byref(error)):
            raise RuntimeError(f"umockdev: {name} failed")


def hot_plug(recording: Recording, rounds: int) -> dict[str, object]:
    """Plug in, see it listed, capture, unplug while it is open, see it gone."""
    bed = Testbed(recording)
    bus = SystemUsb(clock=PatientClock)
    same: list[bool] = []
    errors: list[str] = []
    listed: list[int] = []
    counts: list[Held] = []
    for _ in range(rounds):
        bed.plug()
        listed.append(len(recording.find(bus)))
        scanner = recording.find(bus)[0].open(raw=True)
        image = scanner.capture(CAPTURE_S)
        same.append(isinstance(image, FingerImage) and bool(np.array_equal(image.pixels, recording.picture())))
        bed.unplug()
        try:
            scanner.capture(0.05)
        except DeviceError as error:
            errors.append(type(error).__name__)
        scanner.close()
        listed.append(len(recording.find(bus)))
        counts.append(held())
    growth = counts[-1].more_than(counts[0])
    return {"same": same, "errors": errors, "listed": listed, "left": growth}


def again(recording: Recording, rounds: int) -> dict[str, object]:
    """Open, capture, close."""
    bus = SystemUsb(clock=PatientClock)
    same = [captured(recording, bus)]
    before = held()
    same += [captured(recording, bus) for _ in range(rounds - 1)]
    return {"same": same, "left": held().more_than(before)}


def recorded(recording: Recording, folder: Path) -> dict[str, object]:
    """Capture once with a recorder on the cable, and keep what it wrote."""
    recorders: list[UsbRecorder] = []

    def record(device: UsbDevice) -> UsbRecorder:
        recorders.append(UsbRecorder(device, bus.clock))
        return recorders[-1]

    bus = SystemUsb(record, PatientClock)
    same = captured(recording, bus)
    recorders[0].save(folder)
    return {"same": same}


def stand_in(recording: Recording) -> dict[str, object]:
    """Capture once; how much of what comes is of the finger? Nothing comes of a picture that was blackened."""
    with recording.find(SystemUsb(clock=PatientClock))[0].open(raw=True) as scanner:
        image = scanner.capture(CAPTURE_S)
    if not isinstance(image, FingerImage):
        return {"came": image.value, "alike": 0.0}
    return {"came": "picture", "alike": float(np.mean(image.pixels == recording.picture()))}


def main() -> int:
    """See the module's first lines."""
    what, folder, name = sys.argv[1:4]
    recording = Recording(Path(folder), name)
    try:
        if what == "picture":
            said: dict[str, object] = {"same": captured(recording, SystemUsb(clock=PatientClock))}
        elif what == "again":
            said = again(recording, int(sys.argv[4]))
        elif what == "record":
            said = recorded(recording, Path(sys.argv[4]))
        elif what == "stand-in":
            said = stand_in(recording)
        else:
            said = hot_plug(recording, int(sys.argv[4]))
    except DeviceError as error:
        said = {"error": str(error)}
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
