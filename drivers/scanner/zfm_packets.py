"""Packets of the serial modules ZhianTec ZFM-20/60/70, GROW R301T-R307 and AS608; pure.

After the makers' manuals. All numbers are big endian::

    EF01 · address (4) · identifier (1) · length (2: content + checksum) · content · checksum (2)

The checksum is the 16-bit sum of identifier, length and content.
"""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

START = b"\xef\x01"
DEFAULT_ADDRESS = 0xFFFFFFFF
"""The address every module has until somebody gives it another one, to which it then answers alone."""
HEADER_BYTES = 9
CHECKSUM_BYTES = 2
LARGEST_CONTENT_BYTES = 256
"""The largest packet size a module can be set to."""
MODULE_WIDTH = 256
"""Pixels in a line of the optical modules."""
R503_BYTES, R503_SIDE = 192 * 192 // 2, 192
"""The capacitive R503, if it sends 4 bits a pixel as the others do: 144 lines of 256 would be no module known."""
FEWEST_LINES, MOST_LINES = 64, 512


class Identifier(enum.IntEnum):
    """What a packet is."""

    COMMAND = 0x01
    DATA = 0x02
    ANSWER = 0x07
    LAST_DATA = 0x08


class Command(enum.IntEnum):
    """The commands used here, by their names in the manuals. Nothing is ever stored or searched on the module."""

    GEN_IMG = 0x01
    UP_IMAGE = 0x0A
    READ_SYS_PARA = 0x0F
    VFY_PWD = 0x13


class Status(enum.IntEnum):
    """The first byte of an answer."""

    OK = 0x00
    PACKET_ERROR = 0x01
    NO_FINGER = 0x02
    CAPTURE_FAILED = 0x03
    TOO_MESSY = 0x06
    TOO_FEW_POINTS = 0x07
    NO_MATCH = 0x08
    NOT_FOUND = 0x09
    CANNOT_COMBINE = 0x0A
    PAGE_OUT_OF_RANGE = 0x0B
    TEMPLATE_INVALID = 0x0C
    TEMPLATE_UPLOAD_ERROR = 0x0D
    CANNOT_RECEIVE = 0x0E
    IMAGE_UPLOAD_ERROR = 0x0F
    DELETE_FAILED = 0x10
    EMPTY_FAILED = 0x11
    WRONG_PASSWORD = 0x13
    NO_VALID_IMAGE = 0x15
    FLASH_ERROR = 0x18
    BAD_REGISTER = 0x1A
    ADDRESS_ERROR = 0x20
    PASSWORD_NOT_VERIFIED = 0x21


def status_name(code: int) -> str:
    """A status as it is told: its name and number, or the number alone of one that no manual lists."""
    try:
        return f"{Status(code).name} ({code:02X})"
    except ValueError:
        return f"status {code:02X}, which no manual lists"


class PacketError(Exception):
    """These bytes are no packet of this protocol; says why, never what they were."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a packet."""

    address: int
    identifier: Identifier
    content_bytes: int


@dataclass(frozen=True, slots=True)
class SystemParameters:
    """What ReadSysPara tells."""

    system_id: int
    library_size: int
    security: int
    address: int
    packet_bytes: int
    baud: int


def encode(identifier: Identifier, content: bytes | bytearray | memoryview, address: int = DEFAULT_ADDRESS) -> bytes:
    """One packet, ready to send."""
    length = len(content) + CHECKSUM_BYTES
    return b"".join(
        (
            START,
            address.to_bytes(4, "big"),
            bytes([identifier]),
            length.to_bytes(2, "big"),
            content,
            checksum(identifier, content).to_bytes(2, "big"),
        )
    )


def checksum(identifier: int, content: bytes | bytearray | memoryview) -> int:
    """The sum that ends a packet."""
    length = len(content) + CHECKSUM_BYTES
    return (identifier + (length >> 8) + (length & 0xFF) + sum(content)) & 0xFFFF


def decode_header(data: bytes | bytearray | memoryview) -> Header:
    """The first nine bytes of a packet; raises PacketError."""
    if len(data) != HEADER_BYTES:
        raise PacketError(f"a header has {HEADER_BYTES} bytes, not {len(data)}")
    if bytes(data[:2]) != START:
        raise PacketError("it does not begin with EF01")
    try:
        identifier = Identifier(data[6])
    except ValueError as error:
        raise PacketError(f"a packet of kind {data[6]:02X}") from error
    content_bytes = int.from_bytes(data[7:9], "big") - CHECKSUM_BYTES
    if not 0 < content_bytes <= LARGEST_CONTENT_BYTES:
        raise PacketError(f"a packet of {content_bytes} bytes")
    return Header(int.from_bytes(data[2:6], "big"), identifier, content_bytes)


def check(header: Header, content: memoryview, sent: memoryview) -> None:
    """Compare the checksum that was ``sent``; raises PacketError."""
    if int.from_bytes(sent, "big") != checksum(header.identifier, content):
        raise PacketError("the checksum differs: bytes were lost or changed on the way")


def decode_system_parameters(content: bytes | bytearray | memoryview) -> SystemParameters:
    """The answer to ReadSysPara from its status byte on (then the module's own status register); raises PacketError."""
    if len(content) != 17:
        raise PacketError(f"17 bytes of parameters are asked for, {len(content)} came")
    packet_code, baud_factor = int.from_bytes(content[13:15], "big"), int.from_bytes(content[15:17], "big")
    if packet_code > 3 or not 1 <= baud_factor <= 12:
        raise PacketError(f"packet size code {packet_code}, speed factor {baud_factor}")
    return SystemParameters(
        system_id=int.from_bytes(content[3:5], "big"),
        library_size=int.from_bytes(content[5:7], "big"),
        security=int.from_bytes(content[7:9], "big"),
        address=int.from_bytes(content[9:13], "big"),
        packet_bytes=32 << packet_code,
        baud=9600 * baud_factor,
    )


def picture(payload: bytearray) -> NDArray[np.uint8]:
    """The pixels in all payloads of an upload put together: 4 bits each, the high nibble is the left one.

    A packet is a line only at one of the four packet sizes; lines are cut here, never packet by packet.

    Returns
    -------
    pixels : (H, W) uint8 in steps of 17, memory of its own.

    Raises
    ------
    PacketError
        No module sends so many bytes.
    """
    width = R503_SIDE if len(payload) == R503_BYTES else MODULE_WIDTH
    lines, rest = divmod(len(payload) * 2, width)
    if rest or not FEWEST_LINES <= lines <= MOST_LINES:
        raise PacketError(f"a picture of {len(payload)} bytes")
    pixels = np.empty((lines, width), dtype=np.uint8)
    packed = np.frombuffer(payload, dtype=np.uint8).reshape(lines, width // 2)
    np.right_shift(packed, 4, out=pixels[:, 0::2])
    np.bitwise_and(packed, 0x0F, out=pixels[:, 1::2])
    pixels *= 17
    return pixels


def packed_picture(pixels: NDArray[np.uint8]) -> bytearray:
    """The reverse of :func:`picture`, for whoever plays a module; grey is rounded down to 4 bits."""
    return bytearray((pixels[:, 0::2] & 0xF0 | pixels[:, 1::2] >> 4).tobytes())
