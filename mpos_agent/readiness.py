"""Tell systemd how the agent is: ready, alive, stopping (sd_notify(3)). Silent where nobody asks."""

import logging
import os
import socket
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class Readiness:
    """Messages to the service manager over ``NOTIFY_SOCKET``."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of Linux' abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environment.get("WATCHDOG_USEC", "")
        meant_for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._failed = False
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and meant_for_us else None
        """Within how many seconds a sign of life is expected; None when nobody watches."""

    def ready(self, status: str) -> None:
        """Start-up is over; units that wait for this one may start."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self, status: str) -> None:
        """A sign of life, with one line that ``systemctl status`` shows."""
        self._send(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """An orderly stop has begun."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.connect(self._address)
                # Called on the loop that serves the counter: one that listens and does not read must not stop it.
                channel.setblocking(False)
                channel.sendall(message.encode())
        except OSError as error:
            # A service manager that does not listen is its own trouble, not the counter's; the first time loud.
            _log.log(logging.DEBUG if self._failed else logging.WARNING, "NOTIFY_SOCKET: %s", error.strerror)
            self._failed = True
