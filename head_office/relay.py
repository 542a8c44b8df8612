"""Tell other systems what was committed: to a webhook, into a file, or both; at least once, in order, by event id.

Events are written in the transaction of the thing itself, so none is told that did not happen and none is forgotten.
The relay is a process of its own: nothing waits for it, and a receiver that is down costs nobody anything. An event
is marked once every configured receiver has it. A relay that was killed in between tells it again under the same id.

From the first look of a relay on, an event stays until it was told, however long the relay is down. Where there never
was one, or people have said that there is none any more, nobody waits for events, and they are cleared away when they
are old.
"""

import hashlib
import hmac
import http.client
import json
import logging
import os
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from head_office import audit
from head_office.errors import HeadOfficeError, HomeError, LedgerBrokenError, LedgerError
from head_office.events import KEPT_MS, PURGED_AT_ONCE
from head_office.keys.home import read_private
from head_office.ledger.base import Ledger, Row
from head_office.moment import Clock, from_ms, to_ms

log = logging.getLogger(__name__)

AT_ONCE = 100
TIMEOUT_S = 20.0  # A receiver that takes longer to take 500 bytes is down.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 900.0
LARGEST_REPLY = 64 << 10
NAME = "relay"


class NotDeliveredError(HeadOfficeError):
    """A receiver did not take an event.

    ``event_is_at_fault`` when it answered that it will not have this one (4xx): others may still go through.
    """

    code = "not_delivered"

    def __init__(self, what: str, *, event_is_at_fault: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(what)
        self.event_is_at_fault, self.retry_after_s = event_is_at_fault, retry_after_s


class Receiver(Protocol):
    """Somewhere events go."""

    column: str
    """The column of ``events`` that says when it had one."""

    def deliver(self, event_id: str, body: bytes) -> None:
        """Returns once it is safe there. Raises NotDeliveredError."""


class EventFile:
    """One JSON object a line, appended and flushed. A line cut off by a power cut is no JSON: readers skip it."""

    column = "file_at"

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, event_id: str, body: bytes) -> None:
        try:
            # Opened each time: a log rotation renames the file under us.
            new = not self._path.exists()
            number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                whole = os.fstat(number).st_size == 0 or self._ends_with_newline()
                _append(number, (b"" if whole else b"\n") + body + b"\n")
            finally:
                os.close(number)
            if new:
                folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise NotDeliveredError(f"{self._path}: {error.strerror}") from error
        log.debug("%s written", event_id)

    def _ends_with_newline(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _append(number: int, line: bytes) -> None:
    """All of a line, flushed, or nothing of it: on a full disk the system takes a part without a word."""
    before = os.fstat(number).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[os.write(number, left) :]
        os.fsync(number)
    except OSError:
        os.ftruncate(number, before)
        raise


class Webhook:
    """POST over HTTPS, the body signed with a shared secret. Redirects are not followed.

    ``X-Mpos-Signature`` is ``sha256=`` and the HMAC-SHA-256, in hexadecimal, over the timestamp, a full stop and the
    body; ``X-Mpos-Timestamp`` is seconds since 1970, so that a receiver can refuse old requests played back.
    """

    column = "webhook_at"

    def __init__(self, url: str, secret: bytes, clock: Clock, *, ca_file: Path | None = None) -> None:
        """Raises HomeError for anything but https, or a secret shorter than 16 bytes."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise HomeError(f"{url} is no https address", "claims are told over TLS only")
        if len(secret) < 16:
            raise HomeError("the webhook's secret has less than 16 bytes", "make one: head -c 32 /dev/urandom | base64")
        self._host, self._port = parts.hostname, parts.port or 443
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret, self._clock = secret, clock
        self._context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._connection: http.client.HTTPSConnection | None = None

    @staticmethod
    def secret_from(file: Path) -> bytes:
        """The shared secret, from a file only its owner can read. Raises HomeError."""
        return read_private(file).strip()

    def deliver(self, event_id: str, body: bytes) -> None:
        stamp = str(to_ms(self._clock()) // 1000)
        signature = hmac.new(self._secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-Mpos-Event-Id": event_id,
            "X-Mpos-Timestamp": stamp,
            "X-Mpos-Signature": f"sha256={signature}",
        }
        try:
            status, retry_after = self._post(body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise NotDeliveredError(f"{self._host}: {type(error).__name__}: {error}") from error
        if 200 <= status < 300:
            return
        theirs = 400 <= status < 500 and status not in (401, 403, 404, 408, 425, 429)
        raise NotDeliveredError(f"{self._host} answered {status}", event_is_at_fault=theirs, retry_after_s=retry_after)

    def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT_S, context=self._context
            )
        self._connection.request("POST", self._path, body, headers)
        reply = self._connection.getresponse()
        if len(reply.read(LARGEST_REPLY + 1)) > LARGEST_REPLY or reply.will_close:
            self.close()
        said = reply.getheader("Retry-After", "")
        return reply.status, min(float(said), LONGEST_PAUSE_S) if said.isdecimal() else None

    def close(self) -> None:
        """Hang up; the next event connects anew."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(frozen=True, slots=True)
class Round:
    """What one look came to."""

    relayed: int
    pause_s: float
    """How long to wait before the next: 0 when there may be more."""


class Relay:
    """Takes events in the order they were written and hands each to every receiver."""

    def __init__(
        self,
        ledger: Ledger,
        receivers: list[Receiver],
        clock: Clock,
        *,
        idle_s: float = 2.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """``idle_s`` is the pause when nothing is to do; ``chance`` gives from 0 to 1, for the jitter."""
        if not receivers:
            raise ValueError("a relay needs somewhere to relay to")
        self._ledger, self._receivers, self._clock, self._idle_s, self._chance = (
            ledger, receivers, clock, idle_s, chance,
        )  # fmt: skip
        self._failures = 0

    def round(self) -> Round:
        """Relay what is due. Raises LedgerError; what receivers have by then they will hear again."""
        now_ms = to_ms(self._clock())
        self._announce(now_ms)
        rows = self._ledger.read(
            "SELECT * FROM events WHERE relayed_at IS NULL AND next_at <= ? ORDER BY event_no LIMIT ?",
            (now_ms, AT_ONCE),
        )
        done: list[tuple[int, ...]] = []
        pause_s: float | None = None
        for row in rows:
            try:
                self._deliver(row)
            except NotDeliveredError as error:
                log.warning("event %s: %s", row["event_id"], error)
                if error.event_is_at_fault:
                    self._postpone(row, str(error), now_ms)
                    continue
                self._failures += 1
                pause_s = error.retry_after_s if error.retry_after_s is not None else self._pause(self._failures)
                break
            self._failures = 0
            done.append((now_ms, row["event_no"]))
        if done:
            columns = ", ".join(f"{receiver.column} = {now_ms:d}" for receiver in self._receivers)
            sql = f"UPDATE events SET {columns}, relayed_at = ?, last_error = NULL WHERE event_no = ?"  # noqa: S608
            self._ledger.together(lambda tx: tx.execute_many(sql, done))
        else:
            self._purge(now_ms)
        if pause_s is None:
            pause_s = 0.0 if len(rows) == AT_ONCE else self._idle_s
        return Round(len(done), pause_s)

    def _announce(self, now_ms: int) -> None:
        """From now on events wait for a relay; again where somebody said, beside a running one, that there is none."""
        if self._ledger.read("SELECT 1 FROM relays WHERE name = ?", (NAME,)):
            return
        sql = "INSERT INTO relays (name, first_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._ledger.together(lambda tx: tx.execute(sql, (NAME, now_ms)))

    def _deliver(self, row: Row) -> None:
        body = {
            "id": row["event_id"],
            "type": row["kind"],
            "at": from_ms(row["at"]).isoformat(timespec="milliseconds"),
            **json.loads(row["body"]),
        }
        encoded = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        for receiver in self._receivers:
            # One that has it already hears it again only if this was never written down.
            if row[receiver.column] is None:
                receiver.deliver(row["event_id"], encoded)
                if len(self._receivers) > 1:
                    self._note(row, receiver)

    def _note(self, row: Row, receiver: Receiver) -> None:
        sql = f"UPDATE events SET {receiver.column} = ? WHERE event_no = ?"  # noqa: S608 - a name of ours
        self._ledger.together(lambda tx: tx.execute(sql, (to_ms(self._clock()), row["event_no"])))

    def _postpone(self, row: Row, error: str, now_ms: int) -> None:
        attempts = row["attempts"] + 1
        next_at = now_ms + round(self._pause(attempts) * 1000)
        sql = "UPDATE events SET attempts = ?, next_at = ?, last_error = ? WHERE event_no = ?"
        self._ledger.together(lambda tx: tx.execute(sql, (attempts, next_at, error[:200], row["event_no"])))

    def _pause(self, failures: int) -> float:
        return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10)) * (0.5 + self._chance() / 2)

    def _purge(self, now_ms: int) -> None:
        old = self._ledger.read(
            "SELECT event_no FROM events WHERE relayed_at < ? ORDER BY event_no LIMIT ?",
            (now_ms - KEPT_MS, PURGED_AT_ONCE),
        )
        if old:
            rows = [(row["event_no"],) for row in old]
            self._ledger.together(lambda tx: tx.execute_many("DELETE FROM events WHERE event_no = ?", rows))


def forget(ledger: Ledger, *, now_ms: int, by: str) -> bool:
    """There is no relay any more, and nobody waits for what was not told; False when there was none."""
    with ledger.transaction() as tx:
        if not tx.execute("DELETE FROM relays WHERE name = ? RETURNING name", (NAME,)):
            return False
        audit.record(tx, at_ms=now_ms, who=by, act="relay_forgotten")
    return True


def run(relay: Relay, wait: Callable[[float], bool]) -> None:
    """Relay until ``wait(seconds)`` says that it is time to end. A ledger that is busy or away is tried again."""
    pause_s = 0.0
    while not wait(pause_s):
        try:
            pause_s = relay.round().pause_s
        except LedgerBrokenError:
            raise
        except LedgerError as error:
            log.warning("the relay waits: %s", error)
            pause_s = FIRST_PAUSE_S
