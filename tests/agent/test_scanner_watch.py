"""Plugs and unplugs are told as long as somebody listens, each once, and looking for them costs next to nothing."""

import dataclasses
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from drivers.errors import DeviceError, ServiceDownError
from drivers.scanner.base import ScannerInfo, ScannerState
from mpos_agent.events import EventHub, EventKind
from mpos_agent.scanner_watch import ScannerWatch
from tests.capture.glass import INFO

PATIENCE_S = 20.0


class Port:
    """What is plugged in, as a driver sees it; every look is noted."""

    def __init__(self) -> None:
        self.now: Sequence[ScannerInfo] | DeviceError = ()
        self.looks = 0
        self._looked = threading.Condition()

    def look(self) -> Sequence[ScannerInfo]:
        with self._looked:
            self.looks += 1
            self._looked.notify_all()
        if isinstance(self.now, DeviceError):
            raise self.now
        return self.now

    def wait_for_looks(self, number: int) -> None:
        """So many more, from now on: the last but one began after this call, and what it saw was told."""
        with self._looked:
            enough = self.looks + number
            assert self._looked.wait_for(lambda: self.looks >= enough, PATIENCE_S)


def told_by(hub: EventHub, acts: Callable[[Port], None], port: Port) -> list[dict[str, Any]]:
    """What a listener hears while this happens."""
    heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def hear(event: Any) -> None:
        if event is not None and event.kind is EventKind.SCANNER:
            heard.put(dict(event.facts))

    watch = ScannerWatch(port.look, hub, every_s=0.01)
    with hub._listening(hear, None):
        watch.start()
        try:
            acts(port)
            # The look that was under way may have begun before the last change.
            port.wait_for_looks(3)
        finally:
            watch.stop()
    return [heard.get() for _ in range(heard.qsize())]


def test_a_scanner_comes_gets_busy_and_goes() -> None:
    """Each change is told once, with driver and place; what was there from the start is not news."""

    def acts(port: Port) -> None:
        for state in (ScannerState.READY, ScannerState.BUSY, ScannerState.READY):
            port.wait_for_looks(2)
            port.now = [dataclasses.replace(INFO, state=state)]
        port.wait_for_looks(2)
        port.now = []

    told = told_by(EventHub(), acts, Port())
    assert [one["happened"] for one in told] == [
        "scanner_added",
        "scanner_not_ready",
        "scanner_ready",
        "scanner_removed",
    ]
    assert told[0] == {
        "happened": "scanner_added",
        "driver": "scripted",
        "name": "Scripted",
        "path": "scripted",
        "state": "ready",
    }


def test_trouble_is_told_once() -> None:
    """A calibration file that cannot be read does not fill the screen every two seconds."""

    def acts(port: Port) -> None:
        port.now = ServiceDownError("x", "y")
        port.wait_for_looks(5)

    assert told_by(EventHub(), acts, Port()) == [{"happened": "scanner_trouble", "code": "service_down"}]


def test_nobody_listens_and_nobody_looks() -> None:
    """A kiosk at night asks no device anything."""
    port = Port()
    watch = ScannerWatch(port.look, EventHub(), every_s=0.001)
    watch.start()
    threading.Event().wait(0.1)
    watch.stop()
    assert port.looks == 0


@pytest.mark.parametrize(("took_s", "paused_s"), [(0.001, 2.0), (0.5, 10.0)])
def test_what_is_dear_is_looked_at_less_often(took_s: float, paused_s: float) -> None:
    """A maker's library that takes half a second to answer is asked every ten, not every two."""
    clock = iter([0.0, took_s])
    hub, waits = EventHub(), list[float]()
    watch = ScannerWatch(tuple, hub, every_s=2.0, monotonic=lambda: next(clock))

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return len(waits) == 2

    watch._stop = Stop()
    with hub._listening(lambda _event: None, None):
        watch._run()
    assert waits == [2.0, paused_s]
