"""Frames between a virtual reader and a card: two bytes of length, big-endian, then that many bytes.

It is the protocol of the virtual reader of vsmartcard (vpcd); our own sockets speak the same.
A frame of one byte from the reader is a control byte, a longer one a command.
"""

import enum
import socket
import struct

_LENGTH = struct.Struct(">H")


class Control(enum.IntEnum):
    """What the reader asks of the card besides commands. Only ATR is answered."""

    POWER_OFF = 0x00
    POWER_ON = 0x01
    RESET = 0x02
    ATR = 0x04


def send_frame(link: socket.socket, content: bytes) -> None:
    """Write one frame. Raises OSError when the other side is gone."""
    link.sendall(_LENGTH.pack(len(content)) + content)


def receive_frame(link: socket.socket) -> bytes | None:
    """Read one frame; None when the other side closed. Raises TimeoutError or OSError as the socket does."""
    head = _receive(link, _LENGTH.size)
    return None if head is None else _receive(link, _LENGTH.unpack(head)[0])


def _receive(link: socket.socket, size: int) -> bytes | None:
    content = b""
    while len(content) < size:
        piece = link.recv(size - len(content))
        if not piece:
            return None
        content += piece
    return content
