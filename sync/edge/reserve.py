"""Disk space kept back for the day the disk is full: without it a full queue could never drain.

On a full disk SQLite can neither acknowledge nor delete nor checkpoint, because each of them writes first. A file of
real blocks lies beside the database and is let go when a write that shortens the queue fails for want of room. It is
made again when there is room for it and as much beside it, so that it does not come and go.

Where a file system makes nothing of empty blocks, because it compresses, the file is filled with noise.
"""

import contextlib
import os
from pathlib import Path

from sync.edge.files import flush_folder

SIZE = 16 * 1024 * 1024
"""With secure_delete, twenty rows of 60 kB purged, a vacuum and a checkpoint fitted into this; 9 MB were too little."""
PIECE = 1024 * 1024


class Reserve:
    """One file of ``size`` bytes."""

    def __init__(self, path: Path, size: int = SIZE) -> None:
        self.path, self.size = path, size

    @property
    def there(self) -> bool:
        """Whether all of it is on the disk."""
        try:
            return self.path.stat().st_blocks * 512 >= self.size
        except OSError:
            return False

    def make(self) -> bool:
        """Make it where it is not and there is room for it and as much again; whether it is there now."""
        if self.there:
            return True
        if self.free_bytes() < 2 * self.size:
            return False
        try:
            self.path.unlink(missing_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.size)
                os.fsync(handle)
                if not self.there:
                    self._write_noise(handle)
            finally:
                os.close(handle)
            flush_folder(self.path.parent)
        except OSError:
            # Somebody else took the room in between, or the disk failed: nobody is worse off than without it, and
            # `there` tells it to whoever asks.
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            return False
        return self.there

    def _write_noise(self, handle: int) -> None:
        """Where a file system makes nothing of empty blocks (compression): bytes that it cannot make smaller."""
        for at in range(0, self.size, PIECE):
            os.pwrite(handle, os.urandom(min(PIECE, self.size - at)), at)
        os.fsync(handle)

    def let_go(self) -> bool:
        """Give the room back; whether there was any to give."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True

    def free_bytes(self) -> int:
        """What an ordinary user may still write on this disk; 0 when the disk does not even tell."""
        try:
            facts = os.statvfs(self.path.parent)
        except OSError:
            return 0
        return facts.f_bavail * facts.f_frsize
