"""A serial module behind an emulated USB adapter: found in sysfs, opened by pyserial, followed to the byte."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drivers.scanner.zfm_packets import Command, Identifier, Status, encode, packed_picture

ADAPTER = """\
P: /devices/pci0000:00/0000:00:14.0/usb1/1-2
N: bus/usb/001/007
E: DEVNAME=/dev/bus/usb/001/007
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
A: bNumInterfaces= 1
A: idVendor=1a86
A: idProduct=7523
A: product=USB Serial
A: serial=0001

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0
E: DEVTYPE=usb_interface
E: SUBSYSTEM=usb

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0
E: SUBSYSTEM=usb-serial

P: /devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/ttyUSB0/tty/ttyUSB0
N: ttyUSB0
E: DEVNAME=/dev/ttyUSB0
E: SUBSYSTEM=tty
L: device=../../../ttyUSB0
"""
PROGRAM = """
from drivers.scanner.calibration import none_measured
from drivers.scanner.zfm import find_at_adapters
(source,) = find_at_adapters(none_measured)
print(source.info.path, source.info.serial, source.info.name)
with source.open(raw=True) as scanner:
    image = scanner.capture(30.0)
    print(scanner.baud, image.pixels.shape, int(image.pixels.astype(int).sum()))
    image.wipe()
"""
STRIPES = np.tile(np.where(np.arange(256) % 9 < 4, 34, 221).astype(np.uint8), (288, 1))


def line(direction: str, packet: bytes) -> bytes:
    """One line of a script: who is to send what; control characters are written with a caret."""
    escaped = b"".join(
        b"^" + bytes([byte + 0x40]) if byte < 0x20 else b"^`" if byte == 0x5E else bytes([byte]) for byte in packet
    )
    return direction.encode() + b" 0 " + escaped + b"\n"


def conversation() -> bytes:
    """Password, parameters, an empty glass, a finger, the picture in 288 packets."""
    parameters = struct.pack(">HHHHIHH", 0, 9, 1000, 3, 0xFFFFFFFF, 2, 6)

    def command(what: Command, more: bytes = b"") -> bytes:
        return line("w", encode(Identifier.COMMAND, bytes([what]) + more))

    def answer(status: Status, more: bytes = b"") -> bytes:
        return line("r", encode(Identifier.ANSWER, bytes([status]) + more))

    payload = packed_picture(STRIPES)
    pieces = [payload[at : at + 128] for at in range(0, len(payload), 128)]
    kinds = [Identifier.DATA] * (len(pieces) - 1) + [Identifier.LAST_DATA]
    return b"".join(
        (
            b"d 0 /dev/ttyUSB0\n",
            command(Command.VFY_PWD, bytes(4)) + answer(Status.OK),
            command(Command.READ_SYS_PARA) + answer(Status.OK, parameters),
            command(Command.GEN_IMG) + answer(Status.NO_FINGER),
            command(Command.GEN_IMG) + answer(Status.OK),
            command(Command.UP_IMAGE) + answer(Status.OK),
            *(line("r", encode(kind, piece)) for kind, piece in zip(kinds, pieces, strict=True)),
        )
    )


def test_a_module_behind_an_adapter_is_found_and_pictured(tmp_path: Path) -> None:
    """From the adapter's ids to the picture, through the real pyserial and a terminal of the kernel's."""
    runner = shutil.which("umockdev-run")
    if runner is None:
        pytest.skip("no umockdev on this machine: the serial adapter cannot be emulated")
    (tmp_path / "device").write_text(ADAPTER)
    (tmp_path / "script").write_bytes(conversation())
    ran = subprocess.run(
        [
            *(runner, "-d", str(tmp_path / "device"), "-s", f"/dev/ttyUSB0={tmp_path / 'script'}", "--"),
            *(sys.executable, "-c", PROGRAM),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert ran.returncode == 0, ran.stderr
    expected = int((STRIPES // 16 * 17).astype(int).sum())
    assert ran.stdout.splitlines() == [
        "/dev/ttyUSB0 0001 Serial fingerprint module (USB Serial)",
        f"57600 (288, 256) {expected}",
    ]
