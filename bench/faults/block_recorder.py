"""A disk that remembers every write and every flush: an image served as a file by FUSE, with a loop device on it.

What the kernel's own dm-log-writes does, without a kernel module. Beside the image lies a file for marks, so that
what users were told stands in the same order as the writes.
"""

import errno
import os
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mfusepy

from bench.faults.file_recorder import Flush, Mark, Step, Write
from bench.faults.traced import wait_for

DISK, MARKS = "disk", "marks"
_HEAD = struct.Struct("<cqq")
START_WITHIN_S = 20.0
COMMAND_S = 60.0


class _RecordingDisk(mfusepy.Operations):  # type: ignore[misc]
    """Two files: the disk, kept in memory, and the marks; every change of either goes to the log first."""

    use_ns = True

    def __init__(self, image: bytearray, log: Any) -> None:
        self._image, self._log, self._marked = image, log, 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path == f"/{DISK}":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(self._image)}
        if path == f"/{MARKS}":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": self._marked}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", DISK, MARKS]

    def open(self, path: str, flags: int) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._image[offset : offset + size]) if path == f"/{DISK}" else b""

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == f"/{DISK}":
            self._note(b"W", offset, data)
            self._image[offset : offset + len(data)] = data
        else:
            self._note(b"M", 0, data)
            self._marked += len(data)
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        if path == f"/{DISK}":
            self._note(b"F", 0, b"")
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        return 0

    def _note(self, kind: bytes, offset: int, data: bytes) -> None:
        self._log.write(_HEAD.pack(kind, offset, len(data)))
        self._log.write(data)


def read_log(log: Path) -> Iterator[Step]:
    """The steps of a log."""
    with log.open("rb") as file:
        while head := file.read(_HEAD.size):
            kind, offset, length = _HEAD.unpack(head)
            data = file.read(length)
            match kind:
                case b"W":
                    yield Write(DISK, offset, data)
                case b"F":
                    yield Flush(DISK)
                case b"M":
                    yield from (Mark(line) for line in data.decode("ascii").splitlines())


@contextmanager
def recording(image: bytes, folder: Path) -> Iterator[tuple[Path, Path]]:
    """A mounted ext4 on a recording disk, its marks file, for the length of a block; the log is ``folder/log``."""
    served, mounted = folder / "served", folder / "mounted"
    served.mkdir()
    mounted.mkdir()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with (folder / "log").open("wb") as log:
                mfusepy.FUSE(_RecordingDisk(bytearray(image), log), str(served), foreground=True, nothreads=True)
            status = 0
        finally:
            os._exit(status)
    try:
        _wait_for(served / DISK)
        command("mount", "-o", "loop", str(served / DISK), str(mounted))
        try:
            yield mounted, served / MARKS
        finally:
            command("umount", str(mounted))
            command("fusermount3", "-u", "-z", str(served))
    finally:
        wait_for(child, START_WITHIN_S)


@contextmanager
def mounted_image(image: Path, at: Path) -> Iterator[Path]:
    """An image mounted for the length of a block; ext4 replays its own journal first.

    Its superblock is 1024 bytes, two sectors, and a torn one is not mounted: it is mended from its copy first, as
    whoever starts such a machine is told to do.
    """
    try:
        command("mount", "-o", "loop", str(image), str(at))
    except subprocess.CalledProcessError:
        mend(image)
        command("mount", "-o", "loop", str(image), str(at))
    try:
        yield at
    finally:
        command("umount", str(at))


def mend(image: Path) -> None:
    """``e2fsck``; what it cannot mend is seen when the image is mounted."""
    words = ["e2fsck", "-f", "-y", str(image)]
    subprocess.run(words, check=False, capture_output=True, timeout=COMMAND_S)


def command(*words: str) -> None:
    """Run a program to its end. Raises CalledProcessError."""
    subprocess.run(words, check=True, capture_output=True, timeout=COMMAND_S)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the recording disk did not come up")
        time.sleep(0.01)
