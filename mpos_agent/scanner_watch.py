"""Tells when a scanner is plugged in or unplugged, as long as somebody listens.

Devices are looked for again and again instead of waiting for the kernel's messages: those do not arrive in containers,
and looking opens nothing (``drivers/scanner/discovery.py``).
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from drivers.errors import DeviceError
from drivers.scanner.base import ScannerInfo, ScannerState
from mpos_agent.events import EventHub, EventKind

LOOK_S = 2.0
"""Soon enough for a person with a plug in hand; a look at USB costs some milliseconds."""
_SHARE = 20
"""A look takes at most one part in so many of the time: a maker's library is asked in a process of its own."""
_JOIN_S = 10.0
"""A look at every kind of scanner that hangs as long as it may takes less."""


class ScannerWatch:
    """Looks every two seconds, or less often where a look is dear, in a thread of its own while events are read."""

    def __init__(
        self,
        look: Callable[[], Sequence[ScannerInfo]],
        events: EventHub,
        every_s: float = LOOK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._events, self._every_s, self._monotonic = look, events, every_s, monotonic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scanner-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; safe to call twice, and before the start."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        known: Mapping[str, ScannerInfo] | None = None
        trouble: str | None = None
        pause_s = self._every_s
        while not self._stop.wait(pause_s):
            if not self._events.listened:
                # Whoever listens next asks for the list and then hears of changes from there on.
                known, pause_s = None, self._every_s
                continue
            began = self._monotonic()
            try:
                now = {info.path: info for info in self._look()}
            except DeviceError as error:
                # Told once, not every two seconds.
                if trouble != error.code:
                    trouble = error.code
                    self._events.publish(EventKind.SCANNER, happened="scanner_trouble", code=error.code)
                now = {}
            else:
                trouble = None
            pause_s = max(self._every_s, _SHARE * (self._monotonic() - began))
            if known is not None:
                self._tell(known, now)
            known = now

    def _tell(self, before: Mapping[str, ScannerInfo], now: Mapping[str, ScannerInfo]) -> None:
        for path, info in before.items():
            if path not in now:
                self._publish("scanner_removed", info)
        for path, info in now.items():
            if path not in before:
                self._publish("scanner_added", info)
            elif info.state is not before[path].state:
                self._publish("scanner_ready" if info.state is ScannerState.READY else "scanner_not_ready", info)

    def _publish(self, happened: str, info: ScannerInfo) -> None:
        self._events.publish(
            EventKind.SCANNER,
            happened=happened,
            driver=info.driver,
            name=info.name,
            path=info.path,
            state=info.state.value,
        )
