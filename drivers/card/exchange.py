"""One command to a card or SAM and its whole answer: status words 61xx and 6Cxx, and the traffic log.

Every APDU of ours passes through here, so this is the only place that can log traffic, and it has no way
of printing a body: what is logged is header, lengths, status word, and the file id of a plain SELECT.
Photo, biodata, templates, SAM password, card control, UID and challenge are bodies, so they cannot appear.
"""

import logging
import time

from drivers.card.apdu import CLA_SECURE, Command, Ins, Response, more_available, right_le
from drivers.card.base import CardConnection
from drivers.errors import DeviceProtocolError

TRAFFIC = 5
"""Log level below DEBUG: one line per APDU, without content."""

_MAX_PARTS = 16
"""GET RESPONSE rounds for one command: 16 x 256 bytes exceed the largest file on the chip."""

log = logging.getLogger(__name__)


def exchange(connection: CardConnection, command: Command, doing: str) -> Response:
    """Send a command; follow ``61xx`` with GET RESPONSE and repeat once after ``6Cxx``.

    Raises
    ------
    DeviceProtocolError
        The card announces more data without end.
    DeviceError
        Whatever the connection raises.
    """
    answer = _transmit(connection, command.encode())
    le = right_le(answer.sw)
    if le is not None and command.le is not None:
        repeated = Command(command.cla, command.ins, command.p1, command.p2, command.data, le)
        answer = _transmit(connection, repeated.encode())
    data = answer.data
    for _ in range(_MAX_PARTS):
        more = more_available(answer.sw)
        if more is None:
            return Response(data, answer.sw)
        get_response = Command(command.cla & ~CLA_SECURE, Ins.GET_RESPONSE, le=more)
        answer = _transmit(connection, get_response.encode())
        data += answer.data
    raise DeviceProtocolError(connection.reader, doing, "the card announces more data without end")


def exchange_bytes(connection: CardConnection, apdu: bytes) -> bytes:
    """Send ready-made bytes and give the bare answer: for answers whose last two bytes are no status word."""
    started = time.monotonic()
    answer = connection.transmit(apdu)
    if log.isEnabledFor(TRAFFIC):
        log.log(
            TRAFFIC,
            "%s: %s -> %s, %.0f ms",
            connection.reader,
            describe_command(apdu),
            describe_answer(answer),
            (time.monotonic() - started) * 1000,
        )
    return answer


def _transmit(connection: CardConnection, apdu: bytes) -> Response:
    return Response.decode(exchange_bytes(connection, apdu))


def describe_command(apdu: bytes) -> str:
    """Header and whole length; the file id of a plain SELECT; nothing else of the body."""
    header = apdu[:4].hex(" ").upper()
    if apdu[:2] == bytes([0x00, Ins.SELECT]) and len(apdu) == 7:
        return f"{header} file {apdu[5:7].hex().upper()}"
    return f"{header}, {len(apdu)} bytes"


def describe_answer(answer: bytes) -> str:
    """Length and status word."""
    status = answer[-2:].hex().upper()
    return f"{len(answer) - 2} bytes {status}" if len(answer) > 2 else status
