"""A maker's library compiled from ``vendor_double.c``, and the glass in front of it, shared with its process."""

import enum
import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
HEADER_FOLDER = HERE.parents[2] / "drivers" / "scanner" / "vendor"
_FIELDS = (
    *("plugged", "finger", "seen_empty", "brief", "fault", "where", "owner", "streams", "hanging", "wrote_file"),
    *("width", "height"),
)
_PIXELS_AT = 4 * len(_FIELDS)
_SIZE = _PIXELS_AT + (1 << 20)


class Fault(enum.IntEnum):
    """As in vendor_double.c."""

    FINE = 0
    CRASH = 1
    HANG = 2
    EXIT = 3
    NONSENSE_RESULT = 4
    ZERO_SIZE = 5
    HUGE_SIZE = 6
    OVERFLOW = 7
    NO_DPI = 8
    ABORT = 9
    FAIL = 10
    REMOVED = 11
    BLANK = 12
    WRITE_FILE = 13
    CHATTER = 14


class Where(enum.IntEnum):
    """As in vendor_double.c."""

    NOWHERE = 0
    LIST = 1
    OPEN = 2
    CAPTURE = 3
    FRAME = 4
    CLOSE = 5


def compiled(folder: Path, *options: str) -> Path:
    """The library in a folder; skips with a clear word where no compiler is."""
    library = folder / "libdouble.so"
    library.write_bytes(_built(folder, options))
    library.chmod(0o755)
    return library


_BUILT: dict[tuple[str, ...], bytes] = {}
"""By compiler options: the same for every test of a run."""


def _built(folder: Path, options: tuple[str, ...]) -> bytes:
    if options in _BUILT:
        return _BUILT[options]
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine: the library that plays a maker's cannot be built")
    built = folder / "built.so"
    command = [compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", *options]
    subprocess.run(
        [*command, "-I", str(HEADER_FOLDER), "-o", str(built), str(HERE / "vendor_double.c"), "-ldl"],
        check=True,
        timeout=60,
    )
    _BUILT[options] = built.read_bytes()
    return _BUILT[options]


class PlayedLibrary:
    """One scanner behind the library: place, lift, unplug, and what shall go wrong."""

    def __init__(self, library: Path) -> None:
        self.library = library
        file = library.with_name(library.name + ".glass")
        with file.open("w+b") as opened:
            opened.truncate(_SIZE)
            self._memory = mmap.mmap(opened.fileno(), _SIZE)
        self._set("width", 388)
        self._set("height", 374)
        self._set("plugged", 1)

    def place(self, pixels: NDArray[np.uint8]) -> None:
        self._set("width", pixels.shape[1])
        self._set("height", pixels.shape[0])
        self._memory[_PIXELS_AT : _PIXELS_AT + pixels.size] = pixels.tobytes()
        self._set("finger", 1)

    def lift(self) -> None:
        """Hands are slower than sensors: the empty glass is seen at least once."""
        self._set("finger", 0)
        self._set("seen_empty", 0)

    def touch_briefly(self) -> None:
        self._set("brief", 1)

    def plug(self) -> None:
        self._set("plugged", 1)

    def unplug(self) -> None:
        self._set("plugged", 0)

    def stream(self) -> None:
        self._set("streams", 1)

    def go_wrong(self, where: Where, fault: Fault) -> None:
        self._set("hanging", 0)
        self._set("fault", fault)
        self._set("where", where)

    def get(self, field: str) -> int:
        return int(struct.unpack_from("=I", self._memory, 4 * _FIELDS.index(field))[0])

    def close(self) -> None:
        self._memory[:] = bytes(_SIZE)
        self._memory.close()

    def _set(self, field: str, value: int) -> None:
        struct.pack_into("=I", self._memory, 4 * _FIELDS.index(field), value)
