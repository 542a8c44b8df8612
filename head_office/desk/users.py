"""Who may look at the desk: names with Argon2id password hashes, and a brake on guessing."""

import threading
import time
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from head_office import audit
from head_office.errors import HeadOfficeError
from head_office.ledger.base import Ledger
from head_office.moment import Clock, to_ms, utc_now

SHORTEST_PASSWORD = 12
FAILURES_ALLOWED = 5
SLOT_WAIT_S = 0.5  # Two tabs of one person; who waits longer waits behind a crowd of guesses.
LOCKED_S = 60.0  # Five guesses a minute make even a weak password outlive its owner's next change of it.


class DeskCrowdedError(HeadOfficeError):
    """So many passwords are being checked that this one is not, for now."""

    code = "desk_crowded"
    status = 429
    hint = "try again in a moment"


class DeskUsers:
    """Adds and checks desk users. Any thread may call it."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._ledger, self._clock, self._monotonic = ledger, clock, monotonic
        self._hasher = hasher or PasswordHasher()
        # Checked when the name is unknown, so that an unknown name takes as long as a wrong password.
        self._nobody = self._hasher.hash("nobody has this password")
        self._failures: dict[str, tuple[int, float]] = {}
        # Argon2id takes 64 MiB for each check: two at once are enough for a desk and too few to exhaust memory.
        self._slots = threading.BoundedSemaphore(2)

    def add(self, name: str, password: str, *, by: str) -> None:
        """Add a user or give one a new password. Raises ValueError naming what is wrong with name or password."""
        if not name or len(name) > 64 or ":" in name or not name.isprintable():
            raise ValueError("a name has 1 to 64 printable characters and no colon")
        if len(password) < SHORTEST_PASSWORD:
            raise ValueError(f"a password has at least {SHORTEST_PASSWORD} characters")
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            tx.execute(
                "INSERT INTO desk_users (name, password_hash, added_at) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash",
                (name, self._hasher.hash(password), now_ms),
            )
            audit.record(tx, at_ms=now_ms, who=by, act="desk_user_added", user=name)

    def locked_for_s(self, name: str) -> float:
        """Seconds until this name may try again; 0 when it may now."""
        count, since = self._failures.get(name, (0, 0.0))
        return max(0.0, since + LOCKED_S - self._monotonic()) if count >= FAILURES_ALLOWED else 0.0

    def check(self, name: str, password: str) -> bool:
        """Tell whether name and password belong together; about 50 ms, on purpose. Raises DeskCrowdedError."""
        if self.locked_for_s(name) > 0:
            return False
        rows = self._ledger.read("SELECT password_hash FROM desk_users WHERE name = ?", (name,))
        if not self._slots.acquire(timeout=SLOT_WAIT_S):
            raise DeskCrowdedError("other passwords are being checked")
        try:
            right = self._verify(rows[0]["password_hash"] if rows else self._nobody, password)
        finally:
            self._slots.release()
        if right and rows:
            self._failures.pop(name, None)
            return True
        self._note_failure(name)
        return False

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return bool(self._hasher.verify(password_hash, password))
        except (VerificationError, InvalidHashError):
            return False

    def _note_failure(self, name: str) -> None:
        now = self._monotonic()
        count, since = self._failures.get(name, (0, now))
        if now - since > LOCKED_S:
            count = 0
        if len(self._failures) > 10_000:  # Made-up names must not fill the memory.
            self._failures.clear()
        self._failures[name] = (count + 1, now)
