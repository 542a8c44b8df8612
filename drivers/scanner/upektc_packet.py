"""Packets of UPEK TouchChip readers: ``Ciao``, flag, sequence and length, payload, CRC-16 low byte first."""

import binascii
import enum
from dataclasses import dataclass

MAGIC = b"Ciao"
HEAD_BYTES, CRC_BYTES = 7, 2
LARGEST_PAYLOAD = 0xFFF
"""The length has twelve bits."""

FLAG_DATA, FLAG_BYE, FLAG_HELLO, FLAG_CONFIGURE, FLAG_CONFIGURED = 0, 1, 3, 4, 5
FLAG_RESET, FLAG_KEEP_ALIVE, FLAG_ALIVE = 7, 8, 9


class Kind(enum.IntEnum):
    """First byte of a data packet's payload."""

    LAST_FRAME = 0x20
    FRAME = 0x24
    STATUS = 0x28
    FIRST_FRAME = 0x2C


class PacketError(Exception):
    """These bytes are no packet; says why."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. ``sequence`` counts the host's data packets, modulo 16; an answer has that of its question."""

    flag: int
    sequence: int
    payload: bytes

    def __repr__(self) -> str:
        return f"<packet flag {self.flag}, number {self.sequence}, {len(self.payload)} bytes>"


def encode(packet: Packet) -> bytes:
    """The packet's bytes."""
    size = len(packet.payload)
    body = bytes((packet.flag, packet.sequence << 4 | size >> 8, size & 0xFF)) + packet.payload
    return MAGIC + body + crc16(body).to_bytes(2, "little")


def whole_length(head: bytes | bytearray) -> int:
    """How many bytes the packet has that begins so.

    Raises
    ------
    PacketError
    """
    if len(head) < HEAD_BYTES or head[:4] != MAGIC:
        raise PacketError(f"{len(head)} bytes that do not begin a packet")
    return HEAD_BYTES + ((head[5] & 0x0F) << 8 | head[6]) + CRC_BYTES


def decode(data: bytes | bytearray) -> Packet:
    """Read one packet; what stands behind it is filler.

    Raises
    ------
    PacketError
    """
    length = whole_length(data)
    if len(data) < length:
        raise PacketError(f"{len(data)} of {length} bytes came")
    body, said = bytes(data[4 : length - CRC_BYTES]), int.from_bytes(data[length - CRC_BYTES : length], "little")
    if crc16(body) != said:
        raise PacketError("its checksum is wrong")
    return Packet(flag=body[0], sequence=body[1] >> 4, payload=body[3:])


def without_pixels(start: bytes) -> bytes:
    """A packet for a recorder: the whole one that begins so with its pixels black and its checksum right."""
    try:
        length = whole_length(start)
    except PacketError:
        return bytes(len(start))
    kind = start[HEAD_BYTES]
    if start[4] != FLAG_DATA or kind not in (Kind.FIRST_FRAME, Kind.FRAME, Kind.LAST_FRAME):
        return start
    kept = HEAD_BYTES + (11 if kind == Kind.FIRST_FRAME else 1)
    body = start[4:kept] + bytes(length - kept - CRC_BYTES)
    return (MAGIC + body + crc16(body).to_bytes(2, "little")).ljust(len(start), b"\0")


def crc16(data: bytes) -> int:
    """CRC-16 of polynomial 0x1021, start 0, not reflected."""
    return binascii.crc_hqx(data, 0)
