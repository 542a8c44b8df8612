"""Who may call the local API: one credential per calling application, kept as a hash.

A credential is 32 random bytes, shown once when it is made. Because it is random and long, a plain SHA-256
protects it as well as a slow hash would, and checking costs microseconds. The file belongs to the agent's
user alone; it is read again whenever it changes, so that a new caller needs no restart.
"""

import dataclasses
import datetime
import enum
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import threading
from pathlib import Path

from mpos_agent.errors import AgentError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Scope(enum.StrEnum):
    """What a caller is for."""

    MACHINE = "machine"
    """The command line as the agent's user or root: everything, also people and enrolment."""
    COUNTER = "counter"
    """A counter application: claims, with an operator signed in."""
    TECHNICIAN = "technician"
    """State of devices, queue and network; never a claim."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """One application that may call."""

    name: str
    scope: Scope
    digest: str
    created: str


class CallersFileError(AgentError):
    """The callers file is open to others, or is not what this program wrote."""

    code = "callers_file"


class CallerNameError(AgentError):
    """The name is taken, or not made of a-z, 0-9 and hyphens."""

    code = "caller_name"


class Callers:
    """The callers of one machine, in one file of mode 0600. Safe from every thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._from_file: tuple[Caller, ...] = ()
        self._passing: tuple[Caller, ...] = ()

    def add(self, name: str, scope: Scope, now: datetime.datetime) -> str:
        """Make a caller and give its token, which is shown this once.

        Raises
        ------
        CallerNameError, CallersFileError
        """
        with self._lock:
            self._refresh()
            if not _NAME.fullmatch(name):
                raise CallerNameError(f"{name!r}: use a-z, 0-9 and hyphens, at most 32")
            if any(caller.name == name for caller in self._from_file):
                raise CallerNameError(f"{name} is taken; remove it first")
            token = secrets.token_urlsafe(32)
            made = Caller(name, scope, _digest(token), now.isoformat(timespec="seconds"))
            self._write((*self._from_file, made))
        return token

    def remove(self, name: str) -> None:
        """Take a caller's credential away. Raises CallerNameError when there is none of that name."""
        with self._lock:
            self._refresh()
            left = tuple(caller for caller in self._from_file if caller.name != name)
            if len(left) == len(self._from_file):
                raise CallerNameError(f"there is no caller {name}")
            self._write(left)

    def listed(self) -> tuple[Caller, ...]:
        """Everybody in the file."""
        with self._lock:
            self._refresh()
            return self._from_file

    def passing(self, name: str, scope: Scope) -> str:
        """A token that is good until this process ends and never stands in the callers file."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._passing += (Caller(name, scope, _digest(token), ""),)
        return token

    def known(self, token: str) -> Caller | None:
        """Whose token this is, compared without telling by time how near it was."""
        digest = _digest(token)
        with self._lock:
            self._refresh()
            found = None
            for caller in (*self._passing, *self._from_file):
                if hmac.compare_digest(caller.digest, digest):
                    found = caller
        return found

    def _refresh(self) -> None:
        try:
            facts = self._file.stat()
        except FileNotFoundError:
            self._seen, self._from_file = None, ()
            return
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise CallersFileError(f"{self._file} is open to group or others; chmod 600 it")
        seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        if seen == self._seen:
            return
        try:
            rows = json.loads(self._file.read_text(encoding="utf-8"))["callers"]
            callers = tuple(Caller(row["name"], Scope(row["scope"]), row["sha256"], row["created"]) for row in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise CallersFileError(f"{self._file} is not a callers file") from error
        self._seen, self._from_file = seen, callers

    def _write(self, callers: tuple[Caller, ...]) -> None:
        rows = [
            {"name": caller.name, "scope": caller.scope, "sha256": caller.digest, "created": caller.created}
            for caller in callers
        ]
        write_private(self._file, json.dumps({"version": 1, "callers": rows}, indent=1) + "\n")
        self._from_file = callers
        facts = self._file.stat()
        self._seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def write_private(file: Path, text: str) -> None:
    """Replace ``file`` in one step by ``text``, readable by its owner alone from the first moment on.

    Written by root, it is given to the owner of its folder, so that the agent's own user can read it.
    """
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
            if os.geteuid() == 0:
                folder = file.parent.stat()
                os.fchown(handle.fileno(), folder.st_uid, folder.st_gid)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
