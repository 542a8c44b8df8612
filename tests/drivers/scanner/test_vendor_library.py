"""A maker's closed library: whatever it does, the agent lives, names it, and the next use works."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drivers.errors import (
    DeviceBusyError,
    DeviceError,
    DeviceNotFoundError,
    DeviceProtocolError,
    DeviceRemovedError,
    DeviceTimeoutError,
)
from drivers.scanner import vendor_library, vendor_worker
from drivers.scanner.base import FingerImage, PlaceAgain, ScannerInfo, ScannerState
from drivers.scanner.calibration import Calibration
from drivers.scanner.errors import LibraryDiedError, LibraryUnusableError, NotCalibratedError
from drivers.scanner.vendor_library import LARGEST_PICTURE, VendorScanner, VendorSource, find
from tests.drivers.scanner.leaks import nothing_left
from tests.drivers.scanner.played_library import HEADER_FOLDER, Fault, PlayedLibrary, Where, compiled

LONG_S = 60.0
RIDGES = np.tile(np.where(np.arange(388) % 9 < 4, 30, 220).astype(np.uint8), (374, 1))


@pytest.fixture
def played(tmp_path: Path) -> Iterator[PlayedLibrary]:
    library = PlayedLibrary(compiled(tmp_path))
    yield library
    library.close()


class FastClock:
    """A second passes whenever somebody looks, once the library hangs: nobody waits for it."""

    def __init__(self, played: PlayedLibrary) -> None:
        self._played, self._now = played, 0.0

    def __call__(self) -> float:
        self._now += 1.0 if self._played.get("hanging") else 0.0001
        return self._now


def source_of(played: PlayedLibrary) -> VendorSource:
    (source,) = find(played.library)
    assert isinstance(source, VendorSource)
    return source


def test_what_the_library_says_of_a_scanner(played: PlayedLibrary) -> None:
    """Name, serial number and resolution are the maker's; the path leads to the library and the unit."""
    played.stream()
    info = source_of(played).info
    assert (info.driver, info.name, info.serial, info.dpi) == ("vendor", "PT CONTOH UJI Model 1", "0001", 500.0)
    assert (info.path, info.calibration) == (f"{played.library}#unit-1", "device")
    with source_of(played).open() as scanner:
        assert scanner.streams
        assert source_of(played).info.state is ScannerState.BUSY
    played.unplug()
    assert find(played.library) == []


FAULTS: dict[tuple[Where, Fault], type[DeviceError]] = {
    **{
        (where, fault): LibraryDiedError
        for where in list(Where)[1:5]
        for fault in (Fault.CRASH, Fault.ABORT, Fault.EXIT)
    },
    **{(where, Fault.HANG): DeviceTimeoutError for where in list(Where)[1:5]},
    **{(where, Fault.NONSENSE_RESULT): DeviceProtocolError for where in list(Where)[1:5]},
    **{(where, Fault.FAIL): DeviceProtocolError for where in list(Where)[1:5]},
    **{(where, Fault.REMOVED): DeviceRemovedError for where in (Where.OPEN, Where.CAPTURE, Where.FRAME)},
    **{
        (where, fault): DeviceProtocolError
        for where in (Where.CAPTURE, Where.FRAME)
        for fault in (Fault.ZERO_SIZE, Fault.HUGE_SIZE, Fault.OVERFLOW)
    },
    (Where.CAPTURE, Fault.NO_DPI): NotCalibratedError,
}


@pytest.mark.parametrize(("where", "fault"), FAULTS, ids=lambda value: value.name.lower())
def test_whatever_the_library_does_is_named_in_time(played: PlayedLibrary, where: Where, fault: Fault) -> None:
    """A crash, a hang or nonsense in any function is an error with its cause; afterwards the scanner works."""
    played.stream()
    listed = source_of(played).info

    def a_round() -> None:
        played.place(RIDGES)
        played.go_wrong(where, fault)
        with pytest.raises(FAULTS[where, fault]) as caught:
            use(played, listed, where)
        assert "unit-1" not in str(caught.value), "the place of the scanner is no reason"
        played.go_wrong(Where.NOWHERE, Fault.FINE)

    a_round()
    with nothing_left():
        a_round()
    with source_of(played).open() as scanner:
        assert isinstance(scanner.capture(LONG_S), FingerImage)


def use(played: PlayedLibrary, listed: ScannerInfo, where: Where) -> None:
    """Go on until the fault bites."""
    with VendorScanner(played.library, listed, None, monotonic=FastClock(played)) as scanner:
        if where is Where.FRAME:
            next(iter(scanner.frames(10.0)))
        else:
            scanner.capture(10.0)


@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.HANG, Fault.EXIT], ids=lambda value: value.name.lower())
def test_closing_never_fails(played: PlayedLibrary, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """A library that crashes or hangs while closing is ended; the picture taken before is kept."""
    monkeypatch.setattr(vendor_library, "CLOSE_S", 0.2)
    played.place(RIDGES)
    with nothing_left(), source_of(played).open() as scanner:
        image = scanner.capture(LONG_S)
        played.go_wrong(Where.CLOSE, fault)
    assert isinstance(image, FingerImage)
    played.go_wrong(Where.NOWHERE, Fault.FINE)
    source_of(played).open().close()


def test_a_capture_that_cannot_be_stopped_is_ended(played: PlayedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator cancels and the library does not listen: its process goes, the page is free again."""
    monkeypatch.setattr(vendor_library, "CANCEL_S", 0.2)
    stop = threading.Event()
    with source_of(played).open() as scanner:
        played.go_wrong(Where.CAPTURE, Fault.HANG)
        timer = threading.Timer(0.1, stop.set)
        timer.start()
        with pytest.raises(DeviceTimeoutError, match="does not stop"):
            scanner.capture(LONG_S, stop)
        timer.join()


def test_the_crash_is_told_with_its_signal(played: PlayedLibrary) -> None:
    """The maker needs to know what happened; the agent's own process is another one and goes on."""
    with source_of(played).open() as scanner:
        owner = played.get("owner")
        assert owner != os.getpid()
        os.kill(owner, signal.SIGKILL)
        with pytest.raises(LibraryDiedError, match="SIGKILL"):
            scanner.capture(LONG_S)
        with pytest.raises(DeviceRemovedError, match="open it again"):
            scanner.capture(LONG_S)


def test_what_the_library_says_of_a_failure_is_told(played: PlayedLibrary) -> None:
    """The maker's own words follow the cause."""
    played.go_wrong(Where.OPEN, Fault.FAIL)
    with pytest.raises(DeviceProtocolError, match=r"the library failed \(sensor says 0x2A\)"):
        source_of(played).open()


def test_a_library_can_write_no_file(played: PlayedLibrary) -> None:
    """A library with a debug option left on cannot put a fingerprint on the disk."""
    played.go_wrong(Where.OPEN, Fault.WRITE_FILE)
    source_of(played).open().close()
    assert played.get("wrote_file") == 2


def test_a_talkative_library_is_not_heard(played: PlayedLibrary) -> None:
    """What it prints goes nowhere, not into the agent's log, and cannot block it."""
    played.place(RIDGES)
    played.go_wrong(Where.CAPTURE, Fault.CHATTER)
    program = (
        "import sys; from pathlib import Path; from drivers.scanner.vendor_library import find;"
        "scanner = find(Path(sys.argv[1]))[0].open(); image = scanner.capture(60.0); scanner.close(); print(image)"
    )
    agent = [sys.executable, "-c", program, str(played.library)]
    heard = subprocess.run(agent, check=True, capture_output=True, text=True, timeout=60)
    assert (heard.stdout, heard.stderr) == ("<finger image 388x374 at 500 dpi>\n", "")


@pytest.mark.parametrize("comes_of_it", ["a picture", "lifted too early", "a failure"])
def test_the_shared_memory_is_overwritten_whatever_comes_of_a_capture(played: PlayedLibrary, comes_of_it: str) -> None:
    """No finger lies between two captures in memory of the other process: not behind a picture, nor without one."""
    played.place(RIDGES)
    with source_of(played).open() as scanner:
        assert isinstance(scanner, VendorScanner)
        assert scanner._worker is not None
        memory = scanner._worker._memory
        # What a library writes beyond the picture it tells of, or before it finds that it has none.
        memory[RIDGES.size : RIDGES.size + 1000] = b"\x77" * 1000
        worker = scanner._worker
        match comes_of_it:
            case "a picture":
                image = scanner.capture(LONG_S)
                assert isinstance(image, FingerImage)
                assert image.pixels.any()
            case "lifted too early":
                played.touch_briefly()
                assert scanner.capture(LONG_S) is PlaceAgain.TOO_SHORT
            case _:
                played.go_wrong(Where.CAPTURE, Fault.FAIL)
                with pytest.raises(DeviceProtocolError):
                    scanner._ask("capture", LONG_S, LONG_S, threading.Event())
        assert scanner._worker is worker, "it was ended: nothing was tried"
        left = any(memory[:LARGEST_PICTURE])
        assert not left, "the shared memory still holds something"


def test_a_resolution_that_is_not_stated_must_be_measured(played: PlayedLibrary) -> None:
    """Without dpi there is no picture but a raw one; what was measured goes before what is stated."""
    played.place(RIDGES)
    played.go_wrong(Where.LIST, Fault.NO_DPI)
    source = source_of(played)
    assert source.info.dpi is None
    with pytest.raises(NotCalibratedError):
        source.open()
    played.go_wrong(Where.CAPTURE, Fault.NO_DPI)
    with source.open(raw=True) as scanner:
        image = scanner.capture(LONG_S)
        assert isinstance(image, FingerImage)
        assert image.dpi is None
    (measured,) = find(played.library, lambda _driver, _serial: Calibration(250.0, 500.0, source="target"))
    assert (measured.info.dpi, measured.info.calibration) == (500.0, "target")
    with measured.open() as scanner:
        image = scanner.capture(LONG_S)
    assert isinstance(image, FingerImage)
    assert (image.dpi, image.pixels.shape) == (500.0, (374, 776))


def test_a_library_without_live_frames_gives_its_one_picture(played: PlayedLibrary) -> None:
    """Whoever watches gets the picture of the capture."""
    played.place(RIDGES)
    with source_of(played).open() as scanner:
        assert not scanner.streams
        assert len(list(scanner.frames(LONG_S))) == 1


def test_the_next_process_gets_the_scanner_of_one_that_was_killed(played: PlayedLibrary) -> None:
    """A scanner is not lost with the process that held it."""
    with source_of(played).open() as scanner:
        with pytest.raises(DeviceBusyError):
            source_of(played).open()
        os.kill(played.get("owner"), signal.SIGKILL)
        with pytest.raises(LibraryDiedError):
            scanner.capture(LONG_S)
    source_of(played).open().close()


def test_the_process_ends_with_the_agent(played: PlayedLibrary) -> None:
    """The agent is gone without a word: the library's process does not stay, even in the middle of a call."""
    program = (
        "import os, sys; from pathlib import Path; from drivers.scanner.vendor_library import find;"
        "scanner = find(Path(sys.argv[1]))[0].open(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(played.library)], check=False, timeout=60)
    waited = threading.Event()
    for _ in range(200):
        if not Path(f"/proc/{played.get('owner')}").exists():
            break
        waited.wait(0.05)
    assert not Path(f"/proc/{played.get('owner')}").exists()


def test_files_that_are_not_loaded(tmp_path: Path) -> None:
    """No file, no library, one of another version, one that lacks a function, one that others may change."""
    assert find(None) == []
    with pytest.raises(DeviceNotFoundError, match="there is no file"):
        find(tmp_path / "none.so")
    text = tmp_path / "text.so"
    text.write_text("no library")
    with pytest.raises(LibraryUnusableError, match=r"invalid ELF header|too short"):
        find(text)
    text.chmod(0o666)
    with pytest.raises(LibraryUnusableError, match="chmod go-w"):
        find(text)
    for option, said in (("-DWRONG_VERSION=7", "version 7"), ("-DWITHOUT_CANCEL", "mpos_scanner_cancel is missing")):
        with pytest.raises(LibraryUnusableError, match=said):
            find(compiled(tmp_path, option))


def test_a_touch_that_was_too_short_is_no_failure(played: PlayedLibrary) -> None:
    """What the member can put right comes as a value."""
    with source_of(played).open() as scanner:
        played.touch_briefly()
        assert scanner.capture(LONG_S) is PlaceAgain.TOO_SHORT


def test_the_header_and_the_program_agree(tmp_path: Path) -> None:
    """Sizes and places of every field, as the compiler sees them, are those of the structures in Python."""
    fields = [
        (structure, name)
        for structure, python in (("mpos_scanner_info", vendor_worker.Info), ("mpos_picture", vendor_worker.Picture))
        for name, _ in python._fields_
    ]
    compiled(tmp_path)  # skips where no compiler is
    lines = [f'printf("%zu ", offsetof({structure}, {name}));' for structure, name in fields]
    lines += [f'printf("%zu ", sizeof({structure}));' for structure in ("mpos_scanner_info", "mpos_picture")]
    (tmp_path / "layout.c").write_text(
        '#include <stddef.h>\n#include <stdio.h>\n#include "mpos_scanner.h"\nint main(void) {' + "\n".join(lines) + "}"
    )
    strict = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    subprocess.run(
        ["cc", *strict, "-I", str(HEADER_FOLDER), "-o", str(tmp_path / "layout"), str(tmp_path / "layout.c")],
        check=True,
        timeout=60,
    )
    told = subprocess.run([str(tmp_path / "layout")], check=True, capture_output=True, timeout=10).stdout
    structures = {"mpos_scanner_info": vendor_worker.Info, "mpos_picture": vendor_worker.Picture}
    ours = [getattr(structures[structure], name).offset for structure, name in fields]
    ours += [ctypes.sizeof(structure) for structure in structures.values()]
    assert [int(word) for word in told.split()] == ours


MAKER_API = """
typedef void *maker_handle;
int Maker_Count(void);
const char *Maker_Path(int number);
const char *Maker_Serial(int number);
int Maker_Open(const char *path, maker_handle *device);
int Maker_IsFinger(maker_handle device);
int Maker_GetImage(maker_handle device, unsigned char *pixels);
void Maker_Close(maker_handle device);
"""


def test_the_example_of_the_guide_compiles(tmp_path: Path) -> None:
    """A maker begins with it: it fits the header, without a warning."""
    compiled(tmp_path)  # skips where no compiler is
    guide = (HEADER_FOLDER.parents[2] / "docs" / "vendor-library.md").read_text()
    (example,) = re.findall(r"```c\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "maker_api.h").write_text(MAKER_API)
    (tmp_path / "shim.c").write_text(example)
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"]
    made = tmp_path / "libmpos_maker.so"
    subprocess.run(
        ["cc", *strict, "-I", str(HEADER_FOLDER), "-I", str(tmp_path), "-o", str(made), str(tmp_path / "shim.c")],
        check=True,
        timeout=60,
    )
    exported = subprocess.run(["nm", "-D", "--defined-only", str(made)], check=True, capture_output=True, timeout=10)
    names = set(re.findall(r"mpos_scanner_(\w+)", exported.stdout.decode()))
    assert set(vendor_worker.NEEDED) <= names


def test_every_result_of_the_header_is_known() -> None:
    """A result added to the header and forgotten in the program would be told as a number."""
    header = (HEADER_FOLDER / "mpos_scanner.h").read_text()
    results = {int(number) for number in re.findall(r"MPOS_\w+ = (-?\d+)", header)}
    known = {vendor_library._OK, vendor_library._CANCELLED, vendor_library._NOT_LICENSED}
    assert results == known | set(vendor_library._PLACE_AGAIN) | set(vendor_library._FAILURES)
    assert re.findall(r"define MPOS_SCANNER_VERSION (\d+)u", header) == [str(vendor_worker.VERSION)]
