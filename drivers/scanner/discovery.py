"""Which scanners there are. Listing opens nothing and disturbs nobody.

Every driver module has a ``find`` that gives what it sees. It is imported when it is asked for: a machine with a
USB scanner loads neither the serial nor the camera library.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import DeviceError
from drivers.scanner.base import ScannerSource
from drivers.scanner.calibration import Calibrations, none_measured
from drivers.scanner.errors import NotConfiguredError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which scanners are looked for, and what their drivers need to know."""

    driver: str = "auto"
    """One driver's name; ``auto``: every USB family, and of the others those whose setting is there."""
    calibrations: Calibrations = none_measured
    virtual_socket: Path | None = None
    """Where a virtual scanner may listen."""
    uru4000_response_key: Path | None = None
    """Key of the challenge of 045e:00ca, 16 bytes in hexadecimal."""
    zfm_port: str | None = None
    """Serial port, a stable name of /dev/serial/by-id. None: where ``driver`` is "zfm", every port of an adapter that
    such modules are sold with; else none, for other devices hang on the same adapters."""
    zfm_password_file: Path | None = None
    """The password such a module was given, 4 bytes in hexadecimal; None: it was given none."""
    uvc_device: Path | None = None
    """Camera, a stable name of /dev/v4l/by-id; or numbered picture files, ``frames/%04d.png``."""
    sbi_ports: tuple[int, int] = (4501, 4600)
    """First and last port of 127.0.0.1 at which a device service may answer."""
    sbi_roots: Path | None = None
    """Folder with the certificates of those who vouch for such devices."""
    sbi_environment: str = "Production"
    """Which devices are taken there: those that say, signed, that they are of this environment."""
    vendor_library: Path | None = None
    """A vendor's library behind our header."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is, and what kept one driver or another from looking."""

    sources: tuple[ScannerSource, ...]
    problems: tuple[DeviceError, ...]


def look(wanted: Wanted) -> Found:
    """Ask every driver that is wanted; one that fails does not hide what the others see."""
    sources: list[ScannerSource] = []
    problems: list[DeviceError] = []
    for driver, find in DRIVERS.items():
        if wanted.driver not in ("auto", driver):
            continue
        try:
            sources += find(wanted)
        except DeviceError as problem:
            problems.append(problem)
    return Found(tuple(sources), tuple(problems))


def find_scanners(wanted: Wanted) -> list[ScannerSource]:
    """The scanners that could be opened now, hardware first.

    Raises
    ------
    DeviceError
        Nothing was found, and this kept a driver from looking.
    """
    found = look(wanted)
    if not found.sources and found.problems:
        raise found.problems[0]
    return list(found.sources)


def _uru4000(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.uru4000 import find  # noqa: PLC0415 - see above
    from drivers.scanner.uru4000_challenge import responder  # noqa: PLC0415

    key = wanted.uru4000_response_key
    return find(calibrations=wanted.calibrations, respond=None if key is None else responder(key))


def _nb1010(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.nb1010 import find  # noqa: PLC0415 - see above

    return find(calibrations=wanted.calibrations)


def _upektc_img(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.upektc_img import find  # noqa: PLC0415 - see above

    return find(calibrations=wanted.calibrations)


def _uvc(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.uvc import find  # noqa: PLC0415 - see above

    return find(wanted.uvc_device, wanted.calibrations)


def _sbi(wanted: Wanted) -> list[ScannerSource]:
    if wanted.sbi_roots is None:
        return []
    try:
        from drivers.scanner.sbi.scanner import find  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise NotConfiguredError("sbi", f"the extra package {error.name}: install mpos-agent[sbi]; it") from error

    return find(wanted.sbi_ports, wanted.sbi_roots, wanted.sbi_environment)


def _zfm(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.zfm import find, find_at_adapters  # noqa: PLC0415 - see above

    if wanted.zfm_port is None and wanted.driver == "zfm":
        return find_at_adapters(wanted.calibrations, wanted.zfm_password_file)
    return find(wanted.zfm_port, wanted.calibrations, wanted.zfm_password_file)


def _vendor(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.vendor_library import find  # noqa: PLC0415 - see above

    return find(wanted.vendor_library, wanted.calibrations)


def _virtual(wanted: Wanted) -> list[ScannerSource]:
    from drivers.scanner.virtual import find  # noqa: PLC0415 - see above

    return find(wanted.virtual_socket, wanted.calibrations)


DRIVERS: Mapping[str, Callable[[Wanted], list[ScannerSource]]] = {
    "uru4000": _uru4000,
    "nb1010": _nb1010,
    "upektc_img": _upektc_img,
    "zfm": _zfm,
    "uvc": _uvc,
    "sbi": _sbi,
    "vendor": _vendor,
    "virtual": _virtual,
}
"""By name, in the order in which they are preferred."""
