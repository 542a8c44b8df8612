"""Which USB devices are plugged in, read from sysfs: nothing is opened, nobody is disturbed.

libusb's own list is not asked: without udev's messages (containers, some virtual machines) it never changes, and
reading a string descriptor through it opens the device.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

SYSFS = Path("/sys/bus/usb/devices")
NODES = Path("/dev/bus/usb")
CLAIMED_BY_A_PROGRAM = "usbfs"
"""What the kernel calls the driver of an interface that a program has claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsbDevice:
    """One plugged-in device. ``path`` (bus and ports, ``1-1.3``) stays the same over a replug, ``address`` does not."""

    vendor: int
    product: int
    release: int
    """bcdDevice."""
    bus: int
    address: int
    path: str
    manufacturer: str = ""
    product_name: str = ""
    serial: str | None = None
    claimed: bool = False
    """A program holds one of its interfaces."""
    permitted: bool = True
    """This user may open its node."""
    descriptors: bytes = field(default=b"", repr=False)
    """Device, configuration, interfaces and endpoints in a row."""

    @property
    def usb_id(self) -> str:
        """``05ba:000a``."""
        return f"{self.vendor:04x}:{self.product:04x}"


def plugged_in(sysfs: Path = SYSFS, nodes: Path = NODES) -> list[UsbDevice]:
    """Every USB device, by path. A device that is pulled while it is read is left out."""
    try:
        folders = sorted(entry for entry in sysfs.iterdir() if ":" not in entry.name)
    except OSError:
        return []  # no USB on this machine, or no sysfs in this container: the same to whoever looks for a scanner
    found = (_read(folder, nodes) for folder in folders)
    return [device for device in found if device is not None]


def _read(folder: Path, nodes: Path) -> UsbDevice | None:
    try:
        vendor, product = int(_text(folder / "idVendor"), 16), int(_text(folder / "idProduct"), 16)
        bus, address = int(_text(folder / "busnum")), int(_text(folder / "devnum"))
        release = int(_text(folder / "bcdDevice"), 16)
    except (OSError, ValueError):
        return None
    return UsbDevice(
        vendor=vendor,
        product=product,
        release=release,
        bus=bus,
        address=address,
        path=folder.name,
        manufacturer=_text_or_nothing(folder / "manufacturer"),
        product_name=_text_or_nothing(folder / "product"),
        serial=_text_or_nothing(folder / "serial") or None,
        claimed=_is_claimed(folder),
        descriptors=_bytes_or_nothing(folder / "descriptors"),
        permitted=os.access(nodes / f"{bus:03d}" / f"{address:03d}", os.R_OK | os.W_OK),
    )


def _is_claimed(folder: Path) -> bool:
    for interface in folder.glob(f"{folder.name}:*"):
        try:
            if (interface / "driver").readlink().name == CLAIMED_BY_A_PROGRAM:
                return True
        except OSError:
            continue  # an interface without a driver: free
    return False


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").strip()


def _bytes_or_nothing(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _text_or_nothing(file: Path) -> str:
    """Strings that a device may leave out."""
    try:
        return _text(file)
    except OSError:
        return ""
