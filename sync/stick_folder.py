"""The folder on a stick: files that are there whole or not at all, and everything else on it left alone.

Sticks are vfat as a rule: no rights, no links, and a rename onto a file that is there is not atomic. So a file is
written under a passing name, flushed, renamed to a name nobody had before, and the folder is flushed; a file once
written is never written again. What is read back is read from the stick, not from memory.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sync.errors import (
    Refusal,
    StickError,
    StickFaultyError,
    StickFileError,
    StickFullError,
    StickGoneError,
    StickMissingError,
    StickReadOnlyError,
)
from sync.stick import HEADER, FileName, Kind, unwrap, wrap

PASSING = ".part"
"""Ends the name of a file that is not yet whole."""
MOST_FILES = 10_000
"""Names kept in memory; a stick with more is taken in several goes."""
LARGEST_FILE = HEADER.size + max(kind.most_bytes for kind in Kind)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_MISSING = frozenset({errno.ENOTDIR})


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies on a stick, by name."""

    files: tuple[tuple[FileName, str], ...]
    """Ours, in the order they were exported; each with its name as the stick spells it."""
    foreign: int
    """Files of others. Their names are nobody's business here."""
    unfinished: int
    """Files of ours that never got their name: the stick was pulled out too early."""
    more: bool
    """There are more of ours than one go takes."""

    def of(self, kind: Kind) -> Iterable[tuple[FileName, str]]:
        """The files of one kind, in order."""
        return (found for found in self.files if found[0].kind is kind)


class StickFolder:
    """A folder on a stick, as it was when this was made. One user at a time.

    Raises StickMissingError when there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            facts = path.stat()
        except FileNotFoundError as error:
            raise StickMissingError(path, "look for the stick", "no such folder") from error
        except OSError as error:
            raise translated(path, "look for the stick", error) from error
        if not stat.S_ISDIR(facts.st_mode):
            raise StickMissingError(path, "look for the stick", "not a folder")
        self._device = facts.st_dev

    def look(self) -> Listing:
        """List the stick. Opens no file. Raises StickError."""
        files: list[tuple[FileName, str]] = []
        foreign = unfinished = 0
        more = False
        with self._telling("look at the stick"), os.scandir(self.path) as entries:
            for entry in entries:
                name = FileName.parse(entry.name.removesuffix(PASSING))
                if name is None or not entry.is_file(follow_symlinks=False):
                    foreign += 1
                elif entry.name.endswith(PASSING):
                    unfinished += 1
                elif len(files) == MOST_FILES:
                    more = True
                else:
                    files.append((name, entry.name))
        return Listing(tuple(sorted(files, key=lambda file: file[0])), foreign, unfinished, more)

    def read(self, spelling: str, kind: Kind) -> bytes:
        """The body of one file.

        Raises
        ------
        StickFileError
            It is cut off, changed or not what its name says; the other files are none the worse.
        StickError
            The stick failed. Whether only this file is unreadable or the stick is gone, :meth:`look` tells.
        """
        with self._telling("read a file"):
            # O_NONBLOCK: a pipe of that name must not make us wait.
            handle = os.open(self.path / spelling, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise StickFileError(Refusal.UNKNOWN_TYPE, detail="not a file")
                return unwrap(_read_up_to(handle, LARGEST_FILE + 1), kind)
            finally:
                os.close(handle)

    def write(self, name: FileName, body: bytes) -> bool:
        """Put one file on the stick, whole or not at all; False when it was there already, whole.

        When it returns, the bytes have been read back from the stick. Raises StickError, by cause.
        """
        if self._has(name):
            return False
        data, target = wrap(name.kind, body), self.path / str(name)
        passing = target.with_name(target.name + PASSING)
        with self._telling("write a file"):
            try:
                _write_flushed(passing, data)
                passing.rename(target)
                flush(self.path)
                back = _read_back(target)
            except OSError:
                # A full stick keeps no half file; one that was pulled out keeps it until the next export sweeps.
                with contextlib.suppress(OSError):
                    passing.unlink(missing_ok=True)
                raise
        if back != data:
            raise StickFaultyError(self.path, "read back what was written", "the stick gives other bytes back")
        return True

    def remove(self, spellings: Iterable[str]) -> None:
        """Take files off the stick that have done their work. Raises StickError."""
        with self._telling("remove a file"):
            for spelling in spellings:
                (self.path / spelling).unlink(missing_ok=True)
            flush(self.path)

    def sweep(self) -> None:
        """Take away files of ours that never became whole. Raises StickError."""
        with self._telling("look at the stick"), os.scandir(self.path) as entries:
            left = [
                entry.name
                for entry in entries
                if entry.name.endswith(PASSING) and FileName.parse(entry.name.removesuffix(PASSING)) is not None
            ]
        if left:
            self.remove(left)

    def _has(self, name: FileName) -> bool:
        """Whether that file is there and whole; one that is there and spoilt makes room."""
        with self._telling("look for a file"):
            if not os.path.lexists(self.path / str(name)):
                return False
        try:
            self.read(str(name), name.kind)
        except StickFileError:
            self.remove([str(name)])
            return False
        return True

    @contextlib.contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """Errors of the operating system by what they mean for the person holding the stick."""
        try:
            if self.path.stat().st_dev != self._device:
                # Where a stick was mounted there is now the folder under it, on this machine's own disk.
                raise StickGoneError(self.path, doing, "another file system is there now")
            yield
        except OSError as error:
            raise translated(self.path, doing, error) from error


def flush(folder: Path) -> None:
    """Make the names in the folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def translated(folder: Path, doing: str, error: OSError) -> StickError:
    """An error of the operating system by what it means for the person holding the stick."""
    detail = error.strerror or ""
    if error.errno in _FULL:
        return StickFullError(folder, doing, detail)
    if error.errno in _READ_ONLY:
        return StickReadOnlyError(folder, doing, detail)
    if error.errno in _MISSING:
        return StickMissingError(folder, doing, detail)
    return StickGoneError(folder, doing, detail)


def _write_flushed(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    # Readable by all: it is sealed, and head office reads it as another user.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_back(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        # Out of the machine's memory, so that the answer comes from the stick.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        return _read_up_to(handle, LARGEST_FILE + 1)
    finally:
        os.close(handle)


def _read_up_to(handle: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(handle, min(most, 1 << 20))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)
