"""NBIS (mindtct, BOZORTH3, NFIQ 2) as an independent judge of ridges, by the package nbis-python.

The package's wheels say that they run on glibc 2.28, but two of the libraries inside were linked on a
newer system and ask for glibc 2.38; Debian 12 has 2.36, and there the import fails. What they ask for
is nothing new: ``fmod`` and the C23 names of ``strtol``, ``strtoll``, ``strtoull`` and ``sscanf``. Where the
package does not load as it is, a copy in a temporary folder is told to take the older names.
"""

import atexit
import importlib
import importlib.util
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_TOO_NEW = (b"GLIBC_2.38",)
_C23_PREFIX = b"__isoc23_"
_DT_STRTAB, _DT_SYMTAB, _DT_VERSYM, _DT_VERNEED, _DT_VERNEEDNUM = 5, 6, 0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF
_VER_FLG_WEAK, _VER_NDX_GLOBAL = 2, 1


class Nbis:
    """mindtct and BOZORTH3 on arrays."""

    def __init__(self, *, quality: bool = False) -> None:
        self._nbis = load_nbis()
        settings = self._nbis.NbisExtractorSettings(
            min_quality=0.0, get_center=False, check_fingerprint=False, compute_nfiq2=quality, ppi=500.0
        )
        self._extractor = self._nbis.new_nbis_extractor(settings)

    def extract(self, pixels: NDArray[np.uint8]) -> Any:
        """The minutiae mindtct finds in a picture at 500 dpi; has ``get()``, ``compare(other)``, ``quality()``."""
        encoded, png = cv2.imencode(".png", pixels)
        assert encoded
        return self._extractor.extract_minutiae(png.tobytes())


def load_nbis() -> ModuleType:
    """The package ``nbis``, from a repaired copy where this system's C library is older than it asks for."""
    if "nbis" in sys.modules:
        return sys.modules["nbis"]
    try:
        return importlib.import_module("nbis")
    except OSError as error:
        if "GLIBC_" not in str(error):
            raise
    for name in [name for name in sys.modules if name == "nbis" or name.startswith("nbis.")]:
        del sys.modules[name]
    found = importlib.util.find_spec("nbis")
    assert found is not None
    assert found.origin is not None
    folder = Path(tempfile.mkdtemp(prefix="peer-nbis-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(Path(found.origin).parent, folder / "nbis")
    for library in (folder / "nbis" / "nbis").glob("*.so*"):
        library.write_bytes(_with_older_names(library.read_bytes()))
    # The libraries name each other without a path; the loader finds those that are loaded already.
    _preload(sorted((folder / "nbis" / "nbis").glob("libopencv_*")))
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("nbis")
    finally:
        sys.path.remove(str(folder))


def _preload(libraries: list[Path]) -> None:
    import ctypes

    for library in sorted(libraries, key=lambda path: ("core" not in path.name, path.name)):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def _with_older_names(original: bytes) -> bytes:
    """A 64-bit little-endian shared library that no longer insists on a C library newer than 2.37."""
    elf = bytearray(original)
    program_offset, program_size, program_count = (
        *struct.unpack_from("<Q", elf, 32),
        *struct.unpack_from("<HH", elf, 54),
    )
    segments = [struct.unpack_from("<IIQQQQ", elf, program_offset + i * program_size) for i in range(program_count)]

    def at(address: int) -> int:
        """Where in the file an address of the loaded library lies."""
        for kind, _, offset, start, _, size in segments:
            if kind == 1 and start <= address < start + size:
                return int(address - start + offset)
        raise ValueError(f"address {address:#x} is in no loaded segment")

    dynamic = next(segment[2] for segment in segments if segment[0] == 2)
    tags: dict[int, int] = {}
    while True:
        tag, value = struct.unpack_from("<QQ", elf, dynamic)
        if tag == 0:
            break
        tags.setdefault(tag, value)
        dynamic += 16
    if _DT_VERNEED not in tags:
        return original
    strings, symbols, versions = at(tags[_DT_STRTAB]), at(tags[_DT_SYMTAB]), at(tags[_DT_VERSYM])

    def text(offset: int) -> bytes:
        return bytes(elf[strings + offset : elf.index(0, strings + offset)])

    too_new: set[int] = set()
    need = at(tags[_DT_VERNEED])
    for _ in range(tags[_DT_VERNEEDNUM]):
        _, count, _, aux_offset, next_need = struct.unpack_from("<HHIII", elf, need)
        aux = need + aux_offset
        for _ in range(count):
            name_hash, flags, index, name, next_aux = struct.unpack_from("<IHHII", elf, aux)
            if text(name) in _TOO_NEW:
                struct.pack_into("<IHH", elf, aux, name_hash, flags | _VER_FLG_WEAK, index)
                too_new.add(index)
            aux += next_aux
        need += next_need
    # The symbol table has no length of its own; the string table that follows it ends it.
    for number in range((strings - symbols) // 24):
        if struct.unpack_from("<H", elf, versions + 2 * number)[0] not in too_new:
            continue
        struct.pack_into("<H", elf, versions + 2 * number, _VER_NDX_GLOBAL)
        (name,) = struct.unpack_from("<I", elf, symbols + 24 * number)
        if text(name).startswith(_C23_PREFIX):
            # "__isoc23_strtol" ends in "strtol": the older name is the same string, begun later.
            struct.pack_into("<I", elf, symbols + 24 * number, name + len(_C23_PREFIX))
    return bytes(elf)
