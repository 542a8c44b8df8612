"""The clock all threads of a USB scanner wait by: real, or one that jumps from event to event in tests.

Everything that waits for a device (the caller, the event reader, a bulk read, a replayed device) waits on one
condition. That is what lets :class:`SimulatedClock` know that nobody can go on before its next deadline.
"""

import threading
import time
from collections.abc import Callable


class Clock:
    """Real time."""

    def __init__(self) -> None:
        self.changed = threading.Condition()

    def now(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    def notify(self) -> None:
        """Something changed: whoever waits looks again."""
        with self.changed:
            self.changed.notify_all()

    def wait_for(self, happened: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until it happened, looking at each :meth:`notify`; False when the time is over first."""
        with self.changed:
            return self.changed.wait_for(happened, max(0.0, timeout_s))

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.wait_for(lambda: False, seconds)

    def start_thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        """Start a thread that waits by this clock."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread


class SimulatedClock(Clock):
    """Time that stands still while any thread works and jumps to the next deadline when all wait.

    A time-out of 20 s takes no time, and always comes in the same order. One thread drives the scanner; the others
    are those of :meth:`start_thread`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._threads = 1
        self._deadlines: dict[int, float] = {}

    def now(self) -> float:
        """Simulated seconds."""
        return self._now

    def notify(self) -> None:
        """As :meth:`Clock.notify`; who was waiting counts as working until it has looked."""
        with self.changed:
            self._deadlines.clear()
            self.changed.notify_all()

    def wait_for(self, happened: Callable[[], bool], timeout_s: float) -> bool:
        """As :meth:`Clock.wait_for`."""
        me = threading.get_ident()
        with self.changed:
            deadline = self._now + max(0.0, timeout_s)
            while not happened():
                if self._now >= deadline:
                    return False
                self._deadlines[me] = deadline
                if len(self._deadlines) >= self._threads:
                    self._now = min(self._deadlines.values())
                    self.notify()
                else:
                    self.changed.wait()
                self._deadlines.pop(me, None)
            return True

    def start_thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        """As :meth:`Clock.start_thread`."""

        def counted() -> None:
            try:
                work()
            finally:
                with self.changed:
                    self._threads -= 1
                    self.notify()

        with self.changed:
            self._threads += 1
        return super().start_thread(counted, name)
