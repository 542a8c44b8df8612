"""Small files that must survive a power cut whole, and be readable by their owner alone."""

import os
import stat
from pathlib import Path

from sync.errors import DeviceKeyError, IdentityError

LARGEST_BYTES = 256 * 1024


def write_whole(path: Path, content: bytes) -> None:
    """Write ``path`` so that after any crash it holds the old content or the new, mode 0600."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)  # whatever the umask
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make names created, renamed or removed in ``folder`` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_private(path: Path) -> bytes:
    """Read a file with a secret. Raises DeviceKeyError when it is missing or anybody but its owner may touch it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise DeviceKeyError(path, error.strerror or "can not be opened") from error
    try:
        # Of the open file, not of the name: it can not be exchanged in between.
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise DeviceKeyError(path, "not a regular file")
        if facts.st_mode & 0o077:
            raise DeviceKeyError(path, f"mode {facts.st_mode & 0o777:04o} lets others in; set it to 0600")
        if facts.st_uid not in (os.geteuid(), 0):
            raise DeviceKeyError(path, "belongs to another user")
        return os.read(handle, LARGEST_BYTES)
    finally:
        os.close(handle)


def read_plain(path: Path) -> bytes:
    """Read a small file without secrets. Raises IdentityError."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_BYTES)
    except OSError as error:
        raise IdentityError(path, error.strerror or "can not be read") from error
