"""Who is at the counter right now: operators who showed their PIN, until they sign out or are idle too long.

Kept in memory only: after a restart everybody signs in again. A sign-in belongs to the caller that asked for
it; another application on the same machine cannot use it.
"""

import dataclasses
import hashlib
import secrets
import threading
from collections.abc import Callable

from mpos_agent.errors import NotSignedInError


@dataclasses.dataclass(frozen=True, slots=True)
class SignedIn:
    """A person at the counter, at one calling application."""

    person_id: str
    caller: str


class SignIns:
    """Everybody who is signed in. Safe from every thread."""

    def __init__(self, *, idle_s: float, monotonic: Callable[[], float]) -> None:
        self.idle_s, self._monotonic = idle_s, monotonic
        self._lock = threading.Lock()
        self._present: dict[str, tuple[SignedIn, float]] = {}

    def enter(self, who: SignedIn) -> str:
        """Remember somebody whose PIN was right; gives the token for later requests."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._drop_idle()
            self._present[_digest(token)] = (who, self._monotonic())
        return token

    def who(self, token: str, caller: str) -> SignedIn:
        """The person behind a token; asking keeps the sign-in alive.

        Raises
        ------
        NotSignedInError
            No such token, one of another caller, or idle for too long.
        """
        with self._lock:
            self._drop_idle()
            who, _ = self._present.get(_digest(token), (None, 0.0))
            if who is None or who.caller != caller:
                raise NotSignedInError
            self._present[_digest(token)] = (who, self._monotonic())
        return who

    def leave(self, token: str) -> None:
        """Sign out; nothing happens when the token is unknown."""
        with self._lock:
            self._present.pop(_digest(token), None)

    def forget(self, person_id: str) -> None:
        """Sign somebody out everywhere: they no longer work here."""
        with self._lock:
            self._present = {key: seen for key, seen in self._present.items() if seen[0].person_id != person_id}

    def _drop_idle(self) -> None:
        oldest = self._monotonic() - self.idle_s
        for digest, (_, seen) in list(self._present.items()):
            if seen < oldest:
                del self._present[digest]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
