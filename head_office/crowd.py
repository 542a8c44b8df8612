"""How many batches are worked on at once: as many as there are processors, and one more.

Threads of one interpreter take turns at it. Each answer of the database, each signature that was checked, finds its
thread waiting behind all others, so that eight at once take longer for the same batches than three. The others are
better off waiting here, where waiting costs nothing. A batch leaves before it waits for the one writer of a file, or
for its commit, so that any number of batches may wait for the disk or the standby, and share a flush.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from head_office.errors import LedgerBusyError

WAIT_S = 30.0  # As long as for the ledger's writer: batches take milliseconds, so that half a minute is a fault.


class Crowd:
    """Places for threads that compute. Any thread may call it."""

    def __init__(self, most: int | None = None, *, wait_s: float = WAIT_S) -> None:
        self._most = most or (os.cpu_count() or 1) + 1
        self._places = threading.BoundedSemaphore(self._most)
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._under_way: set[str] = set()

    @contextmanager
    def place(self) -> Iterator[Callable[[], None]]:
        """A place until the block ends, or until what this gives is called, by whichever thread.

        Raises LedgerBusyError when none becomes free: nothing was done, and the device comes again.
        """
        if not self._places.acquire(timeout=self._wait_s):
            raise LedgerBusyError(f"{self._most} batches under way for {self._wait_s:g} s")
        held = threading.Lock()

        def leave() -> None:
            if held.acquire(blocking=False):
                self._places.release()

        try:
            yield leave
        finally:
            leave()

    @contextmanager
    def alone(self, device_id: str) -> Iterator[None]:
        """Only one batch of a device goes on from here, until its receipt is signed; it has proved to be the device's.

        Whoever sends forty at once, or again while a commit takes long, keeps no place from others. Raises
        LedgerBusyError for the second.
        """
        with self._lock:
            if device_id in self._under_way:
                raise LedgerBusyError("another batch of this device is under way")
            self._under_way.add(device_id)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(device_id)
