"""A slow line between two network namespaces: IP packets pass through this process, which takes its time with them.

Each end is a TUN device. A packet waits for the line (rate), then travels (half the round trip), or is lost by a
draw; what would wait longer than QUEUE_S is dropped at the tail, as a modem does. TCP and TLS are the kernel's and
OpenSSL's own, so that slow start, acknowledgements and retransmission cost what they cost. Needs root.
"""

import fcntl
import heapq
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from bench.faults.own_namespace import NETWORK, unshare

DEVICE_END, OFFICE_END = "10.99.0.1", "10.99.0.2"
QUEUE_S = 2.0
MTU = 1500
_TUNSETIFF, _IFF_TUN_NO_PI = 0x400454CA, 0x1001
_LONGEST_NAP_S = 0.2


@dataclass(frozen=True, slots=True)
class LineKind:
    """What a line does, in each direction alike."""

    bits_per_s: float
    round_trip_s: float
    loss: float = 0.0

    def __str__(self) -> str:
        loss = f", {self.loss:.0%} loss" if self.loss else ""
        return f"{self.bits_per_s / 1000:.0f} kbit/s, {self.round_trip_s * 1000:.0f} ms{loss}"


class _Direction:
    """Packets on their way one way."""

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.free_at = 0.0
        self.flying: list[tuple[float, int, bytes]] = []
        self.number = self.carried = self.dropped = 0

    def take(self, kind: LineKind, now: float, draw: Callable[[], float]) -> None:
        packet = os.read(self.source, MTU + 100)
        if self.free_at - now > QUEUE_S:
            self.dropped += 1
            return
        self.free_at = max(self.free_at, now) + 8 * len(packet) / kind.bits_per_s
        if draw() < kind.loss:
            self.dropped += 1
            return
        self.number += 1
        heapq.heappush(self.flying, (self.free_at + kind.round_trip_s / 2, self.number, packet))

    def give(self, now: float) -> None:
        while self.flying and self.flying[0][0] <= now:
            packet = heapq.heappop(self.flying)[2]
            self.carried += len(packet)
            os.write(self.sink, packet)


class SlowLine:
    """This process's end of the line is DEVICE_END. ``with`` it, inside a network namespace of its own.

    ``kind`` may be changed at any time.
    """

    def __init__(self, kind: LineKind, *, seed: int = 1) -> None:
        self.kind = kind
        self._draw = random.Random(seed).random
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._near = _tun(DEVICE_END)
        return self

    def office(self, command: list[str], folder: str) -> subprocess.Popen[str]:
        """Start head office at the other end, in a namespace of its own; the line works from now on."""
        ours, theirs = socket.socketpair()

        def other_end() -> None:
            unshare(NETWORK)
            far = _tun(OFFICE_END)
            socket.send_fds(theirs, [b"x"], [far])

        started = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=other_end,  # noqa: PLW1509 - one thread here so far; the child needs a namespace of its own
        )
        theirs.close()
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        self._ways = (_Direction(self._near, descriptors[0]), _Direction(descriptors[0], self._near))
        self._thread = threading.Thread(target=self._carry, name="line", daemon=True)
        self._thread.start()
        return started

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for way in self._ways:
            os.close(way.source)

    @property
    def carried(self) -> tuple[int, int]:
        """IP bytes to head office and back."""
        return self._ways[0].carried, self._ways[1].carried

    @property
    def dropped(self) -> int:
        """Packets lost or turned away."""
        return sum(way.dropped for way in self._ways)

    def _carry(self) -> None:
        by_source = {way.source: way for way in self._ways}
        while not self._stop.is_set():
            now = time.monotonic()
            due = min((way.flying[0][0] for way in self._ways if way.flying), default=now + _LONGEST_NAP_S)
            ready, _, _ = select.select(list(by_source), [], [], min(_LONGEST_NAP_S, max(0.0, due - now)))
            now = time.monotonic()
            for source in ready:
                by_source[source].take(self.kind, now, self._draw)
            for way in self._ways:
                way.give(now)


def _tun(address: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH14x", b"line", _IFF_TUN_NO_PI))
    for words in (
        ["addr", "add", f"{address}/24", "dev", "line"],
        ["link", "set", "line", "mtu", str(MTU), "up"],
    ):
        subprocess.run(["ip", *words], check=True, timeout=30, stdout=sys.stderr)
    return descriptor
