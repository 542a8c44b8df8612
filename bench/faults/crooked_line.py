"""Clocks that jump and lines that lose, double, mix up and spoil what they carry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sync.edge.head_office_client import Reply
from sync.errors import Cause, HeadOfficeError

START = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)
LINES = (
    "good",
    "request lost",
    "reply lost",
    "request twice",
    "an earlier reply",
    "a hotspot's page",
    "request spoilt",
    "reply spoilt",
)
SIGNATURE_BYTES = 64
"""At the end of a receipt."""


@dataclass
class JumpingClock:
    """A device's clocks: they go on a second with each look, and jump when told to."""

    wall: datetime = START
    monotonic: int = 1_000_000_000
    boot_id: bytes = bytes(range(16))

    def utc(self) -> datetime:
        self.wall += timedelta(seconds=1)
        return self.wall

    def monotonic_ns(self) -> int:
        self.monotonic += 1_000_000_000
        return self.monotonic


@dataclass
class Line:
    """A device's line to head office, with one trouble at a time."""

    way: Callable[[str, bytes], Reply]
    trouble: str = "good"
    where: int = 0
    """Which bit is turned over, where one is."""
    earlier: Reply | None = None

    def post(self, path: str, body: bytes) -> Reply:
        match self.trouble:
            case "request lost":
                raise HeadOfficeError(Cause.UNREACHABLE)
            case "reply lost":
                self.way(path, body)
                raise HeadOfficeError(Cause.TIMEOUT)
            case "request twice":
                self.way(path, body)
            case "an earlier reply" if self.earlier is not None:
                self.way(path, body)
                return self.earlier
            case "a hotspot's page":
                return Reply(b"<html>Please sign in</html>", 0, 1)
            case "request spoilt":
                # TLS would not let it through; behind a proxy it has ended.
                return self.way(path, spoilt(body, self.where))
            case "reply spoilt":
                reply = self.way(path, body)
                # Half of them where nothing but the signature tells.
                first = 0 if self.where % 2 else max(0, len(reply.body) - SIGNATURE_BYTES)
                return replace(reply, body=spoilt(reply.body, self.where // 2, first))
        self.earlier = self.way(path, body)
        return self.earlier


def spoilt(data: bytes, where: int, first: int = 0) -> bytes:
    """The same with one bit turned over, at ``where`` behind the byte ``first``, counted round and round."""
    bit = where % (8 * (len(data) - first))
    at = first + bit // 8
    return data[:at] + bytes([data[at] ^ (1 << bit % 8)]) + data[at + 1 :]
