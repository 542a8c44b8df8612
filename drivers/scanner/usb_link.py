"""A scanner's interface in use: requests, events read beside them, a read that waits for another request, the end.

libusb's synchronous calls cannot be cancelled one by one. Closing releases the interface first, upon which Linux
ends every pending request of it; where that does not help, the reader looks up once a second.
"""

import threading
from collections import deque
from collections.abc import Callable

from drivers.errors import DeviceError, DeviceProtocolError, DeviceTimeoutError
from drivers.scanner.usb_clock import Clock
from drivers.scanner.usb_listing import UsbDevice
from drivers.scanner.usb_transport import ClaimedInterface, Interface, UsbBus, claim

LISTEN_S = 1.0
"""How often the event reader looks whether it shall end. Not below 0.2: a request that is cancelled in the moment
its answer comes loses it where the device is replayed."""
JOIN_S = 5.0
"""A thread ends with the request it waits in, of which none has a longer time-out than 3 s."""
STOP_S = 0.05
"""How often a wait looks at the caller's stop event: nobody notices, and a kiosk stays idle."""
MOST_EVENTS = 256
"""Unread events that are kept; a person causes two in a touch."""


def open_link(bus: UsbBus, listed: UsbDevice, interface: Interface) -> "UsbLink":
    """Open what was listed; raises as :func:`drivers.scanner.usb_transport.claim`."""
    return UsbLink(claim(bus, listed, interface), bus.clock)


class UsbLink:
    """One claimed interface. Requests come from one thread; events are read beside it.

    After a DeviceRemovedError it answers everything with the same: close it, and open anew after the replug.
    """

    def __init__(self, claimed: ClaimedInterface, clock: Clock) -> None:
        self.name, self.clock = claimed.name, clock
        self._claimed = claimed
        # The requests are the interface's own.
        self.control_read, self.control_write = claimed.control_read, claimed.control_write
        self.bulk_read, self.bulk_write = claimed.bulk_read, claimed.bulk_write
        self.amend_record = claimed.amend_record
        self._threads: list[threading.Thread] = []
        self._events: deque[bytes] = deque(maxlen=MOST_EVENTS)
        self._reader_error: DeviceError | None = None
        self._closing = False

    @property
    def lost(self) -> bool:
        """The device is gone; nothing more reaches it."""
        return self._claimed.lost

    def begin_bulk_read(
        self, endpoint: int, size: int, timeout_s: float, doing: str, shown: Callable[[bytes], bytes] | None = None
    ) -> "PendingRead":
        """Ask for bytes that come only after another request, which this thread makes meanwhile."""
        pending = PendingRead(self.clock)
        work = pending.run(lambda: self.bulk_read(endpoint, size, timeout_s, doing, shown))
        self._start(work, "bulk read")
        return pending

    def listen(self, endpoint: int, size: int) -> None:
        """Read events from now on, in a thread that ends at :meth:`close`."""
        self._start(lambda: self._read_events(endpoint, size), "events")

    def next_event(self, timeout_s: float, stop: threading.Event | None = None) -> bytes | None:
        """The next unread event; None when the time is over or ``stop`` is set.

        Raises
        ------
        DeviceError
            Why no more events come.
        """
        until = self.clock.now() + timeout_s
        while not self._events and self._reader_error is None and (stop is None or not stop.is_set()):
            left = until - self.clock.now()
            if left <= 0:
                return None
            ready = lambda: bool(self._events) or self._reader_error is not None  # noqa: E731
            self.clock.wait_for(ready, left if stop is None else min(left, STOP_S))
        if self._events:
            return self._events.popleft()
        if self._reader_error is not None:
            raise self._reader_error
        return None

    def forget_events(self) -> None:
        """What happened until now is not asked for any more; raises when no more events can come."""
        self._events.clear()
        if self._reader_error is not None:
            raise self._reader_error

    def close(self) -> None:
        """End what is pending and give the device back; safe to call twice, and with the device gone."""
        if self._closing:
            return
        self._closing = True
        self._claimed.release()
        self.clock.notify()
        for thread in self._threads:
            thread.join(JOIN_S)
        if not any(thread.is_alive() for thread in self._threads):
            # Closing under a thread that is still within libusb would pull the memory from under it.
            self._claimed.destroy()

    def _start(self, work: Callable[[], None], what: str) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(self.clock.start_thread(work, f"{what} of {self.name}"))

    def _read_events(self, endpoint: int, size: int) -> None:
        while not self._closing:
            try:
                event = self._claimed.interrupt_read(endpoint, size, LISTEN_S, "report events")
            except DeviceTimeoutError:
                continue  # nothing happened, and nobody closed
            except DeviceError as error:
                self._reader_error = error
                break
            if not event:
                # A cancelled request ends so, too; then nobody asks for the error any more.
                self._reader_error = DeviceProtocolError(self.name, "report events", "an empty packet: it stopped")
                break
            self._events.append(event)
            self.clock.notify()
        self.clock.notify()


class PendingRead:
    """A bulk read under way in a thread of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done = False
        self._data: bytearray | None = None
        self._error: DeviceError | None = None

    def run(self, read: Callable[[], bytearray]) -> Callable[[], None]:
        """The thread's work."""

        def work() -> None:
            try:
                self._data = read()
            except DeviceError as error:
                self._error = error
            finally:
                self._done = True
                self._clock.notify()

        return work

    def result(self, timeout_s: float) -> bytearray:
        """What came; raises what went wrong. ``timeout_s`` is above the read's own."""
        self._clock.wait_for(lambda: self._done, timeout_s)
        if self._error is not None:
            raise self._error
        if self._data is None:
            raise DeviceTimeoutError("USB", "bulk read", "libusb kept a request beyond its time-out")
        return self._data
