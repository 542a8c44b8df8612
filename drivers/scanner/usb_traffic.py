"""USB traffic as files: usbmon records in pcap or pcapng (link type 220), and umockdev's ioctl trees.

The record is that of the kernel's Documentation/usb/usbmon.rst, section "raw binary format", 64 bytes and data.
Reading is for tests and for support; nothing here opens a device.
"""

import enum
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

LINK_TYPE = 220
"""LINKTYPE_USB_LINUX_MMAPPED."""
_RECORD = struct.Struct("<QcBBBHbbqiiII8siiII")
_PCAP_HEADER = struct.Struct("<IHHiIII")
_PCAP_PACKET = struct.Struct("<IIII")
_PCAP_MAGIC = 0xA1B2C3D4
_PCAPNG_SECTION, _PCAPNG_INTERFACE, _PCAPNG_PACKET = 0x0A0D0D0A, 1, 6
_IN_PROGRESS = -115
_STANDARD_REQUEST = 0x60
"""Bits of bmRequestType that are zero for the kernel's own requests: enumeration, not the driver's conversation."""
LARGEST_FILE_BYTES = 64 * 1024 * 1024


class TrafficFileError(Exception):
    """A recording cannot be read; says where it goes wrong."""


class Kind(enum.IntEnum):
    """usbmon's transfer types."""

    INTERRUPT = 1
    CONTROL = 2
    BULK = 3


@dataclass(frozen=True, slots=True)
class UsbRequest:
    """What the host asks. ``setup``: the eight bytes of a control request; ``sent``: data that goes out."""

    kind: Kind
    endpoint: int
    asked: int
    setup: bytes = b""
    sent: bytes = field(default=b"", repr=False)

    @property
    def is_input(self) -> bool:
        """Bytes go from the device to the host."""
        return bool((self.setup[0] if self.setup else self.endpoint) & 0x80)


@dataclass(slots=True, repr=False)
class Transfer:
    """One request to the device and its answer. May hold a picture: it has no repr of its bytes.

    ``order`` and ``done`` place the request and its completion among all events of the recording;
    ``status`` is 0 or a negative errno, as the kernel gave it.
    """

    request: UsbRequest
    order: int
    done: int | None = None
    received: bytes = b""
    status: int = 0
    started_s: float = 0.0
    ended_s: float = 0.0

    def __repr__(self) -> str:
        kind, endpoint = self.request.kind.name.lower(), self.request.endpoint
        return f"<{kind} transfer {self.order} on {endpoint:#04x}, {len(self.received)} bytes in>"


@dataclass(frozen=True, slots=True)
class Session:
    """What was said over one cable. ``descriptors``: device, configuration, interfaces and endpoints in a row."""

    descriptors: bytes
    transfers: tuple[Transfer, ...] = field(repr=False)


def read_session(capture: Path, description: Path) -> Session:
    """A recording beside its umockdev ``device`` description.

    Raises
    ------
    TrafficFileError
    """
    for line in description.read_text(encoding="utf-8").splitlines():
        if line.startswith("H: descriptors="):
            descriptors = bytes.fromhex(line.partition("=")[2])
            break
    else:
        raise TrafficFileError(f"{description}: has no descriptors")
    content = capture.read_bytes()
    if len(content) > LARGEST_FILE_BYTES:
        raise TrafficFileError(f"{capture}: too large for a recording of one scanner")
    if capture.suffix == ".ioctl":
        return Session(descriptors, tuple(_ioctl_tree(content.decode("ascii"))))
    vendor_and_product = descriptors[8:12]
    return Session(descriptors, tuple(_one_device(_records(content), vendor_and_product)))


def write_pcap(file: Path, transfers: list[Transfer], *, device: int, bus: int) -> None:
    """Write a recording, readable by its owner only; the counterpart of :func:`read_session`."""
    events: list[tuple[int, bytes, float]] = []
    for number, one in enumerate(transfers, 1):
        shown = b"" if one.request.is_input else one.request.sent
        events.append((one.order, _packed(one, "S", (number, device, bus), shown), one.started_s))
        if one.done is not None:
            shown = one.received if one.request.is_input else b""
            events.append((one.done, _packed(one, "C", (number, device, bus), shown), one.ended_s))
    with made_anew(file) as opened:
        opened.write(_PCAP_HEADER.pack(_PCAP_MAGIC, 2, 4, 0, 0, 1 << 20, LINK_TYPE))
        for _, record, at in sorted(events):
            opened.write(_PCAP_PACKET.pack(int(at), int(at % 1 * 1e6), len(record), len(record)) + record)


def made_anew(file: Path) -> BinaryIO:
    """A file for its owner only, in place of one of that name, whatever its mode was and whoever has it open."""
    file.unlink(missing_ok=True)
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _packed(one: Transfer, event: str, place: tuple[int, int, int], data: bytes) -> bytes:
    number, device, bus = place
    submitted = event == "S"
    request, at = one.request, one.started_s if submitted else one.ended_s
    direction = 0x80 if request.is_input else 0
    head = _RECORD.pack(
        number,
        event.encode(),
        request.kind,
        request.endpoint & 0x7F | direction,
        device,
        bus,
        0 if submitted and request.setup else 1,
        0 if data else 1,
        int(at),
        int(at % 1 * 1e6),
        _IN_PROGRESS if submitted else one.status,
        len(one.received) if request.is_input and not submitted else request.asked,
        len(data),
        request.setup if submitted and request.setup else bytes(8),
        0,
        0,
        0,
        0,
    )
    return head + data


def _records(content: bytes) -> Iterator[bytes]:
    """The packets of a pcap or pcapng file."""
    try:
        magic = struct.unpack_from("<I", content)[0]
        if magic == _PCAP_MAGIC:
            _require_link_type(_PCAP_HEADER.unpack_from(content)[6])
            yield from _pcap_packets(content)
        elif magic == _PCAPNG_SECTION:
            yield from _pcapng_packets(content)
        else:
            raise TrafficFileError("neither pcap nor pcapng of this byte order")
    except struct.error as error:
        raise TrafficFileError("it ends within a record") from error


def _pcap_packets(content: bytes) -> Iterator[bytes]:
    at = _PCAP_HEADER.size
    while at < len(content):
        size = _PCAP_PACKET.unpack_from(content, at)[2]
        at += _PCAP_PACKET.size
        yield content[at : at + size]
        at += size


def _pcapng_packets(content: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(content):
        block, size = struct.unpack_from("<II", content, at)
        if size < 12:
            raise TrafficFileError("a block without length")
        if block == _PCAPNG_INTERFACE:
            _require_link_type(struct.unpack_from("<H", content, at + 8)[0])
        elif block == _PCAPNG_PACKET:
            captured = struct.unpack_from("<I", content, at + 20)[0]
            yield content[at + 28 : at + 28 + captured]
        at += size


def _require_link_type(link_type: int) -> None:
    if link_type != LINK_TYPE:
        raise TrafficFileError(f"link type {link_type}; usbmon's is {LINK_TYPE}")


def _one_device(records: Iterator[bytes], vendor_and_product: bytes) -> Iterator[Transfer]:
    """Pair requests and completions of the described device; the kernel's own requests are left out.

    A recording holds the whole bus; which address is ours shows in the device descriptor the kernel read
    (or nothing was enumerated, and there is one device only).
    """
    transfers: list[tuple[int, Transfer]] = []
    pending: dict[int, tuple[int, Transfer]] = {}
    ours: set[int] = set()
    for order, record in enumerate(records):
        if len(record) < _RECORD.size:
            raise TrafficFileError("it ends within a record")
        (urb, event, kind, endpoint, device, _, no_setup, _, seconds, micros, status, asked, _, setup, *_) = (
            _RECORD.unpack_from(record)
        )
        data, at = record[_RECORD.size :], seconds + micros / 1e6
        if kind not in tuple(Kind):
            continue
        if event == b"S":
            request = UsbRequest(Kind(kind), endpoint, asked, b"" if no_setup else setup, data)
            one = Transfer(request, order, started_s=at)
            pending[urb] = (device, one)
            transfers.append((device, one))
        elif event == b"C" and urb in pending:
            _, one = pending.pop(urb)
            one.done, one.status, one.received, one.ended_s = order, status, data, at
            if one.request.setup[:4] == b"\x80\x06\x00\x01" and data[8:12] == vendor_and_product:
                ours.add(device)
    for device, one in transfers:
        setup = one.request.setup
        if (not ours or device in ours) and not (setup and not setup[0] & _STANDARD_REQUEST):
            yield one


def _ioctl_tree(text: str) -> Iterator[Transfer]:
    """umockdev's tree of requests; its branches are in the order in which they were recorded."""
    order = 0
    for line in text.splitlines():
        name, *fields = line.split()
        if name not in ("USBDEVFS_REAPURB", "USBDEVFS_REAPURBNDELAY"):
            continue
        _, _, endpoint, status, _, asked, actual, _ = (int(field) for field in fields[:8])
        data = bytes.fromhex(fields[8]) if len(fields) > 8 else b""
        inward = bool(endpoint & 0x80)
        request = UsbRequest(Kind.BULK, endpoint, asked, sent=b"" if inward else data)
        yield Transfer(request, order, done=order + 1, received=data[:actual] if inward else b"", status=status)
        order += 2
