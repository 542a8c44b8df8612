"""Writes what goes over a scanner's cable to a file that replays: for support, and to become a regression test.

Off unless somebody asks for it by name. Pictures are masked by the driver before they come here: the file holds
their headers and lengths, and noise or nothing in place of a finger. It is readable by its owner only.
"""

import sys
import threading
from pathlib import Path

from drivers.errors import DeviceError
from drivers.scanner import nb1010, upektc_img, uru4000
from drivers.scanner.base import FingerImage, Prompt
from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_traffic import Transfer, UsbRequest, made_anew, write_pcap
from drivers.scanner.usb_transport import SystemUsb

RECORD_S = 60.0
"""For somebody who starts it and then walks to the scanner."""
MOST_TRANSFERS = 20_000
"""Some hundred captures; then it stops adding, so that a forgotten recorder does not eat the memory."""


class UsbRecorder:
    """A :class:`drivers.scanner.usb_transport.Recorder` that keeps the traffic of one device; thread-safe."""

    def __init__(self, device: UsbDevice, clock: Clock) -> None:
        self._device, self._clock = device, clock
        self._lock = threading.Lock()
        self._transfers: list[Transfer] = []
        self._order = 0

    def begin(self, request: UsbRequest) -> int:
        """See ``Recorder``."""
        with self._lock:
            self._order += 1
            if len(self._transfers) >= MOST_TRANSFERS:
                return -1
            self._transfers.append(Transfer(request, self._order, started_s=self._clock.now()))
            return len(self._transfers) - 1

    def end(self, number: int, received: bytes, status: int) -> None:
        """See ``Recorder``."""
        with self._lock:
            self._order += 1
            if number < 0:
                return
            one = self._transfers[number]
            one.done, one.received, one.status, one.ended_s = self._order, received, status, self._clock.now()

    def amend(self, endpoint: int, received: bytes) -> None:
        """See ``Recorder``."""
        with self._lock:
            for one in reversed(self._transfers):
                if one.request.endpoint == endpoint and one.done is not None:
                    one.received = received
                    return

    def transfers(self) -> list[Transfer]:
        """What was said so far."""
        with self._lock:
            return list(self._transfers)

    def save(self, folder: Path) -> None:
        """Write ``capture.pcap`` and ``device`` there: what ``usb_traffic.read_session`` and umockdev both play."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_pcap(folder / "capture.pcap", self.transfers(), device=self._device.address, bus=self._device.bus)
        with made_anew(folder / "device") as opened:
            opened.write(description(self._device).encode("ascii"))


def description(device: UsbDevice) -> str:
    """A device in umockdev's words, without its serial number."""
    node = f"bus/usb/{device.bus:03d}/{device.address:03d}"
    number = (device.bus - 1) * 128 + device.address - 1
    lines = [
        f"P: /devices/usb{device.bus}/{device.path}",
        f"N: {node}={device.descriptors.hex().upper()}",
        f"E: DEVNAME=/dev/{node}",
        "E: DEVTYPE=usb_device",
        f"E: BUSNUM={device.bus:03d}",
        f"E: DEVNUM={device.address:03d}",
        "E: MAJOR=189",
        f"E: MINOR={number}",
        "E: SUBSYSTEM=usb",
        "A: bConfigurationValue=1",
        f"A: bcdDevice={device.release:04x}",
        f"A: busnum={device.bus}",
        f"A: dev=189:{number}",
        f"A: devnum={device.address}",
        f"A: idProduct={device.product:04x}",
        f"A: idVendor={device.vendor:04x}",
        "A: speed=12",
        f"H: descriptors={device.descriptors.hex().upper()}",
    ]
    return "\n".join(lines) + "\n\n"


def _tell(prompt: Prompt) -> None:
    sys.stderr.write(f"{prompt.value}\n")


def main() -> int:
    """``python -m drivers.scanner.usb_recorder FOLDER``: one capture of the first USB scanner, recorded."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{main.__doc__}\n")
        return 2
    recorders: list[UsbRecorder] = []

    def record(device: UsbDevice) -> UsbRecorder:
        recorders.append(UsbRecorder(device, bus.clock))
        return recorders[-1]

    bus = SystemUsb(record)
    sources = [*uru4000.find(bus), *nb1010.find(bus), *upektc_img.find(bus)]
    if not sources:
        sys.stderr.write("no USB scanner is plugged in\n")
        return 1
    try:
        with sources[0].open(raw=True) as scanner:
            scanner.prompt = _tell
            came = scanner.capture(RECORD_S)
            sys.stderr.write(f"{came!r}\n")
            if isinstance(came, FingerImage):
                came.wipe()
    except DeviceError as error:
        # What led to the error is what the recording is for.
        sys.stderr.write(f"{error}\n")
    for recorder in recorders:
        recorder.save(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
