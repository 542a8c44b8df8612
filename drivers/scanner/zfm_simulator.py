"""A serial fingerprint module without hardware: a pseudo-terminal that speaks the packets of ``zfm_packets.py``.

From a program: ``ZfmSimulator(link)``, then ``place``, ``lift``, ``unplug`` … By hand::

    python -m drivers.scanner.zfm_simulator zfm-port
    place finger.png
    lift

The port is then the link ``zfm-port``. It answers only at its own speed, as a real line would, keeps the last picture
until the next GenImg, and on request goes wrong at any command.
"""

import argparse
import contextlib
import enum
import fcntl
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from drivers.errors import DeviceError
from drivers.scanner.image_files import read_image_file
from drivers.scanner.zfm_packets import (
    DEFAULT_ADDRESS,
    HEADER_BYTES,
    MODULE_WIDTH,
    Command,
    Identifier,
    PacketError,
    Status,
    decode_header,
    encode,
    packed_picture,
)

LINES = 288
WHITE = 255
_SPEEDS = {
    9600: termios.B9600,
    19200: termios.B19200,
    38400: termios.B38400,
    57600: termios.B57600,
    115200: termios.B115200,
}
_LONGEST_WAIT_S = 0.05
"""Between two looks whether the plug was pulled while nobody takes the bytes of a picture."""


class At(enum.Enum):
    """Where something goes wrong."""

    VFY_PWD = Command.VFY_PWD
    READ_SYS_PARA = Command.READ_SYS_PARA
    GEN_IMG = Command.GEN_IMG
    UP_IMAGE = Command.UP_IMAGE
    DATA = "data"
    """In the middle of the picture."""


class Fault(enum.Enum):
    """What goes wrong there."""

    UNPLUG = "unplug"
    STALL = "stall"
    """It says nothing any more."""
    SHORT = "short"
    """Half a packet, then nothing."""
    ZERO_LENGTH = "zero length"
    """A packet that says it holds nothing."""
    OVERFLOW = "overflow"
    """A packet longer than the protocol allows."""
    NEVER_ENDING = "never-ending"
    """Bytes without end."""
    CHECKSUM = "checksum"
    """A packet that does not add up."""
    OTHER_MODULE = "other module"
    """The address of another one."""


class ZfmSimulator:
    """A module on a pseudo-terminal, plugged in from the start.

    Parameters
    ----------
    link : where the port's name will be; a link to the pseudo-terminal.
    baud : the speed it was set to; at others it hears nothing.
    packet_bytes : 32, 64, 128 or 256, the size of a data packet.
    paced : send no faster than a real line of that speed.
    """

    def __init__(
        self,
        link: Path,
        *,
        baud: int = 57600,
        packet_bytes: int = 128,
        password: bytes = bytes(4),
        shape: tuple[int, int] = (LINES, MODULE_WIDTH),
        paced: bool = False,
    ) -> None:
        self.link, self.baud, self.packet_bytes, self.password = link, baud, packet_bytes, password
        self._shape, self._paced = shape, paced
        self._lock = threading.Lock()
        self._glass: NDArray[np.uint8] | None = None
        self._empty_unseen = False
        self._module_buffer: bytearray | None = None
        self._fault: tuple[At, Fault, int] | None = None
        self._answers: dict[Command, Status] = {}
        self.commands: list[Command] = []
        """What it was asked, in order."""
        self._plug: _Plug | None = None
        self.plug()

    @property
    def silent(self) -> bool:
        """Nothing more will come: what it was asked last stays unanswered from here on, and all it said was read."""
        plug = self._plug
        return plug is not None and plug.silent

    def place(self, pixels: NDArray[np.uint8]) -> None:
        """Lay a finger on the glass: (H, W) uint8, its middle is what the sensor sees."""
        with self._lock:
            self._wipe_glass()
            self._glass = as_seen(pixels, self._shape)

    def lift(self) -> None:
        """Take the finger off. Hands are slower than the sensor: it sees the empty glass at least once."""
        with self._lock:
            self._empty_unseen = self._glass is not None
            self._wipe_glass()

    def go_wrong(self, at: At, fault: Fault, times: int = 1_000_000) -> None:
        """From now on, ``times`` times; plugging in anew ends it."""
        with self._lock:
            self._fault = (at, fault, times)

    def answer(self, command: Command, status: Status) -> None:
        """Answer a command with this status from now on, whatever lies on the glass."""
        with self._lock:
            self._answers[command] = status

    def plug(self) -> None:
        """Plug it in (again)."""
        if self._plug is None:
            with self._lock:
                self._fault = None
            self._plug = _Plug(self.link, self.baud, self._paced, self._reply)

    def unplug(self) -> None:
        """Pull the cable."""
        if self._plug is not None:
            self._plug.pull()
            self._plug = None

    def close(self) -> None:
        """Unplug and forget the pictures; safe to call twice."""
        self.unplug()
        with self._lock:
            self._wipe_glass()
            self._wipe_buffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reply(self, command: Command, parameters: bytes) -> "list[tuple[At, bytes, Fault | None]]":
        """The packets that answer a command, each with what shall go wrong with it."""
        with self._lock:
            self.commands.append(command)
            status, rest = self._act(command, parameters)
            packets = [(At(command), encode(Identifier.ANSWER, bytes([status]) + rest))]
            if command is Command.UP_IMAGE and status is Status.OK and self._module_buffer is not None:
                packets += [(At.DATA, packet) for packet in _data_packets(self._module_buffer, self.packet_bytes)]
            return self._spoilt(packets)

    def _act(self, command: Command, parameters: bytes) -> tuple[Status, bytes]:
        if command in self._answers:
            return self._answers[command], b""
        match command:
            case Command.VFY_PWD:
                return (Status.OK if parameters == self.password else Status.WRONG_PASSWORD), b""
            case Command.READ_SYS_PARA:
                packet_code = (self.packet_bytes // 32).bit_length() - 1
                words = (0, 9, 1000, 3)
                return Status.OK, b"".join(
                    (
                        *(word.to_bytes(2, "big") for word in words),
                        DEFAULT_ADDRESS.to_bytes(4, "big"),
                        packet_code.to_bytes(2, "big"),
                        (self.baud // 9600).to_bytes(2, "big"),
                    )
                )
            case Command.GEN_IMG:
                self._wipe_buffer()
                if self._glass is None or self._empty_unseen:
                    self._empty_unseen = False
                    return Status.NO_FINGER, b""
                self._module_buffer = packed_picture(self._glass)
                return Status.OK, b""
            case Command.UP_IMAGE:
                return (Status.NO_VALID_IMAGE if self._module_buffer is None else Status.OK), b""

    def _spoilt(self, packets: list[tuple[At, bytes]]) -> "list[tuple[At, bytes, Fault | None]]":
        """Put the fault into the packets: into the only one of its kind, or the middle one."""
        if self._fault is None:
            return [(at, packet, None) for at, packet in packets]
        where, fault, times = self._fault
        candidates = [number for number, (at, _) in enumerate(packets) if at is where]
        if not candidates or times == 0:
            return [(at, packet, None) for at, packet in packets]
        self._fault = (where, fault, times - 1)
        hit = candidates[len(candidates) // 2]
        return [(at, packet, fault if number == hit else None) for number, (at, packet) in enumerate(packets)]

    def _wipe_glass(self) -> None:
        if self._glass is not None:
            self._glass[...] = 0
        self._glass = None

    def _wipe_buffer(self) -> None:
        if self._module_buffer is not None:
            self._module_buffer[:] = bytes(len(self._module_buffer))
        self._module_buffer = None


class _Plug:
    """One stretch of being plugged in: a pseudo-terminal and the thread that answers on it."""

    def __init__(
        self,
        link: Path,
        baud: int,
        paced: bool,
        reply: Callable[[Command, bytes], "list[tuple[At, bytes, Fault | None]]"],
    ) -> None:
        self._link, self._baud, self._paced, self._reply = link, baud, paced, reply
        # The far end stays open here too: between two users the terminal does not hang up.
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self._ear, self._bell = os.pipe()
        self._pulled, self._said_all = threading.Event(), threading.Event()
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._far))
        self._thread = threading.Thread(target=self._serve, name="zfm-simulator", daemon=True)
        self._thread.start()

    @property
    def silent(self) -> bool:
        """As the module's: whether bytes lie unread is asked of the terminal."""
        if not self._said_all.is_set() or self._pulled.is_set():
            return False
        unread = fcntl.ioctl(self._far, termios.FIONREAD, bytes(4))
        return not int.from_bytes(unread, sys.byteorder)

    def pull(self) -> None:
        """End the thread and close everything it held."""
        self._pulled.set()
        os.write(self._bell, b"!")
        self._thread.join()
        for descriptor in (self._bell, self._ear):
            os.close(descriptor)

    def _serve(self) -> None:
        try:
            heard = bytearray()
            while not self._pulled.is_set():
                # No time-out: the bell ends the wait when the plug is pulled.
                ready, _, _ = select.select([self._near, self._ear], [], [])
                if self._near in ready:
                    heard += os.read(self._near, 4096)
                    if not self._hear(heard):
                        return
        finally:
            self._link.unlink(missing_ok=True)
            os.close(self._near)
            os.close(self._far)

    def _hear(self, heard: bytearray) -> bool:
        """Answer each whole command in ``heard`` and take it out; False when the plug came out over it."""
        if termios.tcgetattr(self._far)[5] != _SPEEDS[self._baud]:
            heard.clear()
            self._said_all.set()
            return True
        self._said_all.clear()
        while len(heard) >= HEADER_BYTES:
            try:
                header = decode_header(heard[:HEADER_BYTES])
                command = Command(heard[HEADER_BYTES]) if len(heard) > HEADER_BYTES else None
            except (PacketError, ValueError):
                heard.clear()
                return self._send(encode(Identifier.ANSWER, bytes([Status.PACKET_ERROR])))
            end = HEADER_BYTES + header.content_bytes + 2
            if command is None or len(heard) < end:
                return True
            parameters = bytes(heard[HEADER_BYTES + 1 : end - 2])
            del heard[:end]
            for _, packet, fault in self._reply(command, parameters):
                if not (self._send(packet) if fault is None else self._fail(packet, fault)):
                    return fault is not Fault.UNPLUG and not self._pulled.is_set()
        return True

    def _fail(self, packet: bytes, fault: Fault) -> bool:
        """Go wrong with one packet; True when what follows is sent all the same."""
        match fault:
            case Fault.UNPLUG:
                return False
            case Fault.STALL:
                self._said_all.set()
                return False
            case Fault.SHORT:
                self._send(packet[: len(packet) // 2])
                self._said_all.set()
                return False
            case Fault.ZERO_LENGTH:
                return self._send(packet[:7] + b"\x00\x02" + (packet[6] + 2).to_bytes(2, "big"))
            case Fault.OVERFLOW:
                return self._send(packet[:7] + b"\xff\xff" + packet[9:])
            case Fault.CHECKSUM:
                return self._send(packet[:-1] + bytes([packet[-1] ^ 0xFF]))
            case Fault.OTHER_MODULE:
                return self._send(packet[:2] + b"\x00\x00\x00\x01" + packet[6:])
            case Fault.NEVER_ENDING:
                more = encode(Identifier.DATA, bytes(128))
                while self._send(more):
                    continue
                return False

    def _send(self, packet: bytes) -> bool:
        """False when the plug was pulled before all of it was taken."""
        if self._paced:
            time.sleep(len(packet) * 10 / self._baud)
        view = memoryview(packet)
        while view and not self._pulled.is_set():
            select.select([self._ear], [self._near], [], _LONGEST_WAIT_S)
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._near, view) :]
        return not self._pulled.is_set()


def as_seen(pixels: NDArray[np.uint8], shape: tuple[int, int] = (LINES, MODULE_WIDTH)) -> NDArray[np.uint8]:
    """The middle of a picture as the sensor sees it: cut or filled up with white; a copy."""
    seen = np.full(shape, WHITE, dtype=np.uint8)
    size = [min(ours, theirs) for ours, theirs in zip(shape, pixels.shape, strict=True)]
    to = [(ours - part) // 2 for ours, part in zip(shape, size, strict=True)]
    of = [(theirs - part) // 2 for theirs, part in zip(pixels.shape, size, strict=True)]
    seen[to[0] : to[0] + size[0], to[1] : to[1] + size[1]] = pixels[of[0] : of[0] + size[0], of[1] : of[1] + size[1]]
    return seen


def _data_packets(payload: bytearray, packet_bytes: int) -> list[bytes]:
    starts = range(0, len(payload), packet_bytes)
    return [
        encode(Identifier.LAST_DATA if start == starts[-1] else Identifier.DATA, payload[start : start + packet_bytes])
        for start in starts
    ]


def main(arguments: list[str] | None = None) -> int:
    """Play a module by hand: commands from standard input until it ends."""
    parser = argparse.ArgumentParser(prog="python -m drivers.scanner.zfm_simulator", description=main.__doc__)
    parser.add_argument("link", type=Path, help="where the port's name shall be")
    parser.add_argument("--baud", type=int, choices=sorted(_SPEEDS), default=57600)
    parser.add_argument("--packet-bytes", type=int, choices=(32, 64, 128, 256), default=128)
    parser.add_argument("--fast", action="store_true", help="no slower than it can, instead of as a real line")
    given = parser.parse_args(arguments)
    say = sys.stdout.write
    with ZfmSimulator(given.link, baud=given.baud, packet_bytes=given.packet_bytes, paced=not given.fast) as module:
        acts: Mapping[str, Callable[[], None]] = {"lift": module.lift, "unplug": module.unplug, "plug": module.plug}
        say(f"{given.link}: place FILE, lift, unplug, plug\n")
        sys.stdout.flush()
        for line in sys.stdin:
            word, _, rest = line.strip().partition(" ")
            if word == "place":
                try:
                    module.place(read_image_file(Path(rest.strip())))
                except DeviceError as error:
                    say(f"{error}\n")
            elif word in acts:
                acts[word]()
            elif word:
                say("place FILE, lift, unplug, plug\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
