"""Which scanners there are. Listing opens nothing and disturbs nobody."""

from collections.abc import Sequence
from pathlib import Path

from drivers.scanner.base import ScannerSource
from drivers.scanner.virtual import VirtualScannerSource


def find_scanners(*, virtual_sockets: Sequence[Path] = ()) -> list[ScannerSource]:
    """The scanners that could be opened now, in the order in which they were asked for.

    Parameters
    ----------
    virtual_sockets : where virtual scanners may listen; those that are not plugged in are left out.
    """
    return [VirtualScannerSource(path) for path in virtual_sockets if path.is_socket()]
