"""Writes what goes over a scanner's cable to a file that replays: for support, and to become a regression test.

Off unless somebody asks for it by name. Pictures are masked by the driver before they come here: the file holds
their headers and lengths, and noise or nothing in place of a finger. It is readable by its owner only.
"""

import threading
from pathlib import Path

from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_traffic import Transfer, UsbRequest, write_pcap

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

    def save(self, file: Path) -> None:
        """Write it as pcap of link type 220, which ``usb_replay`` and umockdev both play."""
        write_pcap(file, self.transfers(), device=self._device.address, bus=self._device.bus)
