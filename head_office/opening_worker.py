"""The process that opens packets: the only one that reads the keys they are encrypted to.

Either a child of ``serve``, for one machine and the demo; or a service of its own under its own user, and then the
one that faces the network cannot read those keys at all. It listens to nothing but its parent.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection

from head_office.errors import LedgerBrokenError, LedgerError
from head_office.keys.home import Home
from head_office.keys.recipients import load_private_keys
from head_office.ledger.choice import LedgerChoice, open_ledger
from head_office.opening import AT_ONCE, Opener

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 2.0  # The parent wakes its child after each commit; a service of its own has this as its delay.
RESTART_AFTER_S = (0.5, 2.0, 10.0, 60.0)  # A worker that dies at once must not spin; keys may be put right meanwhile.
STOP_WITHIN_S = 10.0  # One group of packets takes a tenth of a second.


def open_until(opener: Opener, wait: Callable[[float], bool]) -> None:
    """Open what waits until ``wait(seconds)`` says that it is time to end.

    A ledger that is busy, full or away is tried again; LedgerBrokenError is raised.
    """
    while True:
        try:
            looked_at = opener.open_waiting()
        except LedgerBrokenError:
            raise
        except LedgerError as error:
            log.warning("opening waits: %s", error)
            looked_at = 0
        if wait(0 if looked_at == AT_ONCE else LOOK_AGAIN_S):
            return


def run_alone(home: Home, choice: LedgerChoice | None, on_ready: Callable[[], None]) -> None:
    """Open until SIGTERM or SIGINT. Raises HomeError or LedgerError when it cannot start."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    keys = load_private_keys(home)
    ledger = open_ledger(home, choice)
    try:
        on_ready()
        open_until(Opener(ledger, keys), stopping.wait)
    finally:
        ledger.close()


def run_as_child(home: Home, choice: LedgerChoice | None, from_parent: Connection) -> None:
    """Open until the parent hangs up. Raises HomeError when the keys are not there."""
    # Ctrl-C and `timeout` reach the whole group; the parent decides when this process ends, by hanging up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    keys = load_private_keys(home)
    ledger = open_ledger(home, choice)

    def wait(seconds: float) -> bool:
        while from_parent.poll(seconds):
            from_parent.recv_bytes()
            seconds = 0  # Several wakes mean one look.
        return False

    try:
        open_until(Opener(ledger, keys), wait)
    except EOFError:
        log.info("the parent has ended")
    finally:
        ledger.close()


class OpeningWorker:
    """Keeps one worker process running: started, woken after commits, started again when it dies, stopped."""

    def __init__(self, home: Home, choice: LedgerChoice | None = None) -> None:
        self._home, self._choice = home, choice
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._pipe: Connection | None = None
        self._keeper = threading.Thread(target=self._keep, name="opening-keeper", daemon=True)

    def start(self) -> None:
        self._keeper.start()

    def wake(self) -> None:
        """Tell the worker that packets were stored. Never waits and never fails: it looks by itself as well."""
        with self._lock:
            if self._pipe is not None and not self._stopping.is_set():
                try:
                    self._pipe.send_bytes(b"\x01")
                except OSError as error:  # It is dead, or has wakes enough; either way it will look.
                    log.debug("worker not woken: %s", error)

    def stop(self) -> None:
        """Hang up and wait for the worker to finish its packet."""
        self._stopping.set()
        self._hang_up()
        if self._keeper.ident is not None:
            self._keeper.join(STOP_WITHIN_S + LOOK_AGAIN_S)

    def _hang_up(self) -> None:
        with self._lock:
            if self._pipe is not None:
                self._pipe.close()
                self._pipe = None

    def _keep(self) -> None:
        # spawn, not fork: the child must not inherit sockets, keys in memory or the ledger's connection.
        context = multiprocessing.get_context("spawn")
        failures = 0
        while not self._stopping.is_set():
            theirs, ours = context.Pipe(duplex=False)
            process = context.Process(
                target=run_as_child, args=(self._home, self._choice, theirs), name="opening", daemon=True
            )
            process.start()
            theirs.close()
            # A worker that does not read must never make the ingest wait.
            os.set_blocking(ours.fileno(), False)
            with self._lock:
                self._pipe = ours
            if self._stopping.is_set():
                self._hang_up()
            while process.is_alive() and not self._stopping.is_set():
                process.join(LOOK_AGAIN_S)
                failures = 0 if process.is_alive() else failures
            self._hang_up()
            process.join(STOP_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()
            if not self._stopping.is_set():
                wait_s = RESTART_AFTER_S[min(failures, len(RESTART_AFTER_S) - 1)]
                log.error("the opening worker ended with %s; starting it again in %g s", process.exitcode, wait_s)
                failures += 1
                self._stopping.wait(wait_s)
