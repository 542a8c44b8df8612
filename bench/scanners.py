"""USB scanners: what a picture costs us beside the device's own time, exactness, and a thousand plugs.

``--runs 50`` replays each recording as often over the real libusb (umockdev) and counts the exact pictures.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from drivers.scanner import uru4000, uru4000_picture
from drivers.scanner.base import FingerImage, Prompt
from drivers.scanner.synthetic.finger import Finger
from drivers.scanner.uru4000_forged import ForgedUru4000
from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_players import Recorded
from drivers.scanner.usb_replay import ReplayedUsb
from tests.drivers.scanner.leaks import held
from tests.drivers.scanner.recordings import NAMES, Recording

CAPTURE_S = 30.0
PAGE = os.sysconf("SC_PAGE_SIZE")


class MeteredClock(Clock):
    """Real time, and how much of it the capturing thread spent waiting for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0
        self._caller = threading.get_ident()
        self._depth = 0

    def wait_for(self, happened: Callable[[], bool], timeout_s: float) -> bool:
        """As :meth:`Clock.wait_for`; a wait within a wait counts once."""
        if threading.get_ident() != self._caller:
            return super().wait_for(happened, timeout_s)
        started, self._depth = time.perf_counter(), self._depth + 1
        try:
            return super().wait_for(happened, timeout_s)
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.waited_s += time.perf_counter() - started


def main(arguments: list[str]) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m bench scanners", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--cycles", type=int, default=1000)
    options = parser.parse_args(arguments)
    _descrambling()
    if (options.data / "usb-recordings").is_dir():
        for name in NAMES:
            _share(Recording(options.data, name))
        for name in NAMES if options.runs else ():
            _exact(options.data, name, options.runs)
    else:
        print(f"no recordings in {options.data}")
    _cycles(options.cycles)
    return 0


def _descrambling() -> None:
    pixels = np.random.default_rng(1).integers(60, 120, (290, 384), dtype=np.uint8)
    data = uru4000_picture.forge_picture(pixels, lambda number: 0x544409D6 + number)
    times = []
    for _ in range(30):
        started = time.perf_counter()
        uru4000_picture.read_picture(data, lambda number: 0x544409D6 + number)
        times.append((time.perf_counter() - started) * 1000)
    first, rest = times[0], sorted(times[1:])
    print(f"descrambling a picture: {rest[len(rest) // 2]:.2f} ms (slowest {rest[-1]:.2f}, first {first:.1f})")


def _share(recording: Recording) -> None:
    """From the finger on the glass to the picture in hand, at the recorded device's pace."""
    ours, device = [], []
    for _ in range(5):
        clock = MeteredClock()
        bus = ReplayedUsb(Recorded(recording.session(), paced=True), clock=clock)
        begun: list[tuple[float, float]] = []
        with recording.find(bus)[0].open(raw=True) as scanner:

            def note(prompt: Prompt, clock: MeteredClock = clock, begun: list[tuple[float, float]] = begun) -> None:
                if prompt is Prompt.HOLD:
                    begun.append((time.perf_counter(), clock.waited_s))

            scanner.prompt = note
            image = scanner.capture(CAPTURE_S)
            ended, waited = time.perf_counter(), clock.waited_s
        if not isinstance(image, FingerImage) or not begun:
            print(f"{recording.name}: no picture")
            return
        started, waited_before = begun[0]
        device.append(waited - waited_before)
        ours.append(ended - started - device[-1])
    mine, its = statistics.median(ours) * 1000, statistics.median(device) * 1000
    # An ioctl tree has no times: the device answers at once there, and the share says nothing.
    timed = recording.capture.suffix != ".ioctl"
    share = f"device {its:.1f} ms = {100 * its / (its + mine):.1f} %" if timed else "its own time was not recorded"
    print(f"{recording.name}: finger to picture: ours {mine:.2f} ms, {share}")


def _exact(data: Path, name: str, runs: int) -> None:
    starter = ["umockdev-run", *Recording(data, name).umockdev_arguments(), "--"]
    program = [sys.executable, "-m", "tests.drivers.scanner.under_umockdev", "picture", str(data), name]
    same = 0
    for _ in range(runs):
        ran = subprocess.run([*starter, *program], capture_output=True, text=True, check=False, timeout=100)
        same += ran.stdout.strip() == '{"same": true}'
    print(f"{name}: {same} of {runs} pictures over libusb exactly as recorded")


def _cycles(cycles: int) -> None:
    """Plug in, capture, unplug, with what the process holds before and after."""
    reader = ForgedUru4000()
    bus = ReplayedUsb(reader)
    finger = Finger.from_seed(1).impression(1)

    def cycle() -> None:
        reader.place(finger)
        with uru4000.find(bus)[0].open(raw=True) as scanner:
            image = scanner.capture(CAPTURE_S)
            assert isinstance(image, FingerImage)
            image.wipe()
            bus.unplug()
        bus.plug()

    for _ in range(50):
        cycle()
    before, memory, started = held(), _memory(), time.perf_counter()
    for _ in range(cycles):
        cycle()
    took = time.perf_counter() - started
    grown = held().more_than(before) or "no thread, no descriptor"
    more = (_memory() - memory) / 1024
    print(f"{cycles} plug, capture, unplug: {took / cycles * 1000:.1f} ms each; left: {grown}; memory {more:+.0f} KiB")


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
